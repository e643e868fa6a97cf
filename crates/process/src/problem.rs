//! What is wrong with the SQL of a dataset, and where in the user's file.
//!
//! Owns: [`SqlProblem`] and the way from a place in a SQL text to a place in the file it stands in.
//! Does not own: how a problem is printed (`flowline-project`), or what makes SQL wrong (`sql`, `graph`, `check`).

use flowline_model::{Dataset, DatasetName, SqlOrigin};
use serde::Serialize;

/// One thing that is wrong with the SQL of a dataset, at the place of the words concerned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SqlProblem {
    /// The file, relative to the project.
    pub file: String,
    /// Line of the file, from 1.
    pub line: u32,
    /// Column of the line, from 1, in characters.
    pub column: u32,
    /// The column behind the last character concerned, on the same line; `column` when there is no extent.
    pub end_column: u32,
    /// The dataset whose SQL it is.
    pub dataset: DatasetName,
    /// What is wrong: lower-case, no full stop, values in backticks.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
    /// The text that stands somewhere in the file and of which `line` and `column` are; none when they are of the file.
    pub within: Option<String>,
}

/// A stretch of a SQL text: lines and columns from 1, in characters, the end behind the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Line of the first character.
    pub line: u32,
    /// Column of the first character.
    pub column: u32,
    /// Line of the end.
    pub end_line: u32,
    /// Column of the end.
    pub end_column: u32,
}

impl Place {
    /// The first character of a text: where a problem of the text as a whole is told.
    pub const START: Self = Self::point(1, 1);

    /// One character, without extent.
    pub const fn point(line: u32, column: u32) -> Self {
        Self { line, column, end_line: line, end_column: column }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A problem of a SQL text that does not know yet which file the text stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where in the text.
    pub place: Place,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
}

impl Fault {
    /// A fault at this place, without a hint.
    pub fn new(place: Place, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), hint: None }
    }

    /// The same fault with a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The fault as a problem of the dataset whose SQL it is.
    pub fn of(self, dataset: &Dataset, sql: &SqlOrigin) -> SqlProblem {
        let line = sql.line.saturating_add(self.place.line.saturating_sub(1));
        let column = self.place.column.saturating_add(sql.indent);
        let same_line = self.place.end_line == self.place.line && self.place.end_column > self.place.column;
        let end_column = if same_line { self.place.end_column.saturating_add(sql.indent) } else { column };
        SqlProblem {
            file: sql.file.clone(),
            line,
            column,
            end_column,
            dataset: dataset.name.clone(),
            message: self.message,
            hint: self.hint,
            within: None,
        }
    }
}

impl std::fmt::Display for SqlProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
