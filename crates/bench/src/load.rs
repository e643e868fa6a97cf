//! The load: 200-byte JSON records in NDJSON batches over kept connections.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use bytes::Bytes;
use clap::Args;
use flowline_base::{Clock, SystemClock};
use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::node;

/// How much load.
#[derive(Debug, Clone, Args)]
pub struct LoadOptions {
    /// Records in all.
    #[arg(long, default_value_t = 10_000_000)]
    pub records: u64,
    /// Records of a request.
    #[arg(long, default_value_t = 1_000)]
    pub batch: u64,
    /// Connections that send at once, each waiting for its answer.
    #[arg(long, default_value_t = 8)]
    pub connections: u64,
    /// Leave the peers out.
    #[arg(long)]
    pub without_peers: bool,
    /// Row checks that the dataset has.
    #[arg(long, default_value_t = 0)]
    pub checks: usize,
}

/// Bytes of a record with its line end.
pub const RECORD_BYTES: usize = 200;

/// What the load met.
#[derive(Debug)]
pub struct LoadResult {
    pub seconds: f64,
    pub records: u64,
    pub refused: u64,
    pub latency: Histogram<u64>,
}

impl LoadResult {
    /// As JSON, latencies in milliseconds.
    pub fn json(&self) -> Value {
        let millis = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        json!({
            "records": self.records, "seconds": self.seconds,
            "records_per_second": self.records as f64 / self.seconds,
            "megabytes_per_second": self.records as f64 * RECORD_BYTES as f64 / self.seconds / 1e6,
            "refused_429": self.refused,
            "latency_ms": { "p50": millis(0.5), "p99": millis(0.99), "max": self.latency.max() as f64 / 1_000.0 },
        })
    }
}

/// One batch of records, every one of [`RECORD_BYTES`] bytes; `seed` makes them differ.
pub fn batch(seed: u64, records: u64) -> Bytes {
    let mut body = Vec::with_capacity(records as usize * RECORD_BYTES);
    for index in 0..records {
        let start = body.len();
        let number = seed * records + index;
        // Writing into memory cannot fail.
        let _ = write!(
            body,
            r#"{{"event_id":"{number:020}","user_id":{},"kind":"purchase","amount":"{}.{:02}","ts":"2026-01-05T08:{:02}:{:02}.{:03}Z","url":""#,
            number % 100_003,
            number % 500,
            number % 100,
            number / 60_000 % 60,
            number / 1_000 % 60,
            number % 1_000,
        );
        body.resize(start + RECORD_BYTES - 3, b'x');
        body.extend_from_slice(b"\"}\n");
    }
    Bytes::from(body)
}

/// Sends the load and measures each acknowledgement. A refusal (429) waits and sends the same again.
pub async fn send(http: &str, options: &LoadOptions) -> anyhow::Result<LoadResult> {
    let url = format!("{http}/v1/sources/{}/records", node::SOURCE);
    let bodies: Arc<Vec<Bytes>> = Arc::new((0..64).map(|seed| batch(seed, options.batch)).collect());
    let next = Arc::new(AtomicU64::new(0));
    let requests = options.records / options.batch;
    let started = SystemClock.instant();
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        let (url, bodies, next) = (url.clone(), Arc::clone(&bodies), Arc::clone(&next));
        connections.push(tokio::spawn(async move { connection(&url, &bodies, &next, requests).await }));
    }
    let mut result = LoadResult { seconds: 0.0, records: 0, refused: 0, latency: Histogram::new(3)? };
    for connection in connections {
        let (latency, refused) = connection.await??;
        result.records += latency.len() * options.batch;
        result.latency.add(latency)?;
        result.refused += refused;
    }
    result.seconds = started.elapsed().as_secs_f64();
    Ok(result)
}

async fn connection(
    url: &str,
    bodies: &[Bytes],
    next: &AtomicU64,
    requests: u64,
) -> anyhow::Result<(Histogram<u64>, u64)> {
    let client =
        reqwest::Client::builder().pool_max_idle_per_host(1).timeout(Duration::from_secs(60)).build()?;
    let (mut latency, mut refused) = (Histogram::new(3)?, 0);
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= requests {
            return Ok((latency, refused));
        }
        let body = &bodies[number as usize % bodies.len()];
        let started = SystemClock.instant();
        loop {
            let request = client.post(url).header("content-type", "application/x-ndjson").body(body.clone());
            let response = request.send().await?;
            let status = response.status();
            let text = response.text().await?;
            if status.as_u16() == 429 {
                refused += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            ensure!(status.is_success(), "the node answered {status}: {text}");
            break;
        }
        latency.record(started.elapsed().as_micros() as u64)?;
    }
}
