//! What can go wrong with the lake.

use datafusion::error::DataFusionError;
use flowline_base::{Classify, ErrorKind};

/// What went wrong, on which table or path, and (through [`Classify`]) what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LakeError {
    /// A setting of the lake or of a source's location cannot be used.
    #[error("the storage settings cannot be used: {reason}")]
    Settings {
        /// What is wrong with them.
        reason: String,
    },
    /// A table, a version of it or a file does not exist.
    #[error("{what} does not exist in `{place}`")]
    NotFound {
        /// What was looked for.
        what: String,
        /// The table or the path.
        place: String,
    },
    /// The storage refuses the credentials or the permission.
    #[error(
        "{action} `{path}` was refused by the storage: {reason}; check the credentials and the permission on this path"
    )]
    Denied {
        /// What was tried (`writing`, `reading` …).
        action: &'static str,
        /// On what.
        path: String,
        /// The storage's own words.
        reason: String,
    },
    /// The storage is full.
    #[error("no space left for {action} `{path}`: {reason}; free some, nothing was committed")]
    StorageFull {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// The storage's own words.
        reason: String,
    },
    /// A passing fault: time-out, connection, throttling.
    #[error("{action} `{path}` failed for now: {reason}")]
    Transient {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// The storage's own words.
        reason: String,
    },
    /// Another commit changed what this one was based on; doing it again from the newest version may succeed.
    #[error("the commit to `{table}` lost against version {version}, which {reason}; do it again")]
    Conflict {
        /// The table.
        table: String,
        /// The version that won.
        version: i64,
        /// What it did.
        reason: String,
    },
    /// Stored bytes are not what was written, or are gone.
    #[error("`{path}` is damaged: {reason}")]
    Corrupt {
        /// The file.
        path: String,
        /// What does not hold.
        reason: String,
    },
    /// Rows that lie in no file cannot be read.
    #[error("the rows of `{table}` cannot be read: {reason}")]
    Unreadable {
        /// The table.
        table: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Another writer has committed in this writer's name.
    #[error("another writer has taken over `{app_id}` of `{table}`: {reason}; stop this one")]
    Fenced {
        /// The table.
        table: String,
        /// The application id of the transaction.
        app_id: String,
        /// What is committed and what was expected.
        reason: String,
    },
    /// Rows or columns do not fit the table.
    #[error("column `{column}` does not fit the table `{table}`: {reason}")]
    Schema {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// What was asked of the table cannot be done with this input.
    #[error("`{table}` cannot take this: {reason}")]
    Input {
        /// The table.
        table: String,
        /// Why not.
        reason: String,
    },
    /// The table uses something of Delta that Flowline does not know.
    #[error("the table `{table}` uses {feature}, which Flowline does not support; use a table without it")]
    Unsupported {
        /// The table.
        table: String,
        /// Which feature or property.
        feature: String,
    },
    /// A defect, or a part of the system below failed in a way nobody foresaw.
    #[error("{action} `{place}` failed: {reason}")]
    Internal {
        /// What was being done.
        action: &'static str,
        /// The table or the path.
        place: String,
        /// The chain of causes.
        reason: String,
    },
}

impl LakeError {
    /// The lake's part in the failure of a query over its tables: storage that refused or failed, a file that is gone
    /// or damaged. None when the query failed for another reason.
    pub fn in_query(error: &DataFusionError) -> Option<Self> {
        crate::store::in_query(error)
    }
}

impl Classify for LakeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings { .. }
            | Self::Schema { .. }
            | Self::Input { .. }
            | Self::Unreadable { .. }
            | Self::Unsupported { .. } => ErrorKind::Input,
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::StorageFull { .. } => ErrorKind::StorageFull,
            Self::Transient { .. } | Self::Conflict { .. } => ErrorKind::Transient,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }
}
