//! What is wrong with a project, and where: the one shape in which every problem of a user's file is told.
//!
//! Owns: [`Diagnostic`] and the stable words of [`Code`]. Does not own: how it is printed (`render`), or what makes
//! a file wrong (`check`, `resolve`).

use std::fmt;
use std::path::Path;

use flowline_model::Severity;
use serde::{Serialize, Serializer};

use crate::Sources;

/// One problem, at one place of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// An error keeps the project from running; a warning does not.
    pub severity: Severity,
    /// The stable word for this kind of problem, to search for and to filter by.
    pub code: Code,
    /// The file, relative to the project, with `/` between its parts.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The column behind the last character concerned, on the same line; `column` when there is no extent.
    pub end_column: u32,
    /// What is wrong: lower-case, no full stop, values in backticks.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
    /// The line of the file as it stands there, shortened when it is very long.
    pub snippet: Option<String>,
}

impl Diagnostic {
    /// The diagnostic for a problem that was found in the SQL of the project in `folder`, where the texts that were
    /// read are no longer at hand; [`crate::Sources::problem`] spares reading the file again.
    pub fn from_sql(
        folder: &Path,
        file: &str,
        line: u32,
        column: u32,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Self {
        let mut sources = Sources::default();
        sources.read(folder, file);
        sources.problem(Code::Sql, file, line, column, message, hint)
    }

    /// The same, up to this column; without extent, the word that stands there stays underlined.
    pub fn until(mut self, end_column: u32) -> Self {
        if end_column > self.column {
            self.end_column = end_column;
        }
        self
    }

    /// Whether it keeps the project from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, file, line, column, message, .. } = self;
        write!(f, "{file}:{line}:{column}: {message} [{code}]")
    }
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal;)+) => {
        /// The stable words for kinds of problems. They never change their meaning; new ones are added.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// All of them, with what each means.
            pub const ALL: &'static [(Code, &'static str)] = &[$((Code::$name, concat!($($doc),+)),)+];

            /// The word.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

codes! {
    /// A file that must be there is not.
    MissingFile = "missing-file";
    /// A file cannot be read, or is not UTF-8.
    UnreadableFile = "unreadable-file";
    /// A file lies where no file of its kind is read, or is named as none may be.
    MisplacedFile = "misplaced-file";
    /// A file, or the number of files, is larger than Flowline reads.
    TooLarge = "too-large";
    /// The text is not YAML, or uses a part of YAML that is not read (tags, several documents).
    InvalidYaml = "invalid-yaml";
    /// The same key stands twice in one mapping.
    DuplicateKey = "duplicate-key";
    /// No setting has this name.
    UnknownKey = "unknown-key";
    /// A setting that must be there is not.
    MissingKey = "missing-key";
    /// A value is of the wrong kind: a number where a text belongs, say.
    WrongType = "wrong-type";
    /// A value is not one of those that are possible here.
    InvalidValue = "invalid-value";
    /// Part of the design, but not yet of this version.
    NotSupported = "not-supported";
    /// A name breaks the rules for names.
    InvalidName = "invalid-name";
    /// Two things have the same name.
    DuplicateName = "duplicate-name";
    /// A name refers to nothing that is declared: a team, a column, an environment.
    UnknownName = "unknown-name";
    /// Two settings contradict each other, or one needs another that is not there.
    Conflict = "conflict";
    /// An environment variable that a value refers to is not set.
    MissingVariable = "missing-variable";
    /// An address other than loopback would be open to everyone.
    NoAuthentication = "no-authentication";
    /// The SQL of a dataset does not hold: an unknown table or column, a cycle, a materialization that cannot be kept.
    Sql = "sql";
    /// A rule of a contract does not hold: a `check` that is not SQL, or names no column.
    Rule = "rule";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
