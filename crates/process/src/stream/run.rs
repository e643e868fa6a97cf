//! One try of a stream's run: from new rows to the windows that are written, and the state that goes with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use flowline_lake::{CommitMode, StagedFiles, StagedWriter, arrow_types};
use flowline_model::{Counts, Dataset, DatasetName, Emit, LatePolicy};
use futures::StreamExt;

use super::analyze::{StreamQuery, time_column};
use super::clock::{Patience, StreamState, believed_until};
use super::closing::Closing;
use super::observe::{Observed, Question, observe};
use super::partial::{Kept, KeptFile, Partials, STATE_FOLDER, kept, with_results};
use super::quarantine;
use super::restrict::{Wanted, instant, restricted};
use super::sessions::open_since;
use crate::ProcessError;
use crate::engine::Resolver;
use crate::transform::{Attempt, Change, Input, Prepared, WRITER, named, output};

/// More closed windows than this that late rows touch are not computed one by one: everything is.
const REOPENED_MAX: usize = 1_000;
/// More windows than this that new rows touch are not replaced one by one: everything is computed.
const TOUCHED_MAX: usize = 10_000;

/// A try of a stream with its query analyzed.
pub(crate) struct StreamRun<'a> {
    pub attempt: &'a Attempt<'a>,
    pub state: &'a SessionState,
    pub resolver: &'a Arc<Resolver>,
    pub query: &'a StreamQuery,
    pub now: DateTime<Utc>,
}

/// What a try came to.
enum Step {
    /// Nothing new, and event time stands still.
    Nothing,
    /// What is written.
    Write(Wanted),
    /// Computing everything is better, or the only way.
    Rebuild(String),
}

