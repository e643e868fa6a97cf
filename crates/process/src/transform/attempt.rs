//! One try of a run: from the versions of the inputs to rows that wait for their commit.
//!
//! Owns: what is read and staged, and its counts. Nothing here is seen by anyone until `commit` makes it so; a try
//! that is dropped leaves only files that `vacuum` takes away.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::TimestampMicrosecondType;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::sql::sqlparser::ast::Statement;
use flowline_lake::{
    CommitMode, PartitionValues, ReadAt, StagedFiles, StagedMerge, Table, TableId, TableSpec, WritePurpose,
    WriterOptions, arrow_types,
};
use flowline_model::{Column, Counts, Dataset, DatasetName, SqlOrigin};
use futures::StreamExt;
use parking_lot::Mutex;

use super::inputs::Input;
use super::meter::{Meter, Metered, dropped};
use super::rows::{self, Affected, Sources};
use super::standing::Standing;
use super::strategy::{Strategy, strategy};
use super::touched;
use crate::engine::{Pins, Resolver};
use crate::infer::{plan_statement, table_schema};
use crate::problem::Fault;
use crate::sql::parse_query;
use crate::upkeep::{self, Follow, Hop, Precedence, Upkeep, with_stamps};
use crate::{ProcessError, QueryEngine};

/// More affected partitions than this are not computed one by one: everything is.
const PARTITIONS_MAX: usize = 1_000;
/// More affected keys than this are not looked up: everything is computed again. They are held in memory.
const KEYS_MAX: usize = 1_000_000;
/// Keys of which some may have no row any more are removed by a condition that names each of them.
const REMOVED_KEYS_MAX: usize = 1_000;

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

/// A plan that has run, and what was measured.
struct Ran {
    physical: Arc<dyn ExecutionPlan>,
    event_time_max: Option<DateTime<Utc>>,
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
        let meters: Vec<Arc<Meter>> = hop.scans.iter().map(|_| Arc::default()).collect();
        let all = Work { attempt: self, state: &state, resolver: &resolver, hop: &hop, meters: &meters };
        match decided {
            Strategy::Nothing => Ok(None),
            Strategy::Rebuild(why) => all.rebuild(why).await.map(Some),
            Strategy::Follow => match all.follow().await? {
                Followed::Prepared(prepared) => Ok(prepared.map(|prepared| *prepared)),
                Followed::TooMuch(why) => all.rebuild(why).await.map(Some),
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

    fn table(&self) -> Table {
        self.engine.lake().table(TableId::of(self.dataset))
    }

    fn spec(&self) -> TableSpec {
        TableSpec {
            schema: table_schema(self.dataset, self.columns),
            partition_columns: arrow_types::partition_columns(self.dataset),
            description: self.dataset.description.clone(),
        }
    }

    fn failed(&self, doing: &str) -> impl FnOnce(flowline_lake::LakeError) -> ProcessError {
        ProcessError::lake(format!("{doing} `{}`", self.dataset.name))
    }

    fn input(&self, dataset: &DatasetName) -> Option<&Input> {
        self.inputs.iter().find(|input| input.dataset == *dataset)
    }
}

/// What following the changes came to.
enum Followed {
    Prepared(Option<Box<Prepared>>),
    /// Computing everything is better, or the only way.
    TooMuch(String),
}

impl Followed {
    fn prepared(prepared: Prepared) -> Self {
        Self::Prepared(Some(Box::new(prepared)))
    }
}

/// A try with its query planned.
struct Work<'a> {
    attempt: &'a Attempt<'a>,
    state: &'a SessionState,
    resolver: &'a Arc<Resolver>,
    hop: &'a Hop,
    meters: &'a [Arc<Meter>],
}

impl Work<'_> {
    async fn rebuild(&self, why: String) -> Result<Prepared, ProcessError> {
        let attempt = self.attempt;
        let sources = self.sources(false).await?;
        let plan = match &self.hop.upkeep {
            Upkeep::MergeNew(precedence) => {
                let plan = self.with_order(precedence)?;
                let plan = rows::output(rows::everything(plan, &sources)?, attempt.dataset, attempt.columns)?;
                rows::winners(plan, attempt.dataset, precedence)?
            }
            _ => rows::output(
                rows::everything(self.hop.plan.clone(), &sources)?,
                attempt.dataset,
                attempt.columns,
            )?,
        };
        let (table, spec) = (attempt.table(), attempt.spec());
        let exists = table.exists().await.map_err(attempt.failed("opening"))?;
        if !exists {
            table.ensure(&spec).await.map_err(attempt.failed("creating"))?;
        }
        let writer = table.writer_for(&spec, WRITER).await.map_err(attempt.failed("writing"))?;
        let (staged, ran) = self.stage(plan, writer).await?;
        let mut counts = self.counts(&ran, staged.rows(), staged.bytes(), self.hop.reshapes);
        counts.bytes_read = self.bytes_of_inputs().await;
        let change = Change::Files(staged, CommitMode::OverwriteWith(spec));
        Ok(Prepared { change, how: format!("rebuild: {why}"), counts, event_time_max: ran.event_time_max })
    }

