//! `checks`: many row checks over a landed table, as one command, beside the same rules as one scan of DuckDB and in the
//! tools that others use for them.

mod peers;
mod rules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
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
    /// Peers, by commas: `soda`, `great-expectations`, `dbt`, `datacontract`; `none` for none.
    #[arg(long, value_delimiter = ',', default_values_t = peers::PEERS.map(str::to_owned))]
    peers: Vec<String>,
    /// Seconds after which a peer is given up.
    #[arg(long, default_value_t = 1_800)]
    patience: u64,
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
    let (ours, failing) = ours(project.path(), sent.records, options.checks).await?;
    let files = files(project.path(), &options.python)?;
    let duckdb = duckdb(project.path(), &all, &options.python).await?;
    let mut result = json!({ "rows": sent.records, "checks": options.checks, "flowline": ours, "duckdb_one_scan": duckdb });
    let patience = Duration::from_secs(options.patience);
    for peer in options.peers.iter().filter(|peer| *peer != "none") {
        ensure!(peers::PEERS.contains(&peer.as_str()), "there is no peer `{peer}`");
        let measured = peers::run(peer, &files, &all, &failing, patience).await;
        result[peer] = measured.unwrap_or_else(|error| json!({ "not_measured": format!("{error:#}") }));
        eprintln!("{peer}: {}", result[peer]);
    }
    Ok(result)
}

/// What ours took, and the names of the checks that fail.
async fn ours(project: &Path, rows: u64, checks: usize) -> anyhow::Result<(Value, BTreeSet<String>)> {
    let mut command = Command::new(node::binary()?);
    command.args(["quality", "run", node::SOURCE, "--output", "json", "--project"]).arg(project);
    let ran = timed(command, None, Duration::MAX).await?;
    let results: Value = serde_json::from_str(&ran.said).context("what `quality run` printed")?;
    let results = results.as_array().cloned().unwrap_or_default();
    let looked = results.iter().filter(|one| one["rows_checked"].as_u64() == Some(rows)).count();
    ensure!(looked == checks, "{looked} of {checks} checks looked at {rows} rows: {}", ran.said);
    let failed = |one: &Value| one["rows_failed"].as_u64().unwrap_or(0);
    let names = results.iter().filter(|one| failed(one) > 0).filter_map(|one| one["name"].as_str());
    let names: BTreeSet<String> = names.map(str::to_owned).collect();
    let measured = json!({
        "seconds": ran.seconds, "memory_peak_bytes": ran.memory_peak, "bytes_read": ran.bytes_read,
        "rows_failed": results.iter().map(failed).sum::<u64>(), "rules_failed": names.len(),
    });
    Ok((measured, names))
}

/// The live files of the table; none without a Python to ask.
fn files(project: &Path, python: &Path) -> anyhow::Result<Value> {
    if !python.is_file() {
        return Ok(json!([]));
    }
    let program =
        "import deltalake, json, sys; print(json.dumps(deltalake.DeltaTable(sys.argv[1]).file_uris()))";
    let output = Command::new(python).args(["-c", program]).arg(table(project)).output()?;
    ensure!(output.status.success(), "listing the table: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn table(project: &Path) -> PathBuf {
    project.join(".flowline/lake/raw/bench/events")
}

/// The rules as one aggregate over the live files of the table.
async fn duckdb(project: &Path, rules: &[Rule], python: &Path) -> anyhow::Result<Value> {
    if !python.is_file() {
        return Ok(
            json!({ "skipped": format!("no {}: `scripts/peers python` installs it", python.display()) }),
        );
    }
    let conditions: Vec<&str> = rules.iter().map(|rule| rule.fails.as_str()).collect();
    let mut command = Command::new(python);
    command.args(["-c", include_str!("duckdb.py")]).arg(table(project));
    let ran = timed(command, Some(json!(conditions).to_string()), Duration::MAX).await?;
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
    /// What it asked the system to read, whether from a disk or from memory.
    bytes_read: u64,
    said: String,
}

/// Runs a command to its end; its memory is looked at while it runs. Exit code 1 says that checks failed.
async fn timed(mut command: Command, input: Option<String>, patience: Duration) -> anyhow::Result<Ran> {
    let file = tempfile::NamedTempFile::new()?;
    let given = tempfile::NamedTempFile::new()?;
    std::fs::write(given.path(), input.unwrap_or_default())?;
    command.stdin(Stdio::from(given.reopen()?)).stdout(Stdio::from(file.reopen()?));
    let started = SystemClock.instant();
    let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
    let (mut memory_peak, mut bytes_read) = (0, 0);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may end between the two looks.
        memory_peak = node::memory(child.id()).map_or(memory_peak, |(_, peak)| peak.max(memory_peak));
        bytes_read = node::bytes_read(child.id()).unwrap_or(bytes_read);
        if started.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            bail!("given up after {} s", patience.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let seconds = started.elapsed().as_secs_f64();
    let said = std::fs::read_to_string(file.path())?;
    ensure!(matches!(status.code(), Some(0 | 1)), "{command:?} ended with {status}: {said}");
    Ok(Ran { seconds, memory_peak, bytes_read, said })
}
