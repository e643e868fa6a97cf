//! Errors as Postgres clients read them: a SQLSTATE, a message, a hint, and the place in the text.

use std::time::Duration;

use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use flowline_base::{Classify, ErrorKind, chain};
use flowline_process::ProcessError;
use pgwire::error::{ErrorInfo, PgWireError};

/// An error of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PgError {
    /// Five characters of the SQL standard and PostgreSQL.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What would mend it.
    pub hint: Option<String>,
    /// Line and column in the text, from 1.
    pub place: Option<(u64, u64)>,
}

impl PgError {
    /// An error of which nothing more is known.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, place: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn unknown_setting(name: &str) -> Self {
        Self::new("42704", format!("unrecognized configuration parameter `{name}`"))
    }

    pub fn fixed_setting(name: &str) -> Self {
        Self::new("55P02", format!("parameter `{name}` cannot be changed"))
    }

    pub fn setting_value(name: &str, value: &str, reason: &str) -> Self {
        Self::new("22023", format!("invalid value for parameter `{name}`: `{value}` ({reason})"))
    }

    /// The statement is not one that reads.
    pub fn read_only(statement: &str) -> Self {
        Self::new("25006", format!("{statement} is refused: this session only reads"))
            .hint("datasets are written by their hops; records are posted over HTTP")
    }

    pub fn not_supported(what: &str) -> Self {
        Self::new("0A000", format!("{what} is not supported"))
    }

    pub fn in_failed_transaction() -> Self {
        Self::new("25P02", "current transaction is aborted, commands ignored until end of transaction block")
    }

    pub fn timed_out(after: Duration) -> Self {
        Self::new("57014", format!("canceling statement due to statement timeout after {after:?}"))
    }

    pub fn cancelled() -> Self {
        Self::new("57014", "canceling statement due to user request")
    }

    pub fn protocol(message: impl Into<String>) -> Self {
        Self::new("08P01", message)
    }

    /// Text that is not SQL. The parser writes the place at the end of its message.
    pub fn syntax(error: &ParserError) -> Self {
        let text = match error {
            ParserError::RecursionLimitExceeded => {
                return Self::new("54001", "the statement is nested too deeply");
            }
            ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        };
        let (message, place) = match text.rsplit_once(" at Line: ") {
            Some((message, rest)) => (message, parse_place(rest)),
            None => (text, None),
        };
        Self { place, ..Self::new("42601", format!("syntax error: {message}")) }
    }

    /// As the wire carries it, with the place as a character of `text`.
    pub fn info(self, text: &str) -> ErrorInfo {
        let mut info = ErrorInfo::new("ERROR".to_owned(), self.code.to_owned(), self.message);
        info.severity_nonlocalized = Some("ERROR".to_owned());
        info.hint = self.hint;
        info.position = self.place.and_then(|place| character_at(text, place)).map(|at| at.to_string());
        info
    }

    /// As pgwire's handlers return it.
    pub fn wire(self, text: &str) -> PgWireError {
        PgWireError::UserError(Box::new(self.info(text)))
    }
}

/// An error that ends the connection.
pub(super) fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    let mut info = ErrorInfo::new("FATAL".to_owned(), code.to_owned(), message.into());
    info.severity_nonlocalized = Some("FATAL".to_owned());
    PgWireError::UserError(Box::new(info))
}

/// `3, Column: 14` → (3, 14).
fn parse_place(text: &str) -> Option<(u64, u64)> {
    let (line, column) = text.split_once(", Column: ")?;
    Some((line.trim().parse().ok()?, column.trim().parse().ok()?))
}

/// The number of the character at this line and column, from 1.
fn character_at(text: &str, (line, column): (u64, u64)) -> Option<usize> {
    let before = usize::try_from(line.checked_sub(1)?).ok()?;
    let column = usize::try_from(column).ok()?;
    let earlier: usize = text.split('\n').take(before).map(|line| line.chars().count() + 1).sum();
    (text.split('\n').count() > before).then_some(earlier + column)
}

impl From<DataFusionError> for PgError {
    fn from(error: DataFusionError) -> Self {
        let place = place_of(&error);
        let code = code_of(&error);
        let own = ProcessError::from(error);
        let mut pg = Self::from(own);
        pg.place = pg.place.or(place);
        // What the engine knows more exactly (time is over, no memory) stays.
        if let (Some(code), "XX000" | "42000" | "22000") = (code, pg.code) {
            pg.code = code;
        }
        pg
    }
}

