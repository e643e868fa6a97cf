//! `datasets/<domain>/<name>.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::checks::CheckFile;
use crate::defaults;
use crate::value::{
    ColumnName, DatePattern, DurationText, FilePath, GlobText, GroupText, Items, LakeUrl, PartitionText,
    RegistryText, ShareText, SizeText, SqlExpression, TopicText, TypeText, Variable, Written,
};

/// A dataset: a table with an owner and a contract. It is named after its file: `datasets/shop/orders.yaml` declares
/// `shop.orders`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "datasets/<domain>/<name>.yaml")]
pub(crate) struct DatasetFile {
    /// What one row is, for whoever reads it.
    pub description: Option<String>,
    /// The team that answers for it, one of those under `teams` in flowline.yaml.
    #[schemars(required)]
    pub owner: Option<String>,
    /// Where it stands between received and trusted.
    #[schemars(required)]
    pub zone: Option<ZoneWord>,
    /// Where its rows come from.
    #[schemars(required)]
    pub from: Option<Origin>,
    /// For `source: sql`: how the table follows the query.
    #[schemars(extend("default" = "view"))]
    pub materialize: Option<MaterializeWord>,
    /// For `source: sql`: `stream` follows event time: the rows of a window are written when the watermark has passed
    /// its end. Needs `event_time`; `materialize` has no meaning then.
    #[schemars(extend("default" = "batch"))]
    pub mode: Option<ModeWord>,
    /// For `mode: stream`: when the rows of a window are written.
    #[schemars(extend("default" = "on_close"))]
    pub emit: Option<EmitWord>,
    /// For `mode: stream`: what its runs may hold in memory.
    pub state: Option<StateFile>,
    /// For `mode: stream` in an environment with the log in Kafka: each node with the role `processor` runs it for
    /// partitions of its inputs, and not one elected node for all. The query must follow the `partition_key` of these; tables
    /// are read whole. Each row says in `_partition` which partition it came from. In other environments it has no effect.
    #[schemars(extend("default" = false))]
    pub divided: Option<bool>,
    /// For `source: sql`: the query, unless it stands in a file of the same name that ends in `.sql`.
    pub sql: Option<String>,
    /// The contract: the columns in order. A received field that is not among them is kept in `_extra`. With
    /// `source: sql` they may be left out; the query then says what they are.
    #[serde(default)]
    pub columns: Items<ColumnFile>,
    /// The columns that identify a record: the same key again within `dedupe_horizon` is a duplicate and is counted.
    /// With `materialize: merge` they say which row is replaced.
    #[serde(default)]
    pub key: Items<Written<ColumnName>>,
    /// How long a key is remembered. Keys of this span are kept in memory, about 24 bytes each. For `mode: stream`: a key
    /// of which no row came for this long begins anew, where the query picks the first or last row of each key.
    #[schemars(extend("default" = defaults::DEDUPE_HORIZON))]
    pub dedupe_horizon: Option<Written<DurationText>>,
    /// When a record happened, and how disorder is treated.
    pub event_time: Option<EventTimeFile>,
    /// How the table is split into folders, so that queries and re-computations read less.
    #[serde(default)]
    pub partition_by: Items<Written<PartitionText>>,
    /// Rules about the data beyond those of single columns.
    #[serde(default)]
    pub checks: Items<CheckFile>,
    /// The rule that changes of the columns must follow.
    pub compatibility: Option<CompatibilityWord>,
    /// For what is landed: what becomes of records that depart from the contract where it lets them pass (unknown
    /// fields, values that have to be converted), or from what the records before them were (a field that is missing,
    /// more nulls, another unit, texts that no record had). Each is a finding in any case.
    #[schemars(extend("default" = "accept_new_fields"))]
    pub on_drift: Option<OnDriftWord>,
    /// What its readers may rely on. Targets are part of the contract, for readers and for the judgement of changes; how
    /// often they are kept is not measured yet.
    pub slo: Option<SloFile>,
    /// The file that says what to do when it breaks.
    pub runbook: Option<Written<FilePath>>,
    /// For what is landed: when landing flushes, and where the rows lie. For a stream or a table of SQL:
    /// `quarantine_retain_for` alone.
    pub landing: Option<LandingFile>,
}

