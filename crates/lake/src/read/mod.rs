//! Tables as DataFusion reads them, at any version.

mod only;
mod provider;
mod prune;
mod reader;
mod versions;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::delta::snapshot::Snapshot;
use crate::table::Shared;
use crate::{FileRef, LakeError, ReadAt, TableRead};
pub(crate) use only::Only;
pub(crate) use provider::FilesTable;
pub(crate) use versions::{columns as columns_of_versions, versions};

/// These files of the table, with the columns that it has at this version.
pub(crate) fn files_table(table: &Shared, snapshot: &Snapshot, files: Vec<Arc<FileRef>>) -> FilesTable {
    FilesTable {
        store: table.store.clone(),
        url: table.lake.store_url.clone(),
        schema: Arc::clone(&snapshot.schema),
        partition_columns: snapshot.partition_columns().to_vec(),
        files,
        table: Arc::clone(&table.name),
        elsewhere: table.rows_elsewhere.read().clone(),
    }
}

/// These files, with these columns.
pub(crate) fn staged_table(
    table: &Shared,
    schema: SchemaRef,
    partition_columns: Vec<String>,
    files: Vec<Arc<FileRef>>,
) -> FilesTable {
    let (store, url) = (table.store.clone(), table.lake.store_url.clone());
    let elsewhere = None;
    FilesTable { store, url, schema, partition_columns, files, table: Arc::clone(&table.name), elsewhere }
}

/// The table at a version.
pub(crate) async fn read(table: &Shared, at: ReadAt) -> Result<TableRead, LakeError> {
    let newest = table.newest().await?.ok_or_else(|| table.no_table())?;
    let version = match at {
        ReadAt::Latest => newest.version,
        ReadAt::Version(version) => version,
        ReadAt::Time(time) => version_at(table, &newest, time).await?,
    };
    let snapshot = if version == newest.version { newest } else { Arc::new(table.log.at(version).await?) };
    let mut files = snapshot.files_in_order();
    files.extend(table.elsewhere(&snapshot).await?.into_iter().map(Arc::new));
    let provider = Arc::new(files_table(table, &snapshot, files));
    Ok(TableRead { provider, version: snapshot.version, committed_at: snapshot.committed_at })
}

/// The newest version that was committed at or before this time, found by halving: reads about as many commits as the
/// version number has bits.
async fn version_at(table: &Shared, newest: &Snapshot, time: DateTime<Utc>) -> Result<i64, LakeError> {
    if newest.committed_at <= time {
        return Ok(newest.version);
    }
    // Everything before `low` is at or before the time, or no longer kept; everything from `high` on is after it.
    let (mut low, mut high, mut found) = (0, newest.version, None);
    while low < high {
        let middle = low + (high - low) / 2;
        match table.log.commit(middle).await?.map(|commit| commit.info.committed_at()) {
            Some(Some(committed_at)) if committed_at <= time => {
                found = Some(middle);
                low = middle + 1;
            }
            Some(Some(_)) => high = middle,
            Some(None) | None => low = middle + 1,
        }
    }
    found.ok_or_else(|| LakeError::NotFound {
        what: format!("a version from {} or before", time.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        place: table.name.to_string(),
    })
}
