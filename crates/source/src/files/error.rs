//! Why files cannot be read.

use flowline_base::{Classify, ErrorKind};
use flowline_lake::LakeError;

/// Why a folder or a file of it cannot be read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// The pattern is no glob.
    #[error("`{pattern}` is not a pattern of paths: {reason}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] LakeError),
    /// The file is not what it should be.
    #[error("`{path}` cannot be read: {reason}")]
    Unreadable {
        /// Its path below the folder.
        path: String,
        /// What is wrong with it, and what to do.
        reason: String,
    },
}

impl Classify for FileError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Pattern { .. } | Self::Unreadable { .. } => ErrorKind::Input,
            Self::Storage(error) => error.kind(),
        }
    }
}