    async fn follow(&self) -> Result<Followed, ProcessError> {
        match &self.hop.upkeep {
            Upkeep::Full => Ok(Followed::TooMuch("it is materialized in full".to_owned())),
            Upkeep::Append => self.append().await,
            Upkeep::Partition => self.partitions().await,
            Upkeep::MergeNew(precedence) => self.merge_new(precedence).await,
            Upkeep::MergeAffected { vanishes } => self.merge_affected(*vanishes).await,
        }
    }

    async fn append(&self) -> Result<Followed, ProcessError> {
        let Some(plan) = self.added(self.hop.plan.clone()).await? else { return Ok(other_shape()) };
        let attempt = self.attempt;
        let writer = attempt.table().writer(WRITER).await.map_err(attempt.failed("writing"))?;
        let (staged, ran) = self.stage(plan, writer).await?;
        let counts = self.counts_of_added(&ran, staged.rows(), staged.bytes());
        let how = "append".to_owned();
        let change = Change::Files(staged, CommitMode::Append);
        Ok(Followed::prepared(Prepared { change, how, counts, event_time_max: ran.event_time_max }))
    }

    async fn merge_new(&self, precedence: &Precedence) -> Result<Followed, ProcessError> {
        let attempt = self.attempt;
        let Some(plan) = self.added(self.with_order(precedence)?).await? else { return Ok(other_shape()) };
        let mut plan = rows::winners(plan, attempt.dataset, precedence)?;
        if let Precedence::EventTime(column) = precedence {
            let target = attempt.table().provider(ReadAt::Latest).await.map_err(attempt.failed("reading"))?;
            plan = rows::newer_than(plan, target, attempt.dataset, column)?;
        }
        let (merge, ran) = self.stage_merge(plan).await?;
        let counts = self.counts_of_added(&ran, merge.rows(), merge.bytes());
        let how = "merge: new rows".to_owned();
        Ok(Followed::prepared(Prepared {
            change: Change::Merge(merge),
            how,
            counts,
            event_time_max: ran.event_time_max,
        }))
    }

    async fn partitions(&self) -> Result<Followed, ProcessError> {
        let attempt = self.attempt;
        let Some(affected) = self.affected(PARTITIONS_MAX).await? else {
            return Ok(Followed::TooMuch(format!("more than {PARTITIONS_MAX} partitions are affected")));
        };
        if affected.count == 0 {
            return Ok(Followed::Prepared(None));
        }
        let (table, spec) = (attempt.table(), attempt.spec());
        let plan = self.restricted(&affected).await?;
        let partitions = touched::partition_values(&spec, &affected)?;
        let writer = table.writer(WRITER).await.map_err(attempt.failed("writing"))?;
        let (staged, ran) = self.stage(plan, writer).await?;
        let mut counts = self.counts(&ran, staged.rows(), staged.bytes(), true);
        counts.bytes_read = self.bytes_added();
        let how = format!("partition: {}", shown(&partitions));
        let change = Change::Files(staged, CommitMode::ReplacePartitions(partitions));
        Ok(Followed::prepared(Prepared { change, how, counts, event_time_max: ran.event_time_max }))
    }

