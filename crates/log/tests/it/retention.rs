//! What is kept, what is deleted, and when appends are refused.

use std::sync::Arc;
use std::time::Duration;

use flowline_base::{Clock, ManualClock};
use flowline_log::{Batch, EventLog, LogError, SegmentLog, SegmentLogOptions, StdDisk, contract};
use flowline_model::LogSettings;

use crate::support::{clock, reopen, settings};

struct Kept {
    root: tempfile::TempDir,
    clock: Arc<ManualClock>,
    settings: LogSettings,
}

impl Kept {
    fn new(settings: LogSettings) -> Self {
        Self { root: tempfile::tempdir().unwrap(), clock: clock(), settings }
    }

    fn open(&self) -> Arc<SegmentLog> {
        let (settings, disk) = (self.settings.clone(), Arc::new(StdDisk));
        let (dir, clock) = (self.root.path().to_owned(), self.clock.clone());
        SegmentLog::open(SegmentLogOptions { dir, settings, clock, disk }).unwrap()
    }

    async fn append(&self, log: &SegmentLog, count: u64) {
        for number in 0..count {
            let batch = contract::keyed(&format!("{number} at {}", self.clock.now()), &[&"x".repeat(100)]);
            let batch = Batch { received_at: self.clock.now_micros(), ..batch };
            log.append(&contract::partition(0), batch).await.unwrap();
        }
    }
}

async fn bounds(log: &SegmentLog) -> (u64, u64) {
    let bounds = log.bounds(&contract::partition(0)).await.unwrap();
    (bounds.start, bounds.end)
}

#[tokio::test]
async fn only_what_is_released_is_deleted_by_size() {
    let kept = Kept::new(LogSettings { retain_bytes: 1_000, ..settings(600) });
    let log = kept.open();
    kept.append(&log, 20).await;
    assert_eq!(log.enforce_retention().await.unwrap().segments, 0, "nothing is released");
    log.release(&contract::partition(0), 8).await.unwrap();
    let retained = log.enforce_retention().await.unwrap();
    assert!(retained.segments > 0 && retained.bytes > 0);
    let (start, end) = bounds(&log).await;
    assert!(start > 0 && start <= 8 && end == 20, "{start}..{end}");
    assert_eq!(contract::records(&*log, &contract::partition(0), start).await.len() as u64, 20 - start);
    let gone = log.read(&contract::partition(0), start - 1, 1).await.unwrap_err();
    assert!(matches!(gone, LogError::Gone { oldest, .. } if oldest == start), "{gone}");

    log.release(&contract::partition(0), 20).await.unwrap();
    log.enforce_retention().await.unwrap();
    assert!(log.status()[0].bytes <= 1_000, "{}", log.status()[0].bytes);
}

#[tokio::test]
async fn old_records_are_deleted_even_where_little_is_written() {
    let day = Duration::from_secs(24 * 3600);
    let kept = Kept::new(LogSettings { retain_for: day, ..settings(1 << 20) });
    let log = kept.open();
    kept.append(&log, 5).await;
    log.release(&contract::partition(0), 5).await.unwrap();
    log.enforce_retention().await.unwrap();
    assert_eq!(bounds(&log).await, (0, 5), "they are young");
    kept.clock.advance(day / 2);
    log.enforce_retention().await.unwrap();
    kept.append(&log, 5).await;
    kept.clock.advance(day / 2 + Duration::from_secs(1));
    log.enforce_retention().await.unwrap();
    assert_eq!(bounds(&log).await, (5, 10), "the first five are a day old, and released");
    kept.clock.advance(day);
    log.enforce_retention().await.unwrap();
    assert_eq!(bounds(&log).await, (5, 10), "the others are not released");
    log.release(&contract::partition(0), 10).await.unwrap();
    log.enforce_retention().await.unwrap();
    assert_eq!(bounds(&log).await, (10, 10));
    drop(log);
    let log = reopen(kept.root.path(), kept.settings.clone()).await;
    assert_eq!(bounds(&log).await, (10, 10), "offsets go on where they were");
}

#[tokio::test]
async fn keys_are_kept_as_long_as_their_records() {
    let kept = Kept::new(LogSettings { retain_bytes: 1_000, ..settings(600) });
    let mut log = kept.open();
    for number in 0..20u64 {
        let batch = contract::keyed(&number.to_string(), &[&"x".repeat(100)]);
        log.append(&contract::partition(0), batch).await.unwrap();
    }
    log.release(&contract::partition(0), 20).await.unwrap();
    log.enforce_retention().await.unwrap();
    let (start, _) = bounds(&log).await;
    assert!(start > 0);
    for round in 0..2 {
        for number in start..20 {
            let batch = contract::keyed(&number.to_string(), &[&"x".repeat(100)]);
            let answer = log.append(&contract::partition(0), batch).await.unwrap();
            assert!(answer.repeated && answer.first == number, "round {round}: {answer:?}");
        }
        drop(log);
        log = reopen(kept.root.path(), kept.settings.clone()).await;
    }
    let answer = log.append(&contract::partition(0), contract::keyed("0", &["again"])).await.unwrap();
    assert!(!answer.repeated && answer.first == 20);
}

#[tokio::test]
async fn appends_beyond_the_limit_are_refused_until_something_is_released() {
    let kept = Kept::new(LogSettings { bytes_max: 1_000, ..settings(600) });
    let log = kept.open();
    let batch = || contract::batch(&["x"]);
    let mut appended = 0;
    let refused = loop {
        match log.append(&contract::partition(0), batch()).await {
            Ok(_) => appended += 1,
            Err(refused) => break refused,
        }
    };
    let LogError::Full { bytes, bytes_max: 1_000, retry_after, .. } = refused else { panic!("{refused}") };
    assert!(bytes <= 1_000 && retry_after > Duration::ZERO);
    drop(log);
    let log = reopen(kept.root.path(), kept.settings.clone()).await;
    assert!(log.append(&contract::partition(0), batch()).await.is_err(), "it is as full after a restart");
    assert!(log.append(&contract::partition(1), batch()).await.is_ok(), "other partitions are not");
    log.release(&contract::partition(0), appended).await.unwrap();
    assert_eq!(log.append(&contract::partition(0), batch()).await.unwrap().first, appended);
    let larger = contract::batch(&[&"x".repeat(1_000)]);
    let refused = log.append(&contract::partition(0), larger).await.unwrap_err();
    assert!(matches!(refused, LogError::Batch { .. }), "what never fits need not be tried again: {refused}");
}

#[tokio::test]
async fn a_log_that_was_replaced_gives_no_offset_twice() {
    let kept = Kept::new(settings(600));
    let log = kept.open();
    log.release(&contract::partition(0), 1_000).await.unwrap();
    assert_eq!(bounds(&log).await, (1_000, 1_000));
    kept.append(&log, 3).await;
    let behind = log.release(&contract::partition(0), 1_004).await.unwrap_err();
    assert!(matches!(behind, LogError::Behind { offset: 1_004, end: 1_003, .. }), "{behind}");
    drop(log);
    let log = reopen(kept.root.path(), kept.settings.clone()).await;
    assert_eq!(bounds(&log).await, (1_000, 1_003));
    assert_eq!(contract::records(&*log, &contract::partition(0), 1_000).await.len(), 3);
}
