//! One try of a stream's run: from new rows to the windows that are written, and the state that goes with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, lit};
use datafusion::physical_plan::execute_stream;
use flowline_lake::{CommitMode, StagedFiles, StagedWriter, arrow_types};
use flowline_model::{Counts, DatasetName, Emit, Finding, LatePolicy};
use futures::StreamExt;

use super::analyze::StreamQuery;
use super::clock::{StreamState, believed_until};
use super::clocks::patience;
use super::closing::Closing;
use super::disorder::{findings, note};
use super::observe::{Observed, Question, observe};
use super::quarantine;
use super::restrict::{Wanted, instant, restricted};
use super::sessions::{Looking, open_since};
use super::step::{News, Step, told};
use crate::ProcessError;
use crate::engine::{MemoryShare, Resolver};
use crate::transform::{Anew, Attempt, Change, FRESH_WRITER, Input, Prepared, WRITER, named, output};

/// A try of a stream with its query analyzed.
pub(crate) struct StreamRun<'a> {
    pub attempt: &'a Attempt<'a>,
    pub state: &'a SessionState,
    pub resolver: &'a Arc<Resolver>,
    pub query: &'a StreamQuery,
    pub now: DateTime<Utc>,
    /// The memory that the run may hold.
    pub share: &'a MemoryShare,
}

