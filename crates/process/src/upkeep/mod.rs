//! How the table of a transform can follow its query without computing all of it again.
//!
//! Owns: what a plan does to the rows of each input (adds to them one by one, or keeps them together by a key or a
//! partition), and the refusal of a materialization that would make the table differ from its query. Pure: plans in,
//! decisions out. Does not own: which versions are read, or how rows are written (`transform`).
//!
//! The promise of every mode is the same: after a run, the table equals the answer of its query over the inputs'
//! versions that the run read. Where a change cannot be followed exactly (rows of an input were removed or updated, and
//! neither a key nor a partition tells what was made from them; the right side of a left join grew), the run computes
//! the whole table again, in one commit. A mode is refused when that would be so for the first input of the query, whose
//! growth is what the mode is meant to follow.

mod additive;
mod fixed;
mod linear;
mod precedence;
mod refuse;
mod scans;
mod ties;
mod trace;
mod unique;

use datafusion::common::Column as ColumnRef;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, cast, lit};
use flowline_model::{Dataset, DatasetName, Materialization, PartitionField, PartitionTransform};

pub(crate) use additive::{Adding, Additive};
pub(crate) use fixed::same_every_time;
pub(crate) use linear::{name, unaliased};
pub(crate) use precedence::{Precedence, STAMP_COLUMNS, with_stamps};
pub(crate) use refuse::{InText, Obstacle, Refusal, no_sort_or_limit, place_of_exprs};
pub(crate) use scans::{bind, number, number_of, only_branches_with, scans_below};
pub(crate) use ties::{DecideTies, asks_for_first, row_number};
pub(crate) use trace::{equal_pairs, not_unnested, trace};

/// How one mention of a dataset in a query is followed when the dataset grows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Follow {
    /// Its new rows make new rows: the query is run over them alone.
    Grows,
    /// Its new rows change what is computed from rows with the same values of these expressions over its columns.
    Affects(Vec<Expr>),
    /// Everything is computed again.
    Rebuilds,
}

/// What kind of work keeps the table up.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Upkeep {
    /// Everything is computed each time.
    Full,
    /// New rows are added.
    Append,
    /// The partitions that are affected are computed again.
    Partition,
    /// New rows are upserted; of several with one key, the one that takes precedence stays.
    MergeNew(Precedence),
    /// The rows of the keys that are affected are computed again, and take the place of those that are there.
    MergeAffected,
    /// The same where a key has several rows, of which the one that takes precedence stays.
    MergeAgain(Precedence),
}

/// The query of a transform, with what is known about keeping its table up.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    /// The query, its scans numbered; see [`bind`].
    pub plan: LogicalPlan,
    /// The dataset of each scan, by number.
    pub scans: Vec<DatasetName>,
    /// How each scan is followed, by number.
    pub follows: Vec<Follow>,
    /// What kind of work it is.
    pub upkeep: Upkeep,
    /// What kind of work it is instead, and how each scan is followed, when rows were removed or rewritten; none when
    /// it is the same.
    when_removed: Option<(Upkeep, Vec<Follow>)>,
    /// Where keys are computed again: how their rows follow from those that are there and what was added.
    pub additive: Option<Additive>,
    /// The rows that come out cannot be set against the rows that go in.
    pub reshapes: bool,
}

impl Hop {
    /// How the table is kept up when rows of an input were removed or rewritten.
    pub fn when_removed(&self) -> Self {
        match self.when_removed.clone() {
            Some((upkeep, follows)) => Self { upkeep, follows, ..self.clone() },
            None => self.clone(),
        }
    }
}

/// Decides how a dataset's table is kept up. `landed` says of an input whether its rows carry the stamps of landing.
///
/// # Errors
/// Why the materialization that the dataset asks for would not hold, and the nearest one that does.
pub(crate) fn decide(
    dataset: &Dataset,
    plan: &LogicalPlan,
    mode: Materialization,
    landed: &dyn Fn(&DatasetName) -> bool,
) -> Result<std::result::Result<Hop, Refusal>> {
    let (plan, scans) = scans::number(plan.clone())?;
    let question = Question { dataset, plan: &plan, scans: &scans, landed };
    let decided = question.decide(mode).map_err(|refusal| question.with_hint(mode, refusal));
    let reshapes = linear::reshapes(&plan);
    let when_removed = decided.as_ref().ok().and_then(|(upkeep, _)| question.when_removed(upkeep));
    let additive = additive::additive(&plan, scans.len());
    Ok(decided.map(|(upkeep, follows)| Hop {
        plan,
        scans,
        follows,
        upkeep,
        when_removed,
        additive,
        reshapes,
    }))
}

type Decided = std::result::Result<(Upkeep, Vec<Follow>), Refusal>;

/// What is asked about one plan.
struct Question<'a> {
    dataset: &'a Dataset,
    plan: &'a LogicalPlan,
    scans: &'a [DatasetName],
    landed: &'a dyn Fn(&DatasetName) -> bool,
}

