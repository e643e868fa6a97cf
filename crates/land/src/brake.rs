//! What holds landing back: a table downstream that cannot keep up.

use std::collections::BTreeMap;
use std::sync::Arc;

use flowline_model::{DatasetName, Held};
use tokio::sync::watch;

/// Which datasets are not landed now, and why. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub struct Brake {
    held: Arc<watch::Sender<BTreeMap<DatasetName, Held>>>,
}

impl Default for Brake {
    fn default() -> Self {
        Self { held: Arc::new(watch::channel(BTreeMap::new()).0) }
    }
}

impl Brake {
    /// Holds these datasets, and no others from now on.
    pub fn hold(&self, held: BTreeMap<DatasetName, Held>) {
        self.held.send_if_modified(|now| {
            let changed = *now != held;
            *now = held;
            changed
        });
    }

    /// What is held now.
    pub fn held(&self) -> BTreeMap<DatasetName, Held> {
        self.held.borrow().clone()
    }

    /// Whether this dataset is held.
    pub(crate) fn holds(&self, dataset: &DatasetName) -> bool {
        self.held.borrow().contains_key(dataset)
    }

    /// Waits until this dataset is held where it was not, or is not any more where it was.
    pub(crate) async fn turned(&self, dataset: &DatasetName, before: bool) {
        let mut held = self.held.subscribe();
        // The sender is ours as well, so that it is there for as long as we are.
        let _ = held.wait_for(|held| held.contains_key(dataset) != before).await;
    }
}
