//! `flowline quarantine`.

use std::process::ExitCode;

use anyhow::{Context, bail};
use flowline_model::DatasetName;
use serde_json::json;

use crate::args::{Quarantine, QuarantineAction};
use crate::connection::Connection;
use crate::output::{FAINT, GOOD, Printer};

/// Lists, shows or replays rejected records.
pub async fn run(quarantine: &Quarantine, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &quarantine.action {
        QuarantineAction::List { project } => {
            let connection = Connection::open(project).await?;
            printer.batches(&connection.rows("SELECT * FROM system.quarantine ORDER BY 1, 2").await?)?;
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
    let run = match Connection::open(project).await? {
        Connection::Node(node) => node.post(&format!("/v1/quarantine/{dataset}/replay"), &json!({})).await?,
        Connection::Lake(offline) => serde_json::to_value(offline.replay(dataset).await?)?,
    };
    printer.json(&run)?;
    let counts = &run["counts"];
    let count = |name: &str| counts[name].as_u64().unwrap_or(0);
    if !counts.is_object() {
        bail!("the replay answered without counts: {run}");
    }
    printer.line(format!(
        "{GOOD}replayed{GOOD:#} {} records of {dataset}: {} landed, {} duplicates, {} still rejected",
        count("read"),
        count("written"),
        count("duplicate"),
        count("quarantined"),
    ));
    if count("quarantined") > 0 {
        printer.line(format!("{FAINT}next:{FAINT:#} flowline quarantine show {dataset}"));
    }
    Ok(())
}
