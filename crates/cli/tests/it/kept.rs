//! Rows that stay in the log until all have read them: the log of a dataset whose stream fails fills up and refuses more,
//! and goes on when the stream does.

use std::time::Duration;

use flowline_base::{Clock, SystemClock};
use flowline_testkit::{FlowlineOptions, FlowlineProcess, http_client};
use serde_json::{Value, json};

use crate::project::{BINARY, project, start};

const FLOWLINE: &str = "name: shop
teams:
  team-shop: { contact: team-shop@example.org }
environments:
  dev:
    log: { bytes_max: 1MiB, segment_bytes: 256KiB }
";

const CLICKS: &str = "description: Clicks.
owner: team-shop
zone: raw
from: { source: http }
landing: { keep: log, flush_after: 50ms }
columns:
  - { name: id, type: int64, required: true }
  - { name: page, type: string }
  - { name: ts, type: timestamp, required: true }
";

const COPY: &str = "description: Clicks one by one.
owner: team-shop
zone: trusted
from: { source: sql }
mode: stream
event_time: { column: ts, watermark: 10s }
sql: SELECT id, length(page) AS length, ts FROM shop.clicks
";

/// Records in a request, of about a hundred bytes each.
const RECORDS: i64 = 1_000;

/// The answer to a request with the records from this number on.
async fn post(node: &FlowlineProcess, from: i64, fits: bool) -> (u16, String) {
    let page = "p".repeat(100);
    let lines: Vec<String> = (from..from + RECORDS)
        .map(|id| match fits {
            true => json!({ "id": id, "page": page, "ts": "2026-01-05T10:00:00Z" }).to_string(),
            false => json!({ "id": "none", "page": page }).to_string(),
        })
        .collect();
    let request = http_client()
        .post(format!("{}/v1/sources/shop.clicks/records", node.http))
        .header("content-type", "application/x-ndjson")
        .body(lines.join("\n"));
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Posts until a request is taken, which must be soon.
async fn until_taken(node: &FlowlineProcess, from: i64, fits: bool) {
    let started = SystemClock.instant();
    loop {
        let (status, body) = post(node, from, fits).await;
        if status == 200 {
            return;
        }
        assert_eq!(status, 429, "{body}");
        assert!(started.elapsed() < Duration::from_secs(60), "the log stays full: {body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn until(node: &FlowlineProcess, sql: &str, wanted: Value) {
    let started = SystemClock.instant();
    loop {
        let rows = node.query(sql).await.unwrap_or_default();
        if rows == [wanted.clone()] {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{rows:?} and not {wanted}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_fails_keeps_what_it_has_not_read_in_the_log_until_that_is_full() {
    let files = [
        ("flowline.yaml", FLOWLINE),
        ("datasets/shop/clicks.yaml", CLICKS),
        ("datasets/shop/copy.yaml", COPY),
    ];
    let folder = project(&files);
    let mut options = FlowlineOptions::new(BINARY, folder.path());
    options.log = "off".to_owned();
    options.faults = Some("lake.put/trusted/shop/copy=error-before:1.0".to_owned());
    let node = FlowlineProcess::start(&options).unwrap();
    let mut taken = 0;
    let refused = loop {
        let (status, body) = post(&node, taken, true).await;
        if status != 200 {
            assert_eq!(status, 429, "{body}");
            break body;
        }
        taken += RECORDS;
        assert!(taken < 100 * RECORDS, "nothing holds producers back");
    };
    assert!(refused.contains("log-full"), "{refused}");
    // All of it is landed, and can be looked at, and is not let go of for that.
    until(&node, "SELECT count(*) AS n FROM shop.clicks", json!({ "n": taken })).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(post(&node, taken, true).await.0, 429);
    node.kill().unwrap();
    let node = start(folder.path());
    for _ in 0..12 {
        until_taken(&node, taken, true).await;
        taken += RECORDS;
    }
    let counted = "SELECT count(*) AS n, count(DISTINCT id) AS once, max(id) AS last FROM shop.copy";
    until(&node, counted, json!({ "n": taken, "once": taken, "last": taken - 1 })).await;
    assert!(node.terminate().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_are_all_rejected_do_not_fill_the_log() {
    let files = [
        ("flowline.yaml", FLOWLINE),
        ("datasets/shop/clicks.yaml", CLICKS),
        ("datasets/shop/copy.yaml", COPY),
    ];
    let folder = project(&files);
    let node = start(folder.path());
    // As many as the log holds two times.
    for _ in 0..16 {
        until_taken(&node, 0, false).await;
    }
    let counts = "SELECT quarantined FROM system.counts WHERE dataset = 'shop.clicks'";
    until(&node, counts, json!({ "quarantined": 16 * RECORDS })).await;
    until_taken(&node, 0, true).await;
    until(&node, "SELECT count(*) AS n FROM shop.copy", json!({ "n": RECORDS })).await;
    assert!(node.terminate().unwrap());
}
