//! What can go wrong when SQL is run.

use std::time::Duration;

use datafusion::error::DataFusionError;
use flowline_base::{Classify, ErrorKind};
use flowline_lake::LakeError;
use flowline_ledger::LedgerError;
use flowline_model::DatasetName;

use crate::problem::{Fault, Place, SqlProblem};

/// What went wrong with a query or a run of a transform.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The SQL is wrong, at a place of its text.
    #[error("{message}")]
    Sql {
        /// What is wrong.
        message: String,
        /// What mends it.
        hint: Option<String>,
        /// Where in the text.
        place: Option<Place>,
    },
    /// The SQL of datasets of the project is wrong.
    #[error("{}", list(.0))]
    Project(Vec<SqlProblem>),
    /// The statement would change something.
    #[error("{0} is refused: queries only read; use one SELECT, EXPLAIN, SHOW or DESCRIBE")]
    NotReadOnly(String),
    /// `as of` cannot be applied to this query.
    #[error("{0}")]
    AsOf(String),
    /// There is no such hop.
    #[error("`{0}` is not written by SQL, so there is nothing to run")]
    NoHop(DatasetName),
    /// There is no such dataset.
    #[error("`{0}` is no dataset of this project")]
    NoDataset(DatasetName),
    /// A check keeps the rows from being committed.
    #[error(
        "check `{check}` of `{dataset}` blocks the commit, so that the last good version stays: {reason}"
    )]
    Blocked {
        /// The dataset.
        dataset: DatasetName,
        /// The check.
        check: String,
        /// What it says.
        reason: String,
    },
    /// A dataset holds no state that can be looked at.
    #[error("`{dataset}` holds no state to look at: {reason}")]
    NothingHeld {
        /// The dataset.
        dataset: DatasetName,
        /// Why not.
        reason: String,
    },
    /// What a table was computed from is no longer all there.
    #[error(transparent)]
    LetGo(Box<LetGo>),
    /// There is no such stream.
    #[error("`{0}` is no stream; only a dataset with `mode: stream` can be replayed")]
    NoStream(DatasetName),
    /// The time for it is over.
    #[error("given up after {0:?}; raise the timeout, or read less")]
    Timeout(Duration),
    /// Whoever asked for it no longer wants it.
    #[error("not wanted any more: its node was told to end, or its part went to another one")]
    Cancelled,
    /// The memory for queries is used up, and it cannot go to disk.
    #[error("out of memory for queries: {0}")]
    Memory(String),
    /// A stream's run needs more memory at once than it may hold, and cannot go to disk with it.
    #[error(
        "a run of `{dataset}` needs more than the {} that it may hold, for something that cannot go to disk: {reason}; {}",
        bytes_shown(*limit),
        what_to_raise(*declared)
    )]
    StateLimit {
        /// The dataset.
        dataset: DatasetName,
        /// What it may hold, bytes.
        limit: u64,
        /// The dataset declares it.
        declared: bool,
        /// What asked for more.
        reason: String,
    },
    /// The data does not fit the SQL (a cast that fails, a division by zero).
    #[error("the query failed on its data: {0}")]
    Data(String),
    /// Reading or writing tables failed.
    #[error("{action} failed")]
    Lake {
        /// What was being done, `committing `shop.orders``.
        action: String,
        /// Why.
        #[source]
        source: LakeError,
    },
    /// The ledger failed.
    #[error("the ledger failed")]
    Ledger(#[from] LedgerError),
    /// A stored fact that a run needs cannot be read.
    #[error("the state of `{dataset}` cannot be read: {reason}")]
    State {
        /// The dataset.
        dataset: DatasetName,
        /// What is wrong with it.
        reason: String,
    },
    /// Storage or the machine failed below the engine.
    #[error("the query could not be run for now: {0}")]
    Transient(String),
    /// The engine failed in a way that it should not.
    #[error("the query engine failed: {0}")]
    Engine(String),
}

