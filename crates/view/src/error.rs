//! What can go wrong with a system table.

use flowline_base::{Classify, ErrorKind};
use flowline_ledger::LedgerError;

/// What went wrong with a system table.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The ledger could not be read.
    #[error("the ledger could not be read")]
    Ledger(#[from] LedgerError),
    /// Rows and columns do not fit each other.
    #[error("rows of a system table cannot be read: {reason}")]
    Rows {
        /// What does not fit.
        reason: String,
    },
}

impl ViewError {
    pub(crate) fn rows(error: impl std::fmt::Display) -> Self {
        Self::Rows { reason: error.to_string() }
    }
}

impl Classify for ViewError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Ledger(error) => error.kind(),
            Self::Rows { .. } => ErrorKind::Internal,
        }
    }
}
