//! The segment log keeps the contract of every log, with segments large and small.

use std::sync::Arc;

use flowline_log::{EventLog, contract};

use crate::support::{reopen, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_large_segments() {
    holds(256 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_segment_for_nearly_every_batch() {
    holds(300).await;
}

async fn holds(segment_bytes: u64) {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().to_owned();
    contract::all(move |storage: &'static str| {
        let dir = dir.join(storage);
        async move { reopen(&dir, settings(segment_bytes)).await as Arc<dyn EventLog> }
    })
    .await;
}
