//! Batch SQL over the lake: queries that people ask, and transforms that keep datasets up.
//!
//! Owns: which dataset reads which (found from the SQL itself), whether the SQL of a project holds, the catalog in
//! which the domains are schemas, time travel, and how the table of a transform follows its inputs exactly once.
//! The only crate that plans SQL over user data.
//! Does not own: when a transform runs (`flowline-schedule`), how rows become files and commits (`flowline-lake`),
//! the tables about Flowline itself (`flowline-view`), any wire protocol (`flowline-serve`).

pub mod audit;
pub mod engine;
mod error;
mod graph;
mod in_log;
mod infer;
mod lineage;
mod problem;
mod sql;
mod stream;
pub mod transform;
mod upkeep;
mod windows;

pub use audit::{Auditor, sweep_check_state};
pub use engine::{AsOf, QueryAnswer, QueryEngine, QueryOptions, ReadVersion, SessionOptions};
pub use error::{LetGo, ProcessError};
pub use graph::{CATALOG, Graph, Inputs, graph};
pub use lineage::lineage;
pub use problem::{Place, SqlProblem};
pub use sql::{OnLargeStack, bounded_tree, bounded_words, nearest, on_large_stack, words_of};
pub use stream::{stream_statuses, sweep_stream_state};
pub use transform::{HopFacts, Transformer};

use std::collections::BTreeMap;

use flowline_model::{Column, Dataset, DatasetName, Plan};
use flowline_quality::{RowRules, Which};

/// Every problem of the SQL of a plan, sorted by file and place.
pub async fn check(plan: &Plan) -> Vec<SqlProblem> {
    let (graph, mut problems) = graph::explore(plan);
    let inferred = sql::on_large_stack(infer::infer(plan, &graph, true)).await;
    problems.extend(plan.datasets.iter().flat_map(|dataset| rules_of(dataset, &inferred.columns)));
    problems.extend(in_log::problems_of_checks(plan, &graph));
    problems.extend(inferred.problems);
    problems.sort();
    problems.dedup();
    problems
}

/// What is wrong with the rules of a transform that one row alone decides. Those of landed datasets are told where their
/// contract is compiled; queries of checks where SQL is planned (`infer`).
fn rules_of(dataset: &Dataset, columns: &BTreeMap<DatasetName, Vec<Column>>) -> Vec<SqlProblem> {
    let Some(columns) = columns.get(&dataset.name).filter(|_| !dataset.landed()) else { return Vec::new() };
    let (_, problems) = RowRules::usable(dataset, columns, Which::BeyondSchema);
    let problem = |problem: flowline_quality::RuleError| SqlProblem {
        file: dataset.declared_in.clone(),
        line: 1,
        column: 1,
        end_column: 1,
        dataset: dataset.name.clone(),
        message: problem.to_string(),
        hint: None,
        within: None,
    };
    problems.into_iter().map(problem).collect()
}

/// The contract's columns of every dataset: those it declares, or those of its SQL. Datasets whose SQL does not hold
/// and that declare none are missing.
pub async fn columns_of(plan: &Plan) -> BTreeMap<DatasetName, Vec<Column>> {
    let (graph, _) = graph::explore(plan);
    sql::on_large_stack(infer::infer(plan, &graph, false)).await.columns
}
