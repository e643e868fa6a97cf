//! Names of projects and columns, types, partitions, patterns.

use flowline_model::column::ColumnTypeError;
use flowline_model::{ColumnType, DatasetName, PartitionTransform};

use super::{Lexical, Unreadable};
use crate::nearest::nearest;

/// The type of a column.
pub(crate) struct TypeText;

impl Lexical for TypeText {
    type Meaning = ColumnType;
    const FORMAT: &'static str = "flowline-type";
    const NOUN: &'static str = "a column type";
    const HOW: &'static str = "one of string, boolean, int8, int16, int32, int64, float32, float64, decimal(p,s), date, timestamp, binary, json, list<type>, struct<name: type, …>";
    const EXAMPLES: &'static [&'static str] = &[
        "string",
        "boolean",
        "int32",
        "int64",
        "float64",
        "decimal(12,2)",
        "date",
        "timestamp",
        "json",
        "list<string>",
    ];

    fn read(text: &str) -> Result<ColumnType, Unreadable> {
        text.parse().map_err(|error: ColumnTypeError| {
            let hint = match &error {
                ColumnTypeError::Unknown(part) => near_type(part),
                ColumnTypeError::Decimal(_) => {
                    Some("`decimal(12,2)` has 12 digits, 2 of them behind the point".to_owned())
                }
                ColumnTypeError::Depth => Some("keep what is nested deeper as `json`".to_owned()),
            };
            Unreadable::Because(error.to_string(), hint)
        })
    }
}

/// The type that another system or a slip of the finger calls by this name.
fn near_type(name: &str) -> Option<String> {
    let known = match name.to_ascii_lowercase().as_str() {
        "text" | "varchar" | "char" | "utf8" | "uuid" => "string",
        "integer" | "number" | "long" => "int64",
        "smallint" | "short" => "int16",
        "numeric" | "decimal" | "money" => "decimal(18,2)",
        "real" => "float32",
        "datetime" | "timestamptz" | "time" => "timestamp",
        "bytes" | "blob" | "bytea" => "binary",
        "object" | "map" | "jsonb" => "json",
        "array" | "list" => "list<string>",
        other => match nearest(other, ColumnType::NAMES.into_iter().chain(["decimal", "decimal(18,2)"]))? {
            "decimal" | "decimal(p,s)" => "decimal(18,2)",
            near => near,
        },
    };
    Some(format!("did you mean `{known}`?"))
}

/// The name of a dataset.
pub(crate) struct DatasetText;

impl Lexical for DatasetText {
    type Meaning = DatasetName;
    const FORMAT: &'static str = "flowline-dataset";
    const NOUN: &'static str = "the name of a dataset";
    const HOW: &'static str = "`domain.name`, as in `shop.orders`";
    const EXAMPLES: &'static [&'static str] = &["shop.orders"];

    fn read(text: &str) -> Result<DatasetName, Unreadable> {
        text.parse().map_err(|_| Unreadable::Form)
    }
}

/// One level of the folders of a table.
pub(crate) struct PartitionText;

impl Lexical for PartitionText {
    type Meaning = (String, PartitionTransform);
    const FORMAT: &'static str = "flowline-partition";
    const NOUN: &'static str = "a partition";
    const HOW: &'static str = "a column, or `day(column)`, `month(column)` or `year(column)`";
    const EXAMPLES: &'static [&'static str] = &["day(ts)", "month(ts)", "country"];

    fn read(text: &str) -> Result<Self::Meaning, Unreadable> {
        let Some((function, rest)) = text.trim().split_once('(') else {
            let column = text.trim();
            let plain = is_word(column);
            return if plain {
                Ok((column.to_owned(), PartitionTransform::Identity))
            } else {
                Err(Unreadable::Form)
            };
        };
        let column =
            rest.strip_suffix(')').map(str::trim).filter(|column| is_word(column)).ok_or(Unreadable::Form)?;
        let transform = match function.trim() {
            "day" => PartitionTransform::Day,
            "month" => PartitionTransform::Month,
            "year" => PartitionTransform::Year,
            other => {
                let hint = nearest(other, ["day", "month", "year"])
                    .map(|name| format!("did you mean `{name}({column})`?"));
                return Err(Unreadable::Because(format!("tables cannot be split by `{other}`"), hint));
            }
        };
        Ok((column.to_owned(), transform))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// How dates are written in a received record.
pub(crate) struct DatePattern;

impl Lexical for DatePattern {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-date-pattern";
    const NOUN: &'static str = "a date pattern";
    const HOW: &'static str = "`strftime` fields: `%Y-%m-%d %H:%M:%S`, `%m/%d/%Y`; or `epoch_s`, `epoch_ms`, `epoch_us`, `epoch_ns` for numbers since 1970";
    const EXAMPLES: &'static [&'static str] = &["%Y-%m-%d %H:%M:%S", "%m/%d/%Y", "epoch_ms"];

    fn read(text: &str) -> Result<String, Unreadable> {
        use chrono::format::{Item, StrftimeItems};
        if ["epoch_s", "epoch_ms", "epoch_us", "epoch_ns"].contains(&text) {
            return Ok(text.to_owned());
        }
        let mut fields = 0;
        for item in StrftimeItems::new(text) {
            match item {
                Item::Error => return Err(Unreadable::Form),
                Item::Numeric(..) | Item::Fixed(..) => fields += 1,
                _ => {}
            }
        }
        if fields == 0 { Err(Unreadable::Form) } else { Ok(text.to_owned()) }
    }
}

