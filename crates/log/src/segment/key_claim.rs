//! The right to append with an idempotency key: one append at a time has it, the others wait for its answer.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::keys::{KeyHash, Known};
use super::partition::Partition;
use super::sealed::Sealed;
use super::state::State;

/// The right to append with a key. When it is dropped without an answer, those who wait try for themselves.
///
/// Dropping it takes the partition's lock: never drop one while holding that.
#[derive(Debug)]
pub(crate) struct KeyClaim {
    partition: Arc<Partition>,
    hash: KeyHash,
    answered: bool,
}

/// What became of the attempt to claim a key.
pub(crate) enum Claimed {
    /// It was appended before.
    Known(Known),
    /// It is being appended: the answer comes here, or nothing when that failed.
    Wait(oneshot::Receiver<Known>),
    /// It is ours, unless one of these segments holds it.
    Ours(KeyClaim, Arc<Vec<Arc<Sealed>>>),
}

impl KeyClaim {
    /// Tries to claim the key.
    pub(crate) fn claim(partition: &Arc<Partition>, hash: KeyHash) -> Claimed {
        let mut state = partition.state.lock();
        let State { active, claimed, sealed, .. } = &mut *state;
        if let Some(known) = active.as_ref().and_then(|active| active.keys.get(&hash)) {
            return Claimed::Known(*known);
        }
        if let Some(waiters) = claimed.get_mut(&hash) {
            let (answer, wait) = oneshot::channel();
            waiters.push(answer);
            return Claimed::Wait(wait);
        }
        claimed.insert(hash, Vec::new());
        Claimed::Ours(Self { partition: Arc::clone(partition), hash, answered: false }, Arc::clone(sealed))
    }

    pub(crate) fn hash(&self) -> KeyHash {
        self.hash
    }

    /// Says that those who waited for the key have been taken over by whoever answers them.
    pub(crate) fn answered(&mut self) {
        self.answered = true;
    }

    /// Answers those who wait with what was appended in earlier times.
    pub(crate) fn resolve(mut self, answer: Known) {
        self.answered = true;
        let waiters = self.partition.state.lock().claimed.remove(&self.hash).unwrap_or_default();
        for waiter in waiters {
            // One that does not wait any more needs no answer.
            let _ = waiter.send(answer);
        }
    }
}

impl Drop for KeyClaim {
    fn drop(&mut self) {
        if !self.answered {
            let waiters = self.partition.state.lock().claimed.remove(&self.hash);
            drop(waiters);
        }
    }
}
