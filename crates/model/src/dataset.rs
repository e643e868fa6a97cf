//! Datasets: what a project declares of each.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Check, CheckSeverity, Column, DatasetName, SchemaRegistry};

/// A named table with an owner; the unit of contract, quality, service level, access and cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dataset {
    /// `domain.name`.
    pub name: DatasetName,
    /// For people; may be empty.
    pub description: String,
    /// The team that answers for it.
    pub owner: String,
    /// Where it stands between received and trusted.
    pub zone: Zone,
    /// How its rows come to be; with the dataset as output this is the hop.
    pub origin: Origin,
    /// The contract's columns in order; empty when the SQL alone says what they are.
    pub columns: Vec<Column>,
    /// Columns that identify a record: the same key again within the horizon is a duplicate.
    pub key: Vec<String>,
    /// How long a key is remembered.
    pub dedupe_horizon: Duration,
    /// The column that says when a record happened.
    pub event_time: Option<EventTime>,
    /// How the table is split into folders.
    pub partition_by: Vec<PartitionField>,
    /// The rule that changes of the columns must follow, as written (`backward` …).
    pub compatibility: Option<String>,
    /// Rules about the data beyond those of single columns.
    #[serde(default)]
    pub checks: Vec<Check>,
    /// Service level objectives.
    pub slo: Slo,
    /// Path of the runbook in the project.
    pub runbook: Option<String>,
    /// What becomes of records that depart from what they were.
    #[serde(default)]
    pub on_drift: OnDrift,
    /// When landing flushes.
    pub landing: LandingSettings,
    /// Path of the file that declares it, relative to the project.
    pub declared_in: String,
}

impl Dataset {
    /// Whether rows are written to a table; a view has none.
    pub fn materialized(&self) -> bool {
        !matches!(&self.origin, Origin::Sql(sql) if sql.materialization == Materialization::View)
    }

    /// Whether it follows event time.
    pub fn streams(&self) -> bool {
        matches!(&self.origin, Origin::Sql(sql) if sql.materialization == Materialization::Stream)
    }

    /// Whether it is a stream that is divided among nodes by the partitions of the log that its input is landed from.
    pub fn divided(&self) -> bool {
        matches!(&self.origin, Origin::Sql(sql) if sql.divided)
    }

    /// For a stream: the memory that is declared for its runs, bytes.
    pub fn stream_memory(&self) -> Option<u64> {
        match &self.origin {
            Origin::Sql(sql) => sql.state_limit,
            _ => None,
        }
    }

    /// Whether its rows come from outside (and so pass the contract at landing) and not from other datasets.
    pub fn landed(&self) -> bool {
        !matches!(self.origin, Origin::Sql(_))
    }

    /// Whether its rows stay in the log, and its table has none but those that were replayed from quarantine.
    pub fn kept_in_log(&self) -> bool {
        self.landed() && self.landing.keep == Keep::Log
    }

    /// Whether rows of it can go to a quarantine: what is landed, late rows of streams, and rows of transforms that fail
    /// a check.
    pub fn sets_aside(&self) -> bool {
        let checked = self.columns.iter().any(|column| column.check.is_some())
            || self.checks.iter().any(|check| check.severity == CheckSeverity::QuarantineRows);
        self.landed() || self.streams() || (self.materialized() && checked)
    }

    /// The columns that say to which partition of the log a posted record goes, or of the topic one that others write; none
    /// where whole requests go to one, or where producers have not told.
    pub fn partition_key(&self) -> &[String] {
        match &self.origin {
            Origin::Http(http) if !http.partition_key.is_empty() => &http.partition_key,
            Origin::Kafka(kafka) => &kafka.partition_key,
            _ => &self.key,
        }
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// Where a dataset stands between received and trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// As received; append only.
    Raw,
    /// Typed, validated, deduplicated.
    Clean,
    /// Modelled for consumers.
    Trusted,
}

impl Zone {
    /// The word in files, paths and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Clean => "clean",
            Self::Trusted => "trusted",
        }
    }
}

/// How the rows of a dataset come to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Origin {
    /// Records are posted to the gateway.
    Http(HttpOrigin),
    /// Files appear in a folder.
    Files(FilesOrigin),
    /// Others write records to a Kafka topic.
    Kafka(KafkaOrigin),
    /// A query over other datasets.
    Sql(SqlOrigin),
}

