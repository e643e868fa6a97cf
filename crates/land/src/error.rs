//! What can go wrong with landing.

use flowline_base::{Classify, ErrorKind};
use flowline_kafka::KafkaError;
use flowline_lake::LakeError;
use flowline_ledger::LedgerError;
use flowline_log::LogError;
use flowline_model::{CheckResult, DatasetName};
use flowline_quality::RuleError;
use flowline_registry::SchemaError;
use flowline_source::files::FileError;

/// Why a contract cannot be held against records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// A column cannot be read as declared.
    #[error("column `{column}` cannot be read: {message}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it, and what to do.
        message: String,
    },
    /// A check cannot be used.
    #[error(transparent)]
    Rule(#[from] RuleError),
}

impl ContractError {
    /// The column concerned.
    pub fn column(&self) -> &str {
        match self {
            Self::Column { column, .. } => column,
            Self::Rule(rule) => &rule.column,
        }
    }
}

impl Classify for ContractError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// Why a landing stopped. A bad record is never among these: it is quarantined.
#[derive(Debug, thiserror::Error)]
pub enum LandError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The topic of a source cannot be read, or its group not be joined.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    /// The table or a source's files cannot be read or written.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The folder of a source cannot be used or read.
    #[error(transparent)]
    Files(#[from] FileError),
    /// The run cannot be recorded.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The schemas of records cannot be asked for now.
    #[error(transparent)]
    Schemas(#[from] SchemaError),
    /// The contract cannot be applied.
    #[error("the contract of `{dataset}` cannot be applied: {reason}")]
    Contract {
        /// Whose.
        dataset: DatasetName,
        /// What is wrong with it.
        reason: String,
    },
    /// A check keeps the records from being committed.
    #[error(
        "check `{}` of `{}` blocks the landing, so that the last good version stays: {}; mend the producer or the check",
        result.check, result.dataset, result.message
    )]
    Blocked {
        /// What the check says.
        result: Box<CheckResult>,
    },
    /// The log ends before the position that the table has reached: it is not the log that the table was landed from.
    #[error(
        "the log `{partition}` ends at offset {end}, but its dataset has landed up to {landed}: restore the log, or \
         declare a new dataset; records appended now would be taken for landed ones"
    )]
    LogReplaced {
        /// The partition of the log.
        partition: String,
        /// Where the log ends.
        end: u64,
        /// What the table has.
        landed: u64,
    },
    /// The dataset does not land from this kind of source.
    #[error("`{dataset}` does not land from {expected}: its origin is {found}")]
    Origin {
        /// The dataset.
        dataset: DatasetName,
        /// What this lander lands from.
        expected: &'static str,
        /// The kind of its origin.
        found: &'static str,
    },
    /// Records drift, and the dataset says that nothing is landed then.
    #[error(
        "landing of `{dataset}` is held up at {position}, as its `on_drift` says: {message}; nothing is lost: change \
         the contract, or `on_drift`, and deploy"
    )]
    Drift {
        /// Whose.
        dataset: DatasetName,
        /// Where it begins.
        position: String,
        /// What was found.
        message: String,
    },
    /// Landing holds the table and does not come to an end.
    #[error(
        "`{dataset}` is being landed and its commits do not get through: mend that first, then replay again"
    )]
    Busy {
        /// Whose.
        dataset: DatasetName,
    },
    /// What to replay cannot be selected like this.
    #[error("{reason}")]
    Selection {
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
            Self::Kafka(error) => error.kind(),
            Self::Lake(error) => error.kind(),
            Self::Files(error) => error.kind(),
            Self::Ledger(error) => error.kind(),
            Self::Contract { .. }
            | Self::Origin { .. }
            | Self::Selection { .. }
            | Self::Drift { .. }
            | Self::Blocked { .. } => ErrorKind::Input,
            Self::Schemas(error) => error.kind(),
            Self::LogReplaced { .. } => ErrorKind::Corrupt,
            Self::Busy { .. } => ErrorKind::Overloaded,
            Self::Internal { .. } => ErrorKind::Internal,
        }
    }
}
