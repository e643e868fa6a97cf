//! What every [`EventLog`] must do, as checks that an implementation runs against itself.
//!
//! Owns: the promises of the trait, each with its check. Does not own: faults of the disk, damage, retention – these
//! are each implementation's own.
//!
//! The checks panic where a promise is broken, as tests do; nothing but tests calls them.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use flowline_base::TraceId;
use flowline_model::DatasetName;

use crate::{Batch, EventLog, LogError, LogSlab, PartitionId, RecordFormat};

/// What a check is run on: opens the log on the storage of this name, which is empty the first time, and holds what
/// the check left there when it is opened again.
pub trait Open {
    /// Opens the log.
    fn open(&self, storage: &'static str) -> impl Future<Output = Arc<dyn EventLog>>;
}

impl<F: Fn(&'static str) -> Fut, Fut: Future<Output = Arc<dyn EventLog>>> Open for F {
    fn open(&self, storage: &'static str) -> impl Future<Output = Arc<dyn EventLog>> {
        self(storage)
    }
}

/// Runs all checks, one after the other, each on storage of its own.
///
/// # Panics
/// Where the log breaks a promise.
pub async fn all(log: impl Open) {
    an_empty_log_reads_as_empty(&log).await;
    what_is_appended_is_read(&log).await;
    partitions_do_not_mix(&log).await;
    reads_begin_anywhere_and_are_bounded(&log).await;
    what_was_acknowledged_outlives_the_process(&log).await;
    a_known_key_appends_nothing(&log).await;
    a_key_with_another_body_is_refused(&log).await;
    the_same_key_at_the_same_time_appends_once(&log).await;
    concurrent_appends_leave_no_gap(&log).await;
    waiting_ends_with_the_next_record(&log).await;
    offsets_are_found_by_time(&log).await;
    releases_never_go_forward_by_themselves(&log).await;
    impossible_batches_are_refused(&log).await;
    a_closed_log_refuses(&log).await;
}

/// A partition that exists only in tests.
pub fn partition(number: u32) -> PartitionId {
    PartitionId::new(DatasetName::new("contract", "events").expect("it is a valid name"), number)
}

/// A batch of JSON records, one a line.
pub fn batch(records: &[&str]) -> Batch {
    let mut payload = String::new();
    let mut spans = Vec::new();
    for record in records {
        let start = payload.len() as u32;
        payload.push_str(record);
        spans.push((start, payload.len() as u32));
        payload.push('\n');
    }
    Batch {
        format: RecordFormat::Json,
        schema: Bytes::new(),
        payload: Bytes::from(payload),
        records: spans.len() as u32,
        spans,
        idempotency_key: None,
        received_at: 1_000_000,
        trace_id: None,
    }
}

/// The batch with this idempotency key.
pub fn keyed(key: &str, records: &[&str]) -> Batch {
    Batch { idempotency_key: Some(key.to_owned()), ..batch(records) }
}

/// Every record from `from` on, with its offset.
///
/// # Panics
/// When reading fails or leaves a gap.
pub async fn records(log: &dyn EventLog, partition: &PartitionId, from: u64) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    let mut next = from;
    loop {
        let slab = log.read(partition, next, 1 << 16).await.expect("the log can be read");
        if slab.frames.is_empty() {
            assert_eq!(slab.next, next, "an empty read goes nowhere");
            return found;
        }
        check_slab(&slab, next);
        for frame in &slab.frames {
            for index in 0..frame.batch.records {
                let record = frame.batch.record(index as usize).expect("a batch holds its records");
                found.push((
                    frame.first_offset + u64::from(index),
                    String::from_utf8_lossy(record).into_owned(),
                ));
            }
        }
        next = slab.next;
    }
}

fn check_slab(slab: &LogSlab, from: u64) {
    let first = &slab.frames[0];
    assert!(first.first_offset <= from && from < first.next_offset(), "the first frame holds offset {from}");
    for pair in slab.frames.windows(2) {
        assert_eq!(pair[0].next_offset(), pair[1].first_offset, "frames follow each other");
    }
    assert_eq!(
        slab.frames.last().map(|frame| frame.next_offset()),
        Some(slab.next),
        "the next read goes on behind"
    );
}

