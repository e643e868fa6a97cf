//! `nexmark`: each query of NEXMark from a filled log to a committed table, and the same on peers.
//!
//! Owns: the recorded events, the projects, what is timed, the comparison of answers. Does not own: the generator
//! (`flowline-testkit`). What is timed is told in `docs/benchmarks.md`.

mod answer;
mod bids;
mod events;
mod flink;
mod history;
mod latency;
mod marks;
mod ours;
mod process;
mod project;
mod queries;
mod spark;

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use serde_json::{Value, json};

use events::Recorded;
use queries::{QUERIES, Query};

pub use history::{HistoryOptions, run as run_history};
pub use latency::{LatencyOptions, run as run_latency};

/// What is run.
#[derive(Debug, Clone, Args)]
pub struct NexmarkOptions {
    /// Events of all kinds.
    #[arg(long, default_value_t = 10_000_000)]
    events: u64,
    /// Queries, by commas; all without.
    #[arg(long, value_delimiter = ',')]
    queries: Vec<String>,
    /// Engines, by commas: `flowline`, `flink`, `spark`.
    #[arg(long, value_delimiter = ',', default_value = "flowline,flink,spark")]
    engines: Vec<String>,
    /// Seconds after which a query of ours is given up.
    #[arg(long, default_value_t = 600)]
    patience: u64,
}

/// Runs the queries one after the other, each on one engine after the other.
pub async fn run(folder: &Path, options: &NexmarkOptions) -> anyhow::Result<Value> {
    for name in &options.queries {
        ensure!(QUERIES.iter().any(|query| query.name == name), "there is no query `{name}`");
    }
    for name in &options.engines {
        ensure!(["flowline", "flink", "spark"].contains(&name.as_str()), "there is no engine `{name}`");
    }
    crate::node::binary()?;
    let recorded = Recorded::open(folder, options.events)?;
    let mut entries = Vec::new();
    for query in QUERIES.iter().filter(|query| options.wants(query)) {
        entries.extend(of_query(folder, query, &recorded, options).await);
    }
    Ok(json!({ "events": options.events, "entries": entries }))
}

impl NexmarkOptions {
    fn wants(&self, query: &Query) -> bool {
        self.queries.is_empty() || self.queries.iter().any(|name| name == query.name)
    }
}

async fn of_query(folder: &Path, query: &Query, recorded: &Recorded, options: &NexmarkOptions) -> Vec<Value> {
    let mut entries: Vec<Value> = Vec::new();
    for engine in &options.engines {
        let result = match engine.as_str() {
            "flink" => flink::run(folder, query, recorded).await,
            "spark" => spark::run(folder, query, recorded).await,
            _ => ours::run(folder, query, recorded, Duration::from_secs(options.patience)).await,
        };
        let mut entry =
            result.unwrap_or_else(|error| json!({ "engine": engine, "not_measured": format!("{error:#}") }));
        entry["query"] = json!(query.name);
        eprintln!("{entry}");
        entries.push(entry);
    }
    compare(&mut entries);
    entries
}

/// Says of each peer's answer whether it is ours.
fn compare(entries: &mut [Value]) {
    let Some(ours) = entries.iter().find(|entry| entry["engine"] == "flowline").cloned() else { return };
    let measured = |entry: &Value| entry["not_measured"].is_null();
    for entry in entries.iter_mut().filter(|entry| entry["engine"] != "flowline" && measured(entry)) {
        if measured(&ours) {
            let same = entry["rows"].as_i64() == ours["rows"].as_i64()
                && entry["checksum"].as_i64() == ours["checksum"].as_i64();
            entry["same_answer"] = json!(same);
            let speed = |entry: &Value| entry["events_per_second"].as_f64().unwrap_or(f64::NAN);
            entry["flowline_times_as_fast"] = json!(speed(&ours) / speed(entry));
        }
    }
}