impl StreamRun<'_> {
    /// Reads, computes and stages; none when there is nothing to commit.
    pub async fn prepare(&self) -> Result<Option<Prepared>, ProcessError> {
        if let Some(why) = self.must_rebuild() {
            return self.rebuild(why, None).await.map(Some);
        }
        if let Some(from) = self.attempt.replay_from {
            return self.rebuild("it is replayed".to_owned(), Some(from)).await.map(Some);
        }
        let known = self.attempt.standing.stream.clone().unwrap_or_default();
        let mut state = known.clone();
        let news = self.observe_new(&mut state).await?;
        state.advance(patience(self.attempt.dataset), self.now);
        match self.step(&known, &state, &news) {
            Step::Nothing => Ok(None),
            Step::Rebuild(why) => self.rebuild(why, None).await.map(Some),
            Step::Write(wanted) => self.write(wanted, &known, state, news).await.map(Some),
            Step::Reopen(wanted) => {
                let wanted = self.with_reached(wanted, &known, &news).await?;
                self.write(wanted, &known, state, news).await.map(Some)
            }
        }
    }

    /// Why what was computed before does not count.
    fn must_rebuild(&self) -> Option<String> {
        let Attempt { standing, definition, rebuild, .. } = self.attempt;
        if *rebuild {
            return Some("following the changes failed".to_owned());
        }
        if standing.transaction.is_none() {
            return Some("first run".to_owned());
        }
        if standing.definition.as_deref() != Some(*definition) {
            return Some("its definition changed".to_owned());
        }
        if standing.stream.is_none() {
            return Some("how far event time had come is no longer known".to_owned());
        }
        let changed = self.inputs().find(|input| input.replaced || !input.only_grew());
        changed.map(|input| match input.replaced {
            true => format!("the table of `{}` is another one", input.dataset),
            false => format!("rows of `{}` were removed or rewritten", input.dataset),
        })
    }

    /// The inputs whose rows have an event time, each once.
    fn inputs(&self) -> impl Iterator<Item = &Input> {
        let streams: BTreeSet<&DatasetName> =
            self.query.scans.iter().filter(|scan| scan.closing.is_some()).map(|scan| &scan.dataset).collect();
        self.attempt.inputs.iter().filter(move |input| streams.contains(&input.dataset))
    }

    /// What the rows of a dataset count towards, and the column that is their time.
    fn closings(&self, dataset: &DatasetName) -> (Vec<&Closing>, &str) {
        let mentions = self.query.scans.iter().filter(|scan| scan.dataset == *dataset);
        let time = mentions.clone().find_map(|scan| scan.time.as_deref()).unwrap_or_default();
        (mentions.filter_map(|scan| scan.closing.as_ref()).collect(), time)
    }

    async fn observe_new(&self, state: &mut StreamState) -> Result<News, ProcessError> {
        let mut news = News { ends: Some(BTreeSet::new()), ..News::default() };
        for input in self.inputs() {
            state.input(&input.dataset, self.now);
            let Some(changes) = input.changes.as_ref().filter(|changes| !changes.appended.is_empty()) else {
                continue;
            };
            let rows = input.table.provider_of(changes).await.map_err(reading(&input.dataset))?;
            let observed = self.observed(&input.dataset, rows, state.watermark).await?;
            for (partition, newest) in &observed.newest {
                state.note(&input.dataset, *partition, *newest, self.now);
            }
            note(&mut state.disorder, &input.dataset, &observed.disorder, false);
            news.add(&input.dataset, observed, state);
        }
        Ok(news)
    }

    async fn observed(
        &self,
        dataset: &DatasetName,
        rows: Arc<dyn TableProvider>,
        watermark: Option<i64>,
    ) -> Result<Observed, ProcessError> {
        let (closings, time) = self.closings(dataset);
        let every_window = self.query.emit == Emit::OnChange;
        let believed_until = believed_until(self.now);
        let question = Question { closings, watermark, every_window, believed_until, now: self.now };
        Ok(observe(self.state, rows, time, &question).await?)
    }

    async fn write(
        &self,
        wanted: Wanted,
        before: &StreamState,
        mut state: StreamState,
        news: News,
    ) -> Result<Prepared, ProcessError> {
        let attempt = self.attempt;
        let how = told(&wanted, self.query.emit, news.late);
        let writer = attempt.table().writer(FRESH_WRITER).await.map_err(attempt.failed("writing"))?;
        let plans = match self.kept()? {
            kept if kept.is_empty() => self.plans(self.query, &[&wanted]).await?,
            kept => self.kept_plans(&kept, &wanted, before, &mut state).await?,
        };
        let gone = self.replaced(&wanted)?;
        if let Some(gone) = &gone {
            let anew = Anew::Meeting(gone.clone());
            attempt.sieve.lock().begin_anew(anew, &attempt.spec().schema)?;
        }
        let staged = self.stage(plans, writer).await?;
        self.move_sessions(&mut state, wanted.sessions_from).await?;
        let late = self.quarantine(before.watermark, &news).await?;
        let quarantined = late.iter().map(|finding| finding.count).sum::<u64>();
        let dropped = self.query.late == LatePolicy::Drop;
        let counts = Counts {
            read: news.rows,
            written: staged.rows(),
            quarantined: quarantined + attempt.sieve.lock().rows_set_aside(),
            late: if dropped { news.late } else { 0 },
            reshaped: true,
            bytes_read: self.bytes_added(),
            bytes_written: staged.bytes(),
            ..Counts::default()
        };
        let change = match gone {
            Some(gone) => Change::Replace(staged, gone),
            None => Change::Files(staged, CommitMode::Append),
        };
        let event_time_max = state.newest().and_then(DateTime::from_timestamp_micros);
        let mut findings = self.findings(&mut state);
        findings.extend(late);
        Ok(Prepared { change, how, counts, event_time_max, stream: Some(self.spent(state)), findings })
    }

    /// Everything that is closed, or everything at all, in one commit; only what closes behind a time where one is
    /// given and the query says of its rows which window they are of.
    async fn rebuild(&self, why: String, from: Option<i64>) -> Result<Prepared, ProcessError> {
        let attempt = self.attempt;
        let mut state = self.kept_state();
        let from = from.filter(|_| self.query.closing_column.is_some());
        let from = from.map(|from| state.watermark.map_or(from, |watermark| from.min(watermark)));
        let mut news = News::default();
        for input in self.inputs() {
            state.input(&input.dataset, self.now);
            if input.version.is_none() {
                continue;
            }
            let rows = self.resolver.table(&input.dataset).await?;
            let observed = self.observed(&input.dataset, rows, None).await?;
            state.note_all(&input.dataset, &observed.newest, self.now);
            note(&mut state.disorder, &input.dataset, &observed.disorder, true);
            news.add(&input.dataset, observed, &mut state);
        }
        state.advance(patience(attempt.dataset), self.now);
        let wanted = match (self.query.emit, state.watermark) {
            (Emit::OnChange, _) => Wanted::all(from, None),
            (Emit::OnClose, Some(watermark)) => Wanted::all(from, Some(watermark)),
            (Emit::OnClose, None) => Wanted::default(),
        };
        let earliest = from.and_then(|_| self.earliest(&[&wanted]));
        attempt.still_there(&why, earliest).await?;
        let (table, spec) = (attempt.table(), attempt.spec());
        if !table.exists().await.map_err(attempt.failed("opening"))? {
            table.ensure(&spec).await.map_err(attempt.failed("creating"))?;
        }
        let gone = from.map(|from| self.behind(from)).transpose()?.flatten();
        let writer = match gone {
            Some(_) => table.writer(WRITER).await,
            None => table.writer_for(&spec, WRITER).await,
        };
        match &gone {
            Some(gone) => {
                attempt.sieve.lock().begin_anew(Anew::Meeting(gone.clone()), &attempt.spec().schema)?
            }
            None => attempt.sieve.lock().begin_everything(),
        }
        let plans = self.plans(self.query, &[&wanted]).await?;
        let staged = self.stage(plans, writer.map_err(attempt.failed("writing"))?).await?;
        self.move_sessions(&mut state, None).await?;
        self.keep_anew(&mut state).await?;
        let counts = Counts {
            read: news.rows,
            written: staged.rows(),
            reshaped: true,
            bytes_written: staged.bytes(),
            ..Counts::default()
        };
        let event_time_max = state.newest().and_then(DateTime::from_timestamp_micros);
        let change = match gone {
            Some(gone) => Change::Replace(staged, gone),
            None => Change::Files(staged, CommitMode::OverwriteWith(spec)),
        };
        let findings = self.findings(&mut state);
        let (how, stream) = (format!("rebuild: {why}"), Some(self.spent(state)));
        Ok(Prepared { change, how, counts, event_time_max, stream, findings })
    }

    /// The state that a rebuild goes on from: what is closed stays closed, as long as it is the same stream.
    fn kept_state(&self) -> StreamState {
        let standing = self.attempt.standing;
        let same = standing.definition.as_deref() == Some(self.attempt.definition)
            && !self.inputs().any(|input| input.replaced);
        let known = standing.stream.clone().filter(|_| same).unwrap_or_default();
        let (kept, stale) = (Vec::new(), Vec::new());
        StreamState { sessions_from: None, late: 0, ahead: 0, kept, stale, ..known }
    }

    pub(super) async fn tables(&self) -> Result<Vec<Arc<dyn TableProvider>>, ProcessError> {
        let mut tables = Vec::with_capacity(self.query.scans.len());
        for scan in &self.query.scans {
            tables.push(self.resolver.table(&scan.dataset).await?);
        }
        Ok(tables)
    }

    /// A query for each part of what is wanted that is not nothing.
    pub(super) async fn plans(
        &self,
        query: &StreamQuery,
        wanted: &[&Wanted],
    ) -> Result<Vec<LogicalPlan>, ProcessError> {
        let (attempt, tables) = (self.attempt, self.tables().await?);
        self.resolver.ask_versions_since(self.earliest(wanted));
        let mut plans = Vec::new();
        for wanted in wanted.iter().filter(|wanted| !wanted.is_nothing()) {
            let plan = restricted(query, &tables, wanted)?;
            plans.push(output(plan, attempt.dataset, attempt.columns, attempt.part())?);
        }
        Ok(plans)
    }

    /// No row that what is wanted is made from has an earlier time; none when that cannot be told.
    fn earliest(&self, wanted: &[&Wanted]) -> Option<i64> {
        let reaches = self.query.scans.iter().filter_map(|scan| scan.closing.as_ref()).map(Closing::reach);
        // The row's own time, and that of the windows that it lies in.
        let reach = reaches.max().unwrap_or_default().saturating_mul(2);
        let sessions = self.query.scans.iter().any(|scan| matches!(scan.closing, Some(Closing::Sessions(_))));
        let mut earliest: Option<i64> = None;
        for wanted in wanted.iter().filter(|wanted| !wanted.is_nothing()) {
            let mut starts: Vec<i64> = wanted.ends.first().copied().into_iter().collect();
            starts.extend(wanted.again.iter().map(|again| again.rows_from.min(again.from)));
            if let Some((after, _)) = wanted.between {
                starts.push(after?);
            }
            if sessions {
                // They are longer than their gap.
                starts.push(wanted.sessions_from?);
            }
            let start = starts.into_iter().min()?.saturating_sub(reach);
            earliest = Some(earliest.map_or(start, |earliest| earliest.min(start)));
        }
        earliest
    }

    async fn stage(
        &self,
        plans: Vec<LogicalPlan>,
        mut writer: StagedWriter,
    ) -> Result<StagedFiles, ProcessError> {
        let attempt = self.attempt;
        for plan in plans {
            let physical = self.state.create_physical_plan(&plan).await?;
            let mut stream = execute_stream(Arc::clone(&physical), self.state.task_ctx())?;
            while let Some(batch) = stream.next().await.transpose()? {
                let batch = attempt.sieve.lock().pass(batch)?;
                writer.write(&batch).await.map_err(attempt.failed("writing"))?;
            }
            MemoryShare::note_run(self.state, &physical, 0);
        }
        writer.finish().await.map_err(attempt.failed("writing"))
    }

    /// Finds since when sessions are open, where the query has any.
    async fn move_sessions(&self, state: &mut StreamState, from: Option<i64>) -> Result<(), ProcessError> {
        let sessions = self.query.scans.iter().any(|scan| matches!(scan.closing, Some(Closing::Sessions(_))));
        if let (true, Some(watermark)) = (sessions, state.watermark) {
            let (scans, tables) = (&self.query.scans, self.tables().await?);
            let looking = Looking { state: self.state, scans, tables: &tables };
            state.sessions_from = Some(open_since(&looking, self.query, from, watermark).await?);
        }
        Ok(())
    }

    /// The rows that what is written takes the place of.
    fn replaced(&self, wanted: &Wanted) -> Result<Option<Expr>, ProcessError> {
        let Some(column) = &self.query.closing_column else { return Ok(None) };
        let (kind, mut gone) = (arrow_types::timestamp(), Vec::new());
        let at = |closing: i64| instant(column.at(closing), &kind);
        if !wanted.ends.is_empty() {
            let ends = wanted.ends.iter().map(|end| at(*end)).collect::<Result<Vec<_>, _>>()?;
            gone.push(named(&column.name).in_list(ends, false));
        }
        for again in &wanted.again {
            let (from, until) = (at(again.from)?, at(again.until)?);
            gone.push(named(&column.name).gt_eq(from).and(named(&column.name).lt(until)));
        }
        Ok(gone.into_iter().reduce(Expr::or))
    }

    /// The rows of what closes behind a time.
    fn behind(&self, from: i64) -> Result<Option<Expr>, ProcessError> {
        let Some(column) = &self.query.closing_column else { return Ok(None) };
        let from = instant(column.at(from), &arrow_types::timestamp())?;
        let strict = self.query.scans.iter().any(|scan| scan.closing.as_ref().is_some_and(Closing::strict));
        let column = named(&column.name);
        Ok(Some(if strict { column.gt_eq(from) } else { column.gt(from) }))
    }

    /// Puts late rows into quarantine, where the stream says so; a finding for each column that is their time says how
    /// many.
    async fn quarantine(&self, watermark: Option<i64>, news: &News) -> Result<Vec<Finding>, ProcessError> {
        let (LatePolicy::Quarantine, Some(watermark)) = (self.query.late, watermark) else {
            return Ok(Vec::new());
        };
        let (stream, batch) = (&self.attempt.dataset.name, self.batch());
        let mut findings: BTreeMap<&str, Finding> = BTreeMap::new();
        let mut batches = Vec::new();
        for input in self.inputs().filter(|input| news.late_of.contains_key(&input.dataset)) {
            let Some(changes) = &input.changes else { continue };
            let (closings, time) = self.closings(&input.dataset);
            let before = closings.iter().map(|closing| closing.late_before(watermark)).min();
            let added = input.table.provider_of(changes).await.map_err(reading(&input.dataset))?;
            let late =
                quarantine::Late { time, before: before.unwrap_or(i64::MIN), watermark, now: self.now };
            let found = quarantine::rows(self.state, added, &input.dataset, &late, &batch).await?;
            if !found.is_empty() {
                let finding = || quarantine::finding(stream, &input.dataset, &late);
                let rows = found.iter().map(|batch| batch.num_rows() as u64);
                findings.entry(time).or_insert_with(finding).count += rows.sum::<u64>();
            }
            batches.extend(found);
        }
        if !batches.is_empty() {
            let lake = self.attempt.engine.lake();
            let mut replaced = quarantine::of_batch(&batch);
            if let Some(partition) = self.attempt.part() {
                replaced = replaced.and(named(arrow_types::PARTITION).eq(lit(partition)));
            }
            quarantine::commit(lake, stream, batches, replaced).await?;
        }
        Ok(findings.into_values().collect())
    }

    /// What tells the rows that this run quarantines: a try after a crash has the same, and replaces them.
    fn batch(&self) -> String {
        let next = self.attempt.standing.transaction.map_or(0, |transaction| transaction + 1);
        format!("{}/{next}", self.attempt.dataset.name)
    }

    fn findings(&self, state: &mut StreamState) -> Vec<Finding> {
        let attempt = self.attempt;
        let landed_from = |input: &DatasetName, partition| attempt.landed_from(input, partition);
        findings(&attempt.dataset.name, self.query.late, &mut state.disorder, self.now, &landed_from)
    }

    /// The state with what the run cost.
    fn spent(&self, state: StreamState) -> StreamState {
        let (memory, spilled) = (self.share.peak() as u64, self.share.spilled());
        StreamState { memory, spilled, rows_read: self.share.rows_read(), ..state }
    }

    fn bytes_added(&self) -> u64 {
        let changes = self.inputs().filter_map(|input| input.changes.as_ref());
        changes.flat_map(|changes| &changes.appended).map(|file| file.bytes).sum()
    }
}

/// An error of reading what is new in an input.
pub(super) fn reading(dataset: &DatasetName) -> impl FnOnce(flowline_lake::LakeError) -> ProcessError {
    ProcessError::lake(format!("reading the changes of `{dataset}`"))
}
