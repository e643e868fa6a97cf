//! Which batches a reader may see: no marks, and nothing of a transaction that was given up.

use std::collections::BTreeSet;

use super::RecordBatch;

/// See the module. Batches are shown to it in their order.
#[derive(Debug)]
pub struct Visible {
    /// Transactions that were given up and have not begun yet: offset of their first record and producer.
    ahead: BTreeSet<(i64, i64)>,
    /// Producers whose transaction is one of these here.
    inside: BTreeSet<i64>,
}

impl Visible {
    /// `aborted` says of the transactions that were given up who wrote them, and from which offset on.
    pub fn new(aborted: Vec<(i64, i64)>) -> Self {
        let ahead = aborted.into_iter().map(|(producer, first)| (first, producer)).collect();
        Self { ahead, inside: BTreeSet::new() }
    }

    /// Whether the batch holds records that a reader may see.
    pub fn shows(&mut self, batch: &RecordBatch) -> bool {
        while let Some((first, producer)) = self.ahead.first().copied() {
            if first > batch.last_offset {
                break;
            }
            self.ahead.pop_first();
            self.inside.insert(producer);
        }
        if batch.control() {
            if batch.aborts() {
                self.inside.remove(&batch.producer_id);
            }
            return false;
        }
        !(batch.transactional() && self.inside.contains(&batch.producer_id))
    }
}