/// What new rows of all inputs say.
#[derive(Default)]
struct News {
    rows: u64,
    late: u64,
    touches_closed: bool,
    ends: Option<BTreeSet<i64>>,
    late_of: BTreeMap<DatasetName, u64>,
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
        let question = Question { closings, watermark, every_window, believed_until };
        Ok(observe(self.state, rows, time, &question).await?)
    }

    fn step(&self, before: &StreamState, after: &StreamState, news: &News) -> Step {
        let moved = after.watermark != before.watermark;
        // Written down that an idle input was looked at, or it would be looked at again and again.
        let woken = before.wake_at(patience(self.attempt.dataset)).is_some_and(|at| at <= self.now);
        if news.rows == 0 && !moved && !woken {
            return Step::Nothing;
        }
        let reopens = self.query.late == LatePolicy::Reopen;
        let closed = |end: &i64| before.watermark.is_some_and(|watermark| *end <= watermark);
        let between = moved.then_some((before.watermark, after.watermark));
        let sessions_from = before.sessions_from;
        if self.query.emit == Emit::OnChange {
            let Some(ends) = &news.ends else {
                return Step::Rebuild("new rows touch too many windows".to_owned());
            };
            let ends: BTreeSet<i64> = ends.iter().filter(|end| reopens || !closed(end)).copied().collect();
            if ends.len() > TOUCHED_MAX {
                return Step::Rebuild(format!("new rows touch more than {TOUCHED_MAX} windows"));
            }
            return Step::Write(Wanted { between: None, ends, sessions_from });
        }
        if !(reopens && news.touches_closed) {
            return Step::Write(Wanted { between, ends: BTreeSet::new(), sessions_from });
        }
        let (Some(ends), Some(_)) = (&news.ends, &self.query.window) else {
            return Step::Rebuild("late rows change what is closed".to_owned());
        };
        let ends: BTreeSet<i64> = ends.iter().filter(|end| closed(end)).copied().collect();
        if ends.len() > REOPENED_MAX {
            return Step::Rebuild(format!("late rows touch more than {REOPENED_MAX} closed windows"));
        }
        Step::Write(Wanted { between, ends, sessions_from })
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
        let writer = attempt.table().writer(WRITER).await.map_err(attempt.failed("writing"))?;
        let plans = match self.kept()? {
            kept if kept.is_empty() => self.plans(self.query, &[&wanted]).await?,
            kept => self.kept_plans(&kept, &wanted, before, &mut state).await?,
        };
        let staged = self.stage(plans, writer).await?;
        self.move_sessions(&mut state, before.sessions_from).await?;
        let quarantined = self.quarantine(before.watermark, &news).await?;
        let dropped = self.query.late == LatePolicy::Drop;
        let counts = Counts {
            read: news.rows,
            written: staged.rows(),
            quarantined,
            late: if dropped { news.late } else { 0 },
            reshaped: true,
            bytes_read: self.bytes_added(),
            bytes_written: staged.bytes(),
            ..Counts::default()
        };
        let change = match self.replaced(&wanted)? {
            Some(gone) => Change::Replace(staged, gone),
            None => Change::Files(staged, CommitMode::Append),
        };
        let event_time_max = state.newest().and_then(DateTime::from_timestamp_micros);
        Ok(Prepared { change, how, counts, event_time_max, stream: Some(state) })
    }

    /// Everything that is closed, or everything at all, in one commit; only what closes behind a time where one is
    /// given and the query says of its rows which window they are of.
    async fn rebuild(&self, why: String, from: Option<i64>) -> Result<Prepared, ProcessError> {
        let attempt = self.attempt;
        let mut state = self.kept_state();
        let from = from.filter(|_| self.query.window.is_some());
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
            news.add(&input.dataset, observed, &mut state);
        }
        state.advance(patience(attempt.dataset), self.now);
        let wanted = match (self.query.emit, state.watermark) {
            (Emit::OnChange, _) => Wanted::all(from, None),
            (Emit::OnClose, Some(watermark)) => Wanted::all(from, Some(watermark)),
            (Emit::OnClose, None) => Wanted { between: None, ends: BTreeSet::new(), sessions_from: None },
        };
        let (table, spec) = (attempt.table(), attempt.spec());
        if !table.exists().await.map_err(attempt.failed("opening"))? {
            table.ensure(&spec).await.map_err(attempt.failed("creating"))?;
        }
        let gone = from.map(|from| self.behind(from)).transpose()?.flatten();
        let writer = match gone {
            Some(_) => table.writer(WRITER).await,
            None => table.writer_for(&spec, WRITER).await,
        };
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
        Ok(Prepared { change, how: format!("rebuild: {why}"), counts, event_time_max, stream: Some(state) })
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

    async fn tables(&self) -> Result<Vec<Arc<dyn TableProvider>>, ProcessError> {
        let mut tables = Vec::with_capacity(self.query.scans.len());
        for scan in &self.query.scans {
            tables.push(self.resolver.table(&scan.dataset).await?);
        }
        Ok(tables)
    }

    /// A query for each part of what is wanted that is not nothing.
    async fn plans(&self, query: &StreamQuery, wanted: &[&Wanted]) -> Result<Vec<LogicalPlan>, ProcessError> {
        let (attempt, tables) = (self.attempt, self.tables().await?);
        let mut plans = Vec::new();
        for wanted in wanted.iter().filter(|wanted| !wanted.is_nothing()) {
            let plan = restricted(query, &tables, wanted)?;
            plans.push(output(plan, attempt.dataset, attempt.columns)?);
        }
        Ok(plans)
    }

    async fn stage(
        &self,
        plans: Vec<LogicalPlan>,
        mut writer: StagedWriter,
    ) -> Result<StagedFiles, ProcessError> {
        let attempt = self.attempt;
        for plan in plans {
            let physical = self.state.create_physical_plan(&plan).await?;
            let mut stream = execute_stream(physical, self.state.task_ctx())?;
            while let Some(batch) = stream.next().await.transpose()? {
                writer.write(&batch).await.map_err(attempt.failed("writing"))?;
            }
        }
        writer.finish().await.map_err(attempt.failed("writing"))
    }

    /// The aggregates whose partial results are kept between runs.
    fn kept(&self) -> Result<Vec<Kept>, ProcessError> {
        match self.query.emit {
            Emit::OnClose => Ok(kept(self.query)?),
            Emit::OnChange => Ok(Vec::new()),
        }
    }

    /// The query over the results of its kept aggregates for what closes now, and over the rows for what reopens; what is
    /// kept for the next run is written.
    async fn kept_plans(
        &self,
        kept: &[Kept],
        wanted: &Wanted,
        before: &StreamState,
        state: &mut StreamState,
    ) -> Result<Vec<LogicalPlan>, ProcessError> {
        let closes = |end: i64| {
            state.watermark.is_some_and(|watermark| end <= watermark)
                && before.watermark.is_none_or(|watermark| end > watermark)
        };
        let (mut results, mut files) = (Vec::<Vec<RecordBatch>>::new(), Vec::<KeptFile>::new());
        for (index, one) in kept.iter().enumerate() {
            let first = Kept::first_like(kept, index);
            if first < index {
                results.push(results[first].clone());
                files.push(files[first].clone());
                continue;
            }
            let partials = Partials::new(one, self.state);
            let schema = self.resolver.table(&self.query.scans[one.scan].dataset).await?.schema();
            let file = before.kept.get(index).filter(|_| before.kept.len() == kept.len());
            let merged = self.merged(one, &partials, file, before.watermark).await?;
            let closed = match wanted.between {
                Some(_) => partials.closed(Arc::clone(&schema), &merged, closes).await?,
                None => Vec::new(),
            };
            results.push(closed);
            files.push(self.keep(&partials, merged, state.watermark).await?);
        }
        self.forget(&before.stale).await;
        state.stale = before.kept.iter().map(|file| file.path.clone()).collect();
        state.kept = files;
        let closing = Wanted { ends: BTreeSet::new(), ..wanted.clone() };
        let reopened = Wanted { between: None, ..wanted.clone() };
        let mut plans = self.plans(&with_results(self.query, results)?, &[&closing]).await?;
        plans.extend(self.plans(self.query, &[&reopened]).await?);
        Ok(plans)
    }

    /// What was kept of an aggregate together with what new rows give; from all rows that still count where nothing was
    /// kept, or what was means nothing any more.
    async fn merged(
        &self,
        kept: &Kept,
        partials: &Partials<'_>,
        file: Option<&KeptFile>,
        watermark: Option<i64>,
    ) -> Result<Vec<RecordBatch>, ProcessError> {
        let scan = &self.query.scans[kept.scan];
        let (time, from) = (scan.time.as_deref().unwrap_or_default(), self.counts_from(kept, watermark));
        let table = self.resolver.table(&scan.dataset).await?;
        let stored = match file {
            Some(file) => file.read(&self.attempt.table()).await?,
            None => None,
        };
        let Some(mut results) = stored else {
            let results = partials.of_rows(Arc::clone(&table), time, from).await?;
            return Ok(partials.merged(table.schema(), results).await?);
        };
        let input =
            self.attempt.input(&scan.dataset).and_then(|input| Some((input, input.changes.as_ref()?)));
        let Some((input, changes)) = input.filter(|(_, changes)| !changes.appended.is_empty()) else {
            return Ok(results);
        };
        let added = input.table.provider_of(changes).await.map_err(reading(&scan.dataset))?;
        results.extend(partials.of_rows(added, time, from).await?);
        Ok(partials.merged(table.schema(), results).await?)
    }

    /// Rows before this time count towards nothing that is open.
    fn counts_from(&self, kept: &Kept, watermark: Option<i64>) -> Option<i64> {
        let closing = self.query.scans[kept.scan].closing.as_ref();
        closing.zip(watermark).map(|(closing, watermark)| closing.late_before(watermark))
    }

    /// Writes what the next run goes on from.
    async fn keep(
        &self,
        partials: &Partials<'_>,
        results: Vec<RecordBatch>,
        watermark: Option<i64>,
    ) -> Result<KeptFile, ProcessError> {
        let results = match watermark {
            Some(watermark) => partials.open(&results, watermark)?,
            None => results,
        };
        let transaction = self.attempt.standing.transaction.map_or(0, |transaction| transaction + 1);
        KeptFile::write(&self.attempt.table(), transaction, &results).await
    }

    /// Keeps what all rows that still count give, and forgets whatever was kept before.
    async fn keep_anew(&self, state: &mut StreamState) -> Result<(), ProcessError> {
        let (kept, mut files) = (self.kept()?, Vec::<KeptFile>::new());
        for (index, one) in kept.iter().enumerate() {
            let first = Kept::first_like(&kept, index);
            if first < index {
                files.push(files[first].clone());
                continue;
            }
            let partials = Partials::new(one, self.state);
            let merged = self.merged(one, &partials, None, state.watermark).await?;
            files.push(self.keep(&partials, merged, state.watermark).await?);
        }
        let known = self.attempt.standing.stream.as_ref();
        state.stale = known.into_iter().flat_map(|known| &known.kept).map(|file| file.path.clone()).collect();
        state.kept = files;
        let named =
            |path: &String| state.stale.contains(path) || state.kept.iter().any(|file| file.path == *path);
        if let Ok(found) = self.attempt.table().list_beside(STATE_FOLDER).await {
            self.forget(&found.into_iter().filter(|path| !named(path)).collect::<Vec<_>>()).await;
        }
        Ok(())
    }

    /// Deletes files that no commit names any more; what cannot be deleted now only takes room.
    async fn forget(&self, paths: &[String]) {
        if let Err(error) = self.attempt.table().delete_beside(paths).await {
            tracing::debug!(dataset = %self.attempt.dataset.name, error = %error, "old partial results were left");
        }
    }

    /// Finds since when sessions are open, where the query has any.
    async fn move_sessions(&self, state: &mut StreamState, from: Option<i64>) -> Result<(), ProcessError> {
        let sessions = self.query.scans.iter().any(|scan| matches!(scan.closing, Some(Closing::Sessions(_))));
        if let (true, Some(watermark)) = (sessions, state.watermark) {
            let open = open_since(self.state, self.query, &self.tables().await?, from, watermark).await?;
            state.sessions_from = Some(open);
        }
        Ok(())
    }

    /// The rows that what is written takes the place of.
    fn replaced(&self, wanted: &Wanted) -> Result<Option<Expr>, ProcessError> {
        let Some((column, carrier)) = self.query.window.as_ref().filter(|_| !wanted.ends.is_empty()) else {
            return Ok(None);
        };
        let kind = arrow_types::timestamp();
        let values = wanted.ends.iter().map(|end| instant(carrier.of_end(*end), &kind));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(named(column).in_list(values, false)))
    }

    /// The rows of what closes behind a time.
    fn behind(&self, from: i64) -> Result<Option<Expr>, ProcessError> {
        let Some((column, carrier)) = &self.query.window else { return Ok(None) };
        let from = instant(carrier.of_end(from), &arrow_types::timestamp())?;
        let strict = self.query.scans.iter().any(|scan| scan.closing.as_ref().is_some_and(Closing::strict));
        Ok(Some(if strict { named(column).gt_eq(from) } else { named(column).gt(from) }))
    }

    /// Puts late rows into quarantine, where the stream says so.
    async fn quarantine(&self, watermark: Option<i64>, news: &News) -> Result<u64, ProcessError> {
        let (LatePolicy::Quarantine, Some(watermark)) = (self.query.late, watermark) else { return Ok(0) };
        let mut rows = 0;
        let mut batches = Vec::new();
        for input in self.inputs().filter(|input| news.late_of.contains_key(&input.dataset)) {
            let Some(changes) = &input.changes else { continue };
            let (closings, time) = self.closings(&input.dataset);
            let before = closings.iter().map(|closing| closing.late_before(watermark)).min();
            let added = input.table.provider_of(changes).await.map_err(reading(&input.dataset))?;
            let late =
                quarantine::Late { time, before: before.unwrap_or(i64::MIN), watermark, now: self.now };
            let found = quarantine::rows(self.state, added, &input.dataset, &late, &self.batch()).await?;
            rows += found.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            batches.extend(found);
        }
        if rows > 0 {
            let lake = self.attempt.engine.lake();
            quarantine::commit(lake, &self.attempt.dataset.name, batches, &self.batch()).await?;
        }
        Ok(rows)
    }

    /// What tells the rows that this run quarantines: a try after a crash has the same, and replaces them.
    fn batch(&self) -> String {
        let next = self.attempt.standing.transaction.map_or(0, |transaction| transaction + 1);
        format!("{}/{next}", self.attempt.dataset.name)
    }

    fn bytes_added(&self) -> u64 {
        let changes = self.inputs().filter_map(|input| input.changes.as_ref());
        changes.flat_map(|changes| &changes.appended).map(|file| file.bytes).sum()
    }
}

