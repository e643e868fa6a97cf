//! One query → its plan, or everything that keeps it from having one, each at its place.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::common::{Column, Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as ParsedStatement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectNamePart, Query, Spanned, Statement, Value, Visit, VisitMut, Visitor, VisitorMut,
    visit_relations,
};

use flowline_model::{Dataset, DatasetName, SqlOrigin};

use crate::ProcessError;
use crate::error::{first_line, words};
use crate::problem::{Fault, Place};
use crate::sql::{nearest, place_of};

/// Columns that are missing in one text and are still looked for; the planner runs once for each.
const MISSING_MAX: usize = 50;

/// Plans a query; `thoroughly` as far as running it over no rows would, so that what can fail on any rows fails here.
///
/// # Errors
/// Every column that does not exist, or else the first other reason.
pub(super) async fn plan_query(
    state: &SessionState,
    query: Box<Query>,
    thoroughly: bool,
) -> Result<LogicalPlan, Vec<Fault>> {
    let statement = Statement::Query(query);
    let logical = match plan_statement(state, statement.clone()).await {
        Ok(logical) => logical,
        Err(Unplanned::Wrong(faults)) => return Err(faults),
        Err(Unplanned::Failed(error)) => return Err(vec![Fault::new(Place::START, error.to_string())]),
    };
    if thoroughly {
        let physical = state.create_physical_plan(&logical).await;
        physical.map_err(|error| vec![other_fault(&statement, &error)])?;
    }
    Ok(logical)
}

/// Why a statement has no plan.
pub(crate) enum Unplanned {
    /// It is wrong: every column that does not exist, or else the first other reason.
    Wrong(Vec<Fault>),
    /// A table that it names could not be looked at.
    Failed(ProcessError),
}

impl Unplanned {
    /// As an error of a query, of which only the first fault is told.
    pub fn of_query(self) -> ProcessError {
        match self {
            Self::Failed(error) => error,
            Self::Wrong(faults) => match faults.into_iter().next() {
                Some(fault) => fault.into(),
                None => ProcessError::Engine("the planner gave up without a reason".to_owned()),
            },
        }
    }

    /// As an error of a dataset's SQL.
    pub fn of_dataset(self, dataset: &Dataset, sql: &SqlOrigin) -> ProcessError {
        match self {
            Self::Failed(error) => error,
            Self::Wrong(faults) => {
                ProcessError::Project(faults.into_iter().map(|fault| fault.of(dataset, sql)).collect())
            }
        }
    }
}

/// Plans a statement.
pub(crate) async fn plan_statement(
    state: &SessionState,
    mut statement: Statement,
) -> Result<LogicalPlan, Unplanned> {
    let mut faults: Vec<Fault> = Vec::new();
    // The planner stops at the first column that it cannot find. A null in its place lets it go on to the next.
    while faults.len() < MISSING_MAX {
        let parsed = ParsedStatement::Statement(Box::new(statement.clone()));
        let error = match state.statement_to_plan(parsed).await {
            Ok(plan) if faults.is_empty() => return Ok(plan),
            Ok(_) => break,
            Err(error) if matches!(error.find_root(), DataFusionError::External(_)) => {
                return Err(Unplanned::Failed(error.into()));
            }
            Err(error) => error,
        };
        let missing = missing_columns(&error, None);
        let mut new: Vec<Fault> =
            missing.iter().filter_map(|missing| missing.blank(&mut statement)).collect();
        if new.is_empty() {
            if faults.is_empty() {
                faults.push(
                    missing.first().map_or_else(
                        || other_fault(&statement, &error),
                        |missing| missing.fault(Place::START),
                    ),
                );
            }
            break;
        }
        faults.append(&mut new);
    }
    let mut told = BTreeSet::new();
    faults.retain(|fault| told.insert((fault.place, fault.message.clone())));
    faults.sort_by_key(|fault| fault.place);
    Err(Unplanned::Wrong(faults))
}

/// A column that the planner could not find.
struct Missing {
    column: Column,
    there: Vec<Column>,
    place: Option<Place>,
}

