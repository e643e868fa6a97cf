//! What a registry answers when it does not do what it is asked.

use flowline_base::{Classify, ErrorKind};
use flowline_ledger::LedgerError;

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The request cannot be done; the code is one that clients of schema registries know, its first three digits are
    /// the HTTP status.
    #[error("{message}")]
    Refused {
        /// The code.
        code: u32,
        /// The message, as those clients expect it.
        message: String,
    },
    /// The ledger did not answer.
    #[error("the registry's store does not answer: {0}")]
    Store(#[from] LedgerError),
    /// A stored change cannot be read.
    #[error("change {revision} of the registry cannot be read: {reason}; restore the ledger")]
    Damaged {
        /// Which.
        revision: i64,
        /// Why.
        reason: String,
    },
    /// Other writers were faster every time.
    #[error("too many changes are made to the registry at once; try again")]
    Contended,
}

impl RegistryError {
    /// The code that clients know.
    pub fn code(&self) -> u32 {
        match self {
            Self::Refused { code, .. } => *code,
            Self::Store(_) | Self::Damaged { .. } => 50001,
            Self::Contended => 50002,
        }
    }

    pub(crate) fn refused(code: u32, message: impl Into<String>) -> Self {
        Self::Refused { code, message: message.into() }
    }

    pub(crate) fn no_subject(subject: &str) -> Self {
        Self::refused(40401, format!("Subject '{subject}' not found."))
    }

    pub(crate) fn no_version(version: impl std::fmt::Display) -> Self {
        Self::refused(40402, format!("Version {version} not found."))
    }

    pub(crate) fn no_schema(id: u32) -> Self {
        Self::refused(40403, format!("Schema {id} not found"))
    }
}

impl Classify for RegistryError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { code, .. } if code / 100 == 404 => ErrorKind::NotFound,
            Self::Refused { .. } => ErrorKind::Input,
            Self::Store(error) => error.kind(),
            Self::Damaged { .. } => ErrorKind::Corrupt,
            Self::Contended => ErrorKind::Transient,
        }
    }
}
