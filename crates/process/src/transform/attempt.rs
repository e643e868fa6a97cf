//! One try of a run: from the versions of the inputs to rows that wait for their commit.
//!
//! Owns: what a try is given and what comes of it. Nothing of it is seen by anyone until `run` commits it; a try that
//! is dropped leaves only files that `vacuum` takes away. Does not own: how the rows are found (`work`).

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::sql::sqlparser::ast::Statement;
use flowline_lake::{
    CommitMode, LakeError, StagedFiles, StagedMerge, Table, TableId, TableSpec, arrow_types,
};
use flowline_model::{Column, Counts, Dataset, DatasetName, Finding, Materialization, SqlOrigin};
use parking_lot::Mutex;

use super::inputs::Input;
use super::sieve::Sieve;
use super::standing::Standing;
use super::strategy::{Strategy, strategy};
use super::touched;
use super::work::{Followed, Work};
use crate::engine::{MemoryShare, Pins, Resolver};
use crate::error::LetGo;
use crate::in_log;
use crate::infer::{plan_statement, table_schema};
use crate::problem::Fault;
use crate::sql::parse_query;
use crate::stream::{self, StreamPlan, StreamRun, StreamState};
use crate::upkeep::{self, Hop};
use crate::{ProcessError, QueryEngine};

/// What a try works on.
pub(crate) struct Attempt<'a> {
    pub engine: &'a QueryEngine,
    pub dataset: &'a Dataset,
    pub sql: &'a SqlOrigin,
    pub columns: &'a [Column],
    pub definition: &'a str,
    pub standing: &'a Standing,
    pub inputs: &'a [Input],
    /// Compute everything, since following the changes failed for good (files that are gone).
    pub rebuild: bool,
    /// Compute what closes behind this time again, microseconds: a stream is replayed.
    pub replay_from: Option<i64>,
    /// What the rows go through before they are written.
    pub sieve: Arc<Mutex<Sieve>>,
}

/// Rows that wait for their commit.
pub(crate) struct Prepared {
    /// What the commit does.
    pub change: Change,
    /// In which way the table is brought up, and why.
    pub how: String,
    /// How many rows went where.
    pub counts: Counts,
    /// The newest event time among the rows.
    pub event_time_max: Option<DateTime<Utc>>,
    /// For a stream: how far event time has come with these rows.
    pub stream: Option<StreamState>,
    /// What was found about the rows.
    pub findings: Vec<Finding>,
}

/// What a commit does to the table.
pub(crate) enum Change {
    /// The rows meet those that are there in this mode.
    Files(StagedFiles, CommitMode),
    /// The rows replace those with the same key.
    Merge(StagedMerge),
    /// The rows replace those that meet the condition.
    Replace(StagedFiles, Expr),
}

/// What rows are told apart by when some take the place of others: the key, and for a part of a divided stream its partition
/// as well. A table that each part reads may affect keys that are another part's, whose rows stay.
pub(super) fn merge_key(dataset: &Dataset, part: Option<i32>) -> Vec<String> {
    let partition = part.map(|_| arrow_types::PARTITION.to_owned());
    dataset.key.iter().cloned().chain(partition).collect()
}