impl News {
    fn add(&mut self, dataset: &DatasetName, observed: Observed, state: &mut StreamState) {
        self.rows += observed.rows;
        self.late += observed.late;
        self.touches_closed |= observed.touches_closed;
        self.ends = match (self.ends.take(), observed.ends) {
            (Some(mut all), Some(ends)) => {
                all.extend(ends);
                Some(all)
            }
            _ => None,
        };
        if observed.late > 0 {
            self.late_of.insert(dataset.clone(), observed.late);
        }
        state.late += observed.late;
        state.ahead += observed.ahead;
    }
}

/// Event time in the inputs of a stream whose rows are taken one by one: nothing waits for it, but it says how far
/// the stream is.
pub(crate) async fn clocks_of(
    attempt: &Attempt<'_>,
    session: &SessionState,
    now: DateTime<Utc>,
) -> Result<StreamState, ProcessError> {
    let same = attempt.standing.definition.as_deref() == Some(attempt.definition);
    let known = attempt.standing.stream.clone().filter(|_| same);
    let anew = known.is_none();
    let mut state = known.unwrap_or_default();
    for input in attempt.inputs {
        let declared = attempt.engine.project().dataset(&input.dataset);
        let schema = input.table.schema();
        let has = |name: &str| schema.as_ref().is_some_and(|schema| schema.index_of(name).is_ok());
        let Some(time) = time_column(attempt.dataset, declared, has) else { continue };
        state.input(&input.dataset, now);
        let rows = match (&input.changes, input.version) {
            (Some(changes), _) if !anew && changes.append_only() => {
                input.table.provider_of(changes).await.map_err(reading(&input.dataset))?
            }
            (_, Some(version)) if anew || input.changed() => {
                let at = flowline_lake::ReadAt::Version(version);
                input.table.provider(at).await.map_err(reading(&input.dataset))?
            }
            _ => continue,
        };
        let believed_until = believed_until(now);
        let question =
            Question { closings: Vec::new(), watermark: None, every_window: false, believed_until };
        let observed = observe(session, rows, &time, &question).await?;
        state.note_all(&input.dataset, &observed.newest, now);
        state.ahead += observed.ahead;
    }
    state.advance(patience(attempt.dataset), now);
    // Nothing waits for its time to pass.
    state.as_of = None;
    Ok(state)
}

