//! Columns of a contract and their types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The type of a column, as written in a contract.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ColumnType {
    /// UTF-8 text.
    String,
    /// True or false.
    Boolean,
    /// Signed, 8 bits.
    Int8,
    /// Signed, 16 bits.
    Int16,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754, 32 bits.
    Float32,
    /// IEEE 754, 64 bits.
    Float64,
    /// Exact decimal, 1 to 38 digits of which `scale` stand behind the point.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits behind the point.
        scale: u8,
    },
    /// A calendar day.
    Date,
    /// An instant, microseconds since the epoch, UTC.
    Timestamp,
    /// Bytes; base64 in JSON.
    Binary,
    /// A JSON document, kept as text.
    Json,
    /// A list of one type.
    List(Box<ColumnType>),
    /// Named fields.
    Struct(Vec<(String, ColumnType)>),
}

impl ColumnType {
    /// The simple type names, for messages and completions.
    pub const NAMES: [&'static str; 13] = [
        "string",
        "boolean",
        "int8",
        "int16",
        "int32",
        "int64",
        "float32",
        "float64",
        "decimal(p,s)",
        "date",
        "timestamp",
        "binary",
        "json",
    ];
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::Boolean => f.write_str("boolean"),
            Self::Int8 => f.write_str("int8"),
            Self::Int16 => f.write_str("int16"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float32 => f.write_str("float32"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Binary => f.write_str("binary"),
            Self::Json => f.write_str("json"),
            Self::List(item) => write!(f, "list<{item}>"),
            Self::Struct(fields) => {
                f.write_str("struct<")?;
                for (index, (name, kind)) in fields.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{name}: {kind}")?;
                }
                f.write_str(">")
            }
        }
    }
}

/// Why a text is not a column type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnTypeError {
    /// No type has this name.
    #[error("unknown type `{0}`")]
    Unknown(String),
    /// A decimal outside 1–38 digits, or with more digits behind the point than in all.
    #[error("`{0}` is not a decimal that can be kept: 1 to 38 digits, scale at most the precision")]
    Decimal(String),
    /// Types nested deeper than [`MAX_DEPTH`].
    #[error("types are nested deeper than {MAX_DEPTH} levels")]
    Depth,
}

/// How deep lists and structs may be nested.
pub const MAX_DEPTH: usize = 16;

impl FromStr for ColumnType {
    type Err = ColumnTypeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim(), 0)
    }
}

fn parse(text: &str, depth: usize) -> Result<ColumnType, ColumnTypeError> {
    if depth > MAX_DEPTH {
        return Err(ColumnTypeError::Depth);
    }
    Ok(match text {
        "string" => ColumnType::String,
        "boolean" | "bool" => ColumnType::Boolean,
        "int8" => ColumnType::Int8,
        "int16" => ColumnType::Int16,
        "int32" | "int" => ColumnType::Int32,
        "int64" | "bigint" => ColumnType::Int64,
        "float32" | "float" => ColumnType::Float32,
        "float64" | "double" => ColumnType::Float64,
        "date" => ColumnType::Date,
        "timestamp" => ColumnType::Timestamp,
        "binary" => ColumnType::Binary,
        "json" => ColumnType::Json,
        other => return parse_parametric(other, depth),
    })
}

fn parse_parametric(text: &str, depth: usize) -> Result<ColumnType, ColumnTypeError> {
    if let Some(inside) = text.strip_prefix("decimal(").and_then(|rest| rest.strip_suffix(')')) {
        return parse_decimal(text, inside);
    }
    if let Some(inside) = text.strip_prefix("list<").and_then(|rest| rest.strip_suffix('>')) {
        return Ok(ColumnType::List(Box::new(parse(inside.trim(), depth + 1)?)));
    }
    if let Some(inside) = text.strip_prefix("struct<").and_then(|rest| rest.strip_suffix('>')) {
        let mut fields = Vec::new();
        for field in split_top_level(inside) {
            let (name, kind) =
                field.split_once(':').ok_or_else(|| ColumnTypeError::Unknown(field.to_owned()))?;
            fields.push((name.trim().to_owned(), parse(kind.trim(), depth + 1)?));
        }
        return Ok(ColumnType::Struct(fields));
    }
    Err(ColumnTypeError::Unknown(text.to_owned()))
}

fn parse_decimal(text: &str, inside: &str) -> Result<ColumnType, ColumnTypeError> {
    let wrong = || ColumnTypeError::Decimal(text.to_owned());
    let (precision, scale) = inside.split_once(',').unwrap_or((inside, "0"));
    let precision: u8 = precision.trim().parse().map_err(|_| wrong())?;
    let scale: u8 = scale.trim().parse().map_err(|_| wrong())?;
    if precision == 0 || precision > 38 || scale > precision {
        return Err(wrong());
    }
    Ok(ColumnType::Decimal { precision, scale })
}

/// Splits at the commas that stand outside every bracket.
fn split_top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0i32, 0);
    for (index, character) in text.char_indices() {
        match character {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts
}

impl TryFrom<String> for ColumnType {
    type Error = ColumnTypeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ColumnType> for String {
    fn from(kind: ColumnType) -> Self {
        kind.to_string()
    }
}

/// One column of a contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The name in SQL.
    pub name: String,
    /// The name in the received record when it differs (`Cost Total $`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The type.
    #[serde(rename = "type")]
    pub data_type: ColumnType,
    /// A record without it goes to quarantine.
    #[serde(default)]
    pub required: bool,
    /// No two rows that were landed within the dataset's `dedupe_horizon` share a value: a record whose key is new and
    /// whose value here is not goes to quarantine. Where it is the only column of the key, the key says it already.
    #[serde(default)]
    pub unique: bool,
    /// The class of personal data (`email`, `name` …), for masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pii: Option<String>,
    /// A SQL expression that must not be false for any row; rows for which it is go to quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<String>,
    /// How a date or timestamp is written in the record: in `strftime` terms, or `epoch_s`, `epoch_ms`, `epoch_us`,
    /// `epoch_ns` for numbers since the epoch; ISO 8601 when absent. Without a zone, UTC is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

impl Column {
    /// A column with a name and a type and nothing else said of it.
    pub fn new(name: impl Into<String>, data_type: ColumnType) -> Self {
        Self {
            name: name.into(),
            field: None,
            data_type,
            required: false,
            unique: false,
            pii: None,
            check: None,
            format: None,
            description: None,
        }
    }

    /// The same column, required.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The name of the column in a received record.
    pub fn field_name(&self) -> &str {
        self.field.as_deref().unwrap_or(&self.name)
    }
}