/// The columns that an error says are missing; several when the planner could go on by itself.
fn missing_columns(error: &DataFusionError, diagnostic: Option<&Diagnostic>) -> Vec<Missing> {
    match error {
        DataFusionError::Collection(all) => {
            all.iter().flat_map(|error| missing_columns(error, None)).collect()
        }
        DataFusionError::Diagnostic(diagnostic, inner) => missing_columns(inner, Some(diagnostic)),
        DataFusionError::Context(_, inner) => missing_columns(inner, diagnostic),
        DataFusionError::Shared(inner) => missing_columns(inner, diagnostic),
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => {
                let span =
                    diagnostic.and_then(|diagnostic| diagnostic.span).or_else(|| field.spans().first());
                vec![Missing {
                    column: field.as_ref().clone(),
                    there: valid_fields.clone(),
                    place: span.map(place_of_span),
                }]
            }
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

impl Missing {
    /// Puts a null where the column is named, and tells the fault; none when it is not found in the statement.
    fn blank(&self, statement: &mut Statement) -> Option<Fault> {
        let mut blank = Blank { missing: self, place: None };
        let _ = statement.visit(&mut blank);
        blank.place.map(|place| self.fault(place))
    }

    fn fault(&self, place: Place) -> Fault {
        let name = &self.column.name;
        let mut fault = Fault::new(
            place,
            match &self.column.relation {
                Some(relation) => format!("there is no column `{name}` in `{relation}`"),
                None => format!("there is no column `{name}` here"),
            },
        );
        let names = self.names();
        if let Some(meant) = nearest(name, names.iter().copied()) {
            fault = fault.hint(format!("did you mean `{}`?", quoted(meant)));
        } else if !names.is_empty() && names.len() <= 30 {
            let names: BTreeSet<String> = names.iter().map(|name| format!("`{}`", quoted(name))).collect();
            fault = fault.hint(format!("there are {}", names.into_iter().collect::<Vec<_>>().join(", ")));
        }
        fault
    }

    /// The names that could have been meant: of the table that is named, without Flowline's own unless it began so.
    fn names(&self) -> Vec<&str> {
        let own = self.column.name.starts_with('_');
        let of_table = |column: &&Column| match (&self.column.relation, &column.relation) {
            (Some(wanted), Some(has)) => wanted.table() == has.table(),
            _ => true,
        };
        let all = || self.there.iter().filter(move |column| own || !column.name.starts_with('_'));
        let mut names: Vec<&str> = all().filter(of_table).map(|column| column.name.as_str()).collect();
        if names.is_empty() {
            names = all().map(|column| column.name.as_str()).collect();
        }
        names
    }

    fn named_by(&self, idents: &[&Ident], place: Option<Place>) -> bool {
        let Some(last) = idents.last() else { return false };
        if normal(last) != self.column.name {
            return false;
        }
        match (self.place, place) {
            (Some(wanted), Some(place)) => wanted == place,
            _ => match (&self.column.relation, idents.len()) {
                (Some(relation), 2..) => normal(idents[idents.len() - 2]) == relation.table(),
                _ => true,
            },
        }
    }
}

/// The column's name as it has to be written in SQL.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}

fn place_of_span(span: datafusion::common::Span) -> Place {
    let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Place {
        line: number(span.start.line),
        column: number(span.start.column),
        end_line: number(span.end.line),
        end_column: number(span.end.column),
    }
}

/// Replaces the first expression that names a missing column.
struct Blank<'a> {
    missing: &'a Missing,
    place: Option<Place>,
}

impl VisitorMut for Blank<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let idents: Vec<&Ident> = match &*expr {
            Expr::Identifier(ident) => vec![ident],
            Expr::CompoundIdentifier(idents) => idents.iter().collect(),
            _ => return ControlFlow::Continue(()),
        };
        let place = place_of(expr.span());
        if !self.missing.named_by(&idents, place) {
            return ControlFlow::Continue(());
        }
        self.place = Some(place.unwrap_or(Place::START));
        *expr = Expr::Value(Value::Null.with_empty_span());
        ControlFlow::Break(())
    }
}

/// Any other reason, at the place that the planner gives, or at the function that its message names.
fn other_fault(statement: &Statement, error: &DataFusionError) -> Fault {
    let (error, place) = first_cause(error, None);
    if let Some(fault) = known_fault(error, place.unwrap_or(Place::START)) {
        return fault;
    }
    let message = words(error);
    if let Some(rest) = message.strip_prefix("invalid function '") {
        let (name, rest) = rest.split_once('\'').unwrap_or((rest, ""));
        let place = place_of_function(statement, name).or(place).unwrap_or(Place::START);
        let fault = Fault::new(place, format!("there is no function `{name}`"));
        let meant = rest.split_once("Did you mean '").and_then(|(_, rest)| rest.split('\'').next());
        return match meant {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault,
        };
    }
    if let Some((name, fault)) = wrong_argument(&message) {
        return Fault {
            place: place_of_function(statement, &name).or(place).unwrap_or(Place::START),
            ..fault
        };
    }
    Fault::new(place.unwrap_or(Place::START), first_line(error))
}

