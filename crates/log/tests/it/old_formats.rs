//! Logs that earlier versions wrote stay readable: each folder of `test-data` is one, and none is ever changed.
//!
//! A new format gets a new folder: write it with `FLOWLINE_WRITE_SAMPLE=format-2 cargo test -p flowline-log old_formats`.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use flowline_base::TraceId;
use flowline_log::{Batch, EventLog, RecordFormat, contract};

use crate::support::{open, settings};

fn test_data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("test-data")
}

/// What every sample holds: all fields, all formats, keys in sealed segments and in the open one, two partitions.
fn sample() -> Vec<(u32, Batch)> {
    let trace_id = Some(TraceId::from_bytes(*b"sixteen bytes ok"));
    vec![
        (0, Batch { trace_id, ..contract::keyed("first", &["{\"a\":1}", "{\"a\":2}", "not json"]) }),
        (
            0,
            Batch {
                format: RecordFormat::Csv,
                schema: Bytes::from("a,b"),
                ..contract::batch(&["1,2", "3,4"])
            },
        ),
        (1, contract::batch(&["{\"partition\":1}"])),
        (
            0,
            Batch {
                format: RecordFormat::ArrowStream,
                spans: Vec::new(),
                records: 9,
                ..contract::batch(&["IPC"])
            },
        ),
        (0, Batch { received_at: 2_000_000, ..contract::keyed("second", &[&"long ".repeat(80)]) }),
        (
            0,
            Batch {
                format: RecordFormat::CloudEvent,
                ..contract::keyed("third", &["{\"specversion\":\"1.0\"}"])
            },
        ),
        (0, Batch { received_at: 3_000_000, ..contract::keyed("fourth", &["{}"]) }),
    ]
}

async fn write(dir: &Path) {
    let log = open(dir, settings(600)).unwrap();
    for (partition, batch) in sample() {
        log.append(&contract::partition(partition), batch).await.unwrap();
    }
    log.release(&contract::partition(0), 5).await.unwrap();
    log.close().await.unwrap();
    fs::remove_file(dir.join("lock")).unwrap();
}

fn copy(from: &Path, to: &Path, leave_out: &str) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &copied, leave_out);
        } else if path.extension().is_none_or(|extension| extension != leave_out) {
            fs::copy(path, copied).unwrap();
        }
    }
}

async fn check(dir: &Path) {
    let log = open(dir, settings(600)).unwrap();
    assert_eq!(log.status().iter().map(|status| status.released).collect::<Vec<_>>(), [5, 0]);
    let mut next = [0, 0];
    for (partition, batch) in sample() {
        let from = &mut next[partition as usize];
        let slab = log.read(&contract::partition(partition), *from, 1).await.unwrap();
        assert_eq!(slab.frames.len(), 1);
        assert_eq!((slab.frames[0].first_offset, &slab.frames[0].batch), (*from, &batch));
        if batch.idempotency_key.is_some() {
            let repeated = log.append(&contract::partition(partition), batch).await.unwrap();
            assert!(repeated.repeated && repeated.first == *from && repeated.last + 1 == slab.next);
        }
        *from = slab.next;
    }
    let appended = log.append(&contract::partition(0), contract::batch(&["new"])).await.unwrap();
    assert_eq!(appended.first, next[0]);
}

#[tokio::test]
async fn every_sample_can_be_read() {
    if let Ok(name) = std::env::var("FLOWLINE_WRITE_SAMPLE") {
        write(&test_data().join(name)).await;
    }
    let mut samples = 0;
    for sample in fs::read_dir(test_data()).unwrap() {
        let sample = sample.unwrap().path();
        if sample.is_dir() {
            for leave_out in ["nothing", "idx"] {
                let root = tempfile::tempdir().unwrap();
                copy(&sample, root.path(), leave_out);
                check(root.path()).await;
            }
            samples += 1;
        }
    }
    assert!(samples > 0);
}
