//! A disk that fails when told to.

use std::sync::Arc;

use crate::{Disk, StdDisk};

/// `FLOWLINE_FAULTS` holds something that is not a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` in `FLOWLINE_FAULTS` is not a fault: {reason}")]
pub struct FaultError {
    /// What was written.
    pub entry: String,
    /// What is expected.
    pub reason: String,
}

/// The machine's disk, wrapped in what the `log.*` entries of `FLOWLINE_FAULTS` ask for.
pub fn disk_from_env() -> Result<Arc<dyn Disk>, FaultError> {
    Ok(Arc::new(StdDisk))
}
