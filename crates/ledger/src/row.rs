//! Reading stored fields back as the words of the model.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error as WordError;
use sqlx::any::AnyRow;
use sqlx::{Any, Decode, Row, Type};

use crate::fault::Fault;

/// The fields of one stored fact; `what` names the kind of fact in errors.
pub(crate) struct Fields<'r> {
    row: &'r AnyRow,
    what: &'static str,
}

impl<'r> Fields<'r> {
    pub(crate) fn new(row: &'r AnyRow, what: &'static str) -> Self {
        Self { row, what }
    }

    fn get<T: Decode<'r, Any> + Type<Any>>(&self, column: &'static str) -> Result<T, Fault> {
        self.row.try_get(column).map_err(|error| self.bad(column, error))
    }

    /// The error of a field that cannot be read.
    pub(crate) fn bad(&self, column: &'static str, reason: impl std::fmt::Display) -> Fault {
        Fault::Stored { what: self.what, reason: format!("`{column}`: {reason}") }
    }

    pub(crate) fn int(&self, column: &'static str) -> Result<i64, Fault> {
        self.get(column)
    }

    pub(crate) fn int_or_none(&self, column: &'static str) -> Result<Option<i64>, Fault> {
        self.get(column)
    }

    pub(crate) fn number_or_none(&self, column: &'static str) -> Result<Option<f64>, Fault> {
        self.get(column)
    }

    pub(crate) fn count(&self, column: &'static str) -> Result<u64, Fault> {
        u64::try_from(self.int(column)?).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn small_count(&self, column: &'static str) -> Result<u32, Fault> {
        u32::try_from(self.int(column)?).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn flag(&self, column: &'static str) -> Result<bool, Fault> {
        Ok(self.int(column)? != 0)
    }

    pub(crate) fn time(&self, column: &'static str) -> Result<DateTime<Utc>, Fault> {
        let micros = self.int(column)?;
        DateTime::from_timestamp_micros(micros).ok_or_else(|| self.bad(column, "no such time"))
    }

    pub(crate) fn time_or_none(&self, column: &'static str) -> Result<Option<DateTime<Utc>>, Fault> {
        self.int_or_none(column)?
            .map(|micros| {
                DateTime::from_timestamp_micros(micros).ok_or_else(|| self.bad(column, "no such time"))
            })
            .transpose()
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, Fault> {
        self.get(column)
    }

    pub(crate) fn text_or_none(&self, column: &'static str) -> Result<Option<String>, Fault> {
        self.get(column)
    }

    /// A name or an identifier.
    pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
    ) -> Result<T, Fault> {
        self.text(column)?.parse().map_err(|error| self.bad(column, error))
    }

    pub(crate) fn parsed_or_none<T: FromStr<Err: std::fmt::Display>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, Fault> {
        self.text_or_none(column)?
            .map(|text| text.parse().map_err(|error| self.bad(column, error)))
            .transpose()
    }

    /// One of the words of an enumeration.
    pub(crate) fn word<T: for<'de> Deserialize<'de>>(&self, column: &'static str) -> Result<T, Fault> {
        let text = self.text(column)?;
        T::deserialize(text.as_str().into_deserializer()).map_err(|error: WordError| self.bad(column, error))
    }

    /// A document.
    pub(crate) fn json<T: for<'de> Deserialize<'de>>(&self, column: &'static str) -> Result<T, Fault> {
        serde_json::from_str(&self.text(column)?).map_err(|error| self.bad(column, error))
    }
}

/// Microseconds since the epoch.
pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A count as it is stored; no count of records or bytes reaches the end of the range.
pub(crate) fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A text that both databases take: PostgreSQL has no NUL in texts, and data quoted in messages may hold one.
pub(crate) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A document as it is stored.
pub(crate) fn json<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Stored { what, reason: error.to_string() })
}
