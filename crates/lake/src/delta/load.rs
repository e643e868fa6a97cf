//! Reading a table's log: the newest checkpoint, then the commits after it, one small file each. The log folder, which
//! grows with the table's history, is listed only where there is no other way.

use std::ops::Range;
use std::sync::Arc;

use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use bytes::Bytes;
use chrono::DateTime;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use super::actions::{Commit, LOG, Remove, commit_path};
use super::snapshot::Snapshot;
use crate::LakeError;
use crate::store::{Store, from_arrow, from_parquet};

/// Commits that are read at the same time.
const READ_AHEAD: usize = 8;

/// The columns of a checkpoint that are read; the parsed forms of statistics and partition values are not.
const COLUMNS: [&str; 10] = [
    "txn",
    "metaData",
    "protocol",
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.modificationTime",
    "add.dataChange",
    "add.stats",
    "add.deletionVector",
];

/// The log of one table.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    pub(crate) store: Store,
    pub(crate) table: Arc<str>,
}

/// A checkpoint and the files that it consists of.
#[derive(Debug, Clone)]
struct Checkpoint {
    version: i64,
    parts: Vec<Path>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Hint {
    version: i64,
    parts: Option<u32>,
    v2_checkpoint: Option<serde_json::Value>,
}

impl Log {
    /// The newest version; none when there is no table.
    pub(crate) async fn latest(&self) -> Result<Option<Snapshot>, LakeError> {
        if let Some(hint) = self.hint().await? {
            match self.load_checkpoint(&hint).await {
                Ok(snapshot) => return self.forward(snapshot, None).await.map(Some),
                // The file that the hint names may have been cleaned up since it was read.
                Err(LakeError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        } else if let Some(snapshot) = self.load_beginning().await? {
            return self.forward(snapshot, None).await.map(Some);
        }
        match self.listed(i64::MAX).await? {
            Some(checkpoint) => {
                let snapshot = self.load_checkpoint(&checkpoint).await?;
                self.forward(snapshot, None).await.map(Some)
            }
            None => match self.load_beginning().await? {
                Some(snapshot) => self.forward(snapshot, None).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// The table at this version.
    ///
    /// # Errors
    /// [`LakeError::NotFound`] when there is no such version, or its log is no longer kept.
    pub(crate) async fn at(&self, version: i64) -> Result<Snapshot, LakeError> {
        let hint = self.hint().await?.filter(|hint| hint.version <= version);
        let checkpoint = match hint {
            Some(hint) => Some(hint),
            None => self.listed(version).await?,
        };
        let start = match checkpoint {
            Some(checkpoint) => self.load_checkpoint(&checkpoint).await?,
            None => self.load_beginning().await?.ok_or_else(|| self.no_version(version))?,
        };
        let snapshot = self.forward(start, Some(version)).await?;
        if snapshot.version == version { Ok(snapshot) } else { Err(self.no_version(version)) }
    }

    /// The commit of this version; none when there is none (yet, or any more).
    pub(crate) async fn commit(&self, version: i64) -> Result<Option<Commit>, LakeError> {
        match self.store.get_if_there(&self.store.at(&commit_path(version))).await? {
            Some(bytes) => self.parse(version, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// The commits of these versions, in order, read some at a time.
    pub(crate) async fn commits(&self, versions: Range<i64>) -> Result<Vec<Option<Commit>>, LakeError> {
        futures::stream::iter(versions)
            .map(|version| self.commit(version))
            .buffered(READ_AHEAD)
            .try_collect()
            .await
    }

    /// The removals that are on record and that happened at or after this time (milliseconds since the epoch), up to
    /// the version of the snapshot.
    pub(crate) async fn removes_since(
        &self,
        snapshot: &Snapshot,
        since_ms: i64,
    ) -> Result<Vec<Remove>, LakeError> {
        let checkpoint = self.hint().await?.filter(|hint| hint.version <= snapshot.version);
        let (mut removes, first) = match checkpoint {
            Some(checkpoint) => {
                (self.read_checkpoint(&checkpoint, &["remove"]).await?.removes, checkpoint.version + 1)
            }
            None => (Vec::new(), 0),
        };
        for commit in self.commits(first..snapshot.version + 1).await? {
            removes.extend(commit.map(|commit| commit.removes).unwrap_or_default());
        }
        removes.retain(|remove| remove.deletion_timestamp.unwrap_or(i64::MAX) >= since_ms);
        Ok(removes)
    }

    /// Moves a snapshot on to a version, or to the newest.
    async fn forward(&self, mut snapshot: Snapshot, upto: Option<i64>) -> Result<Snapshot, LakeError> {
        let mut missed = None;
        loop {
            let first = snapshot.version + 1;
            let end = upto.map_or(i64::MAX, |upto| upto + 1).min(first + READ_AHEAD as i64);
            let mut found = self.commits(first..end).await?;
            let known = found.iter().take_while(|commit| commit.is_some()).count();
            let gap = found[known..].iter().any(Option::is_some);
            for commit in found.drain(..known).flatten() {
                let version = snapshot.version + 1;
                snapshot.apply(version, commit)?;
            }
            let next = snapshot.version + 1;
            // A commit may have been written between the reading of its place and of those after it: look twice.
            if gap && missed == Some(next) {
                let path = self.store.shown(&self.store.at(&commit_path(next)));
                return Err(LakeError::Corrupt {
                    path,
                    reason: "it is missing in the middle of the table's log".into(),
                });
            }
            missed = gap.then_some(next);
            if !gap && (known as i64) < end - first || upto.is_some_and(|upto| snapshot.version >= upto) {
                return Ok(snapshot);
            }
        }
    }

    async fn load_beginning(&self) -> Result<Option<Snapshot>, LakeError> {
        match self.commit(0).await? {
            Some(commit) => Snapshot::first(&self.table, 0, commit, false).map(Some),
            None => Ok(None),
        }
    }

    async fn load_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Snapshot, LakeError> {
        let (content, commit) =
            futures::try_join!(self.read_checkpoint(checkpoint, &COLUMNS), self.commit(checkpoint.version))?;
        let mut snapshot = Snapshot::first(&self.table, checkpoint.version, content, true)?;
        let committed_at = commit.and_then(|commit| commit.info.committed_at());
        let newest_file = || snapshot.files.values().map(|file| file.modified_ms).max().unwrap_or_default();
        snapshot.committed_at =
            committed_at.or_else(|| DateTime::from_timestamp_millis(newest_file())).unwrap_or_default();
        super::protocol::check(&self.table, &snapshot.protocol, &snapshot.metadata)?;
        Ok(snapshot)
    }

    /// What `_last_checkpoint` names. A damaged one is as good as none.
    async fn hint(&self) -> Result<Option<Checkpoint>, LakeError> {
        let path = self.store.at(&format!("{LOG}/_last_checkpoint"));
        let Some(bytes) = self.store.get_if_there(&path).await? else { return Ok(None) };
        let hint = serde_json::from_slice::<Hint>(&bytes).ok().filter(|hint| hint.v2_checkpoint.is_none());
        Ok(hint.map(|hint| {
            let name = match hint.parts {
                None => vec![format!("{LOG}/{:020}.checkpoint.parquet", hint.version)],
                Some(parts) => (1..=parts)
                    .map(|part| {
                        format!("{LOG}/{:020}.checkpoint.{part:010}.{parts:010}.parquet", hint.version)
                    })
                    .collect(),
            };
            Checkpoint { version: hint.version, parts: name.iter().map(|name| self.store.at(name)).collect() }
        }))
    }

    /// The newest whole checkpoint up to this version that the log folder has.
    async fn listed(&self, upto: i64) -> Result<Option<Checkpoint>, LakeError> {
        let mut found: Vec<(i64, u32, Path)> = Vec::new();
        for object in self.store.list(&self.store.at(LOG)).await? {
            let Some((version, parts)) = object.location.filename().and_then(checkpoint_name) else {
                continue;
            };
            if version <= upto {
                found.push((version, parts, object.location));
            }
        }
        found.sort();
        let mut whole = found
            .chunk_by(|one, other| (one.0, one.1) == (other.0, other.1))
            .filter(|group| group.len() == group[0].1 as usize);
        Ok(whole.next_back().map(|group| Checkpoint {
            version: group[0].0,
            parts: group.iter().map(|(_, _, path)| path.clone()).collect(),
        }))
    }

    async fn read_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        columns: &'static [&'static str],
    ) -> Result<Commit, LakeError> {
        let mut whole = Commit::default();
        for path in &checkpoint.parts {
            let bytes = self.store.get(path).await?;
            let shown = self.store.shown(path);
            let part = tokio::task::spawn_blocking(move || decode_checkpoint(&shown, bytes, columns)).await;
            let part = part.map_err(|error| LakeError::Internal {
                action: "reading the checkpoint of",
                place: self.table.to_string(),
                reason: error.to_string(),
            })??;
            whole.extend(part);
        }
        Ok(whole)
    }

    fn parse(&self, version: i64, bytes: &[u8]) -> Result<Commit, LakeError> {
        Commit::parse(bytes).map_err(|error| LakeError::Corrupt {
            path: self.store.shown(&self.store.at(&commit_path(version))),
            reason: format!("not a commit of a Delta table: {error}"),
        })
    }

    fn no_version(&self, version: i64) -> LakeError {
        LakeError::NotFound { what: format!("version {version}"), place: self.table.to_string() }
    }
}

/// The version and the number of parts of a checkpoint, from the name of one of its files.
fn checkpoint_name(name: &str) -> Option<(i64, u32)> {
    let (version, rest) = name.strip_suffix(".parquet")?.split_once(".checkpoint")?;
    let version = version.parse().ok()?;
    match rest.strip_prefix('.') {
        None => rest.is_empty().then_some((version, 1)),
        Some(parts) => parts.split_once('.').and_then(|(_, all)| Some((version, all.parse().ok()?))),
    }
}

/// A checkpoint's rows are the same actions as a commit's lines, in columns; as lines they are read by the same code.
fn decode_checkpoint(shown: &str, bytes: Bytes, columns: &[&str]) -> Result<Commit, LakeError> {
    let damaged = |error| from_parquet("reading", shown.to_owned(), &error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damaged)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let reader = builder.with_projection(mask).build().map_err(damaged)?;
    let mut whole = Commit::default();
    for batch in reader {
        let broken = |error| from_arrow("reading", shown.to_owned(), &error);
        let batch = batch.map_err(broken)?;
        let mut writer = WriterBuilder::new().build::<_, LineDelimited>(Vec::new());
        writer.write(&batch).map_err(broken)?;
        writer.finish().map_err(broken)?;
        let part = Commit::parse(&writer.into_inner())
            .map_err(|error| LakeError::Corrupt { path: shown.to_owned(), reason: error.to_string() })?;
        whole.extend(part);
    }
    Ok(whole)
}
