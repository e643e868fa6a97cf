//! What a run keeps of its aggregates for the next one, and the query over what was kept.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use flowline_model::Emit;

use super::analyze::StreamQuery;
use super::clock::StreamState;
use super::partial::{Bins, Held, Kept, Layers, Partials, Source, Stored, kept, with_results, write};
use super::restrict::Wanted;
use super::run::{StreamRun, reading};
use crate::ProcessError;
use crate::engine::MemoryShare;

impl StreamQuery {
    /// The scans whose rows are added to partial results and then not read again, by number, where windows are written
    /// when they close.
    pub(crate) fn scans_read_once(&self) -> datafusion::error::Result<BTreeSet<usize>> {
        Ok(kept(self)?.into_iter().map(|kept| kept.scan).collect())
    }
}

impl StreamRun<'_> {
    /// The aggregates whose partial results are kept between runs.
    pub(super) fn kept(&self) -> Result<Vec<Kept>, ProcessError> {
        match self.query.emit {
            Emit::OnClose => Ok(kept(self.query)?),
            Emit::OnChange => Ok(Vec::new()),
        }
    }

    /// The query over the results of its kept aggregates for what closes now, and over the rows for what reopens; what is
    /// kept for the next run is written.
    pub(super) async fn kept_plans(
        &self,
        kept: &[Kept],
        wanted: &Wanted,
        before: &StreamState,
        state: &mut StreamState,
    ) -> Result<Vec<LogicalPlan>, ProcessError> {
        let lost = Arc::new(AtomicBool::new(false));
        let found = self.moved_on(kept, wanted, before, state, &lost).await;
        let results = match found {
            Err(error) if lost.load(Ordering::Relaxed) => {
                let dataset = &self.attempt.dataset.name;
                tracing::warn!(%dataset, %error, "partial results are lost, and are computed again from the inputs");
                let forgotten = StreamState { kept: Vec::new(), ..before.clone() };
                self.moved_on(kept, wanted, &forgotten, state, &lost).await?
            }
            found => found?,
        };
        self.forget(&before.stale).await;
        state.stale = gone(before, state);
        let closing = Wanted { ends: BTreeSet::new(), again: Vec::new(), ..wanted.clone() };
        let reopened = Wanted { between: None, ..wanted.clone() };
        let mut plans = self.plans(&with_results(self.query, results)?, &[&closing]).await?;
        plans.extend(self.plans(self.query, &[&reopened]).await?);
        Ok(plans)
    }

    /// The results of the kept aggregates for what closes now, and the state with what is kept for the next run.
    async fn moved_on(
        &self,
        kept: &[Kept],
        wanted: &Wanted,
        before: &StreamState,
        state: &mut StreamState,
        lost: &Arc<AtomicBool>,
    ) -> Result<Vec<Option<Arc<Held>>>, ProcessError> {
        let (mut results, mut layers) = (Vec::<Option<Arc<Held>>>::new(), Vec::<Layers>::new());
        let mut places: Vec<usize> = Vec::new();
        for (index, one) in kept.iter().enumerate() {
            let first = Kept::first_like(kept, index);
            if first < index {
                results.push(results[first].clone());
                places.push(places[first]);
                continue;
            }
            let place = layers.len();
            places.push(place);
            let known = before.kept.get(place).filter(|known| known.understood());
            let mut step = self.step_of(one, known, before.watermark, lost).await?;
            results.push(match wanted.between {
                Some((after, until)) => Some(self.closed(&step, after, until).await?),
                None => None,
            });
            layers.push(self.keep(&mut step, state.watermark).await?);
        }
        state.kept = layers;
        Ok(results)
    }

    /// What is kept of an aggregate, and what new rows give; all rows that still count where nothing was kept.
    async fn step_of<'k>(
        &self,
        kept: &'k Kept,
        known: Option<&Layers>,
        watermark: Option<i64>,
        lost: &Arc<AtomicBool>,
    ) -> Result<KeptStep<'k>, ProcessError> {
        let scan = &self.query.scans[kept.scan];
        let table = self.resolver.table(&scan.dataset).await?;
        let partials = Partials::new(kept, self.state, table.schema()).await?;
        let input =
            self.attempt.input(&scan.dataset).and_then(|input| Some((input, input.changes.as_ref()?)));
        let counts_from = self.counts_from(kept, watermark);
        if known.is_none() {
            // The table is found already: what the log lets go of from now on fails to be read.
            self.attempt.still_there("what it kept of open windows is lost", counts_from).await?;
        }
        let rows: Option<Arc<dyn TableProvider>> = match (known, input) {
            (None, _) => Some(table),
            (Some(_), Some((input, changes))) if !changes.appended.is_empty() => {
                Some(input.table.provider_of(changes).await.map_err(reading(&scan.dataset))?)
            }
            (Some(_), _) => None,
        };
        let fresh = match rows {
            Some(rows) => {
                let time = scan.time.as_deref().unwrap_or_default();
                Some(self.held(partials.of_rows(rows, time, counts_from).await?, &partials).await?)
            }
            None => None,
        };
        let layers = known.cloned();
        Ok(KeptStep { kept, partials, layers, fresh, lost: Arc::clone(lost) })
    }

    /// The aggregates of the windows that end behind the first time and not behind the second.
    async fn closed(
        &self,
        step: &KeptStep<'_>,
        after: Option<i64>,
        until: Option<i64>,
    ) -> Result<Arc<Held>, ProcessError> {
        let bins = Bins { spec: step.kept.spec, after, until };
        let all: Vec<_> = step.layers.iter().flat_map(Layers::segments).cloned().collect();
        let stored: u64 =
            all.iter().filter(|one| bins.may_have(one.first, one.last)).map(|one| one.bytes).sum();
        let fresh = step.fresh.as_ref().map_or(0, |fresh| fresh.bytes);
        let sorted = self.too_large((stored + fresh).saturating_mul(step.partials.windows_of_bin()));
        let source = step.source(self.attempt.table(), all, step.fresh.clone(), bins);
        self.held(step.partials.closed(source, sorted)?, &step.partials).await
    }

    /// Whether so many bytes of partial results cannot be put together in memory: that takes several times as much.
    fn too_large(&self, bytes: u64) -> bool {
        bytes.saturating_mul(6) > self.share.limit() as u64
    }

    /// Runs a plan to its end, and holds what it gives.
    async fn held(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        partials: &Partials<'_>,
    ) -> Result<Arc<Held>, ProcessError> {
        let task = partials.task();
        let rows = execute_stream(Arc::clone(&plan), Arc::clone(&task))?;
        // The rest is for the operators that fill and empty it.
        let held = Held::of(rows, &task, self.share.limit() / 4).await?;
        MemoryShare::note_run(self.state, &plan, held.spilled);
        Ok(held)
    }

    /// Rows before this time count towards nothing that is open.
    fn counts_from(&self, kept: &Kept, watermark: Option<i64>) -> Option<i64> {
        let closing = self.query.scans[kept.scan].closing.as_ref();
        closing.zip(watermark).map(|(closing, watermark)| closing.late_before(watermark))
    }

    /// Writes what the next run goes on from: what new rows gave, together with those layers that are due to be merged
    /// with it. Layers that have nothing that is open are dropped, the others stay as they are.
    async fn keep(&self, step: &mut KeptStep<'_>, watermark: Option<i64>) -> Result<Layers, ProcessError> {
        let open = Bins { spec: step.kept.spec, after: watermark, until: None };
        let anew = step.layers.is_none();
        let mut layers = step.layers.take().unwrap_or_else(Layers::none);
        layers.drop_closed(|bin| open.has(bin));
        let Some(fresh) = step.fresh.take().filter(|fresh| fresh.rows > 0) else { return Ok(layers) };
        let before = layers.clone();
        let due = layers.take_due(fresh.bytes);
        let segments: Vec<_> = due.into_iter().flat_map(|layer| layer.segments).collect();
        let bytes = segments.iter().map(|segment| segment.bytes).sum::<u64>() + fresh.bytes;
        let merges = anew || !segments.is_empty();
        let task = step.partials.task();
        if merges {
            let source = step.source(self.attempt.table(), segments, Some(Arc::clone(&fresh)), open);
            let plan = step.partials.merged(source, self.too_large(bytes))?;
            let rows = execute_stream(Arc::clone(&plan), Arc::clone(&task))?;
            let written = self.written(Box::pin(rows), step).await;
            MemoryShare::note_run(self.state, &plan, 0);
            match written {
                // One group alone is too large: it stays in parts until its window closes.
                Err(ProcessError::Memory(_)) => {}
                written => {
                    layers.add(written?);
                    return Ok(layers);
                }
            }
            layers = before;
        }
        let source = step.source(self.attempt.table(), Vec::new(), Some(fresh), open);
        layers.add(self.written(source.rows(), step).await?);
        Ok(layers)
    }

    async fn written(
        &self,
        rows: futures::stream::BoxStream<'static, datafusion::error::Result<arrow::array::RecordBatch>>,
        step: &KeptStep<'_>,
    ) -> Result<super::partial::Layer, ProcessError> {
        let transaction = self.attempt.standing.transaction.map_or(0, |transaction| transaction + 1);
        let (place, task) = (step.partials.place(), step.partials.task());
        Ok(write(&self.attempt.table(), transaction, rows, place, &task).await?)
    }

    /// Keeps what all rows that still count give, and forgets whatever was kept before.
    pub(super) async fn keep_anew(&self, state: &mut StreamState) -> Result<(), ProcessError> {
        let (kept, mut layers) = (self.kept()?, Vec::new());
        let lost = Arc::default();
        for (index, one) in kept.iter().enumerate() {
            if Kept::first_like(&kept, index) == index {
                let mut step = self.step_of(one, None, state.watermark, &lost).await?;
                layers.push(self.keep(&mut step, state.watermark).await?);
            }
        }
        state.kept = layers;
        state.stale = self.attempt.standing.stream.as_ref().map_or(Vec::new(), |known| gone(known, state));
        Ok(())
    }

    /// Deletes files that no commit names any more; what cannot be deleted now only takes room.
    async fn forget(&self, paths: &[String]) {
        if let Err(error) = self.attempt.table().delete_beside(paths).await {
            tracing::debug!(dataset = %self.attempt.dataset.name, error = %error, "old partial results were left");
        }
    }
}

/// One aggregate in one run.
struct KeptStep<'a> {
    kept: &'a Kept,
    partials: Partials<'a>,
    /// What was kept; none when it means nothing any more.
    layers: Option<Layers>,
    /// What new rows give.
    fresh: Option<Arc<Held>>,
    lost: Arc<AtomicBool>,
}

impl KeptStep<'_> {
    fn source(
        &self,
        table: flowline_lake::Table,
        segments: Vec<super::partial::Segment>,
        fresh: Option<Arc<Held>>,
        bins: Bins,
    ) -> Source {
        let lost = Arc::clone(&self.lost);
        let stored = Stored { table, segments: segments.into(), place: self.partials.place(), lost };
        Source { stored, fresh, bins }
    }
}

/// The files that one state names and another does not.
fn gone(before: &StreamState, after: &StreamState) -> Vec<String> {
    let still: BTreeSet<&str> = after.files().collect();
    before.files().filter(|path| !still.contains(path)).map(str::to_owned).collect()
}
