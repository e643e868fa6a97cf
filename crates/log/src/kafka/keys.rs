//! The memory of idempotency keys: kept in a file, and kept up with what others append.
//!
//! A key is found when its batch was appended before the question, by whichever process. Two processes that are asked
//! to append the same key at the same moment may both do so: producers send a request again to the node that they
//! sent it to, or the dataset has a key of its own.
//!
//! The file saves a process that starts again from reading the topic. Where there is none, or where it is so old that
//! more was appended since, the last [`LOOK_BACK`] records of the partition are looked at and no more.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;

use flowline_kafka::records::batches;
use flowline_kafka::{OffsetAt, code};

use super::frames;
use super::keys_file::{self, Kept};
use super::partition::Partition;
use crate::LogError;
use crate::segment::keys::{KeyHash, Known};

/// At most so many keys of a partition are remembered (about 40 MB); the oldest are forgotten first.
pub(crate) const KEYS_MAX: usize = 1 << 19;
/// At most so many records are looked at before the first question is answered: a second or two.
const LOOK_BACK: u64 = 1 << 21;
/// Read at once while keys are looked for.
const READ_BYTES: usize = 4 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    known: HashMap<KeyHash, Known>,
    order: VecDeque<KeyHash>,
    /// Everything before it was looked at; none before the first question.
    looked_to: Option<u64>,
    /// What was looked at when the file was written.
    kept_to: Option<u64>,
}

impl Keys {
    pub(crate) fn get(&self, hash: KeyHash) -> Option<Known> {
        self.known.get(&hash).copied()
    }

    fn insert(&mut self, hash: KeyHash, known: Known) {
        if self.known.insert(hash, known).is_none() {
            self.order.push_back(hash);
        }
        while self.order.len() > KEYS_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    /// Takes in what was just appended by ourselves.
    pub(crate) fn appended(
        &mut self,
        first: u64,
        records: u32,
        keys: impl Iterator<Item = (KeyHash, Known)>,
    ) {
        keys.for_each(|(hash, known)| self.insert(hash, known));
        // Where others have appended in between, their batches are still to be looked at.
        if self.looked_to == Some(first) {
            self.looked_to = Some(first + u64::from(records));
        }
    }

    /// Looks at everything that was appended by others since the last time.
    pub(crate) async fn catch_up(&mut self, partition: &Partition) -> Result<(), LogError> {
        let end = partition.offset(OffsetAt::End).await?.unwrap_or(0);
        // What a key stands for may be gone.
        partition.verify_end(end).await?;
        let mut next = match self.looked_to {
            Some(looked_to) => looked_to,
            None => self.begin(partition, end).await?,
        };
        while next < end {
            let fetched = match partition.fetch(next, READ_BYTES).await {
                Err(LogError::Kafka { error, .. }) if error.code() == Some(code::OFFSET_OUT_OF_RANGE) => {
                    // Retention has taken what was to be looked at.
                    next = partition.offset(OffsetAt::Start).await?.unwrap_or(end).max(next + 1);
                    continue;
                }
                fetched => fetched?,
            };
            let found = batches(&fetched.batches).map_err(|(at, reason)| partition.damaged(at, reason))?;
            if found.is_empty() {
                break;
            }
            for batch in &found {
                // We write no transactions, so that a key in one is none of ours, and may be given up.
                if !batch.control() && !batch.transactional() {
                    let records =
                        batch.records().map_err(|reason| partition.damaged(batch.first_offset, reason))?;
                    for (key, known) in frames::keys(&records) {
                        self.insert(KeyHash::of(key), known);
                    }
                }
                // Behind the markers of somebody's transactions as well, which hold no records.
                next = next.max(u64::try_from(batch.last_offset).unwrap_or(0) + 1);
            }
        }
        self.looked_to = Some(next);
        Ok(())
    }

    /// Takes in the file, and says from which offset on the topic is to be looked at.
    async fn begin(&mut self, partition: &Partition, end: u64) -> Result<u64, LogError> {
        let start = partition.offset(OffsetAt::Start).await?.unwrap_or(0);
        let mut from = start;
        if let (Some(path), Some(topic)) = (path(partition), partition.shared.topic_id(&partition.id.source))
        {
            let read = tokio::task::spawn_blocking(move || keys_file::read(&path, topic));
            let kept = read.await.unwrap_or_default().filter(|kept| kept.looked_to <= end);
            if let Some(kept) = kept {
                from = from.max(kept.looked_to);
                self.kept_to = Some(kept.looked_to);
                let still_there = kept.keys.into_iter().filter(|(_, known)| known.first >= start);
                still_there.for_each(|(hash, known)| self.insert(hash, known));
            }
        }
        Ok(from.max(end.saturating_sub(LOOK_BACK)))
    }

    /// Writes the file, where something has changed since. Blocking, for some milliseconds.
    pub(crate) fn keep(&mut self, partition: &Partition) {
        let (Some(path), Some(topic)) = (path(partition), partition.shared.topic_id(&partition.id.source))
        else {
            return;
        };
        let Some(looked_to) = self.looked_to.filter(|looked_to| self.kept_to != Some(*looked_to)) else {
            return;
        };
        let keys = self.order.iter().filter_map(|hash| Some((*hash, *self.known.get(hash)?))).collect();
        match keys_file::write(&path, topic, &Kept { looked_to, keys }) {
            Ok(()) => self.kept_to = Some(looked_to),
            // Costs reading the topic again after a restart.
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "idempotency keys could not be kept in their file");
            }
        }
    }
}

fn path(partition: &Partition) -> Option<PathBuf> {
    let folder = partition.shared.keys_dir.as_ref()?;
    Some(folder.join(format!("{}-{}.keys", partition.topic, partition.id.partition)))
}
