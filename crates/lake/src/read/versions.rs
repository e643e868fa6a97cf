//! The rows of all versions of a table since some time, each row with the stretch of time in which it was there.
//!
//! A file is there from the commit that added it to the one that removed it, so the rows at any time are those of the
//! files whose stretch has that time. Rows that a rewrite moves to another file are in both, one behind the other.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use chrono::{DateTime, Utc};
use datafusion::scalar::ScalarValue;

use super::provider::FilesTable;
use super::version_at;
use crate::delta::snapshot::{Snapshot, file_ref};
use crate::table::Shared;
use crate::{FileRef, LakeError, VACUUM_KEEP, VALID_FROM, VALID_TO};

/// Commits that are read together.
const CHUNK: i64 = 32;

/// The columns of such rows: those of the table, and the stretch.
pub(crate) fn columns(schema: &SchemaRef) -> SchemaRef {
    let instant = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.extend([VALID_FROM, VALID_TO].map(|name| Arc::new(Field::new(name, instant(), false))));
    Arc::new(Schema::new(fields))
}

/// The rows that were there at some time between `since` (or the oldest version that is kept) and the version `upto`.
/// Rows that were there at `since` already, and at the oldest version when older ones are no longer kept, have been there
/// for ever as far as this tells. Reads one small file for each commit since then, and the log up to the first of them.
pub(crate) async fn versions(
    table: &Shared,
    since: Option<DateTime<Utc>>,
    upto: i64,
) -> Result<FilesTable, LakeError> {
    let newest = table.newest().await?.ok_or_else(|| table.no_table())?;
    let last = if newest.version == upto { newest } else { Arc::new(table.log.at(upto).await?) };
    let base = base(table, &last, since).await?;
    let mut stretches = Stretches::new(&last);
    let mut next = match &base {
        Some(base) => {
            stretches.add_all(base)?;
            base.version + 1
        }
        None => 0,
    };
    while next <= upto {
        let end = (next + CHUNK).min(upto + 1);
        for (commit, version) in table.log.commits(next..end).await?.into_iter().zip(next..end) {
            let gone =
                || LakeError::NotFound { what: format!("version {version}"), place: table.name.to_string() };
            let commit = commit.ok_or_else(gone)?;
            stretches.at =
                commit.info.committed_at().map_or(stretches.at, |at| at.timestamp_micros()).max(stretches.at);
            for remove in &commit.removes {
                stretches.remove(&remove.path);
            }
            for add in &commit.adds {
                let file = file_ref(&last.table, add, last.partition_columns(), &last.schema)?;
                stretches.add(&add.path, &Arc::new(file), stretches.at);
            }
        }
        next = end;
    }
    let mut partition_columns = last.partition_columns().to_vec();
    partition_columns.extend([VALID_FROM, VALID_TO].map(str::to_owned));
    let mut files = stretches.over;
    files.extend(stretches.open.into_values().map(|(file, from)| with_stretch(&file, from, i64::MAX)));
    files.sort_by(|one, other| (one.modified_ms, &one.path).cmp(&(other.modified_ms, &other.path)));
    Ok(FilesTable {
        store: table.store.clone(),
        url: table.lake.store_url.clone(),
        schema: columns(&last.schema),
        partition_columns,
        files,
        table: Arc::clone(&table.name),
        elsewhere: None,
    })
}

/// The version at a time; none when the table came to be after it. Files that were removed longer ago than `vacuum` keeps
/// them are gone, so no earlier version is begun with.
async fn base(
    table: &Shared,
    last: &Snapshot,
    since: Option<DateTime<Utc>>,
) -> Result<Option<Snapshot>, LakeError> {
    let keep = chrono::Duration::from_std(VACUUM_KEEP).unwrap_or(chrono::Duration::MAX);
    let kept_since = table.lake.settings.clock.now() - keep;
    let since = since.map_or(kept_since, |since| since.max(kept_since));
    let first = table.log.commit(0).await?.and_then(|commit| commit.info.committed_at());
    if first.is_some_and(|first| first > since) {
        return Ok(None);
    }
    match version_at(table, last, since).await {
        Ok(version) => return table.log.at(version).await.map(Some),
        Err(LakeError::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    // The log is cut off at some later version.
    let (mut low, mut high) = (0, last.version);
    while low < high {
        let middle = low + (high - low) / 2;
        match table.log.commit(middle).await? {
            Some(_) => high = middle,
            None => low = middle + 1,
        }
    }
    table.log.at(high).await.map(Some)
}

/// Files and the stretches of time in which they are there.
struct Stretches<'a> {
    last: &'a Snapshot,
    /// The time of the commit that is looked at, microseconds.
    at: i64,
    open: HashMap<String, (Arc<FileRef>, i64)>,
    over: Vec<Arc<FileRef>>,
}

impl<'a> Stretches<'a> {
    fn new(last: &'a Snapshot) -> Self {
        Self { last, at: i64::MIN, open: HashMap::new(), over: Vec::new() }
    }

    fn add_all(&mut self, base: &Snapshot) -> Result<(), LakeError> {
        if base.partition_columns() != self.last.partition_columns() {
            let reason = "the table was split in another way at the time that is asked for";
            return Err(LakeError::Input { table: self.last.table.to_string(), reason: reason.into() });
        }
        self.at = base.committed_at.timestamp_micros();
        for (path, file) in base.files.iter() {
            self.add(path, file, i64::MIN);
        }
        Ok(())
    }

    fn add(&mut self, path: &str, file: &Arc<FileRef>, from: i64) {
        self.open.insert(path.to_owned(), (Arc::clone(file), from));
    }

    fn remove(&mut self, path: &str) {
        if let Some((file, from)) = self.open.remove(path) {
            self.over.push(with_stretch(&file, from, self.at));
        }
    }
}

fn with_stretch(file: &FileRef, from: i64, to: i64) -> Arc<FileRef> {
    let mut file = file.clone();
    let instant = |micros: i64| ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into()));
    file.partition.0.push((VALID_FROM.to_owned(), instant(from)));
    file.partition.0.push((VALID_TO.to_owned(), instant(to)));
    Arc::new(file)
}
