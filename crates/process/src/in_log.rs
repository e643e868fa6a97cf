//! Whether a query takes each row once of the inputs whose rows are kept in the log alone (`landing: { keep: log }`).
//!
//! The log holds such rows until whoever reads them has, and then for as long as it likes. So a table can be made of them in
//! two ways: their new rows make new rows, or an aggregate of windows adds them to what it keeps. Whatever else would go
//! back to rows that it has taken before: to the other side of a join, to the rows of a key, of a window or of a partition.
//! Nor may another input have everything computed again, as one whose rows are replaced does.
//!
//! Owns: the refusal of what goes back. Does not own: how a query is followed (`upkeep`, `stream`), how rows are read from
//! the log.

use std::collections::BTreeSet;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::logical_expr::{LogicalPlan, TableScan};
use datafusion::sql::sqlparser::ast::Query;
use flowline_model::{Check, CheckRule, Dataset, DatasetName, Emit, LatePolicy, Materialization, Plan};

use crate::graph::Graph;
use crate::problem::{Fault, Place, SqlProblem};
use crate::sql::{Edition, Reference, references};
use crate::stream::{StreamPlan, StreamQuery};
use crate::upkeep::{Follow, Hop, InText, Refusal, Upkeep, scans_below};

/// Says why the table of a transform would go back to rows of an input that is kept in the log alone; nothing where it
/// takes each row once.
pub(crate) fn refuse_transform<'a>(
    mode: Materialization,
    hop: &Hop,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Option<Refusal> {
    let in_log = scanned_in_log(&hop.plan, input);
    let (name, _) = in_log.first().filter(|_| mode != Materialization::View)?;
    let again = |what: &str| goes_back(name, what.to_owned()).or_hint(keep_table(name));
    match &hop.upkeep {
        Upkeep::Append => refuse_rows(hop, &in_log, input),
        Upkeep::Full => Some(again("`materialize: full` computes the whole table again")),
        Upkeep::Partition => Some(again("`materialize: partition` computes partitions again")),
        Upkeep::MergeAffected | Upkeep::MergeAgain(_) => {
            Some(again("`materialize: merge` computes the rows of a key again"))
        }
        Upkeep::MergeNew(_) => {
            let message = format!(
                "`materialize: merge` replaces rows, and those that are made of `{name}`, whose rows are in the log alone, can only be added"
            );
            let hint = format!("use `materialize: append`, or {}", keep_table(name));
            Some(about(name, message).or_hint(hint))
        }
    }
}

/// The same of a stream.
pub(crate) fn refuse_stream<'a>(
    decided: &StreamPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Result<Option<Refusal>> {
    match decided {
        StreamPlan::Windows(query) => refuse_windows(query, input),
        StreamPlan::Followed(hop) => {
            let in_log = scanned_in_log(&hop.plan, input);
            let Some((name, _)) = in_log.first() else { return Ok(None) };
            Ok(match &hop.upkeep {
                Upkeep::Append => refuse_rows(hop, &in_log, input),
                _ => {
                    let what = "`emit: on_change` with a `key` computes the rows of a key again";
                    Some(goes_back(name, what.to_owned()).or_hint(keep_table(name)))
                }
            })
        }
    }
}