/// Where a dataset stands between received and trusted.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ZoneWord {
    /// As received; append only.
    Raw,
    /// Typed, validated, deduplicated.
    Clean,
    /// Modelled for consumers.
    Trusted,
}

/// Where the rows of a dataset come from.
#[derive(Deserialize, JsonSchema)]
#[serde(tag = "source", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Origin {
    /// Records are posted to `/v1/sources/<domain>.<name>/records`.
    Http {
        /// Partitions of the log. More than one lets several landings share a busy source; records with the same
        /// partition key stay in order, others may not.
        #[schemars(range(min = 1, max = 64), extend("default" = defaults::PARTITIONS))]
        partitions: Option<u32>,
        /// The columns whose values say to which partition a record goes: records with the same values go to the same
        /// one. `key` when absent; without that either, the records of a request stay together. A record that is sent
        /// again must have the same values.
        #[serde(default)]
        partition_key: Items<Written<ColumnName>>,
        /// When a record is held against the contract.
        #[schemars(extend("default" = "at_landing"))]
        validate: Option<ValidateWord>,
    },
    /// Files appear in a folder; each is landed once.
    Files {
        /// The folder: a path from the folder of flowline.yaml, or the URL of an object store. It may refer to
        /// environment variables, and it may end in a pattern (`inbox/**/*.csv`) when `pattern` is absent.
        location: Variable<LakeUrl>,
        /// Which files below the folder are read. Others that lie there are reported.
        #[schemars(extend("default" = defaults::PATTERN))]
        pattern: Option<Written<GlobText>>,
        /// How the files are written; their ending says so when absent.
        format: Option<FormatWord>,
        /// How often the folder is listed: one request for each 1,000 files in it, so on S3 every 10 s is $1.30 a
        /// month.
        #[schemars(extend("default" = defaults::POLL_EVERY))]
        poll_every: Option<Written<DurationText>>,
        /// Whether what symbolic links outside of the folder lead to is landed as well. Whoever may put files into the
        /// folder can then have every file landed that the node may read. When it is not set, such a file is a finding.
        #[schemars(extend("default" = false))]
        follow_links: Option<bool>,
    },
    /// Others write records to a Kafka topic, in the cluster that `kafka` of the environment names.
    Kafka {
        /// The topic. It may refer to environment variables.
        topic: Variable<TopicText>,
        /// The consumer group through which several nodes share the partitions, and through which Kafka's own tools
        /// see how far they are. `flowline.<domain>.<name>` when absent.
        group: Option<Variable<GroupText>>,
        /// How the values of the records are written.
        #[schemars(extend("default" = "json"))]
        format: Option<KafkaFormatWord>,
        /// Who knows the schemas of the records: the URL of a registry of Confluent's kind, or `own` for the one that
        /// this node serves under `/registry`, which is also meant for `avro` and `protobuf` when this is absent. For
        /// `json` it says that the id of a schema stands before each record.
        registry: Option<Variable<RegistryText>>,
        /// Where a partition begins that was never read.
        #[schemars(extend("default" = "earliest"))]
        start: Option<StartWord>,
        /// The columns by which producers partition the topic: records with the same values of them are in one partition.
        /// A divided stream relies on it; nothing checks it.
        #[serde(default)]
        partition_key: Items<Written<ColumnName>>,
    },
    /// A query over other datasets.
    Sql {
        /// A run is given up after this long.
        #[schemars(extend("default" = defaults::TIMEOUT))]
        timeout: Option<Written<DurationText>>,
        /// How often a run is tried in all, with growing pauses.
        #[schemars(range(min = 1, max = 20), extend("default" = defaults::ATTEMPTS_MAX))]
        attempts_max: Option<u32>,
        /// The most rows that may wait in the tables that it reads. While more do, landing of what these are made of
        /// pauses, the log fills up to its `bytes_max`, and producers are answered 429. Without it the tables hold
        /// whatever waits, which costs storage and nothing else. Not for views, which wait for nothing.
        #[schemars(range(min = 1, max = 1_000_000_000_000_u64))]
        lag_rows_max: Option<u64>,
    },
}

