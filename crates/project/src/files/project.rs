//! `flowline.yaml`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::LandingFile;
use crate::defaults;
use crate::value::{
    AddressText, AnyText, BrokersText, DurationText, FolderText, Items, LakeUrl, LedgerUrl, ProjectName,
    Sha256Text, SizeText, TopicPrefix, Variable, WireAddress, Written,
};

/// The project: its name, its teams, and where it runs.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "flowline.yaml")]
pub(crate) struct ProjectFile {
    /// The name of the project; clients of the Postgres wire see it as the name of the database.
    #[schemars(required)]
    pub name: Option<Written<ProjectName>>,
    /// What the project is about.
    #[allow(dead_code, reason = "written for people who read the file")]
    pub description: Option<String>,
    /// The teams that own datasets, by name.
    #[serde(default)]
    pub teams: BTreeMap<String, TeamFile>,
    /// Where the project runs, by name. The environment `dev` is used when none is named; without any, there is a
    /// `dev` in which everything has its default.
    #[serde(default)]
    pub environments: BTreeMap<String, EnvironmentFile>,
    /// What holds for every dataset that does not say otherwise.
    pub defaults: Option<DefaultsFile>,
}

/// A team that owns datasets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TeamFile {
    /// Where the team is reached when its data breaks: a mail address, a channel, the URL of an on-call page.
    #[schemars(length(min = 1))]
    pub contact: String,
    /// What the team does.
    pub description: Option<String>,
}

/// What holds for every dataset that does not say otherwise.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DefaultsFile {
    /// When landing flushes.
    pub landing: Option<LandingFile>,
    /// How long a key is remembered, so that the same key again is a duplicate. Keys of this span are kept in
    /// memory, about 24 bytes each.
    #[schemars(extend("default" = defaults::DEDUPE_HORIZON))]
    pub dedupe_horizon: Option<Written<DurationText>>,
}

/// Where a project runs. Texts may refer to environment variables: `${NAME}`, or `${NAME:-otherwise}`; `$${` stands
/// for a plain `${`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvironmentFile {
    /// The folder of everything that is kept on this machine: the log, the ledger unless it is PostgreSQL, and the
    /// lake unless it is elsewhere. A relative path begins at the folder of flowline.yaml.
    #[schemars(extend("default" = defaults::DATA_DIR))]
    pub data_dir: Option<Variable<FolderText>>,
    /// Where the tables lie: a folder, or the URL of an object store. `lake` in `data_dir` when absent.
    pub lake: Option<Variable<LakeUrl>>,
    /// Options of the object store, named as the `object_store` crate names them: `aws_region`, `aws_endpoint`,
    /// `aws_access_key_id`, `google_service_account`, `azure_storage_account_name` …
    #[serde(default)]
    pub storage_options: BTreeMap<String, Variable<AnyText>>,
    /// The database of the ledger, SQLite or PostgreSQL. `ledger.db` in `data_dir` when absent.
    pub ledger: Option<Variable<LedgerUrl>>,
    /// The durable log in which records wait to be landed.
    pub log: Option<LogFile>,
    /// The Kafka cluster that datasets with `source: kafka` read from; that of the log when absent.
    pub kafka: Option<KafkaFile>,
    /// Where HTTP and the pages listen. Anything but a loopback address needs `tokens`.
    #[schemars(extend("default" = defaults::HTTP))]
    pub http: Option<Variable<AddressText>>,
    /// Where the Postgres wire listens, or `off`. Anything but a loopback address needs `tokens`.
    #[schemars(extend("default" = defaults::POSTGRES))]
    pub postgres: Option<Variable<WireAddress>>,
    /// The bearer tokens that are let in. Without any, everyone on this machine is, and nobody else.
    #[serde(default)]
    pub tokens: Items<TokenFile>,
    /// How much a node takes on at once.
    pub limits: Option<LimitsFile>,
}

/// A bearer token that is let in.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenFile {
    /// Who holds it; stands in the audit.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The SHA-256 of the token, 64 hexadecimal digits: `printf %s "$TOKEN" | sha256sum`. Never the token itself.
    pub sha256: Variable<Sha256Text>,
}

