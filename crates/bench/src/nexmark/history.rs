//! `history`: what a query costs after one, ten and a hundred million rows. A node with every role takes bids as fast as it
//! can while it lands them and runs the query, and is looked at whenever so many rows have gone through the query.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use flowline_base::{Clock, SystemClock};
use flowline_testkit::FlowlineProcess;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::bids::{self, Bids, Sent};
use super::marks::{self, Look, Marks, Ran};
use super::ours::{behind, time};
use super::process;
use super::project::{self, OUT, Settings};
use super::queries::{Emits, QUERIES, Query, Stream};
use crate::{machine, node};

/// How long the history is.
#[derive(Debug, Clone, Args)]
pub struct HistoryOptions {
    /// Bids in all.
    #[arg(long, default_value_t = 100_000_000)]
    rows: u64,
    /// Queries over bids alone, by commas: each is a run of its own.
    #[arg(long, value_delimiter = ',', default_value = "q5")]
    queries: Vec<String>,
    /// Rows after which is looked, by commas; the last row is always one of them.
    #[arg(long, value_delimiter = ',', default_value = "1000000,10000000,30000000,100000000")]
    marks: Vec<u64>,
    /// Bytes that the project may take up on disk; beyond it a run ends with what it has.
    #[arg(long, default_value_t = 8 << 30)]
    disk_bytes_max: u64,
    /// Seconds without a row through the query after which a run is given up.
    #[arg(long, default_value_t = 120)]
    patience: u64,
}

/// Of what is landed the log keeps little, and what waits is bounded, so that the disk has room for the tables; a query that
/// is slower than landing slows it down instead of being measured over rows that wait.
const SETTINGS: Settings<'static> = Settings {
    log: "bytes_max: 1GiB, segment_bytes: 128MiB, retain_bytes: 256MiB",
    flush_after: None,
    keep_in_log: false,
    lag_rows_max: Some(5_000_000),
};
/// What is left free for others.
const DISK_RESERVE: u64 = 2 << 30;
/// What a row takes up in one table at most, also while it is there twice because its files were compacted.
const ROW_BYTES: u64 = 60;
/// The log, state and checks.
const OTHER_BYTES: u64 = 2 << 30;
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Runs the queries one after the other.
pub async fn run(folder: &Path, options: &HistoryOptions) -> anyhow::Result<Value> {
    let named = |name: &String| {
        let found = QUERIES.iter().find(|query| query.name == name);
        found
            .filter(|query| over_bids(query))
            .with_context(|| format!("there is no query `{name}` over bids alone"))
    };
    let queries = options.queries.iter().map(named).collect::<anyhow::Result<Vec<_>>>()?;
    node::binary()?;
    let mut entries = Vec::new();
    for query in queries {
        ensure_room(folder, query, options)?;
        let entry = of_query(folder, query, options).await?;
        eprintln!("{entry}");
        entries.push(entry);
    }
    Ok(json!({ "settings": SETTINGS.log, "entries": entries }))
}

fn over_bids(query: &Query) -> bool {
    query.streams == [Stream::Bid] && !matches!(query.emits, Emits::Newest(_))
}

fn ensure_room(folder: &Path, query: &Query, options: &HistoryOptions) -> anyhow::Result<()> {
    let tables = if query.emits == Emits::AtOnce { 2 } else { 1 };
    let needed = (options.rows * ROW_BYTES * tables + OTHER_BYTES).min(options.disk_bytes_max) + DISK_RESERVE;
    let free = machine::disk_free(folder)?;
    ensure!(
        free >= needed,
        "{} takes up to {needed} bytes in {}, where {free} are free: take fewer `--rows`, another `--folder` or a smaller `--disk-bytes-max`",
        query.name,
        folder.display(),
    );
    Ok(())
}

