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
use flowline_model::{Dataset, DatasetName, Emit, LatePolicy, Materialization, Plan};

use crate::graph::Graph;
use crate::problem::Place;
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
            let hint = format!("write `materialize: append`, or {}", keep_table(name));
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
                _ => Some(
                    goes_back(name, "`emit: on_change` with a `key` computes the rows of a key again".to_owned())
                        .or_hint(keep_table(name)),
                ),
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
    if let Some((kept, other)) = joined(hop, in_log) {
        let what = format!("a join reads the rows of both sides again when `{other}` grows");
        let refusal = goes_back(&kept, what);
        let table = input(&other).is_some_and(|other| !other.kept_in_log());
        return Some(match table {
            true => refusal.or_hint(format!(
                "join `{other} FOR SYSTEM_TIME AS OF PROCTIME()`, or {}",
                keep_table(&kept)
            )),
            false => refusal.or_hint(keep_table(&kept)),
        });
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
            "only an aggregate of TUMBLE, HOP or CUMULATE right over `{name}`, with GROUP BY, takes its rows once; otherwise {}",
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

/// The first join of an input that is kept in the log alone with another one that is followed: each of the two, by name.
fn joined(hop: &Hop, in_log: &[(DatasetName, Edition)]) -> Option<(DatasetName, DatasetName)> {
    let is_in_log = |number: &usize| in_log.iter().any(|(name, _)| *name == hop.scans[*number]);
    let mut found = None;
    let _ = hop.plan.apply_with_subqueries(|node| {
        let LogicalPlan::Join(join) = node else { return Ok(TreeNodeRecursion::Continue) };
        let sides = [scans_below(&join.left), scans_below(&join.right)];
        for (one, other) in [(&sides[0], &sides[1]), (&sides[1], &sides[0])] {
            if let (Some(kept), Some(other)) = (one.iter().find(|scan| is_in_log(scan)), other.first()) {
                found = Some((hop.scans[*kept].clone(), hop.scans[*other].clone()));
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
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
    let named = |reference: &Reference| {
        let [.., domain, name] = reference.parts.as_slice() else { return None };
        DatasetName::new(domain, name).ok()
    };
    let through = |name: &DatasetName| {
        let view = plan.dataset(name).is_some_and(|named| !named.materialized());
        view && graph.inputs(name).tables.contains(dataset)
    };
    let first = |is: &dyn Fn(&DatasetName) -> bool| {
        references.iter().find(|reference| named(reference).is_some_and(|name| is(&name)))
    };
    first(&|name| name == dataset).or_else(|| first(&through)).map(|reference| reference.place)
}

fn goes_back(name: &DatasetName, what: String) -> Refusal {
    about(name, format!("{what}, and the log may no longer hold the rows of `{name}`"))
}

fn about(name: &DatasetName, message: String) -> Refusal {
    Refusal { about: Some(InText::Dataset(name.clone())), ..Refusal::new(message) }
}

fn keep_table(name: &DatasetName) -> String {
    format!("write `landing: {{ keep: table }}` for `{name}`")
}
