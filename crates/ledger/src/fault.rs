//! What the database said, in our words.

use sqlx::error::ErrorKind as SqlKind;

use crate::LedgerError;

/// What can go wrong inside one operation, before it is known by name.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    Stored { what: &'static str, reason: String },
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// The error of the operation called `action`.
    pub(crate) fn during(self, action: &'static str) -> LedgerError {
        let error = match self {
            Self::Stored { what, reason } => return LedgerError::Stored { what, reason },
            Self::Sql(error) => error,
        };
        let reason = error.to_string();
        match nature(&error) {
            Nature::Passing => LedgerError::Transient { action, reason },
            Nature::Full => LedgerError::Full { action, reason },
            Nature::Damaged => LedgerError::Damaged { action, reason },
            Nature::Denied => LedgerError::Denied { place: format!("({action})"), reason },
            Nature::Other => LedgerError::Statement { action, reason },
        }
    }

    /// Whether a unique key was there already.
    pub(crate) fn is_known_key(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Database(error)) => matches!(error.kind(), SqlKind::UniqueViolation),
            _ => false,
        }
    }
}

/// The error of opening the ledger at `place`, which holds no password.
pub(crate) fn opening(place: &str, error: sqlx::Error) -> LedgerError {
    let (place, reason) = (place.to_owned(), error.to_string());
    match nature(&error) {
        Nature::Denied => LedgerError::Denied { place, reason },
        Nature::Damaged => LedgerError::Damaged { action: "opening", reason },
        Nature::Full => LedgerError::Full { action: "opening", reason },
        Nature::Passing | Nature::Other => LedgerError::Open { place, reason },
    }
}

/// Whether the same may succeed in a moment.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    nature(error) == Nature::Passing
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nature {
    Passing,
    Full,
    Damaged,
    Denied,
    Other,
}

fn nature(error: &sqlx::Error) -> Nature {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Nature::Passing,
        // The connection broke in the middle of a message or of a transaction's first word.
        sqlx::Error::WorkerCrashed | sqlx::Error::BeginFailed | sqlx::Error::Protocol(_) => Nature::Passing,
        sqlx::Error::Database(error) => error.code().map_or(Nature::Other, |code| nature_of_code(&code)),
        _ => Nature::Other,
    }
}

/// SQLite's codes are numbers below 10,000 (the lowest byte is the primary one); PostgreSQL's have five characters,
/// the first two are the class.
fn nature_of_code(code: &str) -> Nature {
    if code.len() < 5 {
        return match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6 | 10) => Nature::Passing,
            Ok(13) => Nature::Full,
            Ok(11 | 26) => Nature::Damaged,
            Ok(3 | 8 | 14 | 23) => Nature::Denied,
            _ => Nature::Other,
        };
    }
    match code {
        "28000" | "28P01" | "42501" => Nature::Denied,
        "53100" => Nature::Full,
        "XX001" | "XX002" => Nature::Damaged,
        "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" | "53300" => Nature::Passing,
        _ if code.starts_with("08") => Nature::Passing,
        _ => Nature::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_say_what_to_do() {
        for (code, expected) in [
            ("5", Nature::Passing),
            ("517", Nature::Passing),
            ("13", Nature::Full),
            ("11", Nature::Damaged),
            ("8", Nature::Denied),
            ("1", Nature::Other),
            ("2067", Nature::Other),
            ("40001", Nature::Passing),
            ("08006", Nature::Passing),
            ("28P01", Nature::Denied),
            ("53100", Nature::Full),
            ("42P01", Nature::Other),
        ] {
            assert_eq!(nature_of_code(code), expected, "{code}");
        }
    }
}