/// The function whose argument is of a type that none of its signatures takes: the planner lists what each of them said
/// and calls it an internal error.
fn wrong_argument(message: &str) -> Option<(String, Fault)> {
    let (head, said) = message.split_once("' failed to match any signature, errors: ")?;
    let (_, name) = head.split_once("unction '")?;
    let mut takes: Vec<&str> = said
        .split(" requires ")
        .skip(1)
        .filter_map(|rest| rest.split_once(", but received ").map(|(takes, _)| takes))
        .collect();
    takes.dedup();
    let (_, given) = said.split_once(", but received ")?;
    let given = given.split([' ', '.', ',']).next()?;
    let (last, others) = takes.split_last()?;
    let takes =
        if others.is_empty() { (*last).to_owned() } else { format!("{} or {last}", others.join(", ")) };
    let fault = Fault::new(Place::START, format!("`{name}` takes {takes}, not {given}"));
    let number = takes.contains("Decimal") || takes.contains("Float64");
    Some((name.to_owned(), match number {
        true => fault.hint(format!(
            "cast the argument: `{name}(cast(x as decimal(18, 2)))`; `try_cast` is null where it is no number"
        )),
        false => fault.hint("cast the argument to one of them"),
    }))
}

/// Reasons that the planner tells in its own words, in ours.
fn known_fault(error: &DataFusionError, place: Place) -> Option<Fault> {
    if let DataFusionError::SchemaError(inner, _) = error
        && let SchemaError::AmbiguousReference { field } = inner.as_ref()
    {
        let name = &field.name;
        let fault = Fault::new(place, format!("more than one table here has a column `{name}`"));
        return Some(fault.hint(format!("write which one: `table.{name}`")));
    }
    let message = words(error);
    let (_, rest) =
        message.split_once("column \"").filter(|_| message.contains("must appear in the GROUP BY clause"))?;
    let column = rest.split('"').next()?;
    let name = column.rsplit('.').next().unwrap_or(column);
    let fault = Fault::new(place, format!("`{name}` is neither grouped by nor inside an aggregate"));
    Some(fault.hint(format!("add it to GROUP BY, or use an aggregate such as `max({name})`")))
}

fn first_cause(error: &DataFusionError, place: Option<Place>) -> (&DataFusionError, Option<Place>) {
    match error {
        DataFusionError::Collection(all) => {
            all.first().map_or((error, place), |first| first_cause(first, place))
        }
        DataFusionError::Diagnostic(diagnostic, inner) => {
            first_cause(inner, place.or_else(|| diagnostic.span.map(place_of_span)))
        }
        DataFusionError::Context(_, inner) => first_cause(inner, place),
        DataFusionError::Shared(inner) => first_cause(inner, place),
        DataFusionError::SchemaError(inner, _) => match inner.as_ref() {
            SchemaError::AmbiguousReference { field } => {
                (error, place.or_else(|| field.spans().first().map(place_of_span)))
            }
            _ => (error, place),
        },
        _ => (error, place),
    }
}

/// Where a statement calls a function first.
pub(super) fn place_of_function(statement: &Statement, name: &str) -> Option<Place> {
    struct Find<'a>(&'a str, Option<Place>);
    impl Visitor for Find<'_> {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
            if let Expr::Function(function) = expr
                && let Some(ident) = function.name.0.last().and_then(ObjectNamePart::as_ident)
                && normal(ident) == self.0
            {
                self.1 = place_of(ident.span);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        }
    }
    let mut find = Find(name, None);
    let _ = statement.visit(&mut find);
    find.1
}

/// Where a subquery of an expression begins that names this dataset; the first subquery when none does, since a view may
/// stand between.
pub(super) fn place_of_subquery(statement: &Statement, dataset: &DatasetName) -> Option<Place> {
    struct Find<'a> {
        dataset: &'a DatasetName,
        first: Option<Place>,
    }
    impl Visitor for Find<'_> {
        type Break = Option<Place>;

        fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
            let query = match expr {
                Expr::Subquery(query) => query,
                Expr::Exists { subquery, .. } | Expr::InSubquery { subquery, .. } => subquery,
                _ => return ControlFlow::Continue(()),
            };
            let place = place_of(query.span());
            self.first = self.first.or(place);
            let names = visit_relations(query.as_ref(), |name| {
                let parts: Vec<String> =
                    name.0.iter().filter_map(ObjectNamePart::as_ident).map(normal).collect();
                let named = parts == [self.dataset.domain(), self.dataset.name()];
                if named { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if names.is_break() { ControlFlow::Break(place) } else { ControlFlow::Continue(()) }
        }
    }
    let mut find = Find { dataset, first: None };
    match statement.visit(&mut find) {
        ControlFlow::Break(place) => place.or(find.first),
        ControlFlow::Continue(()) => find.first,
    }
}