async fn append(log: &dyn EventLog, partition: &PartitionId, batch: Batch) -> (u64, u64) {
    let appended = log.append(partition, batch).await.expect("it is appended");
    assert!(!appended.repeated, "it is new");
    (appended.first, appended.last)
}

/// Reading a partition that does not exist finds an empty log.
pub async fn an_empty_log_reads_as_empty(log: &impl Open) {
    let log = log.open("empty").await;
    let bounds = log.bounds(&partition(0)).await.expect("it has bounds");
    assert_eq!((bounds.start, bounds.end), (0, 0));
    assert_eq!(records(&*log, &partition(0), 0).await, []);
    assert_eq!(log.offset_at(&partition(0), 0).await.expect("it has a first offset"), 0);
    log.release(&partition(0), 0).await.expect("releasing nothing is no error");
}

/// Every field of a batch comes back, in every format.
pub async fn what_is_appended_is_read(log: &impl Open) {
    let log = log.open("round-trip").await;
    let mut appended = vec![
        batch(&["{}", "[1]", ""]),
        Batch { format: RecordFormat::Csv, schema: Bytes::from("a,b"), ..batch(&["1,2"]) },
        Batch { format: RecordFormat::ArrowStream, spans: Vec::new(), records: 70_000, ..batch(&["ARROW"]) },
        Batch {
            format: RecordFormat::CloudEvent,
            trace_id: Some(TraceId::from_bytes([7; 16])),
            ..batch(&["{}"])
        },
        Batch { received_at: -5, ..keyed("a key that is 30 bytes long ✓", &["x"]) },
        Batch { idempotency_key: Some("k".repeat(255)), ..batch(&["y"]) },
    ];
    appended.push(Batch {
        payload: Bytes::from(vec![b' '; 300_000]),
        spans: vec![(7, 299_999)],
        ..batch(&["z"])
    });
    let mut next = 0;
    for batch in &appended {
        let (first, last) = append(&*log, &partition(0), batch.clone()).await;
        assert_eq!((first, last), (next, next + u64::from(batch.records) - 1), "offsets have no gap");
        next = last + 1;
    }
    let mut read = Vec::new();
    let mut from = 0;
    while from < next {
        let slab = log.read(&partition(0), from, 1 << 20).await.expect("the log can be read");
        check_slab(&slab, from);
        from = slab.next;
        read.extend(slab.frames.into_iter().map(|frame| frame.batch));
    }
    assert_eq!(read, appended);
}

/// Each partition has its own offsets, records and keys.
pub async fn partitions_do_not_mix(log: &impl Open) {
    let log = log.open("partitions").await;
    for number in 0..3 {
        let record = number.to_string();
        assert_eq!(append(&*log, &partition(number), keyed("same", &[&record])).await, (0, 0));
    }
    for number in 0..3 {
        assert_eq!(records(&*log, &partition(number), 0).await, [(0, number.to_string())]);
    }
}

/// A read begins with the frame that holds the offset, holds at least one frame and not many more bytes than asked.
pub async fn reads_begin_anywhere_and_are_bounded(log: &impl Open) {
    let log = log.open("reads").await;
    let line = "x".repeat(1_000);
    for _ in 0..20 {
        append(&*log, &partition(0), batch(&[&line, &line, &line])).await;
    }
    for from in (0..60).rev() {
        for bytes_max in [1, 4_000, 10_000] {
            let slab = log.read(&partition(0), from, bytes_max).await.expect("the log can be read");
            check_slab(&slab, from);
            let bytes: usize = slab.frames.iter().map(|frame| frame.batch.payload.len()).sum();
            assert!(slab.frames.len() == 1 || bytes <= bytes_max, "{bytes} bytes of at most {bytes_max}");
        }
    }
    for from in [60, 61, u64::MAX] {
        let slab = log.read(&partition(0), from, 1).await.expect("the end can be read");
        assert!(slab.frames.is_empty() && slab.next == from);
    }
}