async fn of_query(folder: &Path, query: &Query, options: &HistoryOptions) -> anyhow::Result<Value> {
    let project = tempfile::tempdir_in(folder)?;
    project::write(project.path(), query, SETTINGS)?;
    let bids = Bids::new(options.rows)?;
    machine::touch_memory();
    let process = node::start(project.path())?;
    let (started_at, sent) = (SystemClock.now(), Arc::new(Sent::default()));
    let sender_before = process::used(std::process::id())?.processor_seconds;
    let sender = tokio::spawn(bids::send(process.http.clone(), bids, Arc::clone(&sent)));
    let mut marks = Marks::new(&options.marks, options.rows);
    let ended = watch(project.path(), &process, sender, &mut marks, options).await?;
    let sender_after = process::used(std::process::id())?.processor_seconds;
    let read = runs(&process, OUT, "transform").await?;
    let landed = runs(&process, "nex.bid", "land").await?;
    let counts = process.query("select balance from system.counts where dataset = 'nex.bid'").await?;
    let rows = process.query("select count(*) as n from nex.bid").await?;
    let answer = process.query(&format!("select count(*) as n from {OUT}")).await?;
    process.kill()?;
    Ok(json!({
        "query": query.name, "rows_sent": sent.rows.load(Ordering::Relaxed), "rows_in_table": rows[0]["n"],
        "rows_of_answer": answer[0]["n"], "balance": counts[0]["balance"], "ended": ended,
        "events_per_second": marks::speed_of_all(started_at, &read),
        "refused_429": sent.refused.load(Ordering::Relaxed), "sender_processor_seconds": sender_after - sender_before,
        "marks": marks.json(started_at, &read, &landed),
    }))
}

/// Looks at the node until all rows went through the query or the disk is as full as it may be; says which.
async fn watch(
    project: &Path,
    process: &FlowlineProcess,
    sender: JoinHandle<anyhow::Result<()>>,
    marks: &mut Marks,
    options: &HistoryOptions,
) -> anyhow::Result<&'static str> {
    let mut sender = Sender(Some(sender));
    let (mut before, mut moved): (u64, Instant) = (0, SystemClock.instant());
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        sender.check().await?;
        let look = look(project, process).await?;
        marks.look(look);
        if look.read >= options.rows {
            return Ok("all rows went through the query");
        }
        if look.disk_bytes > options.disk_bytes_max {
            return Ok("the disk is as full as it may be");
        }
        if look.read > before {
            (before, moved) = (look.read, SystemClock.instant());
        }
        let still = moved.elapsed().as_secs();
        ensure!(still < options.patience, "no row for {still} s after {before}: {}", behind(process).await?);
    }
}

/// The task that sends; ended with what it is asked for.
struct Sender(Option<JoinHandle<anyhow::Result<()>>>);

impl Sender {
    /// Fails when sending has failed.
    async fn check(&mut self) -> anyhow::Result<()> {
        if let Some(sender) = self.0.take_if(|sender| sender.is_finished()) {
            sender.await??;
        }
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if let Some(sender) = &self.0 {
            sender.abort();
        }
    }
}

async fn look(project: &Path, process: &FlowlineProcess) -> anyhow::Result<Look> {
    let counts = process.query(&format!("select read from system.counts where dataset = '{OUT}'")).await?;
    let state =
        process.query(&format!("select state_bytes from system.streams where dataset = '{OUT}'")).await?;
    let number = |rows: &[Value], name: &str| rows.first().and_then(|row| row[name].as_u64()).unwrap_or(0);
    let (resident, peak) = node::memory(process.id())?;
    let data = project.join(".flowline");
    Ok(Look {
        read: number(&counts, "read"),
        memory_bytes: resident,
        memory_peak_bytes: peak,
        processor_seconds: process::used(process.id())?.processor_seconds,
        disk_bytes: machine::bytes_below(&data),
        log_bytes: machine::bytes_below(&data.join("log")),
        state_bytes: number(&state, "state_bytes"),
    })
}

/// The runs of a dataset, the first one first.
async fn runs(process: &FlowlineProcess, dataset: &str, kind: &str) -> anyhow::Result<Vec<Ran>> {
    let sql = format!(
        "select started_at, finished_at, read from system.runs where dataset = '{dataset}' and kind = '{kind}' and outcome = 'succeeded' order by finished_at"
    );
    let rows = process.query(&sql).await?;
    let ran = |row: &Value| {
        let (started_at, finished_at) = (time(&row["started_at"])?, time(&row["finished_at"])?);
        Ok(Ran { started_at, finished_at, read: row["read"].as_u64().unwrap_or(0) })
    };
    rows.iter().map(ran).collect()
}
