//! Names of datasets.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `domain.name`, the name of a dataset everywhere: files, SQL, metrics, pages.
///
/// Both parts are lower-case letters, digits and `_`, start with a letter and have at most 63 characters, so that
/// they are safe in a path, in SQL without quotes, and as a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DatasetName {
    domain: String,
    name: String,
}

/// Why a text is not the name of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is not exactly one dot.
    #[error("`{0}` is not a dataset name: expected `domain.name`")]
    Shape(String),
    /// A part has a character it may not have, is empty or too long.
    #[error(
        "`{0}` is not a valid name: lower-case letters, digits and `_`, first a letter, at most 63 characters"
    )]
    Part(String),
}

impl DatasetName {
    /// The domains that belong to Flowline itself.
    pub const RESERVED_DOMAINS: [&'static str; 3] = ["system", "information_schema", "pg_catalog"];

    /// The name with these two parts.
    pub fn new(domain: &str, name: &str) -> Result<Self, NameError> {
        for part in [domain, name] {
            if !valid_part(part) {
                return Err(NameError::Part(part.to_owned()));
            }
        }
        Ok(Self { domain: domain.to_owned(), name: name.to_owned() })
    }

    /// The part before the dot: a schema in SQL, a folder in the project.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The part after the dot: a table in SQL, a file in the project.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn valid_part(part: &str) -> bool {
    part.len() <= 63
        && part.starts_with(|c: char| c.is_ascii_lowercase())
        && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.domain, self.name)
    }
}

impl FromStr for DatasetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((domain, name)) if !name.contains('.') => Self::new(domain, name),
            _ => Err(NameError::Shape(text.to_owned())),
        }
    }
}

impl TryFrom<String> for DatasetName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DatasetName> for String {
    fn from(name: DatasetName) -> Self {
        name.to_string()
    }
}
