//! Batch SQL over the lake: queries that people ask, and transforms that keep datasets up.
//!
//! Owns: which dataset reads which (found from the SQL itself), whether the SQL of a project holds, the catalog in
//! which the domains are schemas, time travel, and how the table of a transform follows its inputs exactly once.
//! The only crate that plans SQL over user data.
//! Does not own: when a transform runs (`flowline-schedule`), how rows become files and commits (`flowline-lake`),
//! the tables about Flowline itself (`flowline-view`), any wire protocol (`flowline-serve`).

pub mod engine;
mod error;
mod graph;
mod infer;
mod problem;
mod sql;
mod stream;
pub mod transform;
mod upkeep;
mod windows;

pub use engine::{AsOf, QueryAnswer, QueryEngine, QueryOptions, ReadVersion, SessionOptions};
pub use error::ProcessError;
pub use graph::{CATALOG, Graph, Inputs, graph};
pub use problem::{Place, SqlProblem};
pub use sql::{OnLargeStack, bounded_tree, bounded_words, nearest, on_large_stack, words_of};
pub use stream::{stream_statuses, sweep_stream_state};
pub use transform::{HopFacts, Transformer};

use std::collections::BTreeMap;

use flowline_model::{Column, DatasetName, Plan};

/// Every problem of the SQL of a plan, sorted by file and place.
pub async fn check(plan: &Plan) -> Vec<SqlProblem> {
    let (graph, mut problems) = graph::explore(plan);
    problems.extend(sql::on_large_stack(infer::infer(plan, &graph, true)).await.problems);
    problems.sort();
    problems.dedup();
    problems
}

/// The contract's columns of every dataset: those it declares, or those of its SQL. Datasets whose SQL does not hold
/// and that declare none are missing.
pub async fn columns_of(plan: &Plan) -> BTreeMap<DatasetName, Vec<Column>> {
    let (graph, _) = graph::explore(plan);
    sql::on_large_stack(infer::infer(plan, &graph, false)).await.columns
}
