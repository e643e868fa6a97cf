//! What a table's log adds up to at one version, kept in memory and moved on commit by commit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;

use super::actions::{Add, Commit, Metadata, Protocol};
use super::{protocol, schema, stats, values};
use crate::{FileRef, LakeError};

/// A table at one version. Cloning copies no file entry.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// The table, for messages.
    pub(crate) table: Arc<str>,
    pub(crate) version: i64,
    pub(crate) committed_at: DateTime<Utc>,
    pub(crate) protocol: Arc<Protocol>,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) schema: SchemaRef,
    /// The live files by their path as the log writes it.
    pub(crate) files: Arc<HashMap<Arc<str>, Arc<FileRef>>>,
    pub(crate) transactions: Arc<HashMap<String, Moved>>,
    /// The last version whose commit changed rows, as far as is known since loading.
    pub(crate) data_version: i64,
    /// The version of the checkpoint that it was loaded from.
    pub(crate) checkpoint: Option<i64>,
}

/// How far an application id has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Its version.
    pub(crate) to: i64,
    /// The table's version that says so; not known when it was read from a checkpoint.
    pub(crate) at: Option<i64>,
}

impl Snapshot {
    /// The table after its first commit or checkpoint. `version` is that of the commit or the checkpoint.
    pub(crate) fn first(
        table: &Arc<str>,
        version: i64,
        commit: Commit,
        checkpoint: bool,
    ) -> Result<Self, LakeError> {
        let damaged = |reason: &str| LakeError::Corrupt {
            path: table.to_string(),
            reason: format!("version {version} of the log {reason}"),
        };
        let protocol = commit.protocol.clone().ok_or_else(|| damaged("has no protocol"))?;
        let metadata = commit.metadata.clone().ok_or_else(|| damaged("has no metadata"))?;
        let mut snapshot = Self {
            table: Arc::clone(table),
            version: version - 1,
            committed_at: DateTime::UNIX_EPOCH,
            protocol: Arc::new(protocol),
            schema: parse_schema(table, &metadata)?,
            metadata: Arc::new(metadata),
            files: Arc::default(),
            transactions: Arc::default(),
            data_version: -1,
            checkpoint: checkpoint.then_some(version),
        };
        snapshot.apply(version, commit)?;
        if checkpoint {
            let unknown =
                |(app_id, moved): (&String, &Moved)| (app_id.clone(), Moved { to: moved.to, at: None });
            snapshot.transactions = Arc::new(snapshot.transactions.iter().map(unknown).collect());
        }
        Ok(snapshot)
    }

    /// Moves on by one commit. Costs what the commit is large, or, while a reader still holds the files of the version
    /// before, one copy of the list of pointers to them.
    pub(crate) fn apply(&mut self, version: i64, commit: Commit) -> Result<(), LakeError> {
        if commit.protocol.is_some() || commit.metadata.is_some() {
            self.protocol = commit.protocol.clone().map_or_else(|| Arc::clone(&self.protocol), Arc::new);
            self.metadata = commit.metadata.clone().map_or_else(|| Arc::clone(&self.metadata), Arc::new);
            protocol::check(&self.table, &self.protocol, &self.metadata)?;
            self.schema = parse_schema(&self.table, &self.metadata)?;
        }
        if commit.data_changed() {
            self.data_version = version;
        }
        self.committed_at = commit.info.committed_at().unwrap_or(self.committed_at);
        if !commit.transactions.is_empty() {
            let transactions = Arc::make_mut(&mut self.transactions);
            for txn in commit.transactions {
                transactions.insert(txn.app_id, Moved { to: txn.version, at: Some(version) });
            }
        }
        if !commit.removes.is_empty() || !commit.adds.is_empty() {
            let columns = &self.metadata.partition_columns;
            let files = Arc::make_mut(&mut self.files);
            for remove in &commit.removes {
                files.remove(remove.path.as_str());
            }
            files.reserve(commit.adds.len());
            for add in commit.adds {
                let file = file_ref(&self.table, &add, columns, &self.schema)?;
                files.insert(Arc::from(add.path), Arc::new(file));
            }
        }
        self.version = version;
        Ok(())
    }

    /// The columns that the table is split by.
    pub(crate) fn partition_columns(&self) -> &[String] {
        &self.metadata.partition_columns
    }

    /// How far each application id has come.
    pub(crate) fn positions(&self) -> Vec<(String, i64)> {
        self.transactions.iter().map(|(app_id, moved)| (app_id.clone(), moved.to)).collect()
    }

    /// The live files in the order in which they were written.
    pub(crate) fn files_in_order(&self) -> Vec<Arc<FileRef>> {
        let mut files: Vec<_> = self.files.values().cloned().collect();
        files.sort_by(|one, other| (one.modified_ms, &one.path).cmp(&(other.modified_ms, &other.path)));
        files
    }
}

/// The entry of a file as the rest of the crate uses it.
pub(crate) fn file_ref(
    table: &str,
    add: &Add,
    columns: &[String],
    schema: &SchemaRef,
) -> Result<FileRef, LakeError> {
    let damaged = |reason: String| LakeError::Corrupt { path: format!("{table}/{}", add.path), reason };
    if add.deletion_vector.is_some() {
        return Err(LakeError::Unsupported { table: table.to_owned(), feature: "deletion vectors".into() });
    }
    let path = percent_decode_str(&add.path).decode_utf8().map_err(|error| damaged(error.to_string()))?;
    if path.contains("://") || path.starts_with('/') {
        return Err(LakeError::Unsupported {
            table: table.to_owned(),
            feature: format!("files elsewhere (`{path}`)"),
        });
    }
    let logged = (path != add.path.as_str()).then(|| Arc::from(add.path.as_str()));
    Ok(FileRef {
        path: path.into_owned(),
        partition: values::read(&add.partition_values, columns, schema).map_err(damaged)?,
        bytes: u64::try_from(add.size).unwrap_or_default(),
        rows: add.stats.as_deref().and_then(stats::rows),
        modified_ms: add.modification_time,
        stats: add.stats.as_deref().map(Arc::from),
        logged,
        elsewhere: None,
    })
}

fn parse_schema(table: &str, metadata: &Metadata) -> Result<SchemaRef, LakeError> {
    schema::parse(&metadata.schema_string).map_err(|reason| LakeError::Corrupt {
        path: table.to_owned(),
        reason: format!("the schema in its log: {reason}"),
    })
}
