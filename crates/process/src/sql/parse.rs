//! One text → one query, or the place at which it stops being one.

use datafusion::sql::sqlparser::ast::{Query, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Span, TokenWithSpan, Tokenizer};

use super::as_of;
use super::depth::{bounded_depth, few_words, with_large_stack};
use super::state;
use super::windows::expand;
use crate::ProcessError;
use crate::error::lower_first;
use crate::problem::{Fault, Place};

/// The dialect of every SQL text in Flowline: DataFusion's own, a superset of what PostgreSQL clients send.
pub(crate) static DIALECT: GenericDialect = GenericDialect {};

/// How deep parentheses, functions and subqueries may be nested.
pub(crate) const DEPTH_MAX: usize = 64;

/// The place of a span of the parser; nothing where the parser keeps none.
pub(crate) fn place_of(span: Span) -> Option<Place> {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    (span.start.line > 0).then(|| Place {
        line: number(span.start.line),
        column: number(span.start.column),
        end_line: number(span.end.line),
        end_column: number(span.end.column),
    })
}

/// Parses the text of a dataset: exactly one query.
///
/// # Errors
/// The place at which it is no longer SQL, or the second statement, or the statement that is not a query.
pub(crate) fn parse_query(text: &str) -> Result<Box<Query>, Fault> {
    with_large_stack(|| parse_one_query(text))
}

fn parse_one_query(text: &str) -> Result<Box<Query>, Fault> {
    let mut parser =
        Parser::new(&DIALECT).with_recursion_limit(DEPTH_MAX).with_tokens_with_locations(tokens(text)?);
    let mut statements = parser.parse_statements().map_err(|error| syntax_fault(&error))?;
    statements.iter().try_for_each(bounded_depth)?;
    let count = statements.len();
    match (statements.pop(), count) {
        (None, _) => Err(Fault::new(Place::START, "there is no SQL here").hint("write one SELECT")),
        (Some(Statement::Query(query)), 1) => Ok(query),
        (Some(_), 1) => Err(Fault::new(Place::START, "a dataset's SQL is a query, this statement is none")
            .hint("write one SELECT; Flowline itself writes its rows to the table")),
        (Some(_), count) => Err(Fault::new(
            Place::START,
            format!("a dataset's SQL is one query, here are {count} statements"),
        )
        .hint("keep one; use WITH for steps before it, or a dataset for each")),
    }
}

/// Refuses a text of so many words that what it is parsed into could be too deep to be dropped: for protocols that
/// parse by themselves, before they do. Costs splitting the text into words once more.
pub fn bounded_words(text: &str) -> Result<(), ProcessError> {
    tokens(text).map(drop).map_err(ProcessError::from)
}

/// Refuses a statement whose tree is too deep to be planned: for protocols that parse by themselves, right after they
/// did, so that it is dropped where it was made, on a large stack.
pub fn bounded_tree(statement: &Statement) -> Result<(), ProcessError> {
    bounded_depth(statement).map_err(ProcessError::from)
}

/// The words of a text, when there are not too many, with window table functions and what is like them written out.
pub(crate) fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, Fault> {
    let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| syntax_fault(&ParserError::from(error)))?;
    written_out(tokens)
}

/// The words with everything written out that the parser does not know, when there are not too many.
fn written_out(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Fault> {
    few_words(&tokens)?;
    state::expand(as_of::expand(expand(tokens)?)?)
}

/// The words of a text in another dialect, for protocols that parse by themselves: bounded, and with the window table
/// functions written out, which no parser knows.
pub fn words_of(dialect: &dyn Dialect, text: &str) -> Result<Vec<TokenWithSpan>, ProcessError> {
    let tokens = Tokenizer::new(dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| syntax_fault(&ParserError::from(error)))?;
    Ok(written_out(tokens)?)
}

/// The parser's error as a fault. The parser writes the place at the end of its message.
pub(crate) fn syntax_fault(error: &ParserError) -> Fault {
    let text = match error {
        ParserError::RecursionLimitExceeded => {
            return Fault::new(Place::START, format!("this SQL is nested deeper than {DEPTH_MAX} levels"));
        }
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
    };
    let (message, place) = split_place(text);
    Fault::new(place, format!("this is not SQL: {}", lower_first(message)))
}

fn split_place(text: &str) -> (&str, Place) {
    let parsed = text.rsplit_once(" at Line: ").and_then(|(message, rest)| {
        let (line, column) = rest.split_once(", Column: ")?;
        Some((message, Place::point(line.trim().parse().ok()?, column.trim().parse().ok()?)))
    });
    parsed.unwrap_or((text, Place::START))
}
