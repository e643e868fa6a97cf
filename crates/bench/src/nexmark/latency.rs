//! `nexmark-latency`: from the acknowledgement of a record to the commit of its row in the table of a query.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use clap::Args;
use flowline_base::{Clock, SystemClock};
use flowline_testkit::FlowlineProcess;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::events::Recorded;
use super::ours::time;
use super::process;
use super::project::{self, OUT};
use super::queries::{QUERIES, Stream};
use crate::node;

/// How fast, and for how long.
#[derive(Debug, Clone, Args)]
pub struct LatencyOptions {
    /// Bids a second, by commas: each rate is a run of its own.
    #[arg(long, value_delimiter = ',', default_value = "10000,100000")]
    rates: Vec<u64>,
    /// Seconds of load.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// What landing waits for at most.
    #[arg(long, default_value = "1s")]
    flush_after: String,
}

/// Requests a second, at every rate.
const REQUESTS: u64 = 50;
/// The first seconds are not counted.
const WARM_SECONDS: u64 = 5;

/// Sends bids at each rate through q0 and measures.
pub async fn run(folder: &Path, options: &LatencyOptions) -> anyhow::Result<Value> {
    crate::node::binary()?;
    let mut entries = Vec::new();
    for rate in &options.rates {
        entries.push(at_rate(folder, *rate, options).await?);
    }
    Ok(json!({ "flush_after": options.flush_after, "entries": entries }))
}

async fn at_rate(folder: &Path, rate: u64, options: &LatencyOptions) -> anyhow::Result<Value> {
    let query = QUERIES.first().context("no query")?;
    let project = tempfile::tempdir_in(folder)?;
    let settings =
        project::Settings { flush_after: Some(&options.flush_after), ..project::Settings::default() };
    project::write(project.path(), query, settings)?;
    let bodies = bodies(folder, rate, options)?;
    let process = node::start(project.path())?;
    let (acknowledged, late) = send(&process.http, bodies, rate / REQUESTS).await?;
    let rows = acknowledged.last().map_or(0, |(_, rows)| *rows);
    let committed = committed(&process, rows).await?;
    let used = process::used(process.id())?;
    process.kill()?;
    let mut latency: Histogram<u64> = Histogram::new(3)?;
    let mut commits = committed.iter().peekable();
    for (at, rows) in acknowledged.iter().skip((WARM_SECONDS * REQUESTS) as usize) {
        while commits.next_if(|(_, visible)| visible < rows).is_some() {}
        let (visible_at, _) = commits.peek().context("a record that no commit has")?;
        latency.record((*visible_at - *at).num_microseconds().unwrap_or(0).max(1) as u64)?;
    }
    let millis = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(json!({
        "rate": rate, "records": rows, "requests_sent_late": late, "commits": committed.len(),
        "latency_ms": { "p50": millis(0.5), "p99": millis(0.99), "max": latency.max() as f64 / 1_000.0 },
        "memory_peak_bytes": used.memory_peak, "processor_seconds": used.processor_seconds,
    }))
}

/// Bodies of bids, as many records each as a request has at this rate.
fn bodies(folder: &Path, rate: u64, options: &LatencyOptions) -> anyhow::Result<Vec<Bytes>> {
    let records = rate * options.seconds;
    let recorded = Recorded::open(folder, (records * 50).div_ceil(46).div_ceil(50) * 50)?;
    let (mut bodies, mut body, mut lines) = (Vec::new(), Vec::new(), 0);
    for part in recorded.parts(Stream::Bid)? {
        for line in std::fs::read(part)?.split_inclusive(|byte| *byte == b'\n') {
            body.extend_from_slice(line);
            lines += 1;
            if lines == rate / REQUESTS {
                bodies.push(Bytes::from(std::mem::take(&mut body)));
                lines = 0;
            }
        }
    }
    bodies.truncate((options.seconds * REQUESTS) as usize);
    Ok(bodies)
}

type Acknowledged = Vec<(DateTime<Utc>, u64)>;

/// Sends a body at each beat; when each was acknowledged, with the rows up to and with it, and how many were sent late
/// because the one before was not acknowledged in time.
async fn send(http: &str, bodies: Vec<Bytes>, records: u64) -> anyhow::Result<(Acknowledged, u64)> {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
    let url = format!("{http}/v1/sources/nex.bid/records");
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / REQUESTS));
    let (mut acknowledged, mut rows, mut late) = (Vec::new(), 0, 0);
    for body in bodies {
        let due = beat.tick().await;
        late += u64::from(due.elapsed() > beat.period());
        let request = client.post(&url).header("content-type", "application/x-ndjson").body(body);
        let response = request.send().await?;
        let status = response.status();
        ensure!(status.is_success(), "the node answered {status}: {}", response.text().await?);
        rows += records;
        acknowledged.push((SystemClock.now(), rows));
    }
    Ok((acknowledged, late))
}

/// When each commit of the query was done, with the rows that were in the table then; waits until all are.
async fn committed(process: &FlowlineProcess, rows: u64) -> anyhow::Result<Acknowledged> {
    let sql = format!(
        "select committed_at, written from system.runs where dataset = '{OUT}' and committed_at is not null order by committed_at"
    );
    for _ in 0..240 {
        let mut visible = 0;
        let commits = process.query(&sql).await?;
        let commits = commits.iter().map(|commit| {
            visible += commit["written"].as_u64().unwrap_or(0);
            Ok((time(&commit["committed_at"])?, visible))
        });
        let commits = commits.collect::<anyhow::Result<Acknowledged>>()?;
        if visible >= rows {
            return Ok(commits);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    anyhow::bail!("the query has not written all {rows} rows after 2 minutes")
}