    async fn merge_affected(&self, vanishes: bool) -> Result<Followed, ProcessError> {
        let attempt = self.attempt;
        let most = if vanishes { REMOVED_KEYS_MAX } else { KEYS_MAX };
        let Some(affected) = self.affected(most).await? else {
            return Ok(Followed::TooMuch(format!("more than {most} keys are affected")));
        };
        if affected.count == 0 {
            return Ok(Followed::Prepared(None));
        }
        let plan = self.restricted(&affected).await?;
        let how = format!("merge: {} keys", affected.count);
        let (change, rows, bytes, ran) = if vanishes {
            let keys: Vec<Expr> = attempt.dataset.key.iter().map(|name| touched::named(name)).collect();
            let gone =
                rows::one_of(&keys, &touched::key_values(&attempt.spec(), &attempt.dataset.key, &affected)?);
            let writer = attempt.table().writer(WRITER).await.map_err(attempt.failed("writing"))?;
            let (staged, ran) = self.stage(plan, writer).await?;
            let (rows, bytes) = (staged.rows(), staged.bytes());
            (Change::Replace(staged, gone), rows, bytes, ran)
        } else {
            let (merge, ran) = self.stage_merge(plan).await?;
            let (rows, bytes) = (merge.rows(), merge.bytes());
            (Change::Merge(merge), rows, bytes, ran)
        };
        let mut counts = self.counts(&ran, rows, bytes, true);
        counts.bytes_read = self.bytes_added();
        Ok(Followed::prepared(Prepared { change, how, counts, event_time_max: ran.event_time_max }))
    }

    /// The query, with the columns that its order of precedence needs.
    fn with_order(&self, precedence: &Precedence) -> Result<LogicalPlan, ProcessError> {
        if *precedence == Precedence::Landed
            && let Some(plan) = with_stamps(self.hop.plan.clone())?
        {
            return Ok(plan);
        }
        Ok(self.hop.plan.clone())
    }

    /// What a query gives for the rows that were added; none when an input has other columns than it had.
    async fn added(&self, plan: LogicalPlan) -> Result<Option<LogicalPlan>, ProcessError> {
        let sources = self.sources(true).await?;
        let attempt = self.attempt;
        let same = |number: usize| {
            let schema = sources.new[number].schema();
            let others = [&sources.old[number], &sources.added[number]];
            others.into_iter().flatten().all(|other| same_columns(&other.schema(), &schema))
        };
        if !(0..sources.new.len()).all(same) {
            return Ok(None);
        }
        let plans = rows::added(&plan, &sources)?;
        let plans = plans.into_iter().map(|plan| rows::output(plan, attempt.dataset, attempt.columns));
        Ok(rows::together(plans.collect::<Result<_, _>>()?)?)
    }

    /// The values of the key or of the partition columns that changes affect; none when there are more than `most`.
    async fn affected(&self, most: usize) -> Result<Option<Affected>, ProcessError> {
        let mut plans = Vec::new();
        for (number, follow) in self.hop.follows.iter().enumerate() {
            let Some(input) = self.changed_input(number) else { continue };
            let Follow::Affects(terms) = follow else { continue };
            match &input.changes {
                Some(changes) if changes.append_only() => {
                    let added = input.table.provider_of(changes).await;
                    let added = added
                        .map_err(ProcessError::lake(format!("reading the changes of `{}`", input.dataset)))?;
                    plans.push(rows::values_of(self.hop, number, terms, added)?);
                }
                _ => plans.push(touched::of_partitions(self.attempt.engine, input, terms)?),
            }
        }
        let Some(plan) = rows::together(plans)? else {
            return Ok(Some(Affected { values: Vec::new(), count: 0 }));
        };
        let terms: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        let plan = rows::distinct_terms(plan, &terms)?;
        let physical = self.state.create_physical_plan(&plan).await?;
        let mut stream = execute_stream(physical, self.state.task_ctx())?;
        let (mut values, mut count) = (Vec::new(), 0);
        while let Some(batch) = stream.next().await.transpose()? {
            count += batch.num_rows();
            if count > most {
                return Ok(None);
            }
            values.push(batch);
        }
        Ok(Some(Affected { values, count }))
    }