/// What was acknowledged is there after a close, and after being dropped without one.
pub async fn what_was_acknowledged_outlives_the_process(log: &impl Open) {
    let mut expected = Vec::new();
    for round in 0..6u64 {
        let log = log.open("durable").await;
        assert_eq!(records(&*log, &partition(0), 0).await, expected, "round {round}");
        let record = format!("round {round}");
        assert_eq!(append(&*log, &partition(0), batch(&[&record])).await, (round, round));
        expected.push((round, record));
        if round % 2 == 0 {
            log.close().await.expect("it closes");
        }
    }
}

/// An idempotency key that is known gives the first answer, also after the log was opened again.
pub async fn a_known_key_appends_nothing(log: &impl Open) {
    for round in 0..3 {
        let log = log.open("keys").await;
        for key in ["a", "b"] {
            let answer = log.append(&partition(0), keyed(key, &[key, "second"])).await.expect("it answers");
            let first = if key == "a" { 0 } else { 2 };
            assert_eq!((answer.first, answer.last), (first, first + 1));
            assert_eq!(answer.repeated, round > 0);
        }
        assert_eq!(log.bounds(&partition(0)).await.expect("it has bounds").end, 4);
    }
}

/// A key that comes again with another body is refused and appends nothing, also after the log was opened again.
pub async fn a_key_with_another_body_is_refused(log: &impl Open) {
    for round in 0..3 {
        let log = log.open("reused").await;
        let csv = |schema: &'static str| Batch {
            format: RecordFormat::Csv,
            schema: Bytes::from(schema),
            ..keyed("b", &["1,2"])
        };
        for batch in [keyed("a", &["x", "y"]), csv("a,b")] {
            log.append(&partition(0), batch).await.expect("it answers");
        }
        for other in [keyed("a", &["x"]), keyed("a", &["x", "z"]), keyed("a", &["xy", ""]), csv("b,a")] {
            let refused = log.append(&partition(0), other).await.expect_err("it is another body");
            assert!(matches!(refused, LogError::KeyReused { .. }), "round {round}: {refused}");
        }
        assert_eq!(log.bounds(&partition(0)).await.expect("it has bounds").end, 3);
    }
    // Of two at the same time one is appended, and the other is refused.
    let log = log.open("reused-at-once").await;
    let append = async |record: &str| log.append(&partition(0), keyed("a", &[record])).await;
    let (one, other) = tokio::join!(append("x"), append("y"));
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(log.bounds(&partition(0)).await.expect("it has bounds").end, 1);
}

/// Of appends with one key at the same time, one appends and all get its answer.
pub async fn the_same_key_at_the_same_time_appends_once(log: &impl Open) {
    let log = log.open("same-key").await;
    for round in 0..10u64 {
        let key = format!("round {round}");
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (log, batch) = (Arc::clone(&log), keyed(&key, &["x"]));
                tokio::spawn(async move { log.append(&partition(0), batch).await })
            })
            .collect();
        let mut new = 0;
        for task in tasks {
            let answer = task.await.expect("it does not panic").expect("it answers");
            assert_eq!((answer.first, answer.last), (round, round));
            new += u32::from(!answer.repeated);
        }
        assert_eq!(new, 1, "one of them appended");
    }
}

