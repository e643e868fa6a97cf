//! What a run keeps of its aggregates for the next one, and the query over what was kept.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::logical_expr::LogicalPlan;
use flowline_model::Emit;

use super::clock::StreamState;
use super::partial::{Kept, KeptFile, Partials, STATE_FOLDER, kept, with_results};
use super::restrict::Wanted;
use super::run::{StreamRun, reading};
use crate::ProcessError;

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
    pub(super) async fn keep_anew(&self, state: &mut StreamState) -> Result<(), ProcessError> {
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
}