impl Attempt<'_> {
    /// Reads, computes and stages; none when no row of any input changed, or none came of those that did.
    pub async fn prepare(&self) -> Result<Option<Prepared>, ProcessError> {
        let versions = self.inputs.iter().map(|input| (input.dataset.clone(), input.version)).collect();
        let resolver = Resolver::new(self.engine.clone(), Pins::Versions(versions));
        let state = self.engine.state_with(&resolver);
        let plan = self.plan(&state).await?;
        if self.sql.materialization == Materialization::Stream {
            return self.stream(&state, &resolver, &plan).await;
        }
        let landed = |name: &DatasetName| self.declared(name).is_some_and(Dataset::landed);
        let hop = upkeep::decide(self.dataset, &plan, self.sql.materialization, &landed)?;
        let hop = hop.map_err(|refusal| self.wrong(refusal.into_fault()))?;
        let mode = self.sql.materialization;
        if let Some(refusal) = in_log::refuse_transform(mode, &hop, &|name| self.declared(name)) {
            return Err(self.wrong(refusal.into_fault()));
        }
        self.follow(&state, &resolver, &hop).await
    }

    /// A run of a stream in the memory that it may hold. Joins that need more are done again with sorted sides, which
    /// go to disk.
    async fn stream(
        &self,
        state: &SessionState,
        resolver: &Arc<Resolver>,
        plan: &LogicalPlan,
    ) -> Result<Option<Prepared>, ProcessError> {
        let of_all = self.engine.project().environment.query_memory_bytes;
        let declared = self.dataset.stream_memory();
        let limit = declared.unwrap_or(of_all);
        let within =
            |state: &SessionState| MemoryShare::of(state, usize::try_from(limit).unwrap_or(usize::MAX));
        let (bounded, share) = within(state)?;
        let mut prepared = self.stream_within(&bounded, &share, resolver, plan).await;
        if matches!(prepared, Err(ProcessError::Memory(_))) {
            let (mut bounded, share) = within(state)?;
            bounded.config_mut().options_mut().optimizer.prefer_hash_join = false;
            self.sieve.lock().begin_again();
            prepared = self.stream_within(&bounded, &share, resolver, plan).await;
        }
        prepared.map_err(|error| match error {
            ProcessError::Memory(reason) => {
                let dataset = self.dataset.name.clone();
                ProcessError::StateLimit { dataset, limit, declared: declared.is_some(), reason }
            }
            other => other,
        })
    }

    async fn stream_within(
        &self,
        state: &SessionState,
        share: &MemoryShare,
        resolver: &Arc<Resolver>,
        plan: &LogicalPlan,
    ) -> Result<Option<Prepared>, ProcessError> {
        let now = self.engine.clock().now();
        let decided = stream::decide(self.dataset, self.sql, plan, &|name| self.declared(name))?;
        match decided.map_err(|refusal| self.wrong(refusal.into_fault()))? {
            StreamPlan::Windows(query) => {
                StreamRun { attempt: self, state, resolver, query: &query, now, share }.prepare().await
            }
            StreamPlan::Followed(hop) => {
                let Some(mut prepared) = self.follow(state, resolver, &hop).await? else { return Ok(None) };
                let mut clocks = stream::clocks_of(self, state, now).await?;
                (clocks.memory, clocks.spilled) = (share.peak() as u64, share.spilled());
                clocks.rows_read = share.rows_read();
                prepared.findings = stream::disorder_of(self, &mut clocks, now);
                prepared.stream = Some(clocks);
                Ok(Some(prepared))
            }
        }
    }

    /// Follows the changes of the inputs, row by row, key by key or partition by partition, or computes everything.
    async fn follow(
        &self,
        state: &SessionState,
        resolver: &Arc<Resolver>,
        hop: &Hop,
    ) -> Result<Option<Prepared>, ProcessError> {
        let removed = |input: &Input| hop.scans.contains(&input.dataset) && !input.only_grew();
        // What a part of a divided stream replaces must be its own: partitions of the table are not.
        let found_otherwise = self.part().is_none() && self.inputs.iter().any(removed);
        let hop = if found_otherwise { &hop.when_removed() } else { hop };
        let known = |input: &Input| touched::partitions_known(self.engine, hop, input);
        let decided = if self.rebuild {
            Strategy::Rebuild("following the changes failed".to_owned())
        } else if self.replay_from.is_some() {
            Strategy::Rebuild("it is replayed".to_owned())
        } else {
            strategy(hop, self.definition, self.standing, self.inputs, &known)
        };
        let meters: Vec<_> = hop.scans.iter().map(|_| Arc::default()).collect();
        let work = Work { attempt: self, state, resolver, hop, meters: &meters };
        match decided {
            Strategy::Nothing => Ok(None),
            Strategy::Rebuild(why) => work.rebuild(why).await.map(Some),
            Strategy::Follow => {
                resolver.ask_versions_since(stream::earliest_of_new(self, state, hop).await?);
                match work.follow().await? {
                    Followed::Prepared(prepared) => Ok(prepared.map(|prepared| *prepared)),
                    Followed::TooMuch(why) => {
                        resolver.ask_versions_since(None);
                        work.rebuild(why).await.map(Some)
                    }
                }
            }
        }
    }

    /// The query planned over the inputs at the versions of this run.
    async fn plan(&self, state: &SessionState) -> Result<LogicalPlan, ProcessError> {
        let query = parse_query(&self.sql.text).map_err(|fault| self.wrong(fault))?;
        let planned = plan_statement(state, Statement::Query(query)).await;
        planned.map_err(|unplanned| unplanned.of_dataset(self.dataset, self.sql))
    }

    fn wrong(&self, fault: Fault) -> ProcessError {
        ProcessError::Project(vec![fault.of(self.dataset, self.sql)])
    }

    fn declared(&self, name: &DatasetName) -> Option<&Dataset> {
        self.engine.project().dataset(name)
    }

    /// The partition whose rows it works on, of a divided stream.
    pub(crate) fn part(&self) -> Option<i32> {
        self.engine.part()
    }

    /// The table that is brought up.
    pub(crate) fn table(&self) -> Table {
        self.engine.lake().table(TableId::of(self.dataset))
    }

    /// What it should look like.
    pub(crate) fn spec(&self) -> TableSpec {
        TableSpec {
            schema: table_schema(self.dataset, self.columns),
            partition_columns: arrow_types::partition_columns(self.dataset),
            description: self.dataset.description.clone(),
        }
    }

    /// Refuses to compute anything again whose rows the log has let go of: what closes behind a time (the earliest of its
    /// rows, microseconds), or everything.
    pub(crate) async fn still_there(&self, why: &str, from: Option<i64>) -> Result<(), ProcessError> {
        if self.standing.transaction.is_none() {
            return Ok(());
        }
        for input in self.inputs {
            if input.version.is_none() || !self.declared(&input.dataset).is_some_and(Dataset::kept_in_log) {
                continue;
            }
            let reading = || format!("reading what the log keeps of `{}`", input.dataset);
            let kept = input.table.kept_elsewhere().await.map_err(ProcessError::lake(reading()))?;
            let kept = kept.unwrap_or_default();
            // What happened behind a time was received behind it.
            let reaches = |from: i64| kept.since.is_some_and(|since| since.timestamp_micros() <= from);
            if kept.gone && !from.is_some_and(reaches) {
                let refused = LetGo {
                    dataset: self.dataset.name.clone(),
                    why: why.to_owned(),
                    input: input.dataset.clone(),
                    holds: match kept.since {
                        Some(since) => format!(
                            "what was received since {}",
                            since.to_rfc3339_opts(SecondsFormat::Secs, true)
                        ),
                        None => "nothing of it any more".to_owned(),
                    },
                };
                return Err(ProcessError::LetGo(Box::new(refused)));
            }
        }
        Ok(())
    }

    /// An error of the lake while something was done with the table.
    pub(crate) fn failed(&self, doing: &str) -> impl FnOnce(LakeError) -> ProcessError {
        ProcessError::lake(format!("{doing} `{}`", self.dataset.name))
    }

    /// What the partition of a landed input is called as an input of its landing, as positions say it: `log/0`,
    /// `log/<topic id>/0`, `kafka/<topic id>/0`. Of several, after a topic was made again, it is the one that is landed now;
    /// none when that cannot be told, and for what comes from no partition.
    pub(crate) fn landed_from(&self, dataset: &DatasetName, partition: i32) -> Option<String> {
        let (of_dataset, of_partition) = (format!("{dataset}/"), format!("/{partition}"));
        let source = |app_id: &str| {
            let source = app_id.strip_prefix(&of_dataset).filter(|source| source.ends_with(&of_partition))?;
            (source.starts_with("log/") || source.starts_with("kafka/")).then(|| source.to_owned())
        };
        source(&self.input(dataset)?.table.moved_last(|app_id| source(app_id).is_some())?)
    }

    /// The input of this name.
    pub(crate) fn input(&self, dataset: &DatasetName) -> Option<&Input> {
        self.inputs.iter().find(|input| input.dataset == *dataset)
    }
}
