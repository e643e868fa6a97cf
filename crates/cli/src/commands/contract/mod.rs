//! `flowline contract`.

mod compare;
mod standard;
mod states;

use std::process::ExitCode;

use flowline_view::{ContractRow, rows};

use crate::args::{Contract, ContractAction, ProjectArguments};
use crate::connection::Connection;
use crate::output::{Printer, plain_table};

/// Runs the action.
pub async fn run(contract: &Contract, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &contract.action {
        ContractAction::List { dataset, project } => list(dataset.as_deref(), project, printer).await,
        ContractAction::Diff { dataset, from, to, git, markdown, project } => {
            let what = compare::Diff { dataset, from: *from, to: *to, git: git.as_deref() };
            compare::diff(&what, *markdown, project, printer).await
        }
        ContractAction::Check { git, markdown, project } => {
            compare::check(git, *markdown, project, printer).await
        }
        ContractAction::Export { dataset, format, project } => {
            standard::export(dataset, *format, project, printer).await
        }
        ContractAction::Import { file, print, project } => standard::import(file, *print, project, printer),
    }
}

/// The versions in the ledger, by dataset, the newest first.
async fn versions(connection: &Connection, dataset: Option<&str>) -> anyhow::Result<Vec<ContractRow>> {
    let batches = connection.rows("SELECT * FROM system.contracts ORDER BY dataset, version DESC").await?;
    let mut versions: Vec<ContractRow> = rows(&batches)?;
    if let Some(dataset) = dataset {
        versions.retain(|version| version.dataset == dataset);
    }
    Ok(versions)
}

async fn list(
    dataset: Option<&str>,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    let connection = Connection::open(project).await?;
    let versions = versions(&connection, dataset).await?;
    if let Some(dataset) = dataset.filter(|_| versions.is_empty()) {
        connection.must_know(dataset).await?;
    }
    printer.json(&versions)?;
    if !printer.json_wanted() {
        let header = ["dataset", "version", "deployed", "project", "compatible", "changes"];
        let mut table = plain_table(header.map(str::to_owned));
        for version in &versions {
            table.add_row([
                version.dataset.clone(),
                version.version.to_string(),
                version.recorded_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                version.deployment.clone(),
                version.compatibility.clone().unwrap_or_default(),
                crate::output::harmless(&version.changes.join("\n")),
            ]);
        }
        printer.line(table);
    }
    Ok(ExitCode::SUCCESS)
}