/// The durable log in which records wait to be landed.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogFile {
    /// How long the first append waits for others to share its `fdatasync`. `0ms` syncs at once; `1ms` adds up to
    /// 1 ms to each request and saves syncs where many producers append at the same time.
    #[schemars(extend("default" = defaults::SYNC_WINDOW))]
    pub sync_window: Option<Written<DurationText>>,
    /// A file of the log is closed at this size; retention deletes whole files.
    #[schemars(extend("default" = defaults::SEGMENT_BYTES))]
    pub segment_bytes: Option<Written<SizeText>>,
    /// The most that may wait in one partition. Beyond it producers are answered 429 until landing catches up.
    #[schemars(extend("default" = defaults::LOG_BYTES_MAX))]
    pub bytes_max: Option<Written<SizeText>>,
    /// How long landed records are kept, for replays and for repeated `Idempotency-Key`s.
    #[schemars(extend("default" = defaults::RETAIN_FOR))]
    pub retain_for: Option<Written<DurationText>>,
    /// The most that is kept of the landed records of one partition, even when they are younger.
    #[schemars(extend("default" = defaults::RETAIN_BYTES))]
    pub retain_bytes: Option<Written<SizeText>>,
    /// Keeps the log in Kafka instead of on this machine, so that several nodes share it. `sync_window` and
    /// `segment_bytes` mean nothing then; `bytes_max`, `retain_for` and `retain_bytes` hold as they do otherwise.
    pub kafka: Option<KafkaLogFile>,
}

/// A Kafka cluster.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaFile {
    /// The brokers that are asked first; the others are heard of from them.
    pub brokers: Items<Variable<BrokersText>>,
    /// Encrypts connections. `tls: {}` trusts the certificates that this machine trusts.
    pub tls: Option<TlsFile>,
    /// How to log in. Without it nobody is asked who we are.
    pub sasl: Option<SaslFile>,
}

/// The log in Kafka: one topic a source, made when it is absent. What is acknowledged is on as many brokers as
/// `min.insync.replicas` of the cluster says; on a cluster of one broker that is one.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaLogFile {
    /// The brokers that are asked first; the others are heard of from them.
    pub brokers: Items<Variable<BrokersText>>,
    /// What the names of the topics begin with; the name of the dataset follows. Projects that share a cluster each
    /// have their own.
    pub topic_prefix: Variable<TopicPrefix>,
    /// On how many brokers each topic lies that is made; the cluster's own choice when absent.
    #[schemars(range(min = 1, max = 32))]
    pub replication: Option<u16>,
    /// Encrypts connections. `tls: {}` trusts the certificates that this machine trusts.
    pub tls: Option<TlsFile>,
    /// How to log in. Without it nobody is asked who we are.
    pub sasl: Option<SaslFile>,
}

/// Encrypted connections.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsFile {
    /// A file of certificates (PEM) that brokers are held against, instead of those of this machine. A relative path
    /// begins at the folder of flowline.yaml.
    pub ca_file: Option<Variable<FolderText>>,
}

/// A login.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SaslFile {
    /// How the password is shown to be known.
    pub mechanism: SaslWord,
    /// Who we are.
    pub user: Variable<AnyText>,
    /// The password, from an environment variable: `${KAFKA_PASSWORD}`.
    pub password: Variable<AnyText>,
}

/// How a password is shown to be known.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SaslWord {
    /// It is sent as it is; only with `tls`.
    Plain,
    /// It is never sent.
    #[serde(rename = "scram-sha-256")]
    ScramSha256,
    /// It is never sent.
    #[serde(rename = "scram-sha-512")]
    ScramSha512,
}

/// How much a node takes on at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// The largest request body, before and after decompression; larger ones are answered 413. Each request that is
    /// under way may hold this much memory.
    #[schemars(extend("default" = defaults::BODY_BYTES_MAX))]
    pub body_bytes_max: Option<Written<SizeText>>,
    /// How many transforms run at once.
    #[schemars(range(min = 1, max = 256), extend("default" = defaults::CONCURRENCY))]
    pub concurrency: Option<u32>,
    /// The memory that queries and transforms may use together; beyond it they spill to disk.
    #[schemars(extend("default" = defaults::QUERY_MEMORY_BYTES))]
    pub query_memory_bytes: Option<Written<SizeText>>,
}
