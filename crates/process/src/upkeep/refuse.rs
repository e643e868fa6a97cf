//! Why a materialization does not hold, in words.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Expr, LogicalPlan};

use flowline_model::DatasetName;

use crate::problem::{Fault, Place};

/// Why a materialization would make the table differ from its query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    message: String,
    hint: Option<String>,
    place: Option<Place>,
    /// What it is about, to be found in the text.
    pub(crate) about: Option<Box<InText>>,
}

/// Something that the planner does not tell the place of.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum InText {
    /// The first call of this function.
    Function(String),
    /// The first subquery that names this dataset, or else the first one.
    Subquery(DatasetName),
    /// The first name of this dataset, or else of a view that reads it.
    Dataset(DatasetName),
}

/// What in a query keeps the rows of a scan from being followed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Obstacle {
    /// `an aggregate (GROUP BY)`.
    pub what: &'static str,
    /// Where it is written, as far as the planner tells.
    pub place: Option<Place>,
}

impl Obstacle {
    /// The obstacle that a node of a plan is.
    pub fn at(what: &'static str, node: &LogicalPlan) -> Self {
        Self { what, place: place_of_exprs(&node.expressions()) }
    }
}

/// The place of the first column that expressions name.
pub(crate) fn place_of_exprs(exprs: &[Expr]) -> Option<Place> {
    let mut places: Vec<Place> = Vec::new();
    for expr in exprs {
        for column in expr.column_refs() {
            places.extend(column.spans().first().map(|span| {
                let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
                Place {
                    line: number(span.start.line),
                    column: number(span.start.column),
                    end_line: number(span.end.line),
                    end_column: number(span.end.column),
                }
            }));
        }
    }
    places.into_iter().min()
}

impl Refusal {
    pub(crate) fn new(message: String) -> Self {
        Self { message, hint: None, place: None, about: None }
    }

    /// The same refusal, to be found in the text by what it is about.
    pub(crate) fn about(mut self, about: InText) -> Self {
        self.about = Some(Box::new(about));
        self
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// The same refusal at a place that is better, if there is one.
    pub(crate) fn or_at(mut self, better: Option<Place>) -> Self {
        self.place = better.or(self.place);
        self
    }

    /// The same refusal with another hint.
    pub(crate) fn instead(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }

    pub(crate) fn or_hint(mut self, hint: String) -> Self {
        self.hint.get_or_insert(hint);
        self
    }

    /// The refusal as a fault of the SQL text.
    pub(crate) fn into_fault(self) -> Fault {
        Fault { place: self.place.unwrap_or(Place::START), message: self.message, hint: self.hint }
    }

    pub(super) fn no_input() -> Self {
        Self::new("the query reads no dataset, so there is nothing whose growth could be followed".to_owned())
    }

    pub(super) fn no_partitions() -> Self {
        let refusal =
            Self::new("`materialize: partition` needs `partition_by`, which is not declared".to_owned());
        refusal.or_hint("declare `partition_by`, `[day(ts)]` for example".to_owned())
    }

    pub(super) fn no_key() -> Self {
        let refusal = Self::new("`materialize: merge` needs a `key`, which is not declared".to_owned());
        refusal.or_hint("declare the columns that identify a row as `key`".to_owned())
    }

    pub(super) fn no_column(name: &str) -> Self {
        Self::new(format!("the SQL gives no column `{name}`, which `key` or `partition_by` names"))
            .or_hint("select it".to_owned())
    }

    pub(super) fn not_row_by_row(obstacle: &Obstacle) -> Self {
        let message = format!(
            "`materialize: append` only adds rows, but {} changes rows that are there when more arrive",
            obstacle.what
        );
        Self::new(message).at(obstacle.place)
    }

    pub(super) fn not_traceable(names: &[String], obstacle: &Obstacle) -> Self {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let message =
            format!("which {} new rows affect cannot be told through {}", names.join(", "), obstacle.what);
        Self::new(message).at(obstacle.place)
    }

    pub(super) fn key_not_unique(key: &[String], keys: &[String]) -> Self {
        let message = format!("the query may give several rows with one key `{}`", key.join(", "));
        let refusal = Self::new(message);
        if keys.is_empty() {
            return refusal.or_hint("group by the key, or use `materialize: full`".to_owned());
        }
        refusal.or_hint(format!("declare `key: [{}]`, the columns it groups by", keys.join(", ")))
    }

    pub(super) fn no_precedence() -> Self {
        let message = "of two new rows with one key, nothing says which one to keep".to_owned();
        Self::new(message).or_hint("declare `event_time`: the later row stays".to_owned())
    }

    pub(super) fn event_time_missing(column: &str) -> Self {
        Self::new(format!("the SQL gives no column `{column}`, which `event_time` names"))
            .or_hint("select it".to_owned())
    }

    pub(crate) fn subquery(stream: &DatasetName) -> Self {
        let message = format!(
            "a subquery reads the stream `{stream}`, and what it gives may be another with each new row"
        );
        let refusal = Self::new(message).about(InText::Subquery(stream.clone()));
        refusal.or_hint(
            "write it as a join, of windows with equal bounds or by time, or use `mode: batch` with `materialize: full`"
                .to_owned(),
        )
    }

    pub(super) fn changes_by_itself(function: &str) -> Self {
        let message = format!(
            "`{function}()` gives another value each time, so what was computed before cannot be kept"
        );
        let refusal = Self::new(message).about(InText::Function(function.to_owned()));
        refusal.or_hint(
            "use `materialize: full` or `view`, or a column of the input, `_ingested_at` for example"
                .to_owned(),
        )
    }
}

/// Refuses what picks from all rows or sorts them.
pub(crate) fn no_sort_or_limit(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut refusal = None;
    let _ = plan.apply_with_subqueries(|node| {
        let what = match node {
            LogicalPlan::Limit(_) => "LIMIT picks from all rows, so new rows change which ones stay",
            LogicalPlan::Sort(_) => {
                "a table has no order, and ORDER BY sorts all rows again for each new one"
            }
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        let place = place_of_exprs(&node.expressions());
        refusal = Some(Refusal::new(what.to_owned()).at(place));
        Ok(TreeNodeRecursion::Stop)
    });
    match refusal {
        Some(refusal) => Err(refusal.or_hint(
            "leave it out, put it in the queries that read the table, or use `materialize: full`".to_owned(),
        )),
        None => Ok(()),
    }
}
