//! `flowline quarantine`.

use std::process::ExitCode;

use anyhow::Context;
use flowline_model::{DatasetName, Run};
use serde_json::{Value, json};

use crate::args::{Quarantine, QuarantineAction};
use crate::connection::Connection;
use crate::output::{FAINT, GOOD, Printer};

/// Lists, shows or replays rejected records.
pub async fn run(quarantine: &Quarantine, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &quarantine.action {
        QuarantineAction::List { dataset, project } => {
            let dataset = dataset.as_deref().map(known).transpose()?;
            let only = dataset.map(|dataset| format!("WHERE dataset = '{dataset}' ")).unwrap_or_default();
            let connection = Connection::open(project).await?;
            let sql = format!("SELECT * FROM system.quarantine {only}ORDER BY 1, 2");
            printer.batches(&connection.rows(sql).await?)?;
        }
        QuarantineAction::Show { dataset, limit, project } => {
            let dataset = known(dataset)?;
            let connection = Connection::open(project).await?;
            let sql = format!(
                r#"SELECT * FROM quarantine."{dataset}" ORDER BY _ingested_at DESC, _offset DESC LIMIT {limit}"#
            );
            printer.batches(&connection.rows(sql).await?)?;
        }
        QuarantineAction::Replay { dataset, project } => replay(&known(dataset)?, project, printer).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn known(dataset: &str) -> anyhow::Result<DatasetName> {
    dataset.parse().with_context(|| format!("`{dataset}` is no dataset"))
}

async fn replay(
    dataset: &DatasetName,
    project: &crate::args::ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<()> {
    let answer = match Connection::open(project).await? {
        Connection::Node(node) => node.post(&format!("/v1/quarantine/{dataset}/replay"), &json!({})).await?,
        Connection::Lake(offline) => as_node_answers(&offline.replay(dataset).await?),
    };
    printer.json(&answer)?;
    let count = |name: &str| answer[name].as_u64().unwrap_or(0);
    printer.line(format!(
        "{GOOD}replayed{GOOD:#} {} records of {dataset}: {} landed, {} duplicates, {} still rejected",
        count("replayed"),
        count("written"),
        count("duplicate"),
        count("quarantined"),
    ));
    if count("quarantined") > 0 {
        printer.line(format!("{FAINT}next:{FAINT:#} flowline quarantine show {dataset}"));
    }
    Ok(())
}

/// The run in the words of `POST /v1/quarantine/{dataset}/replay`.
fn as_node_answers(run: &Run) -> Value {
    json!({
        "run_id": run.id.to_string(), "dataset": run.hop.to_string(), "replayed": run.counts.read,
        "written": run.counts.written, "quarantined": run.counts.quarantined, "duplicate": run.counts.duplicate,
        "version": run.commit.as_ref().map(|commit| commit.version),
    })
}
