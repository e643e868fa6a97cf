//! Quarantined records, held against the contract as it is now.

use flowline_model::{Dataset, Run};

use crate::{LandContext, LandError};

/// Which quarantined records to replay; all when it says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySelection {
    /// Only those rejected for this reason (`missing`, `wrong-type`, `failed-rule`, `unparsable`).
    pub reason: Option<String>,
    /// Only those in which this column was at fault.
    pub column: Option<String>,
}

/// Lands quarantined records again. Those that fit now go to the table and out of the quarantine, in this order; the
/// others stay where they are.
pub async fn replay_quarantine(
    _context: &LandContext,
    _dataset: &Dataset,
    _selection: &ReplaySelection,
) -> Result<Run, LandError> {
    Err(LandError::Internal { reason: "replay is not built yet".to_owned() })
}