/// When a record is held against the contract.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ValidateWord {
    /// Everything is accepted as received; what does not fit is quarantined when it lands.
    AtLanding,
    /// A request with a record that does not fit is answered 422 and leaves nothing; slower, for producers that can
    /// mend their records.
    AtGateway,
}

/// How the values of records in Kafka are written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KafkaFormatWord {
    /// One JSON object a record.
    Json,
    /// Avro, with the id of its schema before each record.
    Avro,
    /// Protobuf, with the id of its schema before each record.
    Protobuf,
}

/// Where a partition begins that was never read.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StartWord {
    /// With the oldest record that is kept.
    Earliest,
    /// With the first record after the first look.
    Latest,
}

/// How a file is written.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FormatWord {
    /// Comma-separated values under a header line.
    Csv,
    /// One JSON array of objects, or one object.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Apache Parquet.
    Parquet,
    /// Arrow IPC, file or stream.
    Arrow,
}

/// How the table of a query follows the datasets that it reads.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MaterializeWord {
    /// No table: the query runs whenever it is asked.
    View,
    /// The whole table is computed again for each new version of an input.
    Full,
    /// New input rows become new rows; for queries that neither aggregate nor join what changes.
    Append,
    /// The partitions that new input touches are computed again; needs `partition_by`.
    Partition,
    /// The rows that new input touches are replaced or inserted by `key`.
    Merge,
}

/// Whether a query follows versions of its inputs or the time of their records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ModeWord {
    /// The table follows the inputs as `materialize` says.
    Batch,
    /// The table follows event time.
    Stream,
}

/// When a stream writes the rows of a window.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EmitWord {
    /// Once, when the watermark has passed its end.
    OnClose,
    /// Each time that rows of it arrive; what was written of it before is replaced.
    OnChange,
}

/// What the runs of a stream may hold in memory.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateFile {
    /// Bytes of memory for partial results of windows, sides of joins and sorts, `16MiB` at least. Beyond it a run goes to
    /// the folder `spill` of the data folder and goes on; each byte that does not fit is then written and read once more
    /// on the local disk. Without it, a run may hold what all queries together may. A join of two streams without a bound
    /// needs it.
    pub limit: Written<SizeText>,
}

/// The rule that changes of the columns must follow.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CompatibilityWord {
    /// Any change.
    None,
    /// Whoever reads with the new contract can read data of the old one.
    Backward,
    /// Whoever reads with the old contract can read data of the new one.
    Forward,
    /// Both.
    Full,
}

/// What becomes of records that depart from what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDriftWord {
    /// They are landed; unknown fields are kept in `_extra`, values that can be converted are.
    AcceptNewFields,
    /// They go to quarantine.
    Quarantine,
    /// Nothing is landed any more from the first of them on: what arrives waits in the log, and nothing is lost.
    /// Landing goes on when the contract fits the records, or this says something else.
    Stop,
}

