//! Environments: where a project runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{KafkaCluster, KafkaLogSettings};

/// Where a project runs: lake, log, ledger, addresses, secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// `dev`, `staging`, `prod` …
    pub name: String,
    /// Folder of everything that is kept on this machine: log, SQLite ledger, and the lake unless it is elsewhere.
    pub data_dir: PathBuf,
    /// URL of the lake (`file:///…`, `s3://…`).
    pub lake: String,
    /// Options of the object store, keyed as `object_store` names them (`aws_region` …).
    pub storage_options: BTreeMap<String, String>,
    /// URL of the ledger (`sqlite:///…`, `postgres://…`). May hold a password: never log it.
    pub ledger: String,
    /// The durable log.
    pub log: LogSettings,
    /// The Kafka cluster that sources read from.
    pub kafka: Option<KafkaCluster>,
    /// Where HTTP and the pages listen.
    pub http: SocketAddr,
    /// Where the Postgres wire listens; nowhere when absent.
    pub postgres: Option<SocketAddr>,
    /// Bearer tokens that are let in; empty means no authentication, and then only loopback addresses are listened on.
    pub tokens: Vec<Token>,
    /// The largest request body, before and after decompression, in bytes.
    pub body_bytes_max: u64,
    /// Transforms that run at once.
    pub concurrency: usize,
    /// Memory that queries and transforms may use together, bytes; beyond it they spill to disk.
    pub query_memory_bytes: u64,
}

impl Environment {
    /// The Kafka cluster that sources read from: the one that is named for them, or that of the log.
    pub fn kafka_of_sources(&self) -> Option<&KafkaCluster> {
        self.kafka.as_ref().or_else(|| self.log.kafka.as_ref().map(|log| &log.cluster))
    }
}

/// A bearer token, stored as a hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Who holds it, for the audit.
    pub name: String,
    /// SHA-256 of the token, hexadecimal.
    pub sha256: String,
}

/// The durable log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogSettings {
    /// How long the first append waits for others to share its `fdatasync`. Zero syncs at once; 1 ms costs each
    /// request up to 1 ms and saves syncs when many producers append at the same time.
    pub sync_window: Duration,
    /// A segment is closed at this size, bytes.
    pub segment_bytes: u64,
    /// At most this many bytes of one source partition wait to be landed: appends beyond it are answered 429 until
    /// landing catches up. What is landed and still retained comes on top.
    pub bytes_max: u64,
    /// Landed segments are kept this long, for replay and idempotency keys.
    pub retain_for: Duration,
    /// Landed segments are deleted, oldest first, beyond this size of a partition even when younger, bytes.
    pub retain_bytes: u64,
    /// Kafka, where the log is kept there; then there are no segments and no syncs of ours.
    pub kafka: Option<KafkaLogSettings>,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            sync_window: Duration::ZERO,
            segment_bytes: 256 << 20,
            bytes_max: 8 << 30,
            retain_for: Duration::from_secs(24 * 3600),
            retain_bytes: 2 << 30,
            kafka: None,
        }
    }
}
