//! `flowline quality`.

use std::process::ExitCode;

use anyhow::Context;
use flowline_model::DatasetName;
use flowline_view::{CheckRow, rows};

use super::FOUND_WRONG;
use crate::args::{Quality, QualityAction};
use crate::connection::{Connection, offline};
use crate::output::{BAD, FAINT, GOOD, Printer, WARN, harmless, plain_table};

/// Evaluates checks, or lists what they said last; exit code 1 when one does not hold.
pub async fn run(quality: &Quality, printer: &Printer) -> anyhow::Result<ExitCode> {
    let results: Vec<CheckRow> = match &quality.action {
        QualityAction::Run { dataset, project } => {
            let dataset: DatasetName =
                dataset.parse().with_context(|| format!("`{dataset}` is no dataset"))?;
            offline(project).await?.audit(&dataset).await?.into_iter().map(CheckRow::from).collect()
        }
        QualityAction::List { dataset, project } => {
            let mut only = String::new();
            if let Some(dataset) = dataset {
                let name: DatasetName =
                    dataset.parse().with_context(|| format!("`{dataset}` is no dataset"))?;
                only = format!(" AND dataset = '{name}'");
            }
            let connection = Connection::open(project).await?;
            let sql =
                format!("SELECT * FROM system.checks WHERE latest{only} ORDER BY dataset, name, dimension");
            rows::<CheckRow>(&connection.rows(sql).await?)?
        }
    };
    printer.json(&results)?;
    if !printer.json_wanted() {
        print(&results, printer);
    }
    let wrong = results.iter().any(|result| !matches!(result.verdict.as_str(), "passed" | "not_due"));
    Ok(if wrong { ExitCode::from(FOUND_WRONG) } else { ExitCode::SUCCESS })
}

fn print(results: &[CheckRow], printer: &Printer) {
    if results.is_empty() {
        printer.line("no check has said anything yet; declare some under `checks:` of a dataset");
        return;
    }
    let mut table = plain_table(["dataset", "check", "verdict", "severity", "says"].map(str::to_owned));
    for result in results {
        let (style, word) = match result.verdict.as_str() {
            "passed" => (GOOD, "passed"),
            "failed" => (BAD, "failed"),
            "not_due" => (FAINT, "not due yet"),
            _ => (WARN, "not evaluated"),
        };
        let name = match result.dimension.as_str() {
            "" => result.name.clone(),
            dimension => format!("{} {FAINT}{}{FAINT:#}", result.name, harmless(dimension)),
        };
        let mut says = harmless(&result.message);
        if !result.examples.is_empty() {
            says.push_str(&format!(" {FAINT}({}){FAINT:#}", harmless(&result.examples.join(", "))));
        }
        let verdict = format!("{style}{word}{style:#}");
        table.add_row([result.dataset.clone(), name, verdict, result.severity.clone(), says]);
    }
    printer.line(table);
}

/// Prints the checks that do not hold, where there are any.
pub fn print_wrong(results: &[CheckRow], printer: &Printer) {
    for result in results {
        let (style, word) =
            if result.verdict == "failed" { (BAD, "failed") } else { (WARN, "not evaluated") };
        printer.line(format!(
            "{style}check {word}{style:#} {} `{}`: {}",
            result.dataset,
            result.name,
            harmless(&result.message)
        ));
    }
}
