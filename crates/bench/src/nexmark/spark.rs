//! One query on Spark Structured Streaming, fed with the same records.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::answer;
use super::events::Recorded;
use super::flink::reason;
use super::queries::{Emits, Query};

/// Runs a query over recorded events, after a run over the first of them to warm up.
pub async fn run(folder: &Path, query: &Query, recorded: &Recorded) -> anyhow::Result<Value> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/spark/bin/python");
    ensure!(python.is_file(), "not installed: run `scripts/peers spark`");
    ensure!(!matches!(query.emits, Emits::Newest(_)), "Spark's file sink takes no changing rows");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/nexmark_spark.py");
    let data = tempfile::tempdir_in(folder)?;
    for stream in query.streams {
        // The parts, and behind them what closes the windows.
        let parts = data.path().join("input").join(stream.name());
        std::fs::create_dir_all(&parts)?;
        for part in recorded.parts(*stream)? {
            std::os::unix::fs::symlink(&part, parts.join(part.file_name().context("a name")?))?;
        }
        // Its join of q8 waits for no window to close, and would have the records that close them in its answer.
        if query.emits == Emits::OnClose && query.name != "q8" {
            std::os::unix::fs::symlink(recorded.closing(*stream), parts.join("part-99999.ndjson"))?;
        }
    }
    crate::machine::touch_memory();
    let output = Command::new(python)
        .arg(program)
        .args([query.name, "2"])
        .arg(data.path())
        .output()
        .context("starting Python")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rfind(|line| line.starts_with('{'));
    let said: Value = match last {
        Some(line) if output.status.success() => serde_json::from_str(line)?,
        _ => anyhow::bail!("failed: {}", reason(&String::from_utf8_lossy(&output.stderr))),
    };
    let seconds = said["seconds"].as_f64().context("no `seconds`")?;
    let events: u64 = query.streams.iter().map(|stream| recorded.count(*stream)).sum();
    let (rows, checksum) = answer::of_files(query, &data.path().join("out"), ".parquet").await?;
    Ok(json!({
        "engine": "spark", "seconds": seconds, "events_per_second": events as f64 / seconds,
        "memory_peak_bytes": said["memory_peak_bytes"], "bytes_written": said["bytes_written"],
        "processor_seconds": said["processor_seconds"], "rows": rows, "checksum": checksum,
    }))
}