    async fn restricted(&self, affected: &Affected) -> Result<LogicalPlan, ProcessError> {
        let sources = self.sources(false).await?;
        let attempt = self.attempt;
        let affects = |follow: &Follow| match follow {
            Follow::Affects(terms) => Some(terms.clone()),
            _ => None,
        };
        let terms: Vec<Option<Vec<Expr>>> = self.hop.follows.iter().map(affects).collect();
        let pruned: Vec<Option<Vec<Expr>>> = self
            .hop
            .scans
            .iter()
            .zip(&terms)
            .map(|(scan, terms)| touched::over_partitions(attempt.engine, scan.as_ref()?, terms.as_ref()?))
            .collect();
        let plan = rows::restricted(self.hop, &sources, &terms, &pruned, affected)?;
        Ok(rows::output(plan, attempt.dataset, attempt.columns)?)
    }

    fn changed_input(&self, number: usize) -> Option<&Input> {
        self.attempt.input(self.hop.scans[number].as_ref()?).filter(|input| input.changed())
    }

    /// The tables of the scans. `added` finds those of the rows that were added as well.
    async fn sources(&self, added: bool) -> Result<Sources, ProcessError> {
        let mut sources = Sources { new: Vec::new(), old: Vec::new(), added: Vec::new() };
        for (number, scan) in self.hop.scans.iter().enumerate() {
            let Some(dataset) = scan else { continue };
            let new = self.resolver.table(dataset).await?;
            let (mut old, mut grown) = (None, None);
            if added && let Some(input) = self.changed_input(number) {
                let reading = || format!("reading the changes of `{dataset}`");
                // Looked up in by the new rows of scans before this one, and only by those.
                let needed = (0..number).any(|before| self.changed_input(before).is_some());
                old = Some(match input.consumed.filter(|_| needed) {
                    Some(version) => {
                        let at = ReadAt::Version(version);
                        input.table.provider(at).await.map_err(ProcessError::lake(reading()))?
                    }
                    None => Arc::new(EmptyTable::new(new.schema())) as Arc<dyn TableProvider>,
                });
                if let Some(changes) = &input.changes {
                    let rows =
                        input.table.provider_of(changes).await.map_err(ProcessError::lake(reading()))?;
                    grown = Some(Metered::every_row(rows, &self.meters[number]));
                }
            }
            // Where only what was added counts, the rest is looked things up in.
            let new = if added { new } else { Metered::rows_read(new, &self.meters[number]) };
            sources.new.push(new);
            sources.old.push(old);
            sources.added.push(grown);
        }
        Ok(sources)
    }

    async fn start(
        &self,
        plan: LogicalPlan,
    ) -> Result<(SendableRecordBatchStream, Arc<dyn ExecutionPlan>), ProcessError> {
        let physical = self.state.create_physical_plan(&plan).await?;
        let stream = execute_stream(Arc::clone(&physical), self.state.task_ctx())?;
        Ok((stream, physical))
    }

    async fn stage(
        &self,
        plan: LogicalPlan,
        mut writer: flowline_lake::StagedWriter,
    ) -> Result<(StagedFiles, Ran), ProcessError> {
        let (stream, physical) = self.start(plan).await?;
        let (mut stream, event_time) = self.observed(stream);
        while let Some(batch) = stream.next().await.transpose()? {
            writer.write(&batch).await.map_err(self.attempt.failed("writing"))?;
        }
        let staged = writer.finish().await.map_err(self.attempt.failed("writing"))?;
        let event_time_max = *event_time.lock();
        Ok((staged, Ran { physical, event_time_max }))
    }

    async fn stage_merge(&self, plan: LogicalPlan) -> Result<(StagedMerge, Ran), ProcessError> {
        let (stream, physical) = self.start(plan).await?;
        let (stream, event_time) = self.observed(stream);
        let merge = self.attempt.table().stage_merge(stream, &self.attempt.dataset.key).await;
        let merge = merge.map_err(self.attempt.failed("writing"))?;
        let event_time_max = *event_time.lock();
        Ok((merge, Ran { physical, event_time_max }))
    }

