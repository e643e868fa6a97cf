//! What can go wrong with the ledger.

use flowline_base::{Classify, ErrorKind};

/// What went wrong with the ledger. No variant ever holds the password of its URL.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The URL is of no database that is known.
    #[error("`{scheme}` is not a ledger: use sqlite:///path or postgres://…")]
    Scheme {
        /// The scheme of the URL.
        scheme: String,
    },
    /// The database cannot be reached or opened.
    #[error("the ledger {place} cannot be opened: {reason}")]
    Open {
        /// The URL without its password.
        place: String,
        /// Why not.
        reason: String,
    },
    /// The database was written by a newer Flowline.
    #[error("the ledger {place} was written by a newer Flowline: {reason}")]
    Newer {
        /// The URL without its password.
        place: String,
        /// What is unknown.
        reason: String,
    },
    /// A statement failed for a reason that may pass (connection lost, busy, serialization).
    #[error("{action} failed for now: {reason}")]
    Transient {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// A statement failed.
    #[error("{action} failed: {reason}")]
    Statement {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// A stored fact cannot be read back.
    #[error("a stored {what} cannot be read: {reason}")]
    Stored {
        /// What kind of fact.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Classify for LedgerError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Scheme { .. } | Self::Newer { .. } => ErrorKind::Input,
            Self::Open { .. } | Self::Transient { .. } => ErrorKind::Transient,
            Self::Statement { .. } => ErrorKind::Internal,
            Self::Stored { .. } => ErrorKind::Corrupt,
        }
    }
}
