//! What a running node adds.

use std::sync::Arc;

use async_trait::async_trait;
use flowline_ledger::contract::samples::{at, dataset, landing};
use flowline_model::{Counts, DatasetName, InputRange, RunKind};
use flowline_view::{LakeTable, LiveStatus, LogPartition, QuarantinedRows};

use crate::support::{NOW, check, session, shop};

#[derive(Debug)]
struct Node;

#[async_trait]
impl LiveStatus for Node {
    async fn log_partitions(&self) -> Option<Vec<LogPartition>> {
        let log = LogPartition {
            input: "log/0".to_owned(),
            dataset: dataset("orders"),
            partition: 0,
            start: 5,
            end: 40,
            bytes: 4_000,
            waiting_bytes: 3_500,
            waiting_bytes_max: 1 << 30,
            queued: 2,
            last_received_at: Some(at(NOW)),
            oldest_waiting_at: Some(at(NOW - 45)),
        };
        let topic = LogPartition { input: "kafka/ab12/1".to_owned(), partition: 1, end: 90, ..log.clone() };
        let topic = LogPartition { dataset: dataset("payments"), ..topic };
        Some(vec![log, topic])
    }

    async fn tables(&self) -> Option<Vec<LakeTable>> {
        Some(vec![LakeTable { dataset: dataset("orders"), version: 7, rows: Some(10), files: 3, bytes: 999 }])
    }

    async fn quarantined(&self, of: &DatasetName) -> Option<Vec<QuarantinedRows>> {
        assert_eq!(*of, dataset("orders"));
        Some(vec![QuarantinedRows { reason: "failed-rule".to_owned(), rows: 1 }])
    }
}

#[tokio::test]
async fn the_log_tells_the_lag() {
    let (ledger, _) = shop().await;
    let session = session(&ledger, Arc::new(Node));
    check(
        &session,
        "select lag_records, lag_seconds, state from system.hops where dataset = 'shop.orders'",
        &["| lag_records | lag_seconds | state  |", "| 25          | 45          | failed |"],
    )
    .await;
    check(
        &session,
        "select newest, lag, log_start, log_bytes, log_queued from system.positions where input = 'log/0'",
        &[
            "| newest | lag | log_start | log_bytes | log_queued |",
            "| 40     | 25  | 5         | 4000      | 2          |",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_topic_tells_the_lag_of_its_partitions() {
    let (ledger, _) = shop().await;
    let mut landed = landing("payments", 0, 0, 9);
    landed.inputs = ["kafka/ab12/0", "kafka/ab12/1"]
        .map(|input| InputRange { input: input.to_owned(), from: 3, to: 70 })
        .to_vec();
    assert!(ledger.record_run(&landed, &[], &[]).await.unwrap());
    check(
        &session(&ledger, Arc::new(Node)),
        "select input, next, newest, lag, gap, log_start from system.positions where dataset = 'shop.payments'",
        &[
            "| input        | next | newest | lag | gap | log_start |",
            "| kafka/ab12/0 | 70   |        |     |     |           |",
            "| kafka/ab12/1 | 70   | 90     | 20  |     | 5         |",
        ],
    )
    .await;
}

#[tokio::test]
async fn the_lake_tells_the_rows() {
    let (ledger, _) = shop().await;
    let session = session(&ledger, Arc::new(Node));
    check(
        &session,
        "select version, rows, files, bytes from system.datasets where dataset = 'shop.orders'",
        &["| version | rows | files | bytes |", "| 7       | 10   | 3     | 999   |"],
    )
    .await;
    check(
        &session,
        "select reason, rows, quarantined from system.quarantine",
        &[
            "| reason      | rows | quarantined |",
            "| failed-rule | 1    | 3           |",
            "| missing     | 0    | 1           |",
        ],
    )
    .await;
}

#[tokio::test]
async fn after_a_replay_only_the_lake_can_tell_what_is_left_of_a_reason() {
    let (ledger, offline) = shop().await;
    let mut replay = landing("orders", 0, 0, 3);
    replay.kind = RunKind::Replay;
    replay.inputs = Vec::new();
    replay.counts = Counts { read: 3, written: 2, quarantined: 1, ..Counts::default() };
    assert!(ledger.record_run(&replay, &[], &[]).await.unwrap());
    check(
        &offline,
        "select reason, rows, quarantined from system.quarantine",
        &[
            "| reason      | rows | quarantined |",
            "| failed-rule |      | 3           |",
            "| missing     |      | 1           |",
        ],
    )
    .await;
    check(
        &offline,
        "select read, written, quarantined, replayed, missing, gap from system.counts \
         where dataset = 'shop.orders'",
        &[
            "| read | written | quarantined | replayed | missing | gap |",
            "| 15   | 12      | 1           | 3        | 1       | 0   |",
        ],
    )
    .await;
}
