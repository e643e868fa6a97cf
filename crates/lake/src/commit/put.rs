//! Writing a version of the log, and finding out what became of a write whose answer was lost.

use flowline_base::{Classify, Random, retry};

use super::info;
use crate::LakeError;
use crate::delta::actions::{Commit, commit_path};
use crate::store::PutNew;
use crate::table::Shared;

/// What became of a commit.
pub(crate) enum Put {
    /// It is in the log: this commit, or an earlier attempt of the same run.
    Done(Box<Commit>),
    /// Another commit has this version.
    Lost,
}

/// Writes the commit as this version unless there is one. When the storage answers with an error, the log itself is
/// asked whether the write happened: a commit is never taken for lost, or written twice, because its answer was.
pub(crate) async fn put(table: &Shared, version: i64, commit: &Commit) -> Result<Put, LakeError> {
    let internal = |reason: String| LakeError::Internal {
        action: "committing to",
        place: table.name.to_string(),
        reason,
    };
    let bytes = commit.to_bytes().map_err(|error| internal(error.to_string()))?;
    let path = table.store.at(&commit_path(version));
    let (backoff, mut random) = (table.store.retry(), Random::unseeded());
    let mut attempt = 1;
    loop {
        let error = match table.store.put_new(&path, bytes.clone()).await {
            Ok(PutNew::Written) => return Ok(Put::Done(Box::new(commit.clone()))),
            Ok(PutNew::Exists) => None,
            Err(error) => Some(error),
        };
        // Should the log not answer either, the error of the write is what the caller gets: it cannot know more.
        let found = match (there(table, version).await, &error) {
            (Ok(found), _) => found,
            (Err(_), Some(error)) => return Err(error.clone()),
            (Err(unread), None) => return Err(unread),
        };
        match (found, error) {
            (Some(found), _) if same(&found, commit) => return Ok(Put::Done(Box::new(found))),
            (Some(_), _) => return Ok(Put::Lost),
            (None, Some(error)) if !error.kind().retryable() || attempt >= backoff.attempts_max => {
                return Err(error);
            }
            (None, None) if attempt >= backoff.attempts_max => {
                return Err(internal(format!("version {version} exists and cannot be read")));
            }
            (None, _) => {
                tokio::time::sleep(backoff.delay(attempt - 1, &mut random)).await;
                attempt += 1;
            }
        }
    }
}

/// The commit that has this version.
async fn there(table: &Shared, version: i64) -> Result<Option<Commit>, LakeError> {
    retry(table.store.retry(), |_| table.log.commit(version)).await
}

/// Whether a commit in the log is this one, or an earlier attempt of the same run.
fn same(found: &Commit, commit: &Commit) -> bool {
    let same_commit = found.info.txn_id.is_some() && found.info.txn_id == commit.info.txn_id;
    let run = commit.info.flowline.as_ref().and_then(info::run_of);
    same_commit || run.is_some() && found.info.run() == run && found.info.operation == commit.info.operation
}
