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
use ours::{IN_LOG, OURS};
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
    /// Engines, by commas: `flowline`, `flowline-log` (records stay in the log), `flink`, `spark`.
    #[arg(long, value_delimiter = ',', default_value = "flowline,flowline-log,flink,spark")]
    engines: Vec<String>,
    /// How often each engine runs a query, in turns with the others; the run in the middle is told. Spark, which takes as
    /// long as the others together, does it once.
    #[arg(long, default_value_t = 1)]
    rounds: u32,
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
        ensure!([OURS, IN_LOG, "flink", "spark"].contains(&name.as_str()), "there is no engine `{name}`");
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
    let patience = Duration::from_secs(options.patience);
    let runs = |engine: &&String| query.once || *engine != IN_LOG;
    let engines: Vec<&String> = options.engines.iter().filter(runs).collect();
    let mut found: Vec<Vec<Value>> = vec![Vec::new(); engines.len()];
    // The machine may be slower for a while: that meets all engines alike when they take turns.
    let turns = (0..options.rounds.max(1))
        .flat_map(|round| engines.iter().enumerate().map(move |turn| (round, turn)));
    for (_, (number, engine)) in
        turns.filter(|(round, (_, engine))| *round == 0 || engine.as_str() != "spark")
    {
        let result = match engine.as_str() {
            "flink" => flink::run(folder, query, recorded).await,
            "spark" => spark::run(folder, query, recorded).await,
            engine => ours::run(folder, query, recorded, engine == IN_LOG, patience).await,
        };
        let mut entry =
            result.unwrap_or_else(|error| json!({ "engine": engine, "not_measured": format!("{error:#}") }));
        entry["query"] = json!(query.name);
        eprintln!("{entry}");
        found[number].push(entry);
    }
    let mut entries: Vec<Value> = found.into_iter().filter_map(middle).collect();
    compare(&mut entries);
    entries
}

/// The run in the middle of several by its time (of two the shorter one), with the times of all; one that failed is told
/// before any other.
fn middle(mut runs: Vec<Value>) -> Option<Value> {
    if let Some(failed) = runs.iter().position(|run| !run["not_measured"].is_null()) {
        return Some(runs.swap_remove(failed));
    }
    let seconds = |run: &Value| run["seconds"].as_f64().unwrap_or(f64::NAN);
    runs.sort_by(|one, other| seconds(one).total_cmp(&seconds(other)));
    let all: Vec<f64> = runs.iter().map(seconds).collect();
    let mut middle = runs.get(runs.len().saturating_sub(1) / 2).cloned()?;
    middle["seconds_of_all_rounds"] = json!(all);
    let same = |key: &str| runs.iter().all(|run| run[key] == middle[key]);
    // Rounds that answer otherwise than each other have no middle.
    if !same("rows") || !same("checksum") {
        return Some(
            json!({ "engine": middle["engine"], "query": middle["query"], "not_measured": "rounds differ in their answers" }),
        );
    }
    Some(middle)
}

/// Says of each answer whether it is that of the first of ours, and of each peer how many times as fast ours are.
fn compare(entries: &mut [Value]) {
    let is_ours = |entry: &Value| [OURS, IN_LOG].iter().any(|engine| entry["engine"] == *engine);
    let measured = |entry: &Value| entry["not_measured"].is_null();
    let ours: Vec<Value> =
        entries.iter().filter(|entry| is_ours(entry) && measured(entry)).cloned().collect();
    let Some(first) = ours.first() else { return };
    for entry in entries.iter_mut().filter(|entry| measured(entry) && entry["engine"] != first["engine"]) {
        let same = ["rows", "checksum"].iter().all(|key| entry[key].as_i64() == first[key].as_i64());
        entry["same_answer"] = json!(same);
        let speed = |entry: &Value| entry["events_per_second"].as_f64().unwrap_or(f64::NAN);
        let of_peer = !is_ours(entry);
        for ours in ours.iter().filter(|_| of_peer) {
            let key = match ours["engine"] == OURS {
                true => "flowline_times_as_fast",
                false => "flowline_log_times_as_fast",
            };
            let times = speed(ours) / speed(entry);
            entry[key] = json!(times);
        }
    }
}
