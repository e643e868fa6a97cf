//! The ways in which a table is brought up: computed as a whole, or by what changed.
//!
//! Owns: which tables at which versions a way reads, and what it has the commit do. Does not own: the plans (`rows`),
//! running them and counting (`stage`).

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use flowline_lake::{Changes, CommitMode, PartitionValues, ReadAt, WritePurpose, WriterOptions};
use futures::StreamExt;

use super::anew::Anew;
use super::attempt::{Attempt, Change, Prepared};
use super::inputs::Input;
use super::meter::{Meter, Metered};
use super::rows::{self, Affected, Sources};
use super::touched;
use crate::ProcessError;
use crate::engine::Resolver;
use crate::upkeep::{Follow, Hop, Precedence, Upkeep, with_stamps};

/// More affected partitions than this are not computed one by one: everything is.
const PARTITIONS_MAX: usize = 1_000;
/// More affected keys than this are not looked up: everything is computed again. They are held in memory.
const KEYS_MAX: usize = 1_000_000;

/// How the rows of transforms are written.
pub(crate) const WRITER: WriterOptions = WriterOptions {
    target_file_bytes: 128 << 20,
    open_files_max: 32,
    memory_bytes_max: 96 << 20,
    purpose: WritePurpose::Keep,
};

/// How rows are written that are appended as they come: read a few times, and compacted soon.
pub(crate) const FRESH_WRITER: WriterOptions = WriterOptions { purpose: WritePurpose::Land, ..WRITER };

/// What following the changes came to.
pub(super) enum Followed {
    /// Rows to be committed, or none.
    Prepared(Option<Box<Prepared>>),
    /// Computing everything is better, or the only way.
    TooMuch(String),
}

impl Followed {
    pub fn prepared(prepared: Prepared) -> Self {
        Self::Prepared(Some(Box::new(prepared)))
    }
}

/// A try with its query planned.
pub(super) struct Work<'a> {
    pub attempt: &'a Attempt<'a>,
    pub state: &'a SessionState,
    pub resolver: &'a Arc<Resolver>,
    pub hop: &'a Hop,
    /// One for each scan.
    pub meters: &'a [Arc<Meter>],
}

