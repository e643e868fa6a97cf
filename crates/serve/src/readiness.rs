//! Whether the node is ready to be sent work, and why not.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// A flag that several parts of the node hold down until each is ready. Cheap to clone; clones share the flag.
///
/// A node is ready when no part has a reason against it: a part that never says anything is not waited for.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    reasons: Arc<RwLock<BTreeMap<String, String>>>,
}

impl Readiness {
    /// A flag that nobody holds down.
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `part` is not ready, and why; replaces what it said before.
    pub fn not_ready(&self, part: &str, reason: impl Into<String>) {
        self.write().insert(part.to_owned(), reason.into());
    }

    /// Says that `part` is ready.
    pub fn ready(&self, part: &str) {
        self.write().remove(part);
    }

    /// `(part, reason)` of each part that is not ready, by part; empty when the node is ready.
    pub fn reasons(&self) -> Vec<(String, String)> {
        let reasons = self.reasons.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        reasons.iter().map(|(part, reason)| (part.clone(), reason.clone())).collect()
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<String, String>> {
        self.reasons.write().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
