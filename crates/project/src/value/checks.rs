//! What stands in checks: values of columns, regular expressions, names of datasets.

use super::{Lexical, Unreadable};

/// A value of a column.
pub(crate) struct ScalarText;

impl Lexical for ScalarText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-value";
    const NOUN: &'static str = "a value";
    const HOW: &'static str = "a number, a text, or true or false: `0`, `EUR`, `2026-01-05`";
    const EXAMPLES: &'static [&'static str] = &["0", "EUR", "2026-01-05"];
    const TYPES: &'static [&'static str] = &["string", "number", "boolean"];

    fn read(text: &str) -> Result<String, Unreadable> {
        Ok(text.to_owned())
    }
}

/// A regular expression.
pub(crate) struct RegexText;

impl Lexical for RegexText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-regex";
    const NOUN: &'static str = "a regular expression";
    const HOW: &'static str = "a regular expression: `^[A-Z]{2}[0-9]+$`";
    const EXAMPLES: &'static [&'static str] = &["^[A-Z]{2}[0-9]+$"];

    fn read(text: &str) -> Result<String, Unreadable> {
        const LENGTH_MAX: usize = 4_096;
        if text.is_empty() || text.len() > LENGTH_MAX { Err(Unreadable::Form) } else { Ok(text.to_owned()) }
    }
}
