//! What the log does when its disk fails.

use std::path::Path;
use std::sync::Arc;

use flowline_base::{Classify, ErrorKind};
use flowline_log::fault::FaultyDisk;
use flowline_log::{Batch, EventLog, LogError, SegmentLog, StdDisk, contract};

use crate::support::{open, open_on, reopen, settings};

fn faulty(dir: &Path, faults: &str) -> Arc<SegmentLog> {
    let disk = FaultyDisk::wrap(Arc::new(StdDisk), faults).unwrap();
    open_on(disk, dir, settings(1 << 20)).unwrap()
}

async fn append(log: &SegmentLog, partition: u32, record: &str) -> Result<u64, LogError> {
    let appended = log.append(&contract::partition(partition), contract::batch(&[record])).await?;
    Ok(appended.first)
}

async fn read(log: &SegmentLog, partition: u32) -> Vec<String> {
    let records = contract::records(log, &contract::partition(partition), 0).await;
    records.into_iter().map(|(_, record)| record).collect()
}

/// Everything after the failure is refused, although the disk would do it again.
async fn stops(faults: &str) {
    let root = tempfile::tempdir().unwrap();
    let log = faulty(root.path(), faults);
    assert_eq!(append(&log, 0, "a").await.unwrap(), 0);
    assert_eq!(append(&log, 1, "other").await.unwrap(), 0);
    for record in ["b", "c", "d"] {
        let refused = append(&log, 0, record).await.unwrap_err();
        assert!(matches!(refused, LogError::Stopped { .. }), "{refused}");
        assert!(!refused.kind().retryable());
    }
    assert!(log.status()[0].failed.is_some());
    assert_eq!(read(&log, 0).await, ["a"], "what was acknowledged can still be read");
    assert_eq!(append(&log, 1, "another").await.unwrap(), 1, "other partitions go on");
    drop(log);

    let log = reopen(root.path(), settings(1 << 20)).await;
    let kept = read(&log, 0).await;
    assert!(kept == ["a"] || kept == ["a", "b"], "{kept:?}");
    assert_eq!(append(&log, 0, "e").await.unwrap(), kept.len() as u64);
}

#[tokio::test]
async fn a_failed_sync_stops_the_partition() {
    stops("log.sync=fail@3").await;
}

#[tokio::test]
async fn a_short_write_stops_the_partition() {
    stops("log.write=short@3").await;
}

#[tokio::test]
async fn a_failed_write_stops_the_partition() {
    stops("lake.put=fail@1; log.write=fail@3; seed=7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_left_waiting() {
    let root = tempfile::tempdir().unwrap();
    let log = faulty(root.path(), "log.sync=slow@1..2:20ms,fail@3");
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let log = Arc::clone(&log);
            tokio::spawn(async move { append(&log, 0, &number.to_string()).await })
        })
        .collect();
    let mut acknowledged = 0;
    for task in tasks {
        acknowledged += usize::from(task.await.unwrap().is_ok());
    }
    while append(&log, 0, "x").await.is_ok() {
        acknowledged += 1;
    }
    assert_eq!(read(&log, 0).await.len(), acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_slow_disk_is_bounded() {
    const BATCH_BYTES: usize = 8 << 20;
    let root = tempfile::tempdir().unwrap();
    let log = faulty(root.path(), "log.sync=slow@1..2:100ms");
    let payload = bytes::Bytes::from(vec![b'x'; BATCH_BYTES]);
    let batch = Batch { payload, spans: vec![(0, BATCH_BYTES as u32)], ..contract::batch(&["x"]) };
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (log, batch) = (Arc::clone(&log), batch.clone());
            tokio::spawn(async move { log.append(&contract::partition(0), batch).await })
        })
        .collect();
    while tasks.iter().any(|task| !task.is_finished()) {
        let queued = log.status().first().map_or(0, |status| status.queued);
        assert!(queued * BATCH_BYTES as u64 <= 64 << 20, "{queued} batches of {BATCH_BYTES} bytes wait");
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_room() {
    let root = tempfile::tempdir().unwrap();
    let log = faulty(root.path(), "log.write=enospc@2..3");
    assert_eq!(append(&log, 0, "a").await.unwrap(), 0);
    for _ in 0..2 {
        let refused = append(&log, 0, "b").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::StorageFull, "{refused}");
    }
    assert_eq!(append(&log, 0, "c").await.unwrap(), 1, "nothing of what was refused is left");
    assert_eq!(read(&log, 0).await, ["a", "c"]);
    drop(log);
    assert_eq!(read(&*reopen(root.path(), settings(1 << 20)).await, 0).await, ["a", "c"]);
}

#[tokio::test]
async fn a_key_that_was_refused_is_free() {
    let root = tempfile::tempdir().unwrap();
    let log = faulty(root.path(), "log.write=enospc@1");
    let keyed = async || log.append(&contract::partition(0), contract::keyed("key", &["x"])).await;
    assert!(keyed().await.is_err());
    assert!(!keyed().await.unwrap().repeated);
    assert!(keyed().await.unwrap().repeated);
}

#[tokio::test]
async fn a_second_process_is_locked_out() {
    let root = tempfile::tempdir().unwrap();
    let log = open(root.path(), settings(1 << 20)).unwrap();
    let second = open(root.path(), settings(1 << 20)).unwrap_err();
    assert!(matches!(second, LogError::Locked { .. }), "{second}");
    log.close().await.unwrap();
    open(root.path(), settings(1 << 20)).unwrap();
}

#[test]
fn wrong_faults_are_refused() {
    let wrong = "log.sync log.sync=fail log.sync=fail@x log.fly=fail@1 log.sync=short@1 log.read=slow@1 log.read=off@1";
    for wrong in wrong.split(' ') {
        let error = FaultyDisk::wrap(Arc::new(StdDisk), wrong).unwrap_err();
        assert_eq!(error.entry, wrong, "{error}");
    }
    FaultyDisk::wrap(
        Arc::new(StdDisk),
        "lake.anything@goes; log.read=slow@2+:5ms; log.write=enospc@2..4,fail@9",
    )
    .unwrap();
}
