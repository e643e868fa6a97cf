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
    /// The database does not let us in.
    #[error("the ledger {place} refuses access: {reason}")]
    Denied {
        /// The URL without its password, or what was being done.
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
    /// The storage below the database is full.
    #[error("{action} failed, the ledger's storage is full: {reason}")]
    Full {
        /// What was being done.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// The database is damaged.
    #[error(
        "{action} failed, the ledger is damaged: {reason}; restore it or let it be completed from the tables"
    )]
    Damaged {
        /// What was being done.
        action: &'static str,
        /// What does not hold.
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
            Self::Denied { .. } => ErrorKind::Denied,
            Self::Full { .. } => ErrorKind::StorageFull,
            Self::Damaged { .. } | Self::Stored { .. } => ErrorKind::Corrupt,
            Self::Statement { .. } => ErrorKind::Internal,
        }
    }
}