/// The datasets among the scans of a plan whose rows are in the log alone, with which of their rows are meant.
fn scanned_in_log<'a>(
    plan: &LogicalPlan,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Vec<(DatasetName, Edition)> {
    let mut found = Vec::new();
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Some((name, edition)) = dataset_of(scan)
            && input(&name).is_some_and(Dataset::kept_in_log)
        {
            found.push((name, edition));
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn dataset_of(scan: &TableScan) -> Option<(DatasetName, Edition)> {
    let (table, edition) = Edition::of(scan.table_name.table());
    Some((DatasetName::new(scan.table_name.schema()?, table).ok()?, edition))
}

/// What keeps new rows from being all that is read of an input, where they are to make new rows.
fn refuse_rows<'a>(
    hop: &Hop,
    in_log: &[(DatasetName, Edition)],
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Option<Refusal> {
    if let Some(refusal) = as_of_a_time(in_log) {
        return Some(refusal);
    }
    let (name, _) = in_log.first()?;
    if let Some(joined) = first_join(hop, in_log) {
        return Some(refuse_join(&joined, input));
    }
    let mut scans = hop.scans.iter().zip(&hop.follows);
    if let Some((other, _)) = scans.find(|(_, follow)| **follow != Follow::Grows) {
        let what = format!("rows of `{other}` change rows that are there, so everything is computed again");
        return Some(goes_back(name, what).or_hint(keep_table(name)));
    }
    replaced(name, &hop.scans.iter().collect(), input)
}

/// What keeps the aggregates of windows from being all that rows are added to.
fn refuse_windows<'a>(
    query: &StreamQuery,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Result<Option<Refusal>> {
    let in_log = scanned_in_log(&query.plan, input);
    if let Some(refusal) = as_of_a_time(&in_log) {
        return Ok(Some(refusal));
    }
    let Some((name, _)) = in_log.first() else { return Ok(None) };
    let added = query.scans_read_once()?;
    let kept_in_log = |number: &usize| input(&query.scans[*number].dataset).is_some_and(Dataset::kept_in_log);
    let again = (0..query.scans.len()).filter(kept_in_log).find(|number| !added.contains(number));
    if let Some(number) = again {
        let name = &query.scans[number].dataset;
        let refusal = goes_back(name, "what closes is computed from all its rows".to_owned());
        return Ok(Some(refusal.or_hint(format!(
            "only an aggregate of TUMBLE, HOP or CUMULATE right over `{name}`, with GROUP BY or DISTINCT, takes its rows once; otherwise {}",
            keep_table(name)
        ))));
    }
    if query.emit == Emit::OnChange {
        let what = "`emit: on_change` computes windows from all their rows whenever they change";
        let hint = format!("use `emit: on_close`, or {}", keep_table(name));
        return Ok(Some(goes_back(name, what.to_owned()).or_hint(hint)));
    }
    if query.late == LatePolicy::Reopen {
        let what = "`late: reopen` computes a window from all its rows when a late one comes";
        let hint = format!("use `late: quarantine`, or {}", keep_table(name));
        return Ok(Some(goes_back(name, what.to_owned()).or_hint(hint)));
    }
    let streams = query.scans.iter().filter(|scan| scan.closing.is_some()).map(|scan| &scan.dataset);
    Ok(replaced(name, &streams.collect(), input))
}

/// A table that has no rows has had none at any time.
fn as_of_a_time(in_log: &[(DatasetName, Edition)]) -> Option<Refusal> {
    let (name, _) = in_log.iter().find(|(_, edition)| *edition != Edition::Table)?;
    let message = format!("`{name}` has no rows as of a time: they are in the log alone");
    Some(about(name, message).or_hint(keep_table(name)))
}

/// A join of an input that is kept in the log alone with another one that is followed.
struct Joined<'a> {
    in_log: &'a DatasetName,
    other: &'a DatasetName,
    /// The other one is what is joined, and not what it is joined to.
    other_is_right: bool,
}

fn first_join<'a>(hop: &'a Hop, in_log: &[(DatasetName, Edition)]) -> Option<Joined<'a>> {
    let is_in_log = |number: &usize| in_log.iter().any(|(name, _)| *name == hop.scans[*number]);
    let mut found = None;
    let _ = hop.plan.apply_with_subqueries(|node| {
        let LogicalPlan::Join(join) = node else { return Ok(TreeNodeRecursion::Continue) };
        let (left, right) = (scans_below(&join.left), scans_below(&join.right));
        for (one, other, other_is_right) in [(&left, &right, true), (&right, &left, false)] {
            if let (Some(one), Some(other)) = (one.iter().find(|scan| is_in_log(scan)), other.first()) {
                let (in_log, other) = (&hop.scans[*one], &hop.scans[*other]);
                found = Some(Joined { in_log, other, other_is_right });
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn refuse_join<'a>(
    Joined { in_log, other, other_is_right }: &Joined<'_>,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Refusal {
    let refusal =
        goes_back(in_log, format!("a join reads the rows of both sides again when `{other}` grows"));
    let as_of = *other_is_right && input(other).is_some_and(|other| !other.kept_in_log());
    refusal.or_hint(match as_of {
        true => format!("join `{other} FOR SYSTEM_TIME AS OF PROCTIME()`, or {}", keep_table(in_log)),
        false => keep_table(in_log),
    })
}

/// An input that is made by SQL beside one that is kept in the log alone: where its rows are replaced, all is computed
/// again.
fn replaced<'a>(
    name: &DatasetName,
    followed: &BTreeSet<&DatasetName>,
    input: &dyn Fn(&DatasetName) -> Option<&'a Dataset>,
) -> Option<Refusal> {
    let made = followed.iter().find(|other| !input(other).is_some_and(Dataset::landed))?;
    let what = format!("rows of `{made}` may be replaced, and then everything is computed again");
    Some(goes_back(name, what).or_hint(keep_table(name)))
}

/// Where a query first names a dataset, or else a view that reads it.
pub(crate) fn place_of_dataset(
    (plan, graph): (&Plan, &Graph),
    query: &Query,
    dataset: &DatasetName,
) -> Option<Place> {
    let references = references(query);
    let first = |is: &dyn Fn(&DatasetName) -> bool| {
        references.iter().find(|reference| named(reference).is_some_and(|name| is(&name)))
    };
    let through = |name: &DatasetName| tables_of(plan, graph, name).contains(dataset);
    first(&|name| name == dataset).or_else(|| first(&through)).map(|reference| reference.place)
}

/// What is wrong with checks that look at rows that are kept in the log alone: those of views over them, and those that
/// compare with them. What the log has let go would be missing. Of the datasets themselves, that is told where the project
/// is read.
pub(crate) fn problems_of_checks(plan: &Plan, graph: &Graph) -> Vec<SqlProblem> {
    let mut problems = Vec::new();
    for dataset in plan.datasets.iter().filter(|dataset| !dataset.kept_in_log()) {
        for check in &dataset.checks {
            let looks_at = match &check.rule {
                CheckRule::Referential { to: other, .. } | CheckRule::Reconcile { with: other, .. } => {
                    Some(other)
                }
                _ => None,
            };
            let mut looked_at = [Some(&dataset.name), looks_at].into_iter().flatten();
            let name = looked_at.find_map(|name| behind(plan, graph, name));
            problems.extend(
                name.map(|name| problem_of_check(dataset, check, &fault_of_check(name, Place::START))),
            );
        }
    }
    problems
}

/// The same of the query of a check, at the place where it names such rows.
pub(crate) fn fault_of_query((plan, graph): (&Plan, &Graph), references: &[Reference]) -> Option<Fault> {
    references.iter().find_map(|reference| {
        let name = behind(plan, graph, &named(reference)?)?;
        Some(fault_of_check(name, reference.place))
    })
}

fn fault_of_check(name: &DatasetName, place: Place) -> Fault {
    let message = format!(
        "the rows of `{name}` are in the log alone, so that a check would miss those that it no longer holds"
    );
    Fault::new(place, message).hint(keep_table(name))
}

fn problem_of_check(dataset: &Dataset, check: &Check, fault: &Fault) -> SqlProblem {
    SqlProblem {
        file: dataset.declared_in.clone(),
        line: 1,
        column: 1,
        end_column: 1,
        dataset: dataset.name.clone(),
        message: format!("check `{}`: {}", check.name, fault.message),
        hint: fault.hint.clone(),
        within: None,
    }
}

/// The dataset that a name in a query stands for.
fn named(reference: &Reference) -> Option<DatasetName> {
    let [.., domain, name] = reference.parts.as_slice() else { return None };
    DatasetName::new(domain, name).ok()
}

/// A dataset whose rows are in the log alone and that is read where this one is: itself, or one behind a view.
fn behind<'a>(plan: &'a Plan, graph: &'a Graph, name: &DatasetName) -> Option<&'a DatasetName> {
    let declared = plan.dataset(name)?;
    let mut tables = std::iter::once(&declared.name).chain(tables_of(plan, graph, name));
    tables.find(|name| plan.dataset(name).is_some_and(Dataset::kept_in_log))
}

/// The tables that a view reads in the end; none of what is no view.
fn tables_of<'a>(plan: &Plan, graph: &'a Graph, name: &DatasetName) -> &'a [DatasetName] {
    let view = plan.dataset(name).is_some_and(|named| !named.materialized());
    if view { &graph.inputs(name).tables } else { &[] }
}

fn goes_back(name: &DatasetName, what: String) -> Refusal {
    about(name, format!("{what}, and the log may no longer hold the rows of `{name}`"))
}

fn about(name: &DatasetName, message: String) -> Refusal {
    Refusal::new(message).about(InText::Dataset(name.clone()))
}

fn keep_table(name: &DatasetName) -> String {
    format!("write `landing: {{ keep: table }}` for `{name}`")
}