impl Work<'_> {
    /// The whole table, in one commit.
    pub async fn rebuild(&self, why: String) -> Result<Prepared, ProcessError> {
        let attempt = self.attempt;
        attempt.still_there(&why, None).await?;
        let sources = self.sources(false).await?;
        let plan = match &self.hop.upkeep {
            Upkeep::MergeNew(precedence) | Upkeep::MergeAgain(precedence) => {
                let plan = self.with_order(precedence)?;
                let plan = rows::output(
                    rows::everything(plan, &sources)?,
                    attempt.dataset,
                    attempt.columns,
                    attempt.part(),
                )?;
                rows::winners(plan, attempt.dataset, precedence)?
            }
            _ => rows::output(
                rows::everything(self.hop.plan.clone(), &sources)?,
                attempt.dataset,
                attempt.columns,
                attempt.part(),
            )?,
        };
        let (table, spec) = (attempt.table(), attempt.spec());
        let exists = table.exists().await.map_err(attempt.failed("opening"))?;
        if !exists {
            table.ensure(&spec).await.map_err(attempt.failed("creating"))?;
        }
        let writer = table.writer_for(&spec, WRITER).await.map_err(attempt.failed("writing"))?;
        attempt.sieve.lock().begin_everything();
        let (staged, ran) = self.stage(plan, writer).await?;
        let mut counts = self.counts(&ran, staged.rows(), staged.bytes(), self.hop.reshapes);
        counts.bytes_read = self.bytes_of_inputs().await;
        let change = Change::Files(staged, CommitMode::OverwriteWith(spec));
        Ok(Prepared {
            change,
            how: format!("rebuild: {why}"),
            counts,
            event_time_max: ran.event_time_max,
            stream: None,
            findings: Vec::new(),
        })
    }

    /// Only what changed, and what it affects.
    pub async fn follow(&self) -> Result<Followed, ProcessError> {
        match &self.hop.upkeep {
            Upkeep::Full => Ok(Followed::TooMuch("it is materialized in full".to_owned())),
            _ if self.nothing_followed() => Ok(Followed::Prepared(None)),
            Upkeep::Append => self.append().await,
            Upkeep::Partition => self.partitions().await,
            Upkeep::MergeNew(precedence) => self.merge_new(precedence).await,
            Upkeep::MergeAffected => self.merge_affected(None).await,
            Upkeep::MergeAgain(precedence) => self.merge_affected(Some(precedence)).await,
        }
    }

    /// Whether no input changed but tables that are read as of a time: what was written stays as it is.
    fn nothing_followed(&self) -> bool {
        (0..self.hop.scans.len()).all(|number| self.changed_input(number).is_none())
    }

    async fn append(&self) -> Result<Followed, ProcessError> {
        let Some(plan) = self.added(self.hop.plan.clone()).await? else { return Ok(other_shape()) };
        let attempt = self.attempt;
        let writer = attempt.table().writer(FRESH_WRITER).await.map_err(attempt.failed("writing"))?;
        let (staged, ran) = self.stage(plan, writer).await?;
        let counts = self.counts_of_added(&ran, staged.rows(), staged.bytes());
        let how = "append".to_owned();
        let change = Change::Files(staged, CommitMode::Append);
        Ok(Followed::prepared(Prepared {
            change,
            how,
            counts,
            event_time_max: ran.event_time_max,
            stream: None,
            findings: Vec::new(),
        }))
    }

    async fn merge_new(&self, precedence: &Precedence) -> Result<Followed, ProcessError> {
        let attempt = self.attempt;
        let Some(plan) = self.added(self.with_order(precedence)?).await? else { return Ok(other_shape()) };
        let mut plan = rows::winners(plan, attempt.dataset, precedence)?;
        if let Precedence::EventTime(column) = precedence {
            let target = attempt.table().provider(ReadAt::Latest).await.map_err(attempt.failed("reading"))?;
            plan = rows::newer_than(plan, target, attempt.dataset, column)?;
        }
        let (merge, ran) = self.stage_merge(plan, &[]).await?;
        let counts = self.counts_of_added(&ran, merge.rows(), merge.bytes());
        let how = "merge: new rows".to_owned();
        Ok(Followed::prepared(Prepared {
            change: Change::Merge(merge),
            how,
            counts,
            event_time_max: ran.event_time_max,
            stream: None,
            findings: Vec::new(),
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
        let plan = self.restricted(self.hop.plan.clone(), &affected).await?;
        let partitions = touched::partition_values(&spec, &affected)?;
        let anew = Anew::With(spec.partition_columns.clone(), affected.values.clone());
        attempt.sieve.lock().begin_anew(anew, &spec.schema)?;
        let writer = table.writer(WRITER).await.map_err(attempt.failed("writing"))?;
        let (staged, ran) = self.stage(plan, writer).await?;
        let mut counts = self.counts(&ran, staged.rows(), staged.bytes(), true);
        counts.bytes_read = self.bytes_added();
        let how = format!("partition: {}", shown(&partitions));
        let change = Change::Files(staged, CommitMode::ReplacePartitions(partitions));
        Ok(Followed::prepared(Prepared {
            change,
            how,
            counts,
            event_time_max: ran.event_time_max,
            stream: None,
            findings: Vec::new(),
        }))
    }

    /// The rows of the affected keys take the place of those that the table has of them. A key that has no row any more, or
    /// one that fails a check, loses the row that it had.
    async fn merge_affected(&self, precedence: Option<&Precedence>) -> Result<Followed, ProcessError> {
        let attempt = self.attempt;
        let Some(affected) = self.affected(KEYS_MAX).await? else {
            return Ok(Followed::TooMuch(format!("more than {KEYS_MAX} keys are affected")));
        };
        if affected.count == 0 {
            return Ok(Followed::Prepared(None));
        }
        if precedence.is_none()
            && let Some(additive) = self.additive().await?
            && let Some(added_up) = self.add_up(additive, &affected).await?
        {
            return Ok(added_up);
        }
        let plan = match precedence {
            Some(precedence) => {
                let plan = self.restricted(self.with_order(precedence)?, &affected).await?;
                rows::winners(plan, attempt.dataset, precedence)?
            }
            None => self.restricted(self.hop.plan.clone(), &affected).await?,
        };
        let anew = Anew::With(attempt.dataset.key.clone(), affected.values.clone());
        attempt.sieve.lock().begin_anew(anew, &attempt.spec().schema)?;
        let (merge, ran) = self.stage_merge(plan, &affected.values).await?;
        let mut counts = self.counts(&ran, merge.rows(), merge.bytes(), true);
        counts.bytes_read = self.bytes_added();
        Ok(Followed::prepared(Prepared {
            change: Change::Merge(merge),
            how: format!("merge: {} keys", affected.count),
            counts,
            event_time_max: ran.event_time_max,
            stream: None,
            findings: Vec::new(),
        }))
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
        let attempt = self.attempt;
        let Some(sources) = self.sources_of_added().await? else { return Ok(None) };
        let plans = rows::added(&plan, &sources)?;
        let plans = plans
            .into_iter()
            .map(|plan| rows::output(plan, attempt.dataset, attempt.columns, attempt.part()));
        Ok(rows::together(plans.collect::<Result<_, _>>()?)?)
    }

    /// The tables of the scans, with the rows that were added; none when an input has other columns than it had.
    pub(super) async fn sources_of_added(&self) -> Result<Option<Sources>, ProcessError> {
        let sources = self.sources(true).await?;
        let same = |number: usize| {
            let schema = sources.new[number].schema();
            let others = [&sources.old[number], &sources.added[number]];
            others.into_iter().flatten().all(|other| same_columns(&other.schema(), &schema))
        };
        Ok((0..sources.new.len()).all(same).then_some(sources))
    }

    /// The values of the key or of the partition columns that changes affect; none when there are more than `most`.
    async fn affected(&self, most: usize) -> Result<Option<Affected>, ProcessError> {
        let mut plans = Vec::new();
        for (number, follow) in self.hop.follows.iter().enumerate() {
            let Some(input) = self.changed_input(number) else { continue };
            let Follow::Affects(terms) = follow else { continue };
            plans.push(self.values_of_changes(number, input, terms).await?);
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

    /// The values of these terms that the changes of an input touch.
    async fn values_of_changes(
        &self,
        number: usize,
        input: &Input,
        terms: &[Expr],
    ) -> Result<LogicalPlan, ProcessError> {
        let engine = self.attempt.engine;
        let by_rows = |changes: &&Changes| {
            changes.append_only()
                || self.hop.upkeep != Upkeep::Partition
                || !touched::partitions_known(engine, self.hop, input)
        };
        let Some(changes) = input.changes.as_ref().filter(by_rows) else {
            return touched::of_partitions(engine, input, terms);
        };
        let reading = || ProcessError::lake(format!("reading the changes of `{}`", input.dataset));
        let came = input.table.provider_of(changes).await.map_err(reading())?;
        if changes.removed.is_empty() {
            return Ok(rows::values_of(self.hop, number, terms, came)?);
        }
        let went = input.table.provider_of_files(&changes.removed).await.map_err(reading())?;
        Ok(rows::values_that_changed(self.hop, number, terms, came, went)?)
    }

    async fn restricted(&self, plan: LogicalPlan, affected: &Affected) -> Result<LogicalPlan, ProcessError> {
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
            .map(|(scan, terms)| touched::over_partitions(attempt.engine, scan, terms.as_ref()?))
            .collect();
        let plan = rows::restricted(plan, &sources, &terms, &pruned, affected)?;
        Ok(rows::output(plan, attempt.dataset, attempt.columns, attempt.part())?)
    }

    /// The input that a scan reads, when it changed.
    pub(super) fn changed_input(&self, number: usize) -> Option<&Input> {
        self.attempt.input(&self.hop.scans[number]).filter(|input| input.changed())
    }

    /// The tables of the scans. `added` finds those of the rows that were added as well.
    async fn sources(&self, added: bool) -> Result<Sources, ProcessError> {
        let mut sources = Sources { new: Vec::new(), old: Vec::new(), added: Vec::new() };
        for (number, dataset) in self.hop.scans.iter().enumerate() {
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
}

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
    let mut first: Vec<String> = partitions.iter().map(ToString::to_string).collect();
    first.sort_unstable();
    first.truncate(3);
    let more = partitions.len().saturating_sub(first.len());
    if more == 0 { first.join(", ") } else { format!("{} and {more} more", first.join(", ")) }
}