impl Question<'_> {
    fn decide(&self, mode: Materialization) -> Decided {
        match mode {
            Materialization::View | Materialization::Full | Materialization::Stream => {
                Ok((Upkeep::Full, vec![Follow::Rebuilds; self.scans.len()]))
            }
            Materialization::Append => self.append(),
            Materialization::Partition => self.partition(),
            Materialization::Merge => self.merge(),
        }
    }

    /// What no mode but `full` can follow, whatever the shape of the query.
    fn followable(&self) -> std::result::Result<usize, Refusal> {
        fixed::same_every_time(self.plan)?;
        refuse::no_sort_or_limit(self.plan)?;
        scans::first(self.plan).ok_or_else(Refusal::no_input)
    }

    fn append(&self) -> Decided {
        let first = self.followable()?;
        let found = linear::linear(self.plan, self.scans.len());
        if let Some(obstacle) = self.alike(first).find_map(|scan| found[scan].as_ref()) {
            return Err(Refusal::not_row_by_row(obstacle));
        }
        Ok((Upkeep::Append, linear::follows(&found)))
    }

    /// The scans of the dataset whose growth is followed: a query may name it more than once.
    fn alike(&self, first: usize) -> impl Iterator<Item = usize> {
        (0..self.scans.len()).filter(move |scan| self.scans[*scan] == self.scans[first])
    }

    fn partition(&self) -> Decided {
        let first = self.followable()?;
        if self.dataset.partition_by.is_empty() {
            return Err(Refusal::no_partitions());
        }
        let terms = self.partition_terms()?;
        let names: Vec<String> =
            self.dataset.partition_by.iter().map(PartitionField::partition_column).collect();
        self.affected(first, &terms, &names).map(|follows| (Upkeep::Partition, follows))
    }

    fn merge(&self) -> Decided {
        let first = self.followable()?;
        if self.dataset.key.is_empty() {
            return Err(Refusal::no_key());
        }
        let found = linear::linear(self.plan, self.scans.len());
        if self.alike(first).all(|scan| found[scan].is_none()) {
            let precedence = precedence::precedence(self.dataset, self.plan, self.scans, self.landed)?;
            return Ok((Upkeep::MergeNew(precedence), linear::follows(&found)));
        }
        let terms = self.columns(&self.dataset.key)?;
        let follows = self.affected(first, &terms, &self.dataset.key)?;
        match unique::one_row_for_each(self.plan, &terms) {
            true => Ok((Upkeep::MergeAffected, follows)),
            false => Err(Refusal::key_not_unique(&self.dataset.key, &unique::keys(self.plan))),
        }
    }

    /// What was made from rows that are gone is found by the partition of the table that they went into, or by its key.
    fn when_removed(&self, upkeep: &Upkeep) -> Option<(Upkeep, Vec<Follow>)> {
        match upkeep {
            Upkeep::Append => self.partition().ok(),
            Upkeep::MergeNew(precedence) => {
                let terms = self.columns(&self.dataset.key).ok()?;
                let follows = self.affected(scans::first(self.plan)?, &terms, &self.dataset.key).ok()?;
                Some((Upkeep::MergeAgain(precedence.clone()), follows))
            }
            _ => None,
        }
    }

    /// How each scan is followed when what it affects is told by these terms over the query's columns.
    fn affected(
        &self,
        first: usize,
        terms: &[Expr],
        names: &[String],
    ) -> std::result::Result<Vec<Follow>, Refusal> {
        let mut found = trace::trace(self.plan, terms, self.scans.len());
        if let Some(obstacle) = self.alike(first).find_map(|scan| found[scan].as_ref().err()) {
            return Err(Refusal::not_traceable(names, obstacle));
        }
        let follow =
            |found: std::result::Result<Vec<Expr>, _>| found.map_or(Follow::Rebuilds, Follow::Affects);
        Ok(found.drain(..).map(follow).collect())
    }

    fn columns(&self, names: &[String]) -> std::result::Result<Vec<Expr>, Refusal> {
        names.iter().map(|name| self.column(name)).collect()
    }

    fn column(&self, name: &str) -> std::result::Result<Expr, Refusal> {
        let schema = self.plan.schema();
        let index = schema.fields().iter().position(|field| field.name() == name);
        let index = index.ok_or_else(|| Refusal::no_column(name))?;
        Ok(Expr::Column(ColumnRef::from(schema.qualified_field(index))))
    }

    fn partition_terms(&self) -> std::result::Result<Vec<Expr>, Refusal> {
        self.dataset
            .partition_by
            .iter()
            .map(|field| Ok(partition_term(field, self.column(&field.column)?)))
            .collect()
    }

    /// The refusal with the nearest mode that holds.
    fn with_hint(&self, mode: Materialization, refusal: Refusal) -> Refusal {
        let works = |other: &Materialization| *other != mode && self.decide(*other).is_ok();
        if let Some(other) = [Materialization::Append, Materialization::Merge, Materialization::Partition]
            .iter()
            .find(|mode| works(mode))
        {
            return refusal.or_hint(format!("use `materialize: {}`", other.as_str()));
        }
        let keys = unique::keys(self.plan);
        if self.dataset.key != keys && !keys.is_empty() {
            let keyed = Dataset { key: keys.clone(), ..self.dataset.clone() };
            if (Question { dataset: &keyed, ..*self }).merge().is_ok() {
                return refusal
                    .or_hint(format!("use `materialize: merge` with `key: [{}]`", keys.join(", ")));
            }
        }
        refusal.or_hint("use `materialize: full`".to_owned())
    }
}

/// The value of a partition column, from the column that it is derived from.
pub(crate) fn partition_term(field: &PartitionField, column: Expr) -> Expr {
    use arrow::datatypes::DataType::Date32;
    let truncated = |unit: &str| {
        let date_trunc = datafusion::functions::datetime::date_trunc();
        let timestamp = cast(column.clone(), flowline_lake::arrow_types::timestamp());
        cast(date_trunc.call(vec![lit(unit), timestamp]), Date32)
    };
    match field.transform {
        PartitionTransform::Identity => column,
        PartitionTransform::Day => cast(column, Date32),
        PartitionTransform::Month => truncated("month"),
        PartitionTransform::Year => truncated("year"),
    }
}
