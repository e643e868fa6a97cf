//! The upkeep of a table's log and folder: checkpoints, cleanup of old commits, vacuum.
//!
//! Checkpoints and cleanup follow commits without any commit waiting for them. They come every twenty commits, but
//! never take more than a fiftieth of the time: on a table so large or so old that a checkpoint is slow, there are more
//! commits between two.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deltalake_core::DeltaTable;
use deltalake_core::logstore::{LogStoreRef, ObjectStoreRef, StorageConfig, default_logstore};
use deltalake_core::protocol::checkpoints;
use object_store::prefix::PrefixStore;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::task::JoinHandle;
use url::Url;

use crate::LakeError;
use crate::delta::actions::LOG;
use crate::delta::protocol;
use crate::table::Shared;

/// Commits between two checkpoints.
const CHECKPOINT_EVERY: i64 = 20;
/// So many times as long as a checkpoint took passes before the next.
const REST: u32 = 50;
/// After a checkpoint failed, the next attempt waits so long.
const REST_AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Old commits are looked for so often: it lists the whole log.
const CLEANUP_EVERY: Duration = Duration::from_secs(3600);
/// The least that `vacuum` keeps.
const VACUUM_KEEP_MIN: Duration = Duration::from_secs(3600);

/// How the upkeep of a table stands.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    state: Mutex<State>,
    under_way: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    /// The version of the newest checkpoint, −1 when there is none.
    checkpoint: i64,
    running: bool,
    not_before: Option<Instant>,
    cleaned: Option<Instant>,
}

impl Default for State {
    fn default() -> Self {
        Self { checkpoint: -1, running: false, not_before: None, cleaned: None }
    }
}

impl Upkeep {
    /// The table was loaded from this checkpoint.
    pub(crate) fn loaded(&self, checkpoint: Option<i64>) {
        let mut state = self.state.lock();
        state.checkpoint = state.checkpoint.max(checkpoint.unwrap_or(-1));
    }

    /// Waits for what is under way.
    pub(crate) async fn settle(&self) {
        let under_way = self.under_way.lock().take();
        if let Some(under_way) = under_way {
            // A panic in it was logged where it happened and harms nothing here.
            let _ = under_way.await;
        }
    }

    fn start(&self, version: i64, now: Instant) -> bool {
        let mut state = self.state.lock();
        let rested = state.not_before.is_none_or(|not_before| now >= not_before);
        let due = version - state.checkpoint >= CHECKPOINT_EVERY && rested && !state.running;
        state.running |= due;
        due
    }
}

/// Starts a checkpoint beside the commits when one is due.
pub(crate) fn after_commit(table: &Arc<Shared>, version: i64) {
    let clock = Arc::clone(&table.lake.settings.clock);
    if !table.upkeep.start(version, clock.instant()) {
        return;
    }
    let shared = Arc::clone(table);
    let work = async move {
        let started = clock.instant();
        let result = checkpoint(&shared, version).await;
        let took = clock.instant().saturating_duration_since(started);
        metrics::histogram!("flowline_lake_checkpoint_seconds", shared.labels().iter())
            .record(took.as_secs_f64());
        let cleanup = {
            let mut state = shared.upkeep.state.lock();
            match &result {
                Ok(()) => state.checkpoint = state.checkpoint.max(version),
                Err(error) => {
                    tracing::warn!(table = %shared.name, version, error = %flowline_base::chain(error), "a checkpoint failed; the table is whole, opening it takes longer")
                }
            }
            let rest = if result.is_ok() { took * REST } else { REST_AFTER_FAILURE };
            state.not_before = Some(clock.instant() + rest);
            let due =
                state.cleaned.is_none_or(|at| clock.instant().saturating_duration_since(at) >= CLEANUP_EVERY);
            if result.is_ok() && due {
                state.cleaned = Some(clock.instant());
            }
            result.is_ok() && due
        };
        if cleanup && let Err(error) = clean_log(&shared, version).await {
            tracing::warn!(table = %shared.name, error = %flowline_base::chain(&error), "old commits could not be deleted");
        }
        shared.upkeep.state.lock().running = false;
    };
    // tidy: allow(spawn): it ends by itself, nothing waits for it, and a commit must not
    *table.upkeep.under_way.lock() = Some(tokio::spawn(work));
}

