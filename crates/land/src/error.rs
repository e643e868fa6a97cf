//! What can go wrong with landing.

use flowline_base::{Classify, ErrorKind};
use flowline_lake::LakeError;
use flowline_ledger::LedgerError;
use flowline_log::LogError;
use flowline_model::DatasetName;

/// Why a landing stopped. A bad record is never among these: it is quarantined.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The table or a source's files cannot be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The run cannot be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The contract cannot be applied.
    #[error("the contract of `{dataset}` cannot be applied: {reason}")]
    Contract {
        /// Whose.
        dataset: DatasetName,
        /// What is wrong with it.
        reason: String,
    },
    /// A defect of Flowline.
    #[error("landing failed inside: {reason}")]
    Internal {
        /// What does not hold.
        reason: String,
    },
}

impl Classify for LandError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Log(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Contract { .. } => ErrorKind::Input,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }
}
