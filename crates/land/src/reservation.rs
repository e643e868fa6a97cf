//! Taking turns with others of this process that look for keys in the same table.

use std::time::{Duration, Instant};

use flowline_base::SharedClock;
use tokio::sync::OwnedMutexGuard;

use crate::tables::Tables;

/// The right to look for keys in a table and to write what depends on them. Whoever has written rows counts the number
/// up, so that the next one reads its keys again.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    held: Option<(OwnedMutexGuard<u64>, Instant)>,
    seen: u64,
}

impl Reservation {
    /// Reserves the table, waiting for as long as it takes. False when another has written keys since: they must be read
    /// again.
    pub(crate) async fn take(&mut self, tables: &Tables, clock: &SharedClock) -> bool {
        if self.held.is_none() {
            let guard = tables.data.reserve().await;
            self.held = Some((guard, clock.instant()));
        }
        let now = self.held.as_ref().map_or(self.seen, |(guard, _)| **guard);
        std::mem::replace(&mut self.seen, now) == now
    }

    /// For how long it is held.
    pub(crate) fn held_for(&self, clock: &SharedClock) -> Duration {
        let since =
            |(_, since): &(OwnedMutexGuard<u64>, Instant)| clock.instant().saturating_duration_since(*since);
        self.held.as_ref().map_or(Duration::ZERO, since)
    }

    /// Lets others in.
    pub(crate) fn give_back(&mut self) {
        self.held = None;
    }

    /// Lets others in and tells them that there are new keys.
    pub(crate) fn give_back_with_news(&mut self) {
        if let Some((mut guard, _)) = self.held.take() {
            *guard += 1;
            self.seen = *guard;
        }
    }
}