impl Origin {
    /// The word for this kind of origin in facts and pages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Files(_) => "files",
            Self::Kafka(_) => "kafka",
            Self::Sql(_) => "sql",
        }
    }
}

/// Records posted over HTTP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpOrigin {
    /// Log partitions, at least one. Records with the same partition key go to the same one.
    pub partitions: u32,
    /// The columns whose values say to which partition a record goes; the dataset's key where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub partition_key: Vec<String>,
    /// Where a record is held against the contract first.
    pub validation: Validation,
}

/// Where a record is held against the contract first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Validation {
    /// Everything is appended as received; what does not fit is quarantined at landing.
    AtLanding,
    /// A request with a record that does not fit is refused whole with 422; slower, for producers that can mend it.
    AtGateway,
}

/// Files that appear in a folder, each landed once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FilesOrigin {
    /// URL of the folder (`file:///…`, `s3://…`); relative paths are resolved against the project.
    pub location: String,
    /// Glob below the folder, `**/*.csv` for example.
    pub pattern: String,
    /// How the files are written; found from the ending when absent.
    pub format: Option<FileFormat>,
    /// How often the folder is listed.
    pub poll_every: Duration,
    /// What symbolic links outside of the folder lead to is landed as well.
    #[serde(default)]
    pub follow_links: bool,
}

/// Records that others write to a Kafka topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaOrigin {
    /// The topic.
    pub topic: String,
    /// The consumer group through which several nodes share the partitions of the topic. Positions are kept with the
    /// rows, and told to the group for those who watch its lag.
    pub group: String,
    /// How the values of records are written.
    pub format: KafkaFormat,
    /// Who knows the schemas of the records, where they say only the number of theirs.
    #[serde(default)]
    pub registry: Option<SchemaRegistry>,
    /// Where a partition begins that was never read.
    pub start: KafkaStart,
    /// The columns by which producers partition the topic: records with the same values of them are in one partition. Empty
    /// when that is not known.
    #[serde(default)]
    pub partition_key: Vec<String>,
}

/// How the values of records in Kafka are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaFormat {
    /// One JSON object a record.
    Json,
    /// Avro.
    Avro,
    /// Protobuf.
    Protobuf,
}

/// Where a partition begins that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KafkaStart {
    /// With the oldest record that is kept.
    Earliest,
    /// With the first record that comes after the first look.
    Latest,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Comma-separated with a header line.
    Csv,
    /// One JSON array or one object.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
}

/// A batch query over other datasets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SqlOrigin {
    /// The query.
    pub text: String,
    /// The file it stands in, relative to the project.
    pub file: String,
    /// Line of the file on which the text starts, from 1; for errors that point at the place.
    pub line: u32,
    /// Columns by which each line of the text is indented in the file (a block in YAML); 0 in a file of its own.
    #[serde(default)]
    pub indent: u32,
    /// How the table follows the query.
    pub materialization: Materialization,
    /// For [`Materialization::Stream`]: when the rows of a window are written.
    #[serde(default)]
    pub emit: Emit,
    /// For [`Materialization::Stream`]: bytes of memory that a run may hold of what it works with; beyond, it goes to
    /// disk. None when only the memory for all queries limits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_limit: Option<u64>,
    /// For [`Materialization::Stream`]: each node runs it for the partitions of the log that it holds. True only where the
    /// log is kept in Kafka.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub divided: bool,
    /// A run is given up after this long.
    pub timeout: Duration,
    /// Attempts of a run in all.
    pub attempts_max: u32,
    /// While more rows than this wait in its inputs, what they are made of is not landed: the log fills, and producers
    /// are told to wait. The tables hold whatever waits when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_rows_max: Option<u64>,
}

/// How a table follows its query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Materialization {
    /// No table: the query runs when it is asked.
    View,
    /// The whole table is computed again.
    Full,
    /// New input rows become new output rows.
    Append,
    /// The partitions that new input touches are computed again.
    Partition,
    /// Keys that new input touches are updated or inserted.
    Merge,
    /// Rows are written as event time goes by: those of a window when it closes, or whenever they change.
    Stream,
}

