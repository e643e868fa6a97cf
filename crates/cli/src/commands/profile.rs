//! `flowline profile`.

use std::process::ExitCode;

use anyhow::{Context, ensure};
use flowline_model::DatasetName;
use flowline_view::{ProfileRow, rows};

use crate::args::Profile;
use crate::connection::Connection;
use crate::output::{FAINT, Printer, harmless, plain_table};

/// Prints what the rows of a version look like, column by column.
pub async fn run(profile: &Profile, printer: &Printer) -> anyhow::Result<ExitCode> {
    let dataset = &profile.dataset;
    let name: DatasetName = dataset.parse().with_context(|| format!("`{dataset}` is no dataset"))?;
    let connection = Connection::open(&profile.project).await?;
    let of_dataset = format!("SELECT * FROM system.profiles WHERE dataset = '{name}'");
    let version = match profile.at {
        Some(version) => Some(version.to_string()),
        // The newest comes first: it is found without reading the others.
        None => {
            let newest = connection.rows(format!("{of_dataset} ORDER BY profiled_at DESC LIMIT 1")).await?;
            rows::<ProfileRow>(&newest)?.first().map(|row| row.version.to_string())
        }
    };
    let found: Vec<ProfileRow> = match version {
        Some(version) => rows(&connection.rows(format!("{of_dataset} AND version = {version}")).await?)?,
        None => Vec::new(),
    };
    if found.is_empty() {
        connection.must_know(&name.to_string()).await?;
    }
    ensure!(!found.is_empty(), "there is no profile of `{name}`; one is made whenever rows are committed");
    printer.json(&found)?;
    if !printer.json_wanted() {
        print(&found, printer);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(found: &[ProfileRow], printer: &Printer) {
    let mut partition: Option<&str> = None;
    let mut table = header();
    for row in found {
        if partition != Some(row.partition.as_str()) {
            if partition.is_some() {
                printer.line(std::mem::replace(&mut table, header()));
            }
            partition = Some(&row.partition);
            let of = if row.partition.is_empty() { "" } else { " of " };
            printer.line(format!(
                "{} rows{of}{} in version {} {FAINT}{}{FAINT:#}",
                row.rows,
                harmless(&row.partition),
                row.version,
                row.profiled_at.format("%Y-%m-%dT%H:%M:%SZ")
            ));
        }
        let number = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
        let text = |value: &Option<String>| harmless(value.as_deref().unwrap_or_default());
        table.add_row([
            row.name.clone(),
            row.nulls.to_string(),
            row.distinct.to_string(),
            text(&row.min),
            text(&row.max),
            number(row.mean),
            number(row.median),
            harmless(&row.top.join(", ")),
        ]);
    }
    printer.line(table);
}

fn header() -> comfy_table::Table {
    plain_table(
        ["column", "nulls", "distinct", "min", "max", "mean", "median", "most often"].map(str::to_owned),
    )
}