/// How a stream waits for disorder.
pub(crate) fn patience(dataset: &Dataset) -> Patience {
    let event_time = dataset.event_time.as_ref();
    Patience {
        delay: event_time.map(|time| time.watermark).unwrap_or_default(),
        idle_after: event_time.and_then(|time| time.idle_after),
    }
}

fn reading(dataset: &DatasetName) -> impl FnOnce(flowline_lake::LakeError) -> ProcessError {
    ProcessError::lake(format!("reading the changes of `{dataset}`"))
}

/// In which way the table was brought up.
fn told(wanted: &Wanted, emit: Emit, late: u64) -> String {
    let mut how = match (emit, wanted.between) {
        (Emit::OnChange, _) => format!("stream: {} windows changed", wanted.ends.len()),
        (Emit::OnClose, Some((_, Some(until)))) => match DateTime::from_timestamp_micros(until) {
            Some(until) => format!("stream: closed up to {}", until.format("%Y-%m-%dT%H:%M:%S%.fZ")),
            None => "stream: closed".to_owned(),
        },
        (Emit::OnClose, _) => "stream: nothing closed".to_owned(),
    };
    if emit == Emit::OnClose && !wanted.ends.is_empty() {
        how.push_str(&format!(", {} windows reopened", wanted.ends.len()));
    }
    if late > 0 {
        how.push_str(&format!(", {late} rows late"));
    }
    how
}