fn bytes_shown(bytes: u64) -> String {
    match (bytes % (1 << 20), bytes % (1 << 10)) {
        (0, _) => format!("{}MiB", bytes >> 20),
        (_, 0) => format!("{}KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

fn what_to_raise(declared: bool) -> &'static str {
    match declared {
        true => {
            "raise `state.limit`, or compute something smaller, `approx_distinct(x)` for `count(distinct x)`"
        }
        false => {
            "raise `query_memory` of the environment, or compute something smaller, `approx_distinct(x)` for `count(distinct x)`"
        }
    }
}

fn list(problems: &[SqlProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

impl ProcessError {
    /// What would mend it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Sql { hint, .. } => hint.as_deref(),
            _ => None,
        }
    }

    /// Where in the SQL text, line and column from 1, where that is known.
    pub fn position(&self) -> Option<(u32, u32)> {
        match self {
            Self::Sql { place, .. } => place.map(|place| (place.line, place.column)),
            _ => None,
        }
    }

    pub(crate) fn lake(action: impl Into<String>) -> impl FnOnce(LakeError) -> Self {
        let action = action.into();
        move |source| Self::Lake { action, source }
    }
}

impl From<Fault> for ProcessError {
    fn from(fault: Fault) -> Self {
        Self::Sql { message: fault.message, hint: fault.hint, place: Some(fault.place) }
    }
}

impl From<DataFusionError> for ProcessError {
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => Self::from(*inner),
            DataFusionError::Collection(mut all) if !all.is_empty() => Self::from(all.swap_remove(0)),
            DataFusionError::External(inner) => match inner.downcast::<LakeError>() {
                Ok(source) => Self::Lake { action: "reading".to_owned(), source: *source },
                Err(inner) => match inner.downcast::<ProcessError>() {
                    Ok(own) => *own,
                    Err(other) => Self::Transient(other.to_string()),
                },
            },
            other => by_variant(&other),
        }
    }
}

fn by_variant(error: &DataFusionError) -> ProcessError {
    let message = words(error);
    match error {
        DataFusionError::Shared(inner) => by_variant(inner),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => by_variant(inner),
        DataFusionError::ResourcesExhausted(_) => ProcessError::Memory(message),
        DataFusionError::ArrowError(..) | DataFusionError::Execution(_) => ProcessError::Data(message),
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) | DataFusionError::ParquetError(_) => {
            ProcessError::Transient(message)
        }
        DataFusionError::SQL(..)
        | DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_) => ProcessError::Sql { message, hint: None, place: None },
        DataFusionError::External(inner) => ProcessError::Transient(inner.to_string()),
        _ => ProcessError::Engine(message),
    }
}

/// What a DataFusion error says, in one line, without the backtrace and the words for its variant.
pub(crate) fn words(error: &DataFusionError) -> String {
    let text: Vec<String> = stripped(error).split_whitespace().map(str::to_owned).collect();
    lower_first(&text.join(" "))
}

/// The first line of what a DataFusion error says: lists of candidates stand behind it.
pub(crate) fn first_line(error: &DataFusionError) -> String {
    let text = stripped(error);
    lower_first(text.lines().next().unwrap_or_default().trim().trim_end_matches('.'))
}

fn stripped(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut text = text.as_str();
    const PREFIXES: [&str; 8] = [
        "Error during planning: ",
        "Schema error: ",
        "SQL error: ",
        "Execution error: ",
        "Arrow error: ",
        "This feature is not implemented: ",
        "Resources exhausted: ",
        "type_coercion\ncaused by\n",
    ];
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)) {
        text = rest;
    }
    text.trim().trim_end_matches('.').to_owned()
}

/// The text with its first word in lower case, unless that is all capitals (`UNION`, `SELECT`).
pub(crate) fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    match (characters.next(), text.chars().nth(1)) {
        (Some(first), Some(second)) if !second.is_uppercase() => {
            first.to_lowercase().chain(characters).collect()
        }
        _ => text.to_owned(),
    }
}

/// See [`ProcessError::LetGo`].
#[derive(Debug, thiserror::Error)]
#[error(
    "`{dataset}` would be computed again ({why}), and the log of `{input}`, which keeps its rows, holds {holds}: what was \
     written of earlier records would be lost; give the query another name, under which it begins with what is there"
)]
pub struct LetGo {
    /// The dataset.
    pub dataset: DatasetName,
    /// Why it would be computed again.
    pub why: String,
    /// The input.
    pub input: DatasetName,
    /// What there is.
    pub holds: String,
}

impl Classify for ProcessError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Sql { .. }
            | Self::Project(_)
            | Self::AsOf(_)
            | Self::NothingHeld { .. }
            | Self::Data(_)
            | Self::Blocked { .. }
            | Self::StateLimit { declared: true, .. } => ErrorKind::Input,
            Self::NotReadOnly(_) => ErrorKind::Denied,
            Self::NoHop(_) | Self::NoDataset(_) | Self::NoStream(_) => ErrorKind::NotFound,
            Self::Timeout(_) | Self::Transient(_) | Self::Cancelled => ErrorKind::Transient,
            Self::Memory(_) | Self::StateLimit { declared: false, .. } => ErrorKind::Overloaded,
            Self::Lake { source, .. } => source.kind(),
            Self::Ledger(source) => source.kind(),
            Self::State { .. } => ErrorKind::Corrupt,
            Self::LetGo(_) => ErrorKind::Input,
            Self::Engine(_) => ErrorKind::Internal,
        }
    }
}
