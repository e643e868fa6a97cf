//! Whether a statement is about PostgreSQL's catalog.
//!
//! Owns: the decision, by what a statement reads and calls and never by words in its text, and the names of PostgreSQL's
//! own functions in statements that are planned as they are written. Does not own: how statements about the catalog are
//! brought into a form that is planned here (`simplify` and the parser of `datafusion_pg_catalog`): that changes what
//! they say, and is for statements alone that read no dataset.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Query, Statement, TableFactor, Visit, VisitMut, Visitor, VisitorMut,
};
use datafusion_pg_catalog::pg_catalog::PG_CATALOG_TABLES;

const PG_CATALOG: &str = "pg_catalog";
const INFORMATION_SCHEMA: &str = "information_schema";

/// Functions that only PostgreSQL has, besides those that begin with `pg_` or end in `_description` or `_privilege`.
const FUNCTIONS: [&str; 14] = [
    "current_catalog",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "parse_ident",
    "quote_ident",
    "session_user",
    "set_config",
    "to_regtype",
    "txid_current",
    "version",
];

/// Types that stand for numbers in the catalog.
const TYPES: [&str; 4] = ["regclass", "regnamespace", "regproc", "regtype"];

/// What a statement is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct About {
    /// It reads something other than PostgreSQL's catalog: rows of users.
    pub datasets: bool,
    /// It names relations, functions or types of PostgreSQL's catalog.
    pub catalog: bool,
}

impl About {
    /// What this statement is about.
    pub fn of(statement: &Statement) -> Self {
        let mut reader = Reader::default();
        let _ = Visit::visit(statement, &mut reader);
        reader.about
    }
}

/// Names of common tables as they come in and go out of sight.
enum Frame {
    Names(Vec<String>),
    /// The query of a common table sees neither itself nor those behind it. One of those names is a dataset there.
    Hides(Vec<String>),
}

#[derive(Default)]
struct Reader {
    about: About,
    frames: Vec<Frame>,
    /// The queries of common tables, by where they are, with what they do not see.
    bodies: Vec<(*const Query, Vec<String>)>,
    /// For each query that is being visited, the frames that it has put up.
    put_up: Vec<usize>,
}

impl Visitor for Reader {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let before = self.frames.len();
        if let Some(at) = self.bodies.iter().position(|(body, _)| std::ptr::eq(*body, query)) {
            self.frames.push(Frame::Hides(self.bodies.swap_remove(at).1));
        }
        if let Some(with) = &query.with {
            let names: Vec<String> = with.cte_tables.iter().map(|table| folded(&table.alias.name)).collect();
            if !with.recursive {
                let hidden = with.cte_tables.iter().enumerate();
                let hidden = hidden.map(|(index, table)| (&raw const *table.query, names[index..].to_vec()));
                self.bodies.extend(hidden);
            }
            self.frames.push(Frame::Names(names));
        }
        self.put_up.push(self.frames.len() - before);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        let put_up = self.put_up.pop().unwrap_or(0);
        self.frames.truncate(self.frames.len().saturating_sub(put_up));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.relation(name),
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.table_function(name);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        self.about.catalog |= match expression {
            Expr::Function(function) => is_function(&function.name),
            Expr::Identifier(word) => is_current_schema(word),
            Expr::Cast { data_type, .. } => is_type(data_type),
            Expr::TypedString(typed) => is_type(&typed.data_type),
            Expr::BinaryOp { op: BinaryOperator::PGCustomBinaryOperator(parts), .. } => {
                parts.first().is_some_and(|schema| schema == PG_CATALOG)
            }
            _ => false,
        };
        ControlFlow::Continue(())
    }
}

impl Reader {
    fn relation(&mut self, name: &ObjectName) {
        let parts = parts(name);
        match parts.as_slice() {
            [table] if self.is_common(table) => {}
            [table] if is_catalog_table(table) => self.about.catalog = true,
            [.., schema, _] if schema == PG_CATALOG || schema == INFORMATION_SCHEMA => {
                self.about.catalog = true;
            }
            _ => self.about.datasets = true,
        }
    }

    /// Functions make rows of their arguments; one that is in a schema of ours reads a dataset.
    fn table_function(&mut self, name: &ObjectName) {
        match parts(name).as_slice() {
            [.., schema, _] if schema != PG_CATALOG => self.about.datasets = true,
            _ => self.about.catalog |= is_function(name),
        }
    }

    fn is_common(&self, name: &String) -> bool {
        let seen = self.frames.iter().rev().find_map(|frame| match frame {
            Frame::Hides(names) => names.contains(name).then_some(false),
            Frame::Names(names) => names.contains(name).then_some(true),
        });
        seen.unwrap_or(false)
    }
}

/// A name as PostgreSQL knows it: in lower case unless it is quoted.
fn folded(word: &Ident) -> String {
    if word.quote_style.is_some() { word.value.clone() } else { word.value.to_ascii_lowercase() }
}

fn parts(name: &ObjectName) -> Vec<String> {
    name.0.iter().map(|part| part.as_ident().map_or_else(|| part.to_string(), folded)).collect()
}

