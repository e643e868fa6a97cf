//! `flowline ledger`.

use std::process::ExitCode;

use anyhow::ensure;
use arrow::array::RecordBatch;
use flowline_view::{CountRow, rows};
use serde_json::json;

use super::FOUND_WRONG;
use crate::args::Ledger;
use crate::connection::Connection;
use crate::output::{BAD, FAINT, GOOD, Printer, plain_table};

/// Prints where the records of each hop went; exit code 1 when some are nowhere.
pub async fn run(ledger: &Ledger, printer: &Printer) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(&ledger.project).await?;
    let batches = connection.rows("SELECT * FROM system.counts ORDER BY dataset").await?;
    let report = read(&batches, ledger.dataset.as_deref())?;
    printer.json(&json!({ "balanced": report.balanced(), "hops": report.rows }))?;
    if !printer.json_wanted() {
        report.print(printer);
    }
    Ok(if report.balanced() { ExitCode::SUCCESS } else { ExitCode::from(FOUND_WRONG) })
}

/// Where the records of each hop went.
#[derive(Debug)]
pub struct LedgerReport {
    pub rows: Vec<CountRow>,
}

/// The report from rows of `system.counts`, of one dataset or all.
pub fn read(batches: &[RecordBatch], dataset: Option<&str>) -> anyhow::Result<LedgerReport> {
    let mut counts: Vec<CountRow> = rows(batches)?;
    if let Some(dataset) = dataset {
        counts.retain(|row| row.dataset == dataset);
        ensure!(!counts.is_empty(), "`{dataset}` has counted nothing yet, or is no dataset of this project");
    }
    Ok(LedgerReport { rows: counts })
}

impl LedgerReport {
    /// Whether every record of every hop is accounted for.
    pub fn balanced(&self) -> bool {
        self.rows.iter().all(CountRow::accounted_for)
    }

    /// Prints it as a table with a sentence.
    pub fn print(&self, printer: &Printer) {
        let header =
            ["hop", "read", "=", "written", "quarantined", "duplicate", "late", "filtered", "balance"];
        let mut table = plain_table(header.map(str::to_owned));
        for row in &self.rows {
            table.add_row([
                row.dataset.clone(),
                row.read.to_string(),
                String::new(),
                row.written.to_string(),
                row.quarantined.to_string(),
                row.duplicate.to_string(),
                row.late.to_string(),
                row.filtered.to_string(),
                verdict(row),
            ]);
        }
        printer.line(table);
        if self.balanced() {
            printer.line(format!("{GOOD}balanced{GOOD:#}: every record that was read is accounted for"));
        } else {
            printer.line(format!(
                "{BAD}not balanced{BAD:#}: see `flowline query \"select * from system.findings\"`"
            ));
        }
    }
}

fn verdict(row: &CountRow) -> String {
    let gap = row.gap.unwrap_or(0);
    if row.missing != 0 {
        format!("{BAD}{} missing{BAD:#}", row.missing)
    } else if gap != 0 {
        format!("{BAD}gap of {gap}{BAD:#}")
    } else if row.reshaped {
        format!("{FAINT}reshaped{FAINT:#}")
    } else {
        format!("{GOOD}balanced{GOOD:#}")
    }
}