    /// The stream, with the newest event time that went by.
    fn observed(
        &self,
        stream: SendableRecordBatchStream,
    ) -> (SendableRecordBatchStream, Arc<Mutex<Option<DateTime<Utc>>>>) {
        let newest = Arc::new(Mutex::new(None));
        let Some(event_time) = self.attempt.dataset.event_time.as_ref() else { return (stream, newest) };
        let (schema, column, seen) = (stream.schema(), event_time.column.clone(), Arc::clone(&newest));
        let rows = stream.inspect(move |batch| {
            let Ok(batch) = batch else { return };
            let times = batch
                .column_by_name(&column)
                .and_then(|times| times.as_primitive_opt::<TimestampMicrosecondType>());
            let latest = times.and_then(arrow::compute::max).and_then(DateTime::from_timestamp_micros);
            let mut seen = seen.lock();
            *seen = (*seen).max(latest);
        });
        (Box::pin(RecordBatchStreamAdapter::new(schema, rows)), newest)
    }

    /// The counts of a run that read whole inputs, or the affected part of them.
    fn counts(&self, ran: &Ran, written: u64, bytes_written: u64, reshaped: bool) -> Counts {
        let left_out = dropped(&ran.physical);
        let (filtered, duplicate) = if reshaped { (0, 0) } else { (left_out.filtered, left_out.duplicate) };
        let read = self.meters.iter().map(|meter| meter.rows()).sum();
        Counts { read, written, filtered, duplicate, reshaped, bytes_written, ..Counts::default() }
    }

    /// The counts of a run that read only what was added: how much that is, the inputs' own logs say.
    fn counts_of_added(&self, ran: &Ran, written: u64, bytes_written: u64) -> Counts {
        let mut counts = self.counts(ran, written, bytes_written, self.hop.reshapes);
        counts.bytes_read = self.bytes_added();
        counts.read = 0;
        for (number, meter) in self.meters.iter().enumerate() {
            let Some(changes) = self.changed_input(number).and_then(|input| input.changes.as_ref()) else {
                continue;
            };
            let logged: Option<u64> = changes.appended.iter().map(|file| file.rows).sum();
            let added = logged.unwrap_or_else(|| meter.rows());
            counts.read += added;
            if !self.hop.reshapes && !meter.scanned() {
                // The planner saw that none of these rows meets the conditions, and did not read them.
                counts.filtered += added;
            }
        }
        counts
    }

    fn bytes_added(&self) -> u64 {
        let changes = self.attempt.inputs.iter().filter_map(|input| input.changes.as_ref());
        changes.flat_map(|changes| &changes.appended).map(|file| file.bytes).sum()
    }

    async fn bytes_of_inputs(&self) -> u64 {
        let mut bytes = 0;
        for input in self.attempt.inputs.iter().filter(|input| input.version.is_some()) {
            // Only for the accounts: a table whose size cannot be told is read all the same.
            bytes += input.table.stats().await.map_or(0, |stats| stats.bytes);
        }
        bytes
    }
}

const WRITER: WriterOptions = WriterOptions {
    target_file_bytes: 128 << 20,
    open_files_max: 32,
    memory_bytes_max: 96 << 20,
    purpose: WritePurpose::Keep,
};

fn other_shape() -> Followed {
    Followed::TooMuch("an input has other columns than it had".to_owned())
}

fn same_columns(one: &arrow::datatypes::Schema, other: &arrow::datatypes::Schema) -> bool {
    one.fields().len() == other.fields().len()
        && one.fields().iter().zip(other.fields()).all(|(one, other)| {
            one.name() == other.name()
                && one.data_type() == other.data_type()
                && one.is_nullable() == other.is_nullable()
        })
}

fn shown(partitions: &[PartitionValues]) -> String {
    let first: Vec<String> = partitions.iter().take(3).map(ToString::to_string).collect();
    let more = partitions.len().saturating_sub(first.len());
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
