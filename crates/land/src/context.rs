//! What a lander is given.

use std::sync::Arc;

use flowline_base::SharedClock;
use flowline_lake::Lake;
use flowline_ledger::Ledger;
use flowline_log::EventLog;

use crate::{Brake, KeptRows};

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
    /// The name of the node over restarts, by which consumer groups know it again; none for who comes once.
    pub node: Option<Arc<str>>,
    /// What is not to be landed now.
    pub brake: Brake,
    /// The rows that stay in the log, as this process reads them.
    pub kept: KeptRows,
}
