//! The actions of a commit, as lines of JSON.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::stats;
use crate::OffsetRange;

/// The folder of the log in a table's folder.
pub(crate) const LOG: &str = "_delta_log";

/// The path of a commit below the table's folder.
pub(crate) fn commit_path(version: i64) -> String {
    format!("{LOG}/{version:020}.json")
}

/// One action; unknown ones are read as an empty line, as the protocol asks.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit_info: Option<CommitInfo>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<Protocol>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) meta_data: Option<Metadata>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<Transaction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) add: Option<Add>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) remove: Option<Remove>,
}

/// Rows are in this file from now on.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    /// URI-encoded, relative to the table's folder.
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) partition_values: BTreeMap<String, Option<String>>,
    pub(crate) size: i64,
    #[serde(default)]
    pub(crate) modification_time: i64,
    #[serde(default = "yes")]
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stats: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_vector: Option<Value>,
}

/// The rows of this file are gone.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deletion_timestamp: Option<i64>,
    #[serde(default = "yes")]
    pub(crate) data_change: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) extended_file_metadata: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) partition_values: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<i64>,
}

/// How far a writer has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    pub(crate) app_id: String,
    pub(crate) version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_updated: Option<i64>,
}

/// What a reader and a writer must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub(crate) min_reader_version: i32,
    pub(crate) min_writer_version: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reader_features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) writer_features: Option<Vec<String>>,
}

/// Columns, partitioning and properties.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) format: Format,
    pub(crate) schema_string: String,
    #[serde(default)]
    pub(crate) partition_columns: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_time: Option<i64>,
    #[serde(default)]
    pub(crate) configuration: BTreeMap<String, Option<String>>,
}

/// How the data files are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub(crate) provider: String,
    #[serde(default)]
    pub(crate) options: BTreeMap<String, Option<String>>,
}

impl Default for Format {
    fn default() -> Self {
        Self { provider: "parquet".to_owned(), options: BTreeMap::new() }
    }
}

/// Who committed, when and what.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitInfo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) in_commit_timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation_parameters: Option<HashMap<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operation_metrics: Option<HashMap<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) read_version: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) is_blind_append: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) engine_info: Option<String>,
    /// The commit's own id: whoever finds it in the log has found this very commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) txn_id: Option<String>,
    /// Where Spark shows a line of the writer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_metadata: Option<String>,
    /// What the writer left; see [`crate::TableCommit::info`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flowline: Option<Value>,
    /// The process that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flowline_writer: Option<String>,
    /// Rows that lie elsewhere; see [`crate::TableCommit::elsewhere`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) flowline_elsewhere: Vec<OffsetRange>,
}

impl CommitInfo {
    /// When it was committed, by the writer's clock.
    pub(crate) fn committed_at(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_millis(self.in_commit_timestamp.or(self.timestamp)?)
    }

    /// The id that the writer gave its commit.
    pub(crate) fn run(&self) -> Option<&str> {
        self.flowline.as_ref()?.get("id")?.as_str()
    }
}

/// All actions of one commit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Commit {
    pub(crate) info: CommitInfo,
    pub(crate) protocol: Option<Protocol>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) transactions: Vec<Transaction>,
    pub(crate) adds: Vec<Add>,
    pub(crate) removes: Vec<Remove>,
}

impl Commit {
    /// Reads the lines of a commit or of a checkpoint.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let mut commit = Self::default();
        for line in serde_json::Deserializer::from_slice(bytes).into_iter::<Line>() {
            let line = line?;
            commit.info = line.commit_info.unwrap_or(commit.info);
            commit.protocol = line.protocol.or(commit.protocol);
            commit.metadata = line.meta_data.or(commit.metadata);
            commit.transactions.extend(line.txn);
            commit.adds.extend(line.add);
            commit.removes.extend(line.remove);
        }
        Ok(commit)
    }

    /// Writes the lines; the commit's information first, as some features demand.
    pub(crate) fn to_bytes(&self) -> Result<Bytes, serde_json::Error> {
        let mut text = Vec::new();
        let mut push = |line: Line| -> Result<(), serde_json::Error> {
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
            Ok(())
        };
        push(Line { commit_info: Some(self.info.clone()), ..Line::default() })?;
        if let Some(protocol) = &self.protocol {
            push(Line { protocol: Some(protocol.clone()), ..Line::default() })?;
        }
        if let Some(metadata) = &self.metadata {
            push(Line { meta_data: Some(metadata.clone()), ..Line::default() })?;
        }
        for txn in &self.transactions {
            push(Line { txn: Some(txn.clone()), ..Line::default() })?;
        }
        for remove in &self.removes {
            push(Line { remove: Some(remove.clone()), ..Line::default() })?;
        }
        for add in &self.adds {
            push(Line { add: Some(add.clone()), ..Line::default() })?;
        }
        Ok(text.into())
    }

    /// Adds the actions of a further part.
    pub(crate) fn extend(&mut self, part: Self) {
        self.protocol = part.protocol.or(self.protocol.take());
        self.metadata = part.metadata.or(self.metadata.take());
        self.transactions.extend(part.transactions);
        self.adds.extend(part.adds);
        self.removes.extend(part.removes);
    }

    /// Whether rows changed, and were not only rearranged.
    pub(crate) fn data_changed(&self) -> bool {
        !self.info.flowline_elsewhere.is_empty()
            || self.adds.iter().any(|add| add.data_change)
            || self.removes.iter().any(|remove| remove.data_change)
    }

    /// Rows that it adds, as far as it says.
    pub(crate) fn rows_added(&self) -> u64 {
        let in_files = self.adds.iter().filter_map(|add| stats::rows(add.stats.as_deref()?));
        let elsewhere = self.info.flowline_elsewhere.iter().filter_map(|range| range.rows);
        in_files.chain(elsewhere).sum()
    }

    /// The version of this application id that the commit sets.
    pub(crate) fn transaction(&self, app_id: &str) -> Option<i64> {
        self.transactions.iter().rev().find(|txn| txn.app_id == app_id).map(|txn| txn.version)
    }
}

fn yes() -> bool {
    true
}
