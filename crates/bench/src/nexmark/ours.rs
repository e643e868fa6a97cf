//! One query, run by the real binary: its log is filled first, then a node with every role is started and timed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowline_base::{Clock, SystemClock};
use flowline_testkit::FlowlineProcess;
use serde_json::{Value, json};

use super::events::Recorded;
use super::process;
use super::project::{self, OUT};
use super::queries::{Emits, Query, Stream};
use crate::node;

/// Flowline with the tables that it lands records into by default.
pub const OURS: &str = "flowline";
/// Flowline with records that stay in the log, as the peers read theirs; for queries that read each row once.
pub const IN_LOG: &str = "flowline-log";

/// Bytes of a request while the log is filled, at least.
const REQUEST_BYTES: usize = 512 << 10;
/// How often a node is asked whether it is done.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Runs a query over recorded events.
pub async fn run(
    folder: &Path,
    query: &Query,
    recorded: &Recorded,
    keep_in_log: bool,
    patience: Duration,
) -> anyhow::Result<Value> {
    let project = tempfile::tempdir_in(folder)?;
    let settings = project::Settings { keep_in_log, ..project::Settings::default() };
    project::write(project.path(), query, settings)?;
    fill(project.path(), query, recorded).await?;
    crate::machine::touch_memory();
    let (started_at, started) = (SystemClock.now(), SystemClock.instant());
    let process = node::start(project.path())?;
    let expected = expected(query, recorded);
    while !done(&process, query, &expected).await? {
        ensure!(started.elapsed() < patience, "not done after {patience:?}: {}", behind(&process).await?);
        tokio::time::sleep(ASK_EVERY).await;
    }
    let used = process::used(process.id())?;
    let runs = process
        .query(&format!("select finished_at, read, started_at from system.runs where dataset = '{OUT}' and outcome = 'succeeded'"))
        .await?;
    let times = runs.iter().map(|run| time(&run["finished_at"])).collect::<anyhow::Result<Vec<_>>>()?;
    let finished_at = times.into_iter().max().context("no run of the query")?;
    let seconds = (finished_at - started_at).num_microseconds().unwrap_or(0) as f64 / 1e6;
    let answer = process.query(&query.summary(OUT)).await?;
    let events: u64 = query.streams.iter().map(|stream| recorded.count(*stream)).sum();
    let history = history(&runs, started_at)?;
    process.kill()?;
    Ok(json!({
        "engine": if keep_in_log { IN_LOG } else { OURS }, "seconds": seconds, "events_per_second": events as f64 / seconds,
        "memory_peak_bytes": used.memory_peak, "bytes_written": used.bytes_written,
        "processor_seconds": used.processor_seconds, "runs": runs.len(), "history": history,
        "rows": answer[0]["n"], "checksum": answer[0]["c"],
    }))
}

/// Records of each stream that are to be landed.
fn expected(query: &Query, recorded: &Recorded) -> Vec<(Stream, u64)> {
    let closing = u64::from(query.emits == Emits::OnClose);
    query.streams.iter().map(|stream| (*stream, recorded.count(*stream) + closing)).collect()
}

/// Puts the events into the log, in the order of their times, and ends the node that took them.
async fn fill(project: &Path, query: &Query, recorded: &Recorded) -> anyhow::Result<()> {
    let process = node::start_gateway(project)?;
    for stream in query.streams {
        let mut parts = recorded.parts(*stream)?;
        if query.emits == Emits::OnClose {
            parts.push(recorded.closing(*stream));
        }
        for part in parts {
            send(&process.http, *stream, Bytes::from(std::fs::read(part)?)).await?;
        }
    }
    ensure!(process.terminate()?, "the node that filled the log did not end well");
    Ok(())
}

/// Sends lines in one request after the other, so that the log has them in their order.
async fn send(http: &str, stream: Stream, mut lines: Bytes) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
    let url = format!("{http}/v1/sources/nex.{}/records", stream.name());
    while !lines.is_empty() {
        let least = lines.len().min(REQUEST_BYTES);
        let end =
            lines[least - 1..].iter().position(|byte| *byte == b'\n').map_or(lines.len(), |at| least + at);
        let body = lines.split_to(end);
        let request = client.post(&url).header("content-type", "application/x-ndjson").body(body);
        let response = request.send().await?;
        let status = response.status();
        ensure!(status.is_success(), "the node answered {status}: {}", response.text().await?);
    }
    Ok(())
}

/// Whether every record is landed and the query has read every version of its inputs.
async fn done(process: &FlowlineProcess, query: &Query, expected: &[(Stream, u64)]) -> anyhow::Result<bool> {
    let landed = process.query("select dataset, written from system.counts").await?;
    for (stream, count) in expected {
        let name = format!("nex.{}", stream.name());
        let of_stream = landed.iter().find(|row| row["dataset"] == name.as_str());
        if of_stream.and_then(|row| row["written"].as_u64()).unwrap_or(0) < *count {
            return Ok(false);
        }
    }
    let read = process.query(&format!("select lag from system.positions where dataset = '{OUT}'")).await?;
    Ok(read.len() == query.streams.len() && read.iter().all(|row| row["lag"].as_i64() == Some(0)))
}

/// How far each hop is, and why runs failed.
pub async fn behind(process: &FlowlineProcess) -> anyhow::Result<String> {
    let rows = process.query("select dataset, input, lag from system.positions").await?;
    let failed =
        process.query("select dataset, error from system.runs where outcome = 'failed' limit 3").await?;
    Ok(format!("{} {}", Value::Array(rows), Value::Array(failed)))
}

/// Events a second in each tenth of the input, from when runs ended.
fn history(runs: &[Value], started_at: DateTime<Utc>) -> anyhow::Result<Vec<Value>> {
    let mut ended = runs
        .iter()
        .map(|run| Ok((time(&run["finished_at"])?, run["read"].as_u64().unwrap_or(0))))
        .collect::<anyhow::Result<Vec<_>>>()?;
    ended.sort();
    let total: u64 = ended.iter().map(|(_, read)| read).sum();
    let (mut tenths, mut read, mut from, mut since) = (Vec::new(), 0, 0, started_at);
    for (at, count) in ended {
        read += count;
        if read - from >= total.div_ceil(10) {
            let seconds = (at - since).num_microseconds().unwrap_or(1) as f64 / 1e6;
            let speed = (read - from) as f64 / seconds.max(1e-6);
            tenths.push(json!({ "read": read, "events_per_second": speed }));
            (from, since) = (read, at);
        }
    }
    Ok(tenths)
}

/// A time of a system table.
pub fn time(value: &Value) -> anyhow::Result<DateTime<Utc>> {
    let text = value.as_str().with_context(|| format!("{value} is no time"))?;
    Ok(DateTime::parse_from_rfc3339(text)?.to_utc())
}