/// A column of the contract.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ColumnFile {
    /// The name in SQL.
    pub name: Written<ColumnName>,
    /// The type.
    #[serde(rename = "type")]
    pub kind: Written<TypeText>,
    /// The name in the received record when it differs: `Cost Total $`.
    #[schemars(length(min = 1))]
    pub field: Option<String>,
    /// Whether a record without it goes to quarantine.
    pub required: Option<bool>,
    /// Whether no two rows share a value within `dedupe_horizon`; a second one goes to quarantine.
    pub unique: Option<bool>,
    /// The class of personal data that it holds: `email`, `name`, `phone`, `address` …
    #[schemars(length(min = 1))]
    pub pii: Option<String>,
    /// A condition in SQL; rows for which it is false go to quarantine.
    pub check: Option<Written<SqlExpression>>,
    /// For dates and timestamps: how they are written in the received record when it is not ISO 8601.
    pub format: Option<Written<DatePattern>>,
    /// What it holds.
    pub description: Option<String>,
}

/// When a record happened, and how disorder is treated.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventTimeFile {
    /// The column that says when: a timestamp or a date. With `mode: stream`, a column of the inputs.
    pub column: Written<ColumnName>,
    /// For `mode: stream`: how much disorder is waited for. Of an input, only `column` counts.
    #[schemars(extend("default" = defaults::WATERMARK))]
    pub watermark: Option<Written<DurationText>>,
    /// For `mode: stream`: a partition of an input without new records for this long holds the watermark back no
    /// longer. Without it, one producer that stops keeps every window open.
    pub idle_after: Option<Written<DurationText>>,
    /// What becomes of a record that comes later than that; each is counted.
    #[schemars(extend("default" = "reopen"))]
    pub late: Option<LateWord>,
}

/// What becomes of a late record of a stream. What is landed is written however late it comes, and what a transform
/// makes of it is computed again: there, anything but `reopen` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LateWord {
    /// What it belongs to is computed again.
    Reopen,
    /// It goes to quarantine.
    Quarantine,
    /// It is dropped.
    Drop,
}

impl LateWord {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Reopen => "reopen",
            Self::Quarantine => "quarantine",
            Self::Drop => "drop",
        }
    }
}

/// What the readers of a dataset may rely on.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SloFile {
    /// How old its rows may be.
    pub freshness: Option<FreshnessFile>,
    /// How much of what was read must be written.
    pub completeness: Option<CompletenessFile>,
}

/// How old the rows of a dataset may be.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FreshnessFile {
    /// The newest row is at most this old.
    pub within: Written<DurationText>,
    /// The share of the time in which that holds.
    pub target: Option<Written<ShareText>>,
}

/// How much of what was read must be written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompletenessFile {
    /// The share of the read records that are written.
    pub target: Written<ShareText>,
}

/// Where the rows of what is landed lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeepWord {
    /// In the files of its table.
    Table,
    /// In the log alone, for as long as that keeps them: the commits of the table say how far the log is landed.
    Log,
}

/// When landing flushes: at the size or after the time, whichever comes first.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LandingFile {
    /// Received bytes after which rows are committed. With `keep: log` the rows wait in memory until then, so that it is
    /// `64MiB` at most where the dataset itself does not say it.
    #[schemars(extend("default" = defaults::FLUSH_BYTES))]
    pub flush_bytes: Option<Written<SizeText>>,
    /// Not for `source: files`. The longest that a received record waits for its commit; 8 MiB or more do not wait when
    /// nothing has come for 50 ms. Each flush is one commit and at least one file for every table that gets rows: on S3,
    /// two PUTs, so `2s` is about 2.6 million PUTs ($13) a month for a dataset that is never idle.
    #[schemars(extend("default" = defaults::FLUSH_AFTER))]
    pub flush_after: Option<Written<DurationText>>,
    /// How long rejected records stay in quarantine, those that come too late for a stream or fail a check of a
    /// transform among them. Older ones are deleted for good once an hour; for ever when absent.
    pub quarantine_retain_for: Option<Written<DurationText>>,
    /// For `source: http` and `source: kafka`, of each dataset for itself: where its rows lie. With `log` nothing is encoded
    /// or stored twice, streams and transforms may take each row once, and queries see what the log still holds.
    #[schemars(extend("default" = "table"))]
    pub keep: Option<KeepWord>,
}
