//! The few kinds of error that say what to do next.

use serde::{Deserialize, Serialize};

/// What the one who meets an error should do about it. Every error of a Flowline crate maps to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The input is wrong: mend the file, the request or the query; a retry changes nothing.
    Input,
    /// What was asked for does not exist.
    NotFound,
    /// The caller may not do this, or a credential expired.
    Denied,
    /// A passing fault (time-out, connection, conflict): try again.
    Transient,
    /// A limit is reached (log full, memory, too many connections): slow down, then try again.
    Overloaded,
    /// The storage below is full.
    StorageFull,
    /// Stored bytes are not what was written: stop, and restore or replay.
    Corrupt,
    /// Another writer has taken over: stop this one.
    Fenced,
    /// A defect of Flowline or of its host: report it.
    Internal,
}

impl ErrorKind {
    /// Whether the same call may succeed later without anyone doing anything.
    pub fn retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Overloaded | Self::StorageFull)
    }

    /// The kebab-case word used in facts, logs and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::NotFound => "not-found",
            Self::Denied => "denied",
            Self::Transient => "transient",
            Self::Overloaded => "overloaded",
            Self::StorageFull => "storage-full",
            Self::Corrupt => "corrupt",
            Self::Fenced => "fenced",
            Self::Internal => "internal",
        }
    }
}

/// An error that knows its kind.
pub trait Classify {
    /// What to do about this error.
    fn kind(&self) -> ErrorKind;
}

/// The error and its causes in one line, `outer: inner: innermost`, for logs and facts.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
