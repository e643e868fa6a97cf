//! Why a request is refused as a whole.

use flowline_base::{Classify, ErrorKind};

use crate::arrow_ipc::IpcError;
use crate::split::TooMany;

/// Why a request is refused as a whole. A single broken record never is a reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The body has no records that could be told apart (400).
    #[error("{0}")]
    Malformed(String),
    /// More than a limit allows (413).
    #[error("the body has {found} {what}, at most {limit} are taken at once; send it in parts")]
    TooLarge {
        /// `bytes`, `records`, `unpacked bytes`.
        what: &'static str,
        /// How many there are, or at least are.
        found: u64,
        /// How many are taken.
        limit: u64,
    },
    /// The media type is not understood (415).
    #[error("{0}")]
    UnsupportedMedia(String),
}

impl ReceiveError {
    /// The HTTP status that answers it.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::TooLarge { .. } => 413,
            Self::UnsupportedMedia(_) => 415,
        }
    }
}

impl Classify for ReceiveError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

impl From<TooMany> for ReceiveError {
    fn from(error: TooMany) -> Self {
        Self::TooLarge { what: "records", found: u64::from(error.limit) + 1, limit: u64::from(error.limit) }
    }
}

impl From<IpcError> for ReceiveError {
    fn from(error: IpcError) -> Self {
        match error {
            IpcError::Malformed(message) => Self::Malformed(message),
            IpcError::TooLarge { what, found, limit } => Self::TooLarge { what, found, limit },
        }
    }
}
