//! What a lander is given.

use std::sync::Arc;

use flowline_base::SharedClock;
use flowline_lake::Lake;
use flowline_ledger::Ledger;
use flowline_log::EventLog;

/// What a lander reads from and writes to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LandContext {
    /// Where posted records wait.
    pub log: Arc<dyn EventLog>,
    /// Where tables are.
    pub lake: Lake,
    /// Where runs are recorded.
    pub ledger: Arc<dyn Ledger>,
    /// The clock.
    pub clock: SharedClock,
}
