//! What the servers are given, and their limits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::{ErrorKind, SharedClock};
use flowline_land::{Discard, ReplaySelection};
use flowline_log::EventLog;
use flowline_model::{DatasetName, Plan, Run};
use flowline_process::QueryEngine;
use flowline_registry::Registry;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::{Readiness, Tokens};

/// What the servers are given. Cheap to clone.
#[derive(Clone)]
pub struct ServeContext {
    /// The project: its sources, its body limit.
    pub plan: Arc<Plan>,
    /// Where posted records go.
    pub log: Arc<dyn EventLog>,
    /// Whether records may be posted here; else another node takes them in.
    pub takes_records: bool,
    /// What answers SQL, the schemas `system` and `quarantine` included.
    pub engine: QueryEngine,
    /// The schemas of records.
    pub registry: Registry,
    /// What replays quarantined records.
    pub replay: Arc<dyn Replay>,
    /// Who is let in.
    pub tokens: Tokens,
    /// Whether the node is ready.
    pub readiness: Readiness,
    /// What `/metrics` renders.
    pub metrics: PrometheusHandle,
    /// The clock.
    pub clock: SharedClock,
    /// The limits.
    pub limits: Limits,
}

/// What keeps one client, or many, from taking the node down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// HTTP connections at once; further ones wait in the operating system's queue.
    pub http_connections_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: usize,
    /// A connection that has not sent its headers by then is closed; also how long it may be idle.
    pub header_timeout: Duration,
    /// A body of which nothing arrives for so long is given up with 408.
    pub body_idle_timeout: Duration,
    /// Bytes of request bodies held in memory at once; further requests are answered 429.
    pub body_bytes_inflight_max: u64,
    /// Queries that HTTP answers at once; further ones are answered 429.
    pub queries_max: usize,
    /// Rows of a query's answer that did not ask for a number.
    pub query_rows_default: u64,
    /// The most rows that a query may ask for.
    pub query_rows_max: u64,
    /// Time for a query, its answer included, that did not ask for one.
    pub query_timeout_default: Duration,
    /// The longest time that a query may ask for; also what a Postgres statement gets unless it sets less.
    pub query_timeout_max: Duration,
    /// Pages that follow the flow live at once.
    pub followers_max: usize,
    /// Postgres connections at once; further ones are told so (SQLSTATE 53300).
    pub postgres_connections_max: usize,
    /// Bytes of one Postgres message.
    pub postgres_message_bytes_max: usize,
    /// How long requests under way may take to end once the node stops.
    pub shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http_connections_max: 1024,
            header_bytes_max: 32 << 10,
            header_timeout: Duration::from_secs(30),
            body_idle_timeout: Duration::from_secs(30),
            body_bytes_inflight_max: 512 << 20,
            queries_max: 32,
            query_rows_default: 10_000,
            query_rows_max: 10_000_000,
            query_timeout_default: Duration::from_secs(60),
            query_timeout_max: Duration::from_secs(600),
            followers_max: 64,
            postgres_connections_max: 100,
            postgres_message_bytes_max: 16 << 20,
            shutdown_grace: Duration::from_secs(10),
        }
    }
}

/// Why a replay did not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ReplayError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
}

/// Replays quarantined records and streams; the node implements it.
#[async_trait]
pub trait Replay: Send + Sync + 'static {
    /// Lands the selected quarantined records of a dataset again, removes those that fit now from its quarantine, and
    /// returns the run with its counts.
    async fn replay(&self, dataset: &DatasetName, selection: &ReplaySelection) -> Result<Run, ReplayError>;

    /// Deletes the selected records from the quarantine of a dataset for good, and returns the run, whose input range
    /// says how many.
    async fn discard(&self, dataset: &DatasetName, discard: &Discard) -> Result<Run, ReplayError>;

    /// Computes again what a stream wrote behind a time, swaps it in with one commit, and returns the run.
    async fn replay_stream(&self, dataset: &DatasetName, from: DateTime<Utc>) -> Result<Run, ReplayError>;
}
