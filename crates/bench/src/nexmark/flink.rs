//! One query on Apache Flink: a local cluster in one process of Java, fed with the same records.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::answer;
use super::events::Recorded;
use super::queries::{Emits, Query};

const RUNNER: &str = "NexmarkFlink";
/// Checkpoints, after which files are committed, come as often as our commits do.
const CHECKPOINT_MILLIS: &str = "2000";
/// Flink's own defaults for a job manager and a task manager come to 3.3 GB together.
const HEAP: &str = "-Xmx2g";
/// What Flink's own start script opens for Java 17.
const OPENED: [&str; 7] = [
    "java.base/java.lang",
    "java.base/java.net",
    "java.base/java.nio",
    "java.base/java.time",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/sun.nio.ch",
];

/// Runs a query over recorded events, after a run over the first of them to warm up.
pub async fn run(folder: &Path, query: &Query, recorded: &Recorded) -> anyhow::Result<Value> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.peers/flink");
    ensure!(peers.join("libs").is_dir(), "not installed: run `scripts/peers flink`");
    let class_path = class_path(&peers)?;
    let data = tempfile::tempdir_in(folder)?;
    let scripts = [("warm", "warm"), ("measured", "halves")].map(|(name, which)| {
        let path = data.path().join(format!("{name}.sql"));
        std::fs::write(&path, script(query, recorded, which, &data.path().join(name)))?;
        anyhow::Ok(path)
    });
    let [warm, measured] = scripts;
    let mut command = Command::new("java");
    command.arg(HEAP).args(OPENED.map(|package| format!("--add-opens={package}=ALL-UNNAMED")));
    command.arg("-cp").arg(class_path).arg(RUNNER);
    let how = if matches!(query.emits, Emits::Newest(_)) { "changelog" } else { "append" };
    command.args(["2", &data.path().join("checkpoints").display().to_string(), CHECKPOINT_MILLIS, how]);
    crate::machine::touch_memory();
    let output = command.arg(warm?).arg(measured?).output().context("starting `java`")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.lines().rfind(|line| line.starts_with('{'));
    let said: Value = match last {
        Some(line) if output.status.success() => serde_json::from_str(line)?,
        _ => anyhow::bail!("failed: {}", reason(&String::from_utf8_lossy(&output.stderr))),
    };
    let seconds = said["seconds"].as_f64().context("no `seconds`")?;
    let events: u64 = query.streams.iter().map(|stream| recorded.count(*stream)).sum();
    let mut result = json!({
        "engine": "flink", "seconds": seconds, "events_per_second": events as f64 / seconds,
        "memory_peak_bytes": said["memory_peak_bytes"], "bytes_written": said["bytes_written"],
        "processor_seconds": said["processor_seconds"],
    });
    let (rows, checksum) = match query.emits {
        Emits::Newest(_) => answer::of_newest(query, &said["newest"]).await?,
        _ => answer::of_files(query, &data.path().join("measured"), "").await?,
    };
    (result["rows"], result["checksum"]) = (json!(rows), json!(checksum));
    Ok(result)
}

/// The line that says what went wrong: the last cause.
pub fn reason(stderr: &str) -> String {
    let lines = || stderr.lines().filter(|line| !line.trim_start().starts_with("at "));
    let cause =
        lines().rfind(|line| line.contains("Caused by:")).or_else(|| lines().rfind(|line| !line.is_empty()));
    cause.unwrap_or("it said nothing").chars().take(400).collect()
}

/// The libraries, and the runner, compiled when it is newer than its classes.
fn class_path(peers: &Path) -> anyhow::Result<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(format!("{RUNNER}.java"));
    let (libraries, classes) = (format!("{}/libs/*", peers.display()), peers.join("classes"));
    let modified = |path: PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified());
    let fresh = modified(classes.join(format!("{RUNNER}.class")))
        .is_ok_and(|compiled| modified(source.clone()).is_ok_and(|source| source <= compiled));
    if !fresh {
        let mut javac = Command::new("javac");
        let output = javac.args(["-cp", &libraries, "-d"]).arg(&classes).arg(&source).output();
        let output = output.context("starting `javac`")?;
        ensure!(output.status.success(), "compiling: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(format!("{}:{libraries}", classes.display()))
}

/// The tables and the query over one set of files.
fn script(query: &Query, recorded: &Recorded, which: &str, out: &Path) -> String {
    let mut text = String::new();
    for stream in query.streams {
        let columns: Vec<String> =
            stream.columns().iter().map(|(name, _, kind)| format!("{name} {kind}")).collect();
        let path = recorded.folder_of(*stream, which);
        let _ = writeln!(
            text,
            "CREATE TABLE {} ({}, WATERMARK FOR ts AS ts - INTERVAL '4' SECOND) WITH ('connector' = 'filesystem', 'path' = 'file://{}', 'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601');",
            stream.name(),
            columns.join(", "),
            path.display()
        );
    }
    if matches!(query.emits, Emits::Newest(_)) {
        text.push_str(query.sql);
        return text;
    }
    let _ = writeln!(
        text,
        "CREATE TABLE answer ({}) WITH ('connector' = 'filesystem', 'path' = 'file://{}', 'format' = 'parquet', 'parquet.compression' = 'SNAPPY', 'parquet.write.int64.timestamp' = 'true');",
        query.columns,
        out.display()
    );
    let _ = write!(text, "INSERT INTO answer {}", query.sql);
    text
}
