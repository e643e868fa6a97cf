//! How fast the log acknowledges, reads and opens on this machine's disk: records of 200 bytes, in batches of 1,000 from
//! 8 appenders unless told otherwise, beside what the disk itself does with synced writes.
//!
//! ```text
//! cargo run --release -p flowline-log --example append_speed -- [seconds] [folder] [appenders] [records in a batch]
//! ```

#![allow(clippy::unwrap_used, reason = "a measurement that fails should say where")]
#![allow(clippy::disallowed_methods, reason = "it measures the time of this machine")]
#![allow(clippy::print_stdout, reason = "that is what it is for")]

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flowline_base::system_clock;
use flowline_log::{Batch, EventLog, SegmentLog, SegmentLogOptions, StdDisk, contract};
use flowline_model::LogSettings;

const RECORD_BYTES: usize = 200;

#[derive(Clone, Copy)]
struct Load {
    seconds: u64,
    appenders: usize,
    records: usize,
}

fn main() {
    let mut args = std::env::args().skip(1);
    let seconds: u64 = args.next().map_or(5, |text| text.parse().unwrap());
    let root = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let appenders = args.next().map_or(8, |text| text.parse().unwrap());
    let records = args.next().map_or(1_000, |text| text.parse().unwrap());
    let load = Load { seconds, appenders, records };
    let dir = root.join("flowline-append-speed");
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();

    for group in [1, appenders / 2, appenders] {
        let bytes = group * records * (RECORD_BYTES + 3);
        println!("disk: {:.0} MB/s in synced writes of {bytes} bytes", disk_speed(&dir.join("raw"), bytes));
    }
    for (name, sync_window) in [("no window", Duration::ZERO), ("a window of 1 ms", Duration::from_millis(1))]
    {
        let log_dir = dir.join("log");
        let _ = std::fs::remove_dir_all(&log_dir);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let log = open(&log_dir, sync_window);
        println!("{name}: {}", runtime.block_on(append_speed(&log, load)));
        drop(log);
        drop(runtime);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    let log = open(&dir.join("log"), Duration::ZERO);
    let bytes = log.status()[0].bytes;
    println!("open: {:?} with {} MB in the log, not closed", began.elapsed(), bytes / 1_000_000);
    println!("read: {}", runtime.block_on(read_speed(&log)));
    std::fs::remove_dir_all(&dir).unwrap();
}

fn open(dir: &Path, sync_window: Duration) -> Arc<SegmentLog> {
    let settings = LogSettings { sync_window, bytes_max: u64::MAX, ..LogSettings::default() };
    let (clock, disk) = (system_clock(), Arc::new(StdDisk));
    SegmentLog::open(SegmentLogOptions { dir: dir.to_owned(), settings, clock, disk }).unwrap()
}

/// Megabytes per second that the disk takes in synced writes of this size.
fn disk_speed(path: &Path, bytes: usize) -> f64 {
    let mut file = File::create(path).unwrap();
    let buffer = vec![0x5a; bytes];
    let (began, mut written) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(2) {
        file.write_all(&buffer).unwrap();
        file.sync_data().unwrap();
        written += bytes;
    }
    let speed = written as f64 / 1e6 / began.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    speed
}

async fn append_speed(log: &Arc<SegmentLog>, load: Load) -> String {
    let record = format!("{{\"x\":\"{}\"}}", "y".repeat(RECORD_BYTES - 8));
    let batch = contract::batch(&vec![record.as_str(); load.records]);
    let (began, cpu) = (Instant::now(), cpu_seconds());
    let tasks: Vec<_> = (0..load.appenders)
        .map(|appender| {
            let (log, batch) = (Arc::clone(log), batch.clone());
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while began.elapsed() < Duration::from_secs(load.seconds) {
                    let key = Some(format!("{appender}/{}", latencies.len()));
                    let (batch, asked) = (Batch { idempotency_key: key, ..batch.clone() }, Instant::now());
                    log.append(&contract::partition(0), batch).await.unwrap();
                    latencies.push(asked.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.unwrap());
    }
    let elapsed = began.elapsed().as_secs_f64();
    latencies.sort();
    let records = (latencies.len() * load.records) as f64 / elapsed;
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    format!(
        "{:.2} million records/s, {:.0} MB/s, p50 {:?}, p99 {:?}, max {:?}, {:.2} cores",
        records / 1e6,
        records * RECORD_BYTES as f64 / 1e6,
        at(0.5),
        at(0.99),
        at(1.0),
        (cpu_seconds() - cpu) / elapsed,
    )
}

async fn read_speed(log: &SegmentLog) -> String {
    let (began, mut next, mut records, mut bytes) = (Instant::now(), 0, 0, 0);
    loop {
        let slab = log.read(&contract::partition(0), next, 8 << 20).await.unwrap();
        if slab.frames.is_empty() {
            break;
        }
        records += slab.next - next;
        next = slab.next;
        bytes += slab.frames.iter().map(|frame| frame.batch.payload.len()).sum::<usize>();
    }
    let seconds = began.elapsed().as_secs_f64();
    format!(
        "{:.2} million records/s, {:.0} MB/s",
        records as f64 / 1e6 / seconds,
        bytes as f64 / 1e6 / seconds
    )
}

/// Seconds that this process has spent on any core, as Linux counts them.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
    ticks.sum::<f64>() / 100.0
}
