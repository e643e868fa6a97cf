//! `flowline replay`.

use std::process::ExitCode;

use anyhow::Context;
use chrono::DateTime;
use flowline_model::DatasetName;
use serde_json::json;

use crate::args::Replay;
use crate::connection::Connection;
use crate::output::{GOOD, Printer};

/// Computes again what a stream wrote behind a time, and swaps it in with one commit.
pub async fn run(replay: &Replay, printer: &Printer) -> anyhow::Result<ExitCode> {
    let dataset = &replay.dataset;
    let name: DatasetName = dataset.parse().with_context(|| format!("`{dataset}` is no dataset"))?;
    let from = DateTime::parse_from_rfc3339(&replay.from)
        .with_context(|| format!("`{}` is no time like 2026-01-05T08:00:00Z", replay.from))?
        .to_utc();
    let answer = match Connection::open(&replay.project).await? {
        Connection::Node(node) => {
            node.post(&format!("/v1/streams/{name}/replay"), &json!({ "from": from })).await?
        }
        Connection::Lake(offline) => {
            let run = offline.replay_stream(&name, from).await?;
            json!({
                "run_id": run.id.to_string(), "dataset": run.hop.to_string(), "read": run.counts.read,
                "written": run.counts.written, "version": run.commit.map(|commit| commit.version),
            })
        }
    };
    printer.json(&answer)?;
    let number = |name: &str| answer[name].as_u64().unwrap_or(0);
    printer.line(format!(
        "{GOOD}replayed{GOOD:#} {name} from {}: {} rows read, {} written, version {}",
        from.format("%Y-%m-%dT%H:%M:%SZ"),
        number("read"),
        number("written"),
        number("version"),
    ));
    Ok(ExitCode::SUCCESS)
}