fn is_catalog_table(name: &str) -> bool {
    PG_CATALOG_TABLES.contains(&name)
}

fn is_function(name: &ObjectName) -> bool {
    match parts(name).as_slice() {
        [schema, _] => schema == PG_CATALOG,
        [name] => {
            name.starts_with("pg_")
                || name.ends_with("_description")
                || name.ends_with("_privilege")
                || FUNCTIONS.contains(&name.as_str())
        }
        _ => false,
    }
}

/// `current_schema` is a function without parentheses, which the parser takes for a column.
fn is_current_schema(word: &Ident) -> bool {
    word.quote_style.is_none() && word.value.eq_ignore_ascii_case("current_schema")
}

fn is_type(data_type: &DataType) -> bool {
    let name = data_type.to_string().to_ascii_lowercase();
    name.starts_with("pg_catalog.") || TYPES.contains(&name.trim_end_matches("[]"))
}

/// Gives what a statement calls and reads of PostgreSQL's catalog the names that it has here. What the statement says
/// stays the same.
pub(super) fn name_here(statement: &mut Statement) {
    let _ = VisitMut::visit(statement, &mut Namer);
}

struct Namer;

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Function(function) => name_function(function),
            Expr::Identifier(word) if is_current_schema(word) => {
                *expression = Expr::Function(call(Ident::new("current_schema")));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Functions are known here without their schema; two of them are written without parentheses and called otherwise.
fn name_function(function: &mut Function) {
    if let [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)] = function.name.0.as_slice()
        && folded(schema) == PG_CATALOG
    {
        function.name = ObjectName::from(name.clone());
    }
    let here = match parts(&function.name).as_slice() {
        [name] if name == "current_user" => "session_user",
        [name] if name == "current_catalog" => "current_database",
        [name] if name == "session_user" => "session_user",
        _ => return,
    };
    *function = call(Ident::new(here));
}

fn call(name: Ident) -> Function {
    let no_arguments =
        FunctionArgumentList { duplicate_treatment: None, args: Vec::new(), clauses: Vec::new() };
    Function {
        name: ObjectName::from(name),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(no_arguments),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn about(text: &str) -> About {
        About::of(&Parser::parse_sql(&PostgreSqlDialect {}, text).unwrap()[0])
    }

    #[test]
    fn what_is_read_decides_and_no_word_of_the_text() {
        for (text, datasets, catalog) in [
            ("select jpg_url, 'aborted' from shop.pictures where pg_size > 1", true, false),
            ("select \"current_user\" from shop.orders -- version() of information_schema", true, false),
            ("select pg_catalog.state from shop.pg_catalog", true, false),
            ("select * from pg_things", true, false),
            ("select * from system.state('shop.orders')", true, false),
            ("select * from (select * from shop.orders) as pg_class", true, false),
            ("select 1 where exists (select 1 from shop.orders)", true, false),
            ("describe shop.orders", false, false),
            ("select 'pg_class', 'abort'", false, false),
            ("select version()", false, true),
            ("select CURRENT_SCHEMA, current_user", false, true),
            ("select pg_catalog.upper('a')", false, true),
            ("select oid from PG_CLASS", false, true),
            ("select * from pg_catalog.pg_class", false, true),
            ("select * from shop.information_schema.columns", false, true),
            ("select 'shop.orders'::regclass", false, true),
            ("select x::pg_catalog.text from generate_series(1, 2) as x", false, true),
            ("select word from pg_get_keywords()", false, true),
            ("select current_user, id from shop.orders", true, true),
            ("select * from shop.orders, pg_class", true, true),
        ] {
            assert_eq!(about(text), About { datasets, catalog }, "{text}");
        }
    }

    #[test]
    fn common_tables_are_no_datasets_where_they_are_in_sight() {
        for (text, datasets) in [
            ("with a as (select 1 as x), b as (select * from a) select * from b", false),
            ("with recursive a as (select 1 as x union all select x + 1 from a) select * from a", false),
            ("with A as (select 1) select (select count(*) from a)", false),
            ("with a as (select 1) select * from \"A\"", true),
            ("with a as (select * from a) select * from a", true),
            ("with a as (select * from b), b as (select 1) select * from a", true),
            ("select * from (with a as (select 1) select * from a) as x, a", true),
            ("with pg_class as (select 1 as x) select * from pg_class", false),
        ] {
            assert_eq!(about(text), About { datasets, catalog: false }, "{text}");
        }
    }

    #[test]
    fn names_of_functions_change_and_nothing_else() {
        let text = "SELECT current_user, pg_catalog.upper(a), current_schema, system.f(a), \
                    (SELECT max(x) FROM shop.orders WHERE x LIKE '!%' ESCAPE '!') FROM shop.orders";
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, text).unwrap().remove(0);
        name_here(&mut statement);
        let named = text
            .replace("current_user", "session_user()")
            .replace("pg_catalog.upper", "upper")
            .replace("current_schema", "current_schema()");
        assert_eq!(statement.to_string(), named);
    }
}
