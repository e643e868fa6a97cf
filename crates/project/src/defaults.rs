//! Every default of a project file, as its user would write it.

/// The environment that is used when none is named.
pub(crate) const ENVIRONMENT: &str = "dev";

pub(crate) const DATA_DIR: &str = ".flowline";
pub(crate) const HTTP: &str = "127.0.0.1:8200";
pub(crate) const POSTGRES: &str = "127.0.0.1:5433";

pub(crate) const SYNC_WINDOW: &str = "0ms";
pub(crate) const SEGMENT_BYTES: &str = "256MiB";
pub(crate) const LOG_BYTES_MAX: &str = "8GiB";
pub(crate) const RETAIN_FOR: &str = "24h";
pub(crate) const RETAIN_BYTES: &str = "2GiB";

pub(crate) const BODY_BYTES_MAX: &str = "64MiB";
pub(crate) const CONCURRENCY: u32 = 2;
pub(crate) const QUERY_MEMORY_BYTES: &str = "512MiB";

pub(crate) const FLUSH_BYTES: &str = "128MiB";
pub(crate) const FLUSH_BYTES_KEPT_IN_LOG: &str = "64MiB";
pub(crate) const FLUSH_AFTER: &str = "2s";
pub(crate) const DEDUPE_HORIZON: &str = "24h";

pub(crate) const PARTITIONS: u32 = 1;
pub(crate) const PATTERN: &str = "**/*";
pub(crate) const POLL_EVERY: &str = "10s";
pub(crate) const TIMEOUT: &str = "10m";
pub(crate) const ATTEMPTS_MAX: u32 = 5;
pub(crate) const WATERMARK: &str = "10s";

pub(crate) const COMPLETE_AFTER: &str = "24h";
pub(crate) const COMPLETE_PERIODS: u32 = 31;
pub(crate) const DISTRIBUTION_WINDOW: u32 = 7;
pub(crate) const ANOMALY_EVERY: &str = "1h";
pub(crate) const ANOMALY_SENSITIVITY: f64 = 4.0;
pub(crate) const ANOMALY_HISTORY_MIN: u32 = 8;
pub(crate) const ANOMALY_FLOOR: f64 = 100.0;
