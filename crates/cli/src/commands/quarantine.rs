//! `flowline quarantine`.

use std::process::ExitCode;

use anyhow::Context;
use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use flowline_land::{Discard, ReplaySelection};
use flowline_model::{DatasetName, FindingKind, Run};
use serde_json::{Value, json};

use crate::args::{ProjectArguments, Quarantine, QuarantineAction, QuarantineSelection};
use crate::connection::Connection;
use crate::output::{FAINT, GOOD, Printer};

/// Lists, shows or replays rejected records.
pub async fn run(quarantine: &Quarantine, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &quarantine.action {
        QuarantineAction::List { dataset, project } => {
            let dataset = dataset.as_deref().map(known).transpose()?;
            let connection = Connection::open(project).await?;
            if let Some(dataset) = &dataset {
                connection.must_know(&dataset.to_string()).await?;
            }
            let only = dataset.map(|dataset| format!("WHERE dataset = '{dataset}' ")).unwrap_or_default();
            let sql = format!("SELECT * FROM system.quarantine {only}ORDER BY 1, 2");
            shown(&connection.rows(sql).await?, "nothing is in quarantine", printer)?;
        }
        QuarantineAction::Show { dataset, selection, limit, project } => {
            let dataset = known(dataset)?;
            let connection = Connection::open(project).await?;
            connection.must_know(&dataset.to_string()).await?;
            let only = condition(selection)?;
            let sql = format!(
                r#"SELECT * FROM quarantine."{dataset}" {only}ORDER BY _ingested_at DESC, _offset DESC LIMIT {limit}"#
            );
            shown(&connection.rows(sql).await?, "no such record is in quarantine", printer)?;
        }
        QuarantineAction::Replay { dataset, selection, set, project } => {
            let selection = ReplaySelection { set: set.iter().cloned().collect(), ..selected(selection) };
            replay(&known(dataset)?, &selection, project, printer).await?;
        }
        QuarantineAction::Discard { dataset, because, selection, before, project } => {
            let before = before.as_deref().map(time).transpose()?;
            let discard = Discard { selection: selected(selection), before, because: because.clone() };
            self::discard(&known(dataset)?, &discard, project, printer).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints rows; a person is told when there are none.
fn shown(rows: &[RecordBatch], none: &str, printer: &Printer) -> anyhow::Result<()> {
    printer.batches(rows)?;
    if rows.iter().all(|batch| batch.num_rows() == 0) {
        printer.remark(none);
    }
    Ok(())
}

fn known(dataset: &str) -> anyhow::Result<DatasetName> {
    dataset.parse().with_context(|| format!("`{dataset}` is no dataset"))
}

fn selected(selection: &QuarantineSelection) -> ReplaySelection {
    let QuarantineSelection { reason, column } = selection;
    ReplaySelection { reason: reason.clone(), column: column.clone(), ..ReplaySelection::default() }
}

/// The part of a query that a selection is.
fn condition(selection: &QuarantineSelection) -> anyhow::Result<String> {
    let QuarantineSelection { reason, column } = selection;
    if let Some(word) = reason {
        FindingKind::reason(word).map_err(anyhow::Error::msg)?;
    }
    let of = |(name, value): (&str, &Option<String>)| {
        Some(format!("{name} = '{}'", value.as_ref()?.replace('\'', "''")))
    };
    let parts: Vec<String> = [("_reason", reason), ("_column", column)].into_iter().filter_map(of).collect();
    Ok(if parts.is_empty() { String::new() } else { format!("WHERE {} ", parts.join(" AND ")) })
}

fn time(text: &str) -> anyhow::Result<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text);
    Ok(time.with_context(|| format!("`{text}` is no time like 2026-01-05T08:00:00Z"))?.to_utc())
}

/// What of a selection was said, in the words of the API.
fn body(selection: &ReplaySelection) -> Value {
    let ReplaySelection { reason, column, set } = selection;
    let mut body = json!({});
    for (name, value) in [("reason", reason), ("column", column)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    if !set.is_empty() {
        body["set"] = json!(set);
    }
    body
}

async fn discard(
    dataset: &DatasetName,
    discard: &Discard,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<()> {
    let answer = match Connection::open(project).await? {
        Connection::Node(node) => {
            let mut body = body(&discard.selection);
            body["because"] = json!(discard.because);
            if let Some(before) = discard.before {
                body["before"] = json!(before);
            }
            node.post(&format!("/v1/quarantine/{dataset}/discard"), &body).await?
        }
        Connection::Lake(offline) => {
            let run = offline.discard(dataset, discard).await?;
            let discarded: u64 = run.inputs.iter().map(|range| (range.to - range.from).unsigned_abs()).sum();
            json!({ "run_id": run.id.to_string(), "dataset": run.hop.to_string(), "discarded": discarded })
        }
    };
    printer.json(&answer)?;
    printer.line(format!(
        "{GOOD}discarded{GOOD:#} {} records of {dataset} from quarantine",
        answer["discarded"].as_u64().unwrap_or(0)
    ));
    Ok(())
}

async fn replay(
    dataset: &DatasetName,
    selection: &ReplaySelection,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<()> {
    let answer = match Connection::open(project).await? {
        Connection::Node(node) => {
            node.post(&format!("/v1/quarantine/{dataset}/replay"), &body(selection)).await?
        }
        Connection::Lake(offline) => as_node_answers(&offline.replay(dataset, selection).await?),
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
