//! Values that are written as a text and mean more: durations, sizes, shares, types, addresses.
//!
//! Owns: how each is written ([`Lexical`]), so that the check of a file, its reading and its JSON Schema come from
//! one definition. Does not own: which key takes which value (`files`).

mod amounts;
mod checks;
mod kafka;
mod names;
mod places;
mod registry;
mod wrapper;

use serde_json::Value;

pub(crate) use amounts::{DurationText, ShareText, SizeText};
pub(crate) use checks::{RegexText, ScalarText};
pub(crate) use kafka::{BrokersText, GroupText, TopicPrefix, TopicText};
pub(crate) use names::{
    ColumnName, DatasetText, DatePattern, GlobText, PartitionText, ProjectName, SqlExpression, TypeText,
    is_name,
};
pub(crate) use places::{
    AddressText, AnyText, FilePath, FolderText, LakeUrl, LedgerUrl, Sha256Text, WireAddress,
};
pub(crate) use registry::RegistryText;
pub(crate) use wrapper::{Items, Variable, Written};

/// A kind of value with its own way of writing.
pub(crate) trait Lexical: Sized {
    /// What it means.
    type Meaning;
    /// The name of the format in the JSON Schema.
    const FORMAT: &'static str;
    /// What it is, after "is not": `a duration`.
    const NOUN: &'static str;
    /// How it is written, after "write ".
    const HOW: &'static str;
    /// Examples, for editors and documents.
    const EXAMPLES: &'static [&'static str];
    /// The JSON types it may be written as.
    const TYPES: &'static [&'static str] = &["string"];
    /// The least it may be when it is written as a whole number.
    const MINIMUM: Option<i64> = None;

    /// What a text means.
    fn read(text: &str) -> Result<Self::Meaning, Unreadable>;
}

/// Why a text does not mean anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is not written as it should be.
    Form,
    /// It is, but it cannot be: what is wrong, and what mends it.
    Because(String, Option<String>),
}

impl Unreadable {
    /// The message and the hint for a value of kind `T`.
    pub fn explain<T: Lexical>(self, text: &str) -> Explanation {
        match self {
            _ if text.trim().is_empty() => {
                (format!("this is empty, and {} belongs here", T::NOUN), Some(format!("write {}", T::HOW)))
            }
            Self::Form => {
                (format!("`{}` is not {}", shorten(text), T::NOUN), Some(format!("write {}", T::HOW)))
            }
            Self::Because(message, hint) => (message, hint.or_else(|| Some(format!("write {}", T::HOW)))),
        }
    }
}

/// What is wrong, and what mends it.
pub(crate) type Explanation = (String, Option<String>);

/// One kind of value, without its type, for the validator.
#[derive(Clone, Copy)]
pub(crate) struct Format {
    pub name: &'static str,
    pub how: &'static str,
    /// What to say when the text is wrong.
    pub explain: fn(&str) -> Option<Explanation>,
}

/// The end of a format's name where environment variables are allowed in the value.
pub(crate) const OR_VARIABLE: &str = "-or-variable";

/// The kind of value with this name in a schema.
pub(crate) fn format_named(name: &str) -> Option<Format> {
    let name = name.strip_suffix(OR_VARIABLE).unwrap_or(name);
    formats().into_iter().find(|format| format.name == name)
}

fn format_of<T: Lexical>() -> Format {
    fn explain<T: Lexical>(text: &str) -> Option<Explanation> {
        T::read(text).err().map(|unreadable| unreadable.explain::<T>(text))
    }
    Format { name: T::FORMAT, how: T::HOW, explain: explain::<T> }
}

/// Every kind of value.
pub(crate) fn formats() -> Vec<Format> {
    vec![
        format_of::<DurationText>(),
        format_of::<SizeText>(),
        format_of::<ShareText>(),
        format_of::<ProjectName>(),
        format_of::<ColumnName>(),
        format_of::<TypeText>(),
        format_of::<PartitionText>(),
        format_of::<DatePattern>(),
        format_of::<SqlExpression>(),
        format_of::<GlobText>(),
        format_of::<FilePath>(),
        format_of::<FolderText>(),
        format_of::<AddressText>(),
        format_of::<WireAddress>(),
        format_of::<LakeUrl>(),
        format_of::<LedgerUrl>(),
        format_of::<Sha256Text>(),
        format_of::<AnyText>(),
        format_of::<BrokersText>(),
        format_of::<TopicText>(),
        format_of::<TopicPrefix>(),
        format_of::<GroupText>(),
        format_of::<ScalarText>(),
        format_of::<RegexText>(),
        format_of::<DatasetText>(),
        format_of::<RegistryText>(),
    ]
}

/// Whether a value refers to an environment variable, so that only its expansion can be judged.
pub(crate) fn has_variable(text: &str) -> bool {
    text.contains("${")
}

/// A value as a short text for messages.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shorten(text),
        other => shorten(&other.to_string()),
    }
}

/// The first characters of a text on one line.
pub(crate) fn shorten(text: &str) -> String {
    const LENGTH_MAX: usize = 60;
    let line = text.replace(char::is_control, " ");
    match line.char_indices().nth(LENGTH_MAX) {
        Some((index, _)) => format!("{}…", &line[..index]),
        None => line,
    }
}
