//! Which tables a statement names, and where it names them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ObjectName, ObjectNamePart, Query, Spanned, Statement, TableFactor, Visit, Visitor,
};

use super::as_of::Edition;
use super::parse::place_of;
use crate::problem::Place;

/// A table that a statement names, as often as it names it. Names of WITH queries and of table functions are not here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// Where.
    pub place: Place,
    /// Its parts as SQL reads them: lower case unless quoted.
    pub parts: Vec<String>,
    /// Which of its rows are meant.
    pub edition: Edition,
}

impl Reference {
    /// The name as it is read, `domain.name`.
    pub fn name(&self) -> String {
        self.parts.join(".")
    }
}

/// The tables that a query names, in the order of the text.
pub(crate) fn references(query: &Query) -> Vec<Reference> {
    let mut collector = Collector::default();
    let _ = query.visit(&mut collector);
    collector.into_references()
}

/// The tables that a statement names, in the order of the text.
pub(crate) fn references_of_statement(statement: &Statement) -> Vec<Reference> {
    let mut collector = Collector::default();
    let _ = statement.visit(&mut collector);
    collector.into_references()
}

/// Walks the syntax tree with the WITH names that hold at each point of it.
#[derive(Default)]
struct Collector {
    /// By place, since the body of a WITH query is visited twice.
    found: BTreeMap<Place, (Vec<String>, Edition)>,
    with_names: Vec<String>,
    functions: Vec<Place>,
}

impl Collector {
    fn into_references(self) -> Vec<Reference> {
        let Self { found, functions, .. } = self;
        found
            .into_iter()
            .filter(|(place, _)| !functions.contains(place))
            .map(|(place, (parts, edition))| Reference { place, parts, edition })
            .collect()
    }
}

impl Visitor for Collector {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let Some(with) = &query.with else { return ControlFlow::Continue(()) };
        for table in &with.cte_tables {
            // A name that is not recursive does not hold in its own body: there it is the table of that name. The
            // parser's walk comes by the body again when the name holds, which then adds nothing.
            if !with.recursive {
                table.query.visit(self)?;
            }
            self.with_names.push(normal(&table.alias.name));
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let names = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        self.with_names.truncate(self.with_names.len() - names);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => {
                self.functions.extend(place_of(name.span()));
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        let mut parts: Vec<String> = name.0.iter().filter_map(ObjectNamePart::as_ident).map(normal).collect();
        let mut edition = Edition::Table;
        if let Some(last) = parts.last_mut() {
            let (table, found) = Edition::of(last);
            (edition, *last) = (found, table.to_owned());
        }
        let of_with = matches!(parts.as_slice(), [only] if self.with_names.contains(only));
        if !of_with {
            self.found.insert(place_of(name.span()).unwrap_or(Place::START), (parts, edition));
        }
        ControlFlow::Continue(())
    }
}

/// A name as SQL reads it.
fn normal(ident: &datafusion::sql::sqlparser::ast::Ident) -> String {
    match ident.quote_style {
        Some(_) => ident.value.clone(),
        None => ident.value.to_ascii_lowercase(),
    }
}