async fn checkpoint(table: &Shared, version: i64) -> Result<(), LakeError> {
    let fails = |error: deltalake_core::DeltaTableError| LakeError::Internal {
        action: "writing a checkpoint of",
        place: table.name.to_string(),
        reason: flowline_base::chain(&error),
    };
    let mut delta = DeltaTable::new(log_store(table)?);
    delta.load_version(u64::try_from(version).unwrap_or_default()).await.map_err(fails)?;
    checkpoints::create_checkpoint(&delta, None).await.map_err(fails)
}

/// Deletes commits and checkpoints that are older than the log is kept and that no kept version needs.
async fn clean_log(table: &Shared, version: i64) -> Result<(), LakeError> {
    let snapshot = table.some_version().await?;
    let Some(kept) = protocol::log_retention(&snapshot.metadata) else { return Ok(()) };
    let now = table.lake.settings.clock.now().timestamp_millis();
    let cutoff = now.saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let log_store = log_store(table)?;
    let version = u64::try_from(version).unwrap_or_default();
    let deleted = checkpoints::cleanup_expired_logs_for(version, log_store.as_ref(), cutoff, None).await;
    let deleted = deleted.map_err(|error| LakeError::Internal {
        action: "deleting old commits of",
        place: table.name.to_string(),
        reason: flowline_base::chain(&error),
    })?;
    if deleted > 0 {
        tracing::info!(table = %table.name, deleted, "old commits were deleted");
    }
    Ok(())
}

/// The table as `deltalake_core` sees it: the whole of a store of its own, so that no name of a folder above it has to
/// find its way through a URL.
fn log_store(table: &Shared) -> Result<LogStoreRef, LakeError> {
    // The scheme says whether a listing comes in order; on a file system it does not.
    let url = if table.store.url().scheme() == "file" { "file:///" } else { "s3://flowline/" };
    let url = Url::parse(url).map_err(|error| LakeError::Internal {
        action: "addressing",
        place: table.name.to_string(),
        reason: error.to_string(),
    })?;
    let objects: ObjectStoreRef =
        Arc::new(PrefixStore::new(Arc::clone(table.store.objects()), table.store.folder().clone()));
    Ok(default_logstore(Arc::clone(&objects), objects, &url, &StorageConfig::default()))
}

/// Deletes files that no kept version needs.
pub(crate) async fn vacuum(table: &Shared, keep: Duration) -> Result<u64, LakeError> {
    if keep < VACUUM_KEEP_MIN {
        return Err(table.input_error(format!(
            "vacuum keeps an hour at least, not {keep:?}: files of writers that are at work would be lost"
        )));
    }
    let now = table.lake.settings.clock.now();
    let since = now - chrono::Duration::from_std(keep).unwrap_or(chrono::Duration::MAX);
    // Listed before the log is read: a file that a commit takes up in between is then in the log that is read.
    let found = table.store.list(table.store.folder()).await?;
    let snapshot = table.newest().await?.ok_or_else(|| table.no_table())?;
    let removes = table.log.removes_since(&snapshot, since.timestamp_millis()).await?;
    let mut needed: HashSet<String> = snapshot.files.values().map(|file| file.path.clone()).collect();
    needed.extend(
        removes.iter().map(|remove| percent_decode_str(&remove.path).decode_utf8_lossy().into_owned()),
    );
    let mut unneeded = Vec::new();
    for object in found {
        let Some(parts) = object.location.prefix_match(table.store.folder()) else { continue };
        let path = parts.map(|part| part.as_ref().to_owned()).collect::<Vec<_>>().join("/");
        if object.last_modified < since && !hidden(&path) && !needed.contains(&path) {
            unneeded.push(object.location);
        }
    }
    let deleted = table.store.sweep(since).await? + table.store.delete(unneeded).await?;
    tracing::info!(table = %table.name, deleted, "files that no version needs were deleted");
    Ok(deleted)
}

/// The log, and what other tools keep beside the data; partition folders may start with `_` as well.
fn hidden(path: &str) -> bool {
    path.starts_with(LOG)
        || path.split('/').any(|part| part.starts_with('.') || part.starts_with('_') && !part.contains('='))
}
