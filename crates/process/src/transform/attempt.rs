//! One try of a run: from the versions of the inputs to rows that wait for their commit.
//!
//! Owns: what a try is given and what comes of it. Nothing of it is seen by anyone until `run` commits it; a try that
//! is dropped leaves only files that `vacuum` takes away. Does not own: how the rows are found (`work`).

use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::sql::sqlparser::ast::Statement;
use flowline_lake::{
    CommitMode, LakeError, StagedFiles, StagedMerge, Table, TableId, TableSpec, arrow_types,
};
use flowline_model::{Column, Counts, Dataset, DatasetName, SqlOrigin};

use super::inputs::Input;
use super::standing::Standing;
use super::strategy::{Strategy, strategy};
use super::touched;
use super::work::{Followed, Work};
use crate::engine::{Pins, Resolver};
use crate::infer::{plan_statement, table_schema};
use crate::problem::Fault;
use crate::sql::parse_query;
use crate::upkeep::{self, Hop};
use crate::{ProcessError, QueryEngine};

/// What a try works on.
pub(super) struct Attempt<'a> {
    pub engine: &'a QueryEngine,
    pub dataset: &'a Dataset,
    pub sql: &'a SqlOrigin,
    pub columns: &'a [Column],
    pub definition: &'a str,
    pub standing: &'a Standing,
    pub inputs: &'a [Input],
    /// Compute everything, since following the changes failed for good (files that are gone).
    pub rebuild: bool,
}

/// Rows that wait for their commit.
pub(super) struct Prepared {
    /// What the commit does.
    pub change: Change,
    /// In which way the table is brought up, and why.
    pub how: String,
    /// How many rows went where.
    pub counts: Counts,
    /// The newest event time among the rows.
    pub event_time_max: Option<DateTime<Utc>>,
}

/// What a commit does to the table.
pub(super) enum Change {
    /// The rows meet those that are there in this mode.
    Files(StagedFiles, CommitMode),
    /// The rows replace those with the same key.
    Merge(StagedMerge),
    /// The rows replace those that meet the condition.
    Replace(StagedFiles, Expr),
}

impl Attempt<'_> {
    /// Reads, computes and stages; none when no row of any input changed, or none came of those that did.
    pub async fn prepare(&self) -> Result<Option<Prepared>, ProcessError> {
        let versions = self.inputs.iter().map(|input| (input.dataset.clone(), input.version)).collect();
        let resolver = Resolver::new(self.engine.clone(), Pins::Versions(versions));
        let state = self.engine.state_with(&resolver);
        let hop = self.hop(&state).await?;
        let known = |input: &Input| touched::partitions_known(self.engine, &hop, input);
        let decided = if self.rebuild {
            Strategy::Rebuild("following the changes failed".to_owned())
        } else {
            strategy(&hop, self.definition, self.standing, self.inputs, &known)
        };
        let meters: Vec<_> = hop.scans.iter().map(|_| Arc::default()).collect();
        let work = Work { attempt: self, state: &state, resolver: &resolver, hop: &hop, meters: &meters };
        match decided {
            Strategy::Nothing => Ok(None),
            Strategy::Rebuild(why) => work.rebuild(why).await.map(Some),
            Strategy::Follow => match work.follow().await? {
                Followed::Prepared(prepared) => Ok(prepared.map(|prepared| *prepared)),
                Followed::TooMuch(why) => work.rebuild(why).await.map(Some),
            },
        }
    }

    /// The query planned over the inputs at the versions of this run, and how its table is kept up.
    async fn hop(&self, state: &SessionState) -> Result<Hop, ProcessError> {
        let wrong = |fault: Fault| ProcessError::Project(vec![fault.of(self.dataset, self.sql)]);
        let query = parse_query(&self.sql.text).map_err(wrong)?;
        let planned = plan_statement(state, Statement::Query(query)).await;
        let plan = planned.map_err(|unplanned| unplanned.of_dataset(self.dataset, self.sql))?;
        let landed = |name: &DatasetName| self.engine.project().dataset(name).is_some_and(Dataset::landed);
        upkeep::decide(self.dataset, &plan, self.sql.materialization, &landed)?
            .map_err(|refusal| wrong(refusal.into_fault()))
    }

    /// The table that is brought up.
    pub(super) fn table(&self) -> Table {
        self.engine.lake().table(TableId::of(self.dataset))
    }

    /// What it should look like.
    pub(super) fn spec(&self) -> TableSpec {
        TableSpec {
            schema: table_schema(self.dataset, self.columns),
            partition_columns: arrow_types::partition_columns(self.dataset),
            description: self.dataset.description.clone(),
        }
    }

    /// An error of the lake while something was done with the table.
    pub(super) fn failed(&self, doing: &str) -> impl FnOnce(LakeError) -> ProcessError {
        ProcessError::lake(format!("{doing} `{}`", self.dataset.name))
    }

    /// The input of this name.
    pub(super) fn input(&self, dataset: &DatasetName) -> Option<&Input> {
        self.inputs.iter().find(|input| input.dataset == *dataset)
    }
}