/// A SQL expression over the columns of one row.
pub(crate) struct SqlExpression;

impl Lexical for SqlExpression {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-sql-expression";
    const NOUN: &'static str = "an SQL expression";
    const HOW: &'static str = "a condition over the columns of one row: `amount >= 0`";
    const EXAMPLES: &'static [&'static str] = &["amount >= 0", "currency in ('EUR', 'USD')"];

    fn read(text: &str) -> Result<String, Unreadable> {
        const LENGTH_MAX: usize = 4_096;
        let text = text.trim();
        if text.is_empty() || text.len() > LENGTH_MAX {
            return Err(Unreadable::Form);
        }
        Ok(text.to_owned())
    }
}

/// A pattern of paths below a folder.
pub(crate) struct GlobText;

impl Lexical for GlobText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-glob";
    const NOUN: &'static str = "a pattern of paths";
    const HOW: &'static str = "a glob below the folder: `*.csv`, `**/*.json`, `{a,b}/*.parquet`";
    const EXAMPLES: &'static [&'static str] = &["**/*.csv", "*.json"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let glob = globset::GlobBuilder::new(text).literal_separator(true).build();
        match glob {
            Ok(_) if text.is_empty() || text.starts_with('/') => Err(Unreadable::Form),
            Ok(_) => Ok(text.to_owned()),
            Err(error) => {
                Err(Unreadable::Because(format!("this is not a pattern of paths: {}", error.kind()), None))
            }
        }
    }
}

/// The name of a project.
pub(crate) struct ProjectName;

impl Lexical for ProjectName {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-project-name";
    const NOUN: &'static str = "a name";
    const HOW: &'static str =
        "lower-case letters, digits, `_` and `-`, first a letter, at most 63 characters";
    const EXAMPLES: &'static [&'static str] = &["shop"];

    fn read(text: &str) -> Result<String, Unreadable> {
        if is_name(text, "_-") { Ok(text.to_owned()) } else { Err(Unreadable::Form) }
    }
}

/// Whether a text is lower-case letters, digits and `others`, begins with a letter and has at most 63 characters.
pub(crate) fn is_name(text: &str, others: &str) -> bool {
    text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || others.contains(c))
}

/// The name of a column.
pub(crate) struct ColumnName;

impl Lexical for ColumnName {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-column-name";
    const NOUN: &'static str = "the name of a column";
    const HOW: &'static str = "lower-case letters, digits and `_`, first a letter, at most 63 characters; the name in the received record goes into `field`";
    const EXAMPLES: &'static [&'static str] = &["order_id"];

    fn read(text: &str) -> Result<String, Unreadable> {
        if is_name(text, "_") {
            return Ok(text.to_owned());
        }
        if text.starts_with('_') {
            let message =
                format!("`{}` begins with `_`, and such names are Flowline's own", super::shorten(text));
            return Err(Unreadable::Because(message, None));
        }
        let folded = text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        let hint = is_name(&folded, "_").then(|| format!("write `name: {folded}` and `field: \"{text}\"`"));
        let message = format!("`{}` is not the name of a column", super::shorten(text));
        Err(Unreadable::Because(message, hint))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions() {
        assert_eq!(PartitionText::read("day( ts )"), Ok(("ts".to_owned(), PartitionTransform::Day)));
        assert_eq!(PartitionText::read("country"), Ok(("country".to_owned(), PartitionTransform::Identity)));
        for text in ["", "day(", "day()", "day(a,b)", "days(ts)", "a b", "(ts)"] {
            assert!(PartitionText::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn types_of_other_systems_are_known_by_name() {
        let hint = |text: &str| TypeText::read(text).err().map(|error| error.explain::<TypeText>(text).1);
        assert_eq!(hint("varchar"), Some(Some("did you mean `string`?".to_owned())));
        assert_eq!(hint("timestmap"), Some(Some("did you mean `timestamp`?".to_owned())));
        assert_eq!(hint("decimal(12,2)"), None);
    }
}