impl Materialization {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Full => "full",
            Self::Append => "append",
            Self::Partition => "partition",
            Self::Merge => "merge",
            Self::Stream => "stream",
        }
    }
}

/// When a stream writes the rows of a window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Emit {
    /// Once, when the watermark has passed its end.
    #[default]
    OnClose,
    /// Each time that rows of it arrive; what was written of it before is replaced.
    OnChange,
}

impl Emit {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnClose => "on_close",
            Self::OnChange => "on_change",
        }
    }
}

/// The column that says when a record happened, and how disorder is treated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventTime {
    /// A timestamp column.
    pub column: String,
    /// How much disorder is waited for.
    pub watermark: Duration,
    /// A partition without new records for this long holds the watermark back no longer; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_after: Option<Duration>,
    /// What becomes of a record behind the watermark.
    pub late: LatePolicy,
}

/// What becomes of a record behind the watermark; each is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LatePolicy {
    /// The window is computed again.
    Reopen,
    /// The record goes to quarantine.
    Quarantine,
    /// The record is dropped.
    Drop,
}

/// One level of the folders of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionField {
    /// A column of the contract.
    pub column: String,
    /// What of it.
    pub transform: PartitionTransform,
}

impl PartitionField {
    /// The name of the partition column in the table: the column itself, or `ts_day` for `day(ts)`.
    pub fn partition_column(&self) -> String {
        match self.transform {
            PartitionTransform::Identity => self.column.clone(),
            PartitionTransform::Day => format!("{}_day", self.column),
            PartitionTransform::Month => format!("{}_month", self.column),
            PartitionTransform::Year => format!("{}_year", self.column),
        }
    }
}

/// What of a column a table is split by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartitionTransform {
    /// The value.
    Identity,
    /// The day of a date or timestamp (UTC), as a date.
    Day,
    /// The first day of its month, as a date.
    Month,
    /// The first day of its year, as a date.
    Year,
}

/// Service level objectives, as fractions of one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// Rows are at most this old.
    pub freshness_within: Option<Duration>,
    /// The share of the time in which that holds.
    pub freshness_target: Option<f64>,
    /// The share of read records that are written.
    pub completeness_target: Option<f64>,
}

/// What becomes of records that depart from the contract where it lets them pass, or from what the records before
/// them were. Each is a finding, whatever becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDrift {
    /// They are landed: unknown fields are kept in `_extra`, what can be converted is.
    #[default]
    AcceptNewFields,
    /// They go to quarantine.
    Quarantine,
    /// Nothing is landed any more from the first of them on, until the contract or this setting changes.
    Stop,
}

impl OnDrift {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AcceptNewFields => "accept_new_fields",
            Self::Quarantine => "quarantine",
            Self::Stop => "stop",
        }
    }
}

/// When landing flushes: at the size or after the time, whichever comes first; and how long a quarantine is kept, also
/// that of a table that is made by SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandingSettings {
    /// Received bytes after which rows are committed.
    pub flush_bytes: u64,
    /// The longest that a received record waits for its commit. Each flush is one Delta commit and at least one
    /// file for every table that gets rows: on S3, two PUTs, so 2 s is about 2.6 million PUTs ($13) a month for
    /// every dataset that is never idle.
    pub flush_after: Duration,
    /// How long rejected records stay in quarantine; for ever when absent.
    #[serde(default)]
    pub quarantine_retain_for: Option<Duration>,
    /// Where the rows lie.
    #[serde(default)]
    pub keep: Keep,
}

impl Default for LandingSettings {
    fn default() -> Self {
        Self {
            flush_bytes: 128 << 20,
            flush_after: Duration::from_secs(2),
            quarantine_retain_for: None,
            keep: Keep::default(),
        }
    }
}

/// Where the rows of a landed dataset lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// In the files of its table.
    #[default]
    Table,
    /// In the log alone, for as long as that keeps them: the commits of the table say how far the log is landed, and
    /// whoever reads it decodes the records, or takes the rows from memory where they were landed just now.
    Log,
}

impl Keep {
    /// As it is written in a project.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Log => "log",
        }
    }
}
