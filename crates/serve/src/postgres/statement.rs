//! What a statement asks for, before anything is planned: rows, or one of the commands of a session.

use datafusion::sql::sqlparser::ast::{
    DiscardObject, Expr, ObjectName, Reset, Set, Statement as Ast, TransactionMode, Value,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use flowline_process::{bounded_tree, words_of};

use super::about::{About, name_here};
use super::error::PgError;
use super::simplify::simplify;

/// How deep expressions and subqueries may be nested.
const DEPTH_MAX: usize = 64;

/// Bytes of a text that tools send about the catalog; a longer one is not rewritten.
const CATALOG_BYTES_MAX: usize = 64 << 10;

/// One statement.
#[derive(Debug, Clone)]
pub(super) struct Statement {
    /// What it asks for.
    pub request: Request,
    /// It is about PostgreSQL's catalog and is planned with its functions and types at hand.
    pub about_catalog: bool,
}

/// What a statement asks for.
#[derive(Debug, Clone)]
pub(super) enum Request {
    /// Rows.
    Rows(Box<Ast>),
    /// To set one or more settings; `None` is the default.
    Set(Vec<(String, Option<String>)>),
    /// To set one back, or all.
    Reset(Option<String>),
    /// The value of a setting; all when it is `all`.
    Show(String),
    /// To begin a transaction, which here only counts statements together.
    Begin,
    /// To end it.
    Commit,
    /// To end it.
    Rollback,
    /// To forget a prepared statement, or all.
    Deallocate(Option<String>),
    /// Something that has no effect here, with the tag that answers it.
    Nothing(&'static str),
}

impl Request {
    /// Whether a transaction that has failed still takes it.
    pub fn ends_transaction(&self) -> bool {
        matches!(self, Self::Commit | Self::Rollback)
    }
}

/// Parses a text into its statements, in order.
///
/// Statements about PostgreSQL's catalog that read no dataset are brought into a form that is planned here; places in
/// them are lost on the way. All others are taken as they are written.
///
/// Goes down trees of any depth and drops those that are too deep: to be called on a large stack.
///
/// # Errors
/// The first place that is not SQL, or the first statement that is nested too deeply or would write.
pub(super) fn parse(
    text: &str,
    compatibility: &PostgresCompatibilityParser,
) -> Result<Vec<Statement>, PgError> {
    let mut words = words_of(&PostgreSqlDialect {}, text)?;
    abort_is_rollback(&mut words);
    let statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(DEPTH_MAX)
        .with_tokens_with_locations(words)
        .parse_statements()
        .map_err(|error| PgError::syntax(&error))?;
    statements.iter().try_for_each(bounded_tree)?;
    let about: Vec<About> = statements.iter().map(About::of).collect();
    let mut compatible = match about.iter().any(rewritten) && text.len() <= CATALOG_BYTES_MAX {
        true => compatible(text, statements.len(), compatibility)?,
        false => Vec::new(),
    };
    let both = statements.into_iter().zip(about).enumerate();
    let chosen = both.map(|(index, (mut statement, about))| {
        match compatible.get_mut(index).and_then(Option::take) {
            Some(compatible) if rewritten(&about) => {
                statement = compatible;
                simplify(&mut statement);
            }
            _ if about.catalog => name_here(&mut statement),
            _ => {}
        }
        Ok(Statement { request: request(statement)?, about_catalog: about.catalog })
    });
    chosen.collect()
}

/// Whether a statement may be rewritten: that changes what it says, which no rows of users may notice.
fn rewritten(about: &About) -> bool {
    about.catalog && !about.datasets
}

/// The statements of a text as they can be planned when they are about the catalog; none where they cannot be told
/// apart.
fn compatible(
    text: &str,
    count: usize,
    compatibility: &PostgresCompatibilityParser,
) -> Result<Vec<Option<Ast>>, PgError> {
    let statements = compatibility.parse(text).map_err(|error| PgError::syntax(&error))?;
    if statements.len() != count {
        return Ok(Vec::new());
    }
    statements.iter().try_for_each(bounded_tree)?;
    Ok(statements.into_iter().map(Some).collect())
}

/// `ABORT` is another word for `ROLLBACK`, which the parser does not know.
fn abort_is_rollback(words: &mut [TokenWithSpan]) {
    let mut begins = true;
    for word in words {
        match &word.token {
            Token::Whitespace(_) => continue,
            Token::Word(first) if begins && first.keyword == Keyword::ABORT => {
                word.token = Token::make_keyword("ROLLBACK");
                begins = false;
            }
            token => begins = matches!(token, Token::SemiColon),
        }
    }
}

fn request(statement: Ast) -> Result<Request, PgError> {
    match statement {
        Ast::Query(_)
        | Ast::Explain { .. }
        | Ast::ExplainTable { .. }
        | Ast::ShowTables { .. }
        | Ast::ShowColumns { .. } => Ok(Request::Rows(Box::new(statement))),
        Ast::Set(set) => set_request(set),
        Ast::Reset(reset) => Ok(Request::Reset(match reset.reset {
            Reset::ALL => None,
            Reset::ConfigurationParameter(name) => Some(name_of(&name)),
        })),
        Ast::ShowVariable { variable } => {
            let words: Vec<String> = variable.iter().map(|word| word.value.clone()).collect();
            Ok(Request::Show(words.join(" ")))
        }
        Ast::StartTransaction { statements, .. } if statements.is_empty() => Ok(Request::Begin),
        Ast::Commit { .. } => Ok(Request::Commit),
        Ast::Rollback { savepoint: None, .. } => Ok(Request::Rollback),
        Ast::Rollback { savepoint: Some(_), .. } => Ok(Request::Nothing("ROLLBACK")),
        Ast::Savepoint { .. } => Ok(Request::Nothing("SAVEPOINT")),
        Ast::ReleaseSavepoint { .. } => Ok(Request::Nothing("RELEASE")),
        Ast::Discard { object_type: DiscardObject::ALL } => Ok(Request::Reset(None)),
        Ast::Discard { .. } => Ok(Request::Nothing("DISCARD")),
        Ast::Deallocate { name, .. } if name.value.eq_ignore_ascii_case("all") => {
            Ok(Request::Deallocate(None))
        }
        Ast::Deallocate { name, .. } => Ok(Request::Deallocate(Some(name.value))),
        Ast::LISTEN { .. } => Ok(Request::Nothing("LISTEN")),
        Ast::UNLISTEN { .. } => Ok(Request::Nothing("UNLISTEN")),
        Ast::Declare { .. } | Ast::Fetch { .. } | Ast::Close { .. } => {
            Err(PgError::not_supported("a cursor in SQL"))
        }
        Ast::Prepare { .. } | Ast::Execute { .. } => {
            Err(PgError::not_supported("PREPARE in SQL (the protocol's own prepared statements are)"))
        }
        Ast::Copy { .. } => Err(PgError::not_supported("COPY")),
        other => Err(PgError::read_only(&verb(&other))),
    }
}

/// The first word of a statement.
fn verb(statement: &Ast) -> String {
    statement.to_string().split_whitespace().next().unwrap_or("this statement").to_ascii_uppercase()
}

fn set_request(set: Set) -> Result<Request, PgError> {
    match set {
        Set::SingleAssignment { variable, values, .. } => {
            let texts: Vec<Option<String>> = values.iter().map(value_of).collect();
            let value = if texts.iter().any(Option::is_none) {
                None
            } else {
                Some(texts.into_iter().flatten().collect::<Vec<_>>().join(", "))
            };
            Ok(Request::Set(vec![(name_of(&variable), value)]))
        }
        Set::SetTimeZone { value, .. } => Ok(Request::Set(vec![("timezone".to_owned(), value_of(&value))])),
        Set::SetNames { charset_name, .. } => {
            Ok(Request::Set(vec![("client_encoding".to_owned(), Some(charset_name.value))]))
        }
        Set::SetNamesDefault {} => Ok(Request::Set(vec![("client_encoding".to_owned(), None)])),
        Set::SetTransaction { modes, .. } => Ok(Request::Set(transaction_settings(&modes))),
        Set::SetRole { .. } | Set::SetSessionAuthorization(_) => {
            Err(PgError::not_supported("changing the role"))
        }
        _ => Err(PgError::not_supported("this form of SET")),
    }
}

/// Whatever a transaction is asked to be, it reads the newest committed versions; only a wish to write is kept, to be
/// told about.
fn transaction_settings(modes: &[TransactionMode]) -> Vec<(String, Option<String>)> {
    let writes = modes.iter().any(|mode| mode.to_string().eq_ignore_ascii_case("read write"));
    if writes { vec![("transaction_read_only".to_owned(), Some("off".to_owned()))] } else { Vec::new() }
}

fn name_of(name: &ObjectName) -> String {
    name.to_string().replace('"', "")
}

/// A value as its text; `DEFAULT` is none.
fn value_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(text.clone()),
            other => Some(other.to_string()),
        },
        Expr::Identifier(word)
            if word.value.eq_ignore_ascii_case("default") && word.quote_style.is_none() =>
        {
            None
        }
        Expr::Identifier(word) => Some(word.value.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    fn requests(text: &str) -> Result<Vec<Request>, PgError> {
        let statements = parse(text, &PostgresCompatibilityParser::new())?;
        Ok(statements.into_iter().map(|statement| statement.request).collect())
    }

    fn words(text: &str) -> String {
        match requests(text) {
            Ok(requests) => {
                let words = requests.iter().map(|request| match request {
                    Request::Rows(_) => "rows".to_owned(),
                    other => format!("{other:?}"),
                });
                words.collect::<Vec<_>>().join("; ")
            }
            Err(error) => error.code.to_owned(),
        }
    }

    #[test]
    fn statements_are_told_apart() {
        for (text, expected) in [
            ("select 1; select 2;", "rows; rows"),
            ("values (1)", "rows"),
            ("explain select 1", "rows"),
            ("describe shop.orders", "rows"),
            ("begin", "Begin"),
            ("start transaction read only", "Begin"),
            ("end", "Commit"),
            ("abort", "Rollback"),
            ("select 1; /* no */ ABORT ; select 'abort'", "rows; Rollback; rows"),
            ("show search_path", "Show(\"search_path\")"),
            ("show transaction isolation level", "Show(\"transaction isolation level\")"),
            ("set extra_float_digits = 3", "Set([(\"extra_float_digits\", Some(\"3\"))])"),
            ("set session application_name to 'x y'", "Set([(\"application_name\", Some(\"x y\"))])"),
            ("set search_path to shop, public", "Set([(\"search_path\", Some(\"shop, public\"))])"),
            ("set statement_timeout to default", "Set([(\"statement_timeout\", None)])"),
            ("set time zone 'UTC'", "Set([(\"timezone\", Some(\"UTC\"))])"),
            ("discard all", "Reset(None)"),
            ("deallocate all", "Deallocate(None)"),
            ("savepoint a", "Nothing(\"SAVEPOINT\")"),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn whatever_writes_is_refused() {
        for text in [
            "insert into shop.orders values (1)",
            "delete from shop.orders",
            "update shop.orders set a = 1",
            "create table t (a int)",
            "create view v as select 1",
            "drop table shop.orders",
            "truncate shop.orders",
            "create function f() returns int as 'x' language sql",
            "grant select on shop.orders to me",
        ] {
            assert_eq!(words(text), "25006", "{text}");
        }
        assert_eq!(words("copy shop.orders from stdin"), "0A000");
    }

    #[test]
    fn what_is_not_sql_has_its_place() {
        let error = requests("select 1,\n  from t where").unwrap_err();
        assert_eq!((error.code, error.place), ("42601", Some((2, 8))));
        let deep = format!("select {}1{}", "(".repeat(5000), ")".repeat(5000));
        assert_eq!(words(&deep), "54001");
    }
}
