//! Numbers, for whoever changes a statement: run with `--ignored --nocapture`.

use std::time::Duration;

use flowline_base::RunId;
use flowline_ledger::contract::samples::{dataset, landing};
use flowline_ledger::{Ledger, RunFilter, connect, sqlite_url};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Executor};

/// Gives the ledger a past of `runs` runs of one hop.
const PAST: &str = "INSERT INTO runs (id, hop, kind, outcome, reason, inputs, read, written, quarantined, duplicate, \
     late, filtered, reshaped, bytes_read, bytes_written, started_at, finished_at, attempts, commit_dataset, \
     commit_version, committed_at, commit_latency_us) \
     WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 200000) \
     SELECT printf('%032x', n), 'shop.orders', 'land', 'succeeded', 'new-records', '[]', 1, 1, 0, 0, 0, 0, 0, 1, 1, \
     n, n, 1, 'shop.orders', -n, n, 1 FROM numbers";

async fn measure(ledger: &dyn Ledger, first: i64) -> (Duration, Duration) {
    let mut times = Vec::new();
    for number in first..first + 300 {
        let run = landing("orders", number, number + 1, number);
        let start = flowline_base::system_clock().instant();
        assert!(ledger.record_run(&run, &[], &[]).await.unwrap());
        times.push(start.elapsed());
    }
    times.sort();
    (times[150], times[297])
}

#[tokio::test]
#[ignore = "prints times, asserts nothing of them"]
async fn times_with_and_without_a_past() {
    let folder = tempfile::tempdir().unwrap();
    let url = std::env::var("FLOWLINE_MEASURE_LEDGER")
        .unwrap_or_else(|_| sqlite_url(&folder.path().join("ledger.db")));
    let ledger = connect(&url).await.unwrap();
    println!("record_run, empty ledger: p50 and p99 {:?}", measure(&*ledger, 0).await);
    if url.starts_with("sqlite") {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        connection.execute(PAST).await.unwrap();
        println!("record_run, 200,000 runs: p50 and p99 {:?}", measure(&*ledger, 1_000).await);
    }
    let reads = async |what: &str, filter: RunFilter| {
        let start = flowline_base::system_clock().instant();
        let found = ledger.runs(&filter).await.unwrap().len();
        println!("{what}: {found} in {:?}", start.elapsed());
    };
    reads("newest 100", RunFilter { limit: Some(100), ..RunFilter::default() }).await;
    reads(
        "newest 100 of a hop",
        RunFilter { hop: Some(dataset("orders")), limit: Some(100), ..Default::default() },
    )
    .await;
    reads("after a cursor that is gone", RunFilter { before: Some(RunId::generate()), ..Default::default() })
        .await;
    let start = flowline_base::system_clock().instant();
    let standings = ledger.standings().await.unwrap().len();
    println!("{standings} standings in {:?}", start.elapsed());
    let start = flowline_base::system_clock().instant();
    println!("{} totals in {:?}", ledger.totals().await.unwrap().len(), start.elapsed());
}
