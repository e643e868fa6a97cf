//! The queries of checks, planned over the empty tables before anyone runs them.

use flowline_model::{Check, CheckRule, Completeness, Dataset, DatasetName, Plan};

use super::{EmptyTables, diagnose};
use crate::CATALOG;
use crate::audit::counting;
use crate::graph::{Graph, unknown};
use crate::in_log;
use crate::problem::{Fault, Place, SqlProblem};
use crate::sql::{Edition, Reference, parse_query, references};

/// What a name in the query of a check stands for.
enum Named {
    /// A dataset whose columns are known.
    Known,
    /// A table that only a node has, or a dataset whose own SQL does not hold: nothing can be said of the query.
    Elsewhere,
    /// Nothing.
    Nothing(Fault),
}

/// What is wrong with the queries of all checks; places are those of each query.
pub(super) async fn problems((plan, graph): (&Plan, &Graph), tables: &EmptyTables) -> Vec<SqlProblem> {
    let mut problems = Vec::new();
    for dataset in &plan.datasets {
        for check in &dataset.checks {
            let Some(query) = query_of(&check.rule) else { continue };
            let faults = faults((plan, graph), tables, query, &check.rule).await;
            problems.extend(faults.into_iter().map(|fault| problem(dataset, check, query, fault)));
        }
    }
    problems
}

fn query_of(rule: &CheckRule) -> Option<&str> {
    match rule {
        CheckRule::Sql { query } | CheckRule::Completeness(Completeness::Count { query }) => Some(query),
        _ => None,
    }
}

async fn faults(
    (plan, graph): (&Plan, &Graph),
    tables: &EmptyTables,
    query: &str,
    rule: &CheckRule,
) -> Vec<Fault> {
    let parsed = match parse_query(query) {
        Ok(parsed) => parsed,
        Err(fault) => return vec![fault],
    };
    let references = references(&parsed);
    if let Some(fault) = in_log::fault_of_query((plan, graph), &references) {
        return vec![fault];
    }
    let mut unknown = Vec::new();
    for reference in &references {
        match named(plan, tables, reference) {
            Named::Known => {}
            Named::Elsewhere => return Vec::new(),
            Named::Nothing(fault) => unknown.push(fault),
        }
    }
    if !unknown.is_empty() {
        return unknown;
    }
    if let Err(faults) = diagnose::plan_query(&tables.state, parsed, true).await {
        return faults;
    }
    // Rows are counted around the query, which two columns of one name do not survive.
    let around = match rule {
        CheckRule::Sql { query } => parse_query(&counting(query)).ok(),
        _ => None,
    };
    let Some(around) = around else { return Vec::new() };
    let planned = diagnose::plan_query(&tables.state, around, true).await;
    let at_start = |fault: Fault| Fault { place: Place::START, ..fault };
    planned.err().unwrap_or_default().into_iter().map(at_start).collect()
}

fn named(plan: &Plan, tables: &EmptyTables, reference: &Reference) -> Named {
    let parts: Vec<&str> = reference.parts.iter().map(String::as_str).collect();
    let (domain, name) = match parts.as_slice() {
        [domain, name] => (*domain, *name),
        [catalog, domain, name] if *catalog == CATALOG => (*domain, *name),
        _ => return Named::Nothing(unknown(plan, reference)),
    };
    let of_node = DatasetName::RESERVED_DOMAINS.contains(&domain) || domain == "quarantine";
    if of_node || matches!(reference.edition, Edition::State(_)) {
        return Named::Elsewhere;
    }
    let dataset = DatasetName::new(domain, name).ok();
    match dataset.and_then(|name| plan.dataset(&name)) {
        Some(dataset) if tables.has(&dataset.name) => Named::Known,
        Some(_) => Named::Elsewhere,
        None => Named::Nothing(unknown(plan, reference)),
    }
}

fn problem(dataset: &Dataset, check: &Check, query: &str, fault: Fault) -> SqlProblem {
    SqlProblem {
        file: dataset.declared_in.clone(),
        line: fault.place.line,
        column: fault.place.column,
        end_column: fault.place.column,
        dataset: dataset.name.clone(),
        message: format!("check `{}`: {}", check.name, fault.message),
        hint: fault.hint,
        within: Some(query.to_owned()),
    }
}