/// Appends from many tasks all get places of their own, in the order of each task, and no offset is left out.
pub async fn concurrent_appends_leave_no_gap(log: &impl Open) {
    let log = log.open("concurrent").await;
    let task = |task: u32| {
        let log = Arc::clone(&log);
        async move {
            let mut places = Vec::new();
            for number in 0..25 {
                let lines = [format!("{task}/{number}/0"), format!("{task}/{number}/1")];
                let (first, last) = append(&*log, &partition(0), batch(&[&lines[0], &lines[1]])).await;
                assert_eq!(first + 1, last);
                places.extend([(first, lines[0].clone()), (last, lines[1].clone())]);
            }
            assert!(places.is_sorted(), "each task's records are in its order");
            places
        }
    };
    let tasks: Vec<_> = (0..8).map(|number| tokio::spawn(task(number))).collect();
    let mut expected = BTreeSet::new();
    for task in tasks {
        expected.extend(task.await.expect("it does not panic"));
    }
    let read = records(&*log, &partition(0), 0).await;
    assert_eq!(read, expected.into_iter().collect::<Vec<_>>());
    assert!(read.iter().map(|(offset, _)| *offset).eq(0..400));
}

/// Waiting for records ends when there are some.
pub async fn waiting_ends_with_the_next_record(log: &impl Open) {
    let log = log.open("waiting").await;
    for offset in 0..3 {
        let waiting = {
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.wait_beyond(&partition(0), offset).await })
        };
        append(&*log, &partition(0), batch(&["x"])).await;
        waiting.await.expect("it does not panic").expect("waiting ends");
        log.wait_beyond(&partition(0), offset).await.expect("there is something already");
    }
}

/// The first frame that was received at or after a time is found.
pub async fn offsets_are_found_by_time(log: &impl Open) {
    let log = log.open("times").await;
    for received_at in [10, 20, 20, 30] {
        append(&*log, &partition(0), Batch { received_at, ..batch(&["x", "y"]) }).await;
    }
    for (received_at, offset) in [(0, 0), (10, 0), (11, 2), (20, 2), (21, 6), (30, 6), (31, 8)] {
        let found = log.offset_at(&partition(0), received_at).await.expect("it is found");
        assert_eq!(found, offset, "received at or after {received_at}");
    }
}

/// What is released is what was said, or less after the log was opened again, and never goes back in between.
pub async fn releases_never_go_forward_by_themselves(log: &impl Open) {
    let storage = "releases";
    let released = |log: &dyn EventLog| log.status().first().map(|status| status.released);
    let first = log.open(storage).await;
    append(&*first, &partition(0), batch(&["a", "b", "c"])).await;
    first.release(&partition(0), 2).await.expect("it is released");
    first.release(&partition(0), 1).await.expect("going back is no error");
    assert_eq!(released(&*first), Some(2));
    first.close().await.expect("it closes");
    drop(first);
    let again = log.open(storage).await;
    assert!(released(&*again) <= Some(2));
    assert_eq!(records(&*again, &partition(0), 0).await.len(), 3, "what is released is still there");
}

/// A batch that cannot be stored is refused by itself.
pub async fn impossible_batches_are_refused(log: &impl Open) {
    let log = log.open("impossible").await;
    let impossible = [
        batch(&[]),
        Batch { spans: vec![(0, 99)], ..batch(&["x"]) },
        Batch { spans: vec![(1, 0)], ..batch(&["x"]) },
        Batch { records: 2, ..batch(&["x"]) },
        Batch { idempotency_key: Some("k".repeat(256)), ..batch(&["x"]) },
    ];
    for batch in impossible {
        let refused = log.append(&partition(0), batch.clone()).await;
        assert!(matches!(refused, Err(LogError::Batch { .. })), "{batch:?} gave {refused:?}");
    }
    assert_eq!(append(&*log, &partition(0), batch(&["x"])).await, (0, 0));
}

/// A closed log takes no more appends, and whoever waits for records is told.
pub async fn a_closed_log_refuses(log: &impl Open) {
    let log = log.open("closed").await;
    append(&*log, &partition(0), batch(&["x"])).await;
    let waiting = {
        let log = Arc::clone(&log);
        tokio::spawn(async move { log.wait_beyond(&partition(0), 7).await })
    };
    log.close().await.expect("it closes");
    assert!(matches!(log.append(&partition(0), batch(&["y"])).await, Err(LogError::Closed)));
    assert!(matches!(waiting.await.expect("it does not panic"), Err(LogError::Closed)));
}
