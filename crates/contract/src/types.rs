//! Which type takes the values of which.

use flowline_model::ColumnType;

/// How two types relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relation {
    /// Every value of the old type can be read as the new one.
    pub(crate) backward: bool,
    /// Every value of the new type can be read as the old one.
    pub(crate) forward: bool,
    /// A field that was sent for the old type is taken for the new one.
    pub(crate) producers: bool,
}

/// How a column that was of type `old` and is of type `new` can be read.
pub(crate) fn relation(old: &ColumnType, new: &ColumnType) -> Relation {
    let backward = reads(new, old);
    Relation { backward, forward: reads(old, new), producers: backward || *new == ColumnType::Json }
}

/// Whether a reader of one type can read every value that was written as the other.
fn reads(reader: &ColumnType, written: &ColumnType) -> bool {
    use ColumnType as T;
    match (reader, written) {
        (reader, written) if reader == written => true,
        (T::List(reader), T::List(written)) => reads(reader, written),
        // Fields are read by name, and one that is not there is null.
        (T::Struct(reader), T::Struct(written)) => reader.iter().all(|(name, reader)| {
            written.iter().find(|(other, _)| other == name).is_some_and(|(_, written)| reads(reader, written))
        }),
        (T::Float64, T::Float32) | (T::Timestamp, T::Date) | (T::String, T::Json) => true,
        (T::Float32, T::Int8 | T::Int16) | (T::Float64, T::Int8 | T::Int16 | T::Int32) => true,
        (reader, written) => match (room(reader), need(written)) {
            (Some((whole, behind)), Some((written_whole, written_behind))) => {
                whole >= written_whole && behind >= written_behind
            }
            _ => false,
        },
    }
}

/// Digits before and behind the point that an exact number needs for any value of its type.
fn need(kind: &ColumnType) -> Option<(u8, u8)> {
    Some(match kind {
        ColumnType::Int8 => (3, 0),
        ColumnType::Int16 => (5, 0),
        ColumnType::Int32 => (10, 0),
        ColumnType::Int64 => (19, 0),
        ColumnType::Decimal { precision, scale } => (precision - scale, *scale),
        _ => return None,
    })
}

/// Digits before and behind the point of which an exact number takes any. An integer takes all that its own bits hold:
/// the digits of smaller integers are less than these.
fn room(kind: &ColumnType) -> Option<(u8, u8)> {
    Some(match kind {
        ColumnType::Int8 => (2, 0),
        ColumnType::Int16 => (4, 0),
        ColumnType::Int32 => (9, 0),
        ColumnType::Int64 => (18, 0),
        other => return need(other),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    fn check(old: &str, new: &str, backward: bool, forward: bool) {
        let found = relation(&old.parse().unwrap(), &new.parse().unwrap());
        assert_eq!((found.backward, found.forward), (backward, forward), "{old} → {new}");
        let back = relation(&new.parse().unwrap(), &old.parse().unwrap());
        assert_eq!((back.backward, back.forward), (forward, backward), "{new} → {old}");
    }

    #[test]
    fn types_widen_and_narrow() {
        for (old, new) in [
            ("int8", "int16"),
            ("int32", "int64"),
            ("int32", "float64"),
            ("int16", "float32"),
            ("float32", "float64"),
            ("int32", "decimal(10,0)"),
            ("int64", "decimal(21,2)"),
            ("decimal(10,2)", "decimal(12,2)"),
            ("decimal(10,2)", "decimal(12,4)"),
            ("date", "timestamp"),
            ("json", "string"),
            ("list<int32>", "list<int64>"),
            ("struct<a: int32, b: string>", "struct<a: int64>"),
        ] {
            check(old, new, true, false);
        }
    }

    #[test]
    fn others_cannot_be_read_as_each_other() {
        for (old, new) in [
            ("int32", "string"),
            ("string", "boolean"),
            ("int64", "float64"),
            ("decimal(10,2)", "decimal(10,4)"),
            ("decimal(10,2)", "int64"),
            ("timestamp", "int64"),
            ("binary", "string"),
            ("list<string>", "string"),
            ("struct<a: int32>", "struct<b: int32>"),
        ] {
            check(old, new, false, false);
        }
        assert!(!reads(&ColumnType::Int16, &"decimal(5,0)".parse().unwrap()), "99999 is no int16");
        assert!(relation(&ColumnType::Int32, &ColumnType::Json).producers, "JSON takes every value");
    }
}