impl From<ProcessError> for PgError {
    fn from(error: ProcessError) -> Self {
        let code = match &error {
            ProcessError::Timeout(_) | ProcessError::Cancelled => "57014",
            ProcessError::NotReadOnly(_) => "25006",
            ProcessError::Memory(_) => "53200",
            ProcessError::Data(message) => data_code(message),
            ProcessError::Sql { message, .. } => plan_code(message),
            _ => match error.kind() {
                ErrorKind::Input => "42000",
                ErrorKind::NotFound => "42P01",
                ErrorKind::Denied => "42501",
                ErrorKind::Overloaded => "53000",
                ErrorKind::StorageFull => "53100",
                ErrorKind::Corrupt => "XX001",
                ErrorKind::Transient | ErrorKind::Fenced => "58030",
                ErrorKind::Internal => "XX000",
            },
        };
        let hint = error.hint().map(str::to_owned);
        let place = error.position().map(|(line, column)| (u64::from(line), u64::from(column)));
        Self { code, hint, place, message: chain(&error) }
    }
}

fn place_of(error: &DataFusionError) -> Option<(u64, u64)> {
    if let DataFusionError::SQL(parser, _) = error.find_root() {
        return PgError::syntax(parser).place;
    }
    let span = error.diagnostic()?.span?;
    (span.start.line > 0).then_some((span.start.line, span.start.column))
}

/// The SQLSTATE of an error of the planner; nothing where it is an error of another kind.
fn code_of(error: &DataFusionError) -> Option<&'static str> {
    match error.find_root() {
        DataFusionError::SQL(..) => Some("42601"),
        DataFusionError::NotImplemented(_) => Some("0A000"),
        DataFusionError::SchemaError(schema, _) => Some(match schema.as_ref() {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => {
                "42701"
            }
        }),
        DataFusionError::Plan(message) => Some(plan_code(message)),
        _ => None,
    }
}

/// What is wrong with a statement is told apart by its words only: those of the engine first, then the planner's.
fn plan_code(message: &str) -> &'static str {
    const WORDS: [(&str, &str); 18] = [
        ("this is not sql", "42601"),
        ("there is no dataset", "42P01"),
        ("there is no table", "42P01"),
        ("there is no column", "42703"),
        ("there is no function", "42883"),
        ("more than one table here", "42702"),
        ("neither grouped by", "42803"),
        ("stand within each other", "54001"),
        ("are joined", "54001"),
        ("more than the", "54000"),
        ("invalid function", "42883"),
        ("no function matches", "42883"),
        ("group by", "42803"),
        ("coerce", "42804"),
        ("cannot cast", "42804"),
        ("types mismatch", "42804"),
        ("type mismatch", "42804"),
        ("not supported", "0A000"),
    ];
    let message = message.to_ascii_lowercase();
    if message.contains("table") && message.contains("not found") {
        return "42P01";
    }
    WORDS.iter().find(|(words, _)| message.contains(words)).map_or("42000", |(_, code)| code)
}

/// The SQLSTATE of data that does not fit the SQL.
fn data_code(message: &str) -> &'static str {
    let message = message.to_ascii_lowercase();
    let says = |words: &str| message.contains(words);
    if says("divide by zero") || says("division by zero") {
        "22012"
    } else if says("overflow") || says("out of range") {
        "22003"
    } else if says("cast") || says("pars") {
        "22P02"
    } else {
        "22000"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_number_of_a_character() {
        let text = "select é\nfrom nowhere";
        assert_eq!(character_at(text, (1, 1)), Some(1));
        assert_eq!(character_at(text, (2, 6)), Some(15));
        assert_eq!(text.chars().nth(14), Some('n'));
        assert_eq!(character_at(text, (3, 1)), None);
        assert_eq!(character_at(text, (0, 1)), None);
    }

    #[test]
    fn syntax_errors_have_their_place() {
        let error =
            ParserError::ParserError("Expected: an expression, found: from at Line: 2, Column: 3".to_owned());
        let error = PgError::syntax(&error);
        assert_eq!((error.code, error.place), ("42601", Some((2, 3))));
        assert_eq!(error.message, "syntax error: Expected: an expression, found: from");
    }

    #[test]
    fn words_become_codes() {
        assert_eq!(plan_code("table 'flowline.shop.x' not found"), "42P01");
        assert_eq!(plan_code("Invalid function 'f'"), "42883");
        assert_eq!(data_code("Divide by zero error"), "22012");
        assert_eq!(data_code("Cannot cast string 'x' to value of Int64 type"), "22P02");
        assert_eq!(data_code("Overflow happened on: 1 + 2"), "22003");
    }
}
