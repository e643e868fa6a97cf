//! `checks`: many row checks over a landed table, as one command, beside the same rules as one scan of DuckDB.

mod rules;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;
use flowline_base::{Clock, SystemClock};
use serde_json::{Value, json};

use crate::load::{self, LoadOptions};
use crate::{land, node};

pub use rules::{Rule, rules, yaml};

/// How many checks, and over how many rows.
#[derive(Debug, Clone, Args)]
pub struct CheckOptions {
    /// Rows of the table.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// Checks.
    #[arg(long, default_value_t = 100)]
    checks: usize,
    /// A Python with `duckdb` and `deltalake`; without it there is no peer.
    #[arg(long, env = "FLOWLINE_BENCH_PYTHON", default_value = ".peers/python/bin/python")]
    python: PathBuf,
}

/// Lands the rows without checks, declares the checks, and times `flowline quality run` from its start to its end.
pub async fn run(folder: &Path, options: &CheckOptions) -> anyhow::Result<Value> {
    let project = node::project(folder)?;
    let process = node::start(project.path())?;
    let load =
        LoadOptions { records: options.rows, batch: 1_000, connections: 8, without_peers: true, checks: 0 };
    let sent = load::send(&process.http, &load).await?;
    land::until_landed(&process, sent.records).await?;
    ensure!(process.terminate()?, "the node that landed the rows did not end well");
    let all = rules(options.checks);
    node::declare(project.path(), &yaml(&all))?;
    let ours = ours(project.path(), sent.records, options.checks).await?;
    let duckdb = duckdb(project.path(), &all, &options.python).await?;
    Ok(json!({ "rows": sent.records, "checks": options.checks, "flowline": ours, "duckdb_one_scan": duckdb }))
}

async fn ours(project: &Path, rows: u64, checks: usize) -> anyhow::Result<Value> {
    let mut command = Command::new(node::binary()?);
    command.args(["quality", "run", node::SOURCE, "--output", "json", "--project"]).arg(project);
    let ran = timed(command, None).await?;
    let results: Value = serde_json::from_str(&ran.said).context("what `quality run` printed")?;
    let results = results.as_array().cloned().unwrap_or_default();
    let looked = results.iter().filter(|one| one["rows_checked"].as_u64() == Some(rows)).count();
    ensure!(looked == checks, "{looked} of {checks} checks looked at {rows} rows: {}", ran.said);
    let failed: u64 = results.iter().filter_map(|one| one["rows_failed"].as_u64()).sum();
    Ok(json!({ "seconds": ran.seconds, "memory_peak_bytes": ran.memory_peak, "rows_failed": failed }))
}

/// The rules as one aggregate over the live files of the table.
async fn duckdb(project: &Path, rules: &[Rule], python: &Path) -> anyhow::Result<Value> {
    if !python.is_file() {
        return Ok(
            json!({ "skipped": format!("no {}: `scripts/peers python` installs it", python.display()) }),
        );
    }
    let table = project.join(".flowline/lake/raw/bench/events");
    let conditions: Vec<&str> = rules.iter().map(|rule| rule.fails.as_str()).collect();
    let mut command = Command::new(python);
    command.args(["-c", include_str!("duckdb.py")]).arg(table);
    let ran = timed(command, Some(json!(conditions).to_string())).await?;
    let answer: Value = serde_json::from_str(&ran.said).context("what DuckDB's script printed")?;
    Ok(json!({
        "seconds": ran.seconds, "query_seconds": answer["seconds"], "memory_peak_bytes": ran.memory_peak,
        "rows_failed": answer["failed"],
    }))
}

/// A command that has ended.
struct Ran {
    seconds: f64,
    memory_peak: u64,
    said: String,
}

/// Runs a command to its end; its memory is looked at while it runs. Exit code 1 says that checks failed.
async fn timed(mut command: Command, input: Option<String>) -> anyhow::Result<Ran> {
    let file = tempfile::NamedTempFile::new()?;
    let given = tempfile::NamedTempFile::new()?;
    std::fs::write(given.path(), input.unwrap_or_default())?;
    command.stdin(Stdio::from(given.reopen()?)).stdout(Stdio::from(file.reopen()?));
    let started = SystemClock.instant();
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let mut memory_peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may end between the two looks.
        memory_peak = node::memory(child.id()).map_or(memory_peak, |(_, peak)| peak.max(memory_peak));
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let seconds = started.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(file.path())?;
    ensure!(matches!(status.code(), Some(0 | 1)), "{command:?} ended with {status}: {said}");
    Ok(Ran { seconds, memory_peak, said })
}
