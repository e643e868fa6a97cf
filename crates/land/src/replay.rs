//! Quarantined records, held against the contract as it is now.
//!
//! Owns: which records are replayed, and that each ends in one place: rows and the note of what they were are committed
//! first, then the records leave the quarantine; whoever opens the tables after a crash in between finishes that.
//! Does not own: what becomes of a record (it goes the way of a received one).

mod mend;
mod read;
mod take_out;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use flowline_base::{RunId, compute};
use flowline_lake::{ReadAt, StagedFiles};
use flowline_model::{Counts, Dataset, InputRange, Outcome, Run, RunKind};
use flowline_quality::Mending;
use futures::stream::{BoxStream, StreamExt as _};

use self::read::Selected;
pub(crate) use self::take_out::{Replayed, finish_interrupted, take_out};
use crate::audit::Audit;
use crate::commit::{self, Flush, Transaction};
use crate::examine::examine;
use crate::findings::Findings;
use crate::keys::{KEYS_MAX, Keys};
use crate::reservation::Reservation;
use crate::schemas::RecordSchemas;
use crate::settle::{Settled, settle};
use crate::staging::failed;
use crate::stamp::{Stamp, offset};
use crate::tables::Tables;
use crate::{Contract, LandContext, LandError, meter};

/// Which quarantined records, all when it says nothing; and what is mended in them first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplaySelection {
    /// Only those rejected for this reason, one of [`flowline_model::FindingKind::REASONS`].
    pub reason: Option<String>,
    /// Only those in which this column was at fault.
    pub column: Option<String>,
    /// New values of fields of the record (JSON and CSV), as SQL expressions in which every field is text.
    pub set: BTreeMap<String, String>,
}

/// How long a replay waits for a landing that is under way.
pub(crate) const RESERVED_WITHIN: Duration = Duration::from_secs(30);

/// Lands quarantined records again. Those that fit now go to the table and out of the quarantine; duplicates go out of
/// it as well; the others stay where they are, and count as quarantined again. They keep where they came from, and get
/// the time and run of the replay. Large quarantines are replayed in several runs; what is returned is the last of
/// them, with the counts of all.
///
/// # Errors
/// [`LandError::Selection`] for a reason, a column or a field to set that there is not; [`LandError::Busy`] while landing holds the table, because its
/// commits fail; otherwise what was replayed before the error stays so.
pub async fn replay_quarantine(
    context: &LandContext,
    dataset: &Dataset,
    selection: &ReplaySelection,
) -> Result<Run, LandError> {
    let condition = selection.condition()?;
    let dataset = Arc::new(dataset.clone());
    let contract = Contract::of(&dataset)?;
    let mending = selection.mending(&dataset)?;
    let tables = Tables::new(context, Arc::clone(&dataset));
    tables.ensure_data().await?;
    let mut reservation = Reservation::default();
    let reserved = tokio::time::timeout(RESERVED_WITHIN, reservation.take(&tables, &context.clock)).await;
    reserved.map_err(|_| LandError::Busy { dataset: dataset.name.clone() })?;
    let schemas = RecordSchemas::of_dataset(context, &dataset)?;
    let (keys, last, audit) = (None, None, Audit::default());
    let mut replay = Replay { context, contract, schemas, mending, tables, keys, last, audit };
    let replayed = replay.run(condition).await;
    // Also after an error: some runs may have been committed.
    reservation.give_back_with_news();
    match replayed? {
        run if run.counts.read == 0 => selection.unknown_column(&dataset).map_or(Ok(run), Err),
        run => Ok(run),
    }
}

struct Replay<'a> {
    context: &'a LandContext,
    contract: Contract,
    schemas: RecordSchemas,
    mending: Mending,
    tables: Tables,
    keys: Option<Keys>,
    last: Option<Run>,
    /// What checks say of the rows of the part under way.
    audit: Audit,
}

impl Replay<'_> {
    async fn run(&mut self, condition: Option<datafusion::logical_expr::Expr>) -> Result<Run, LandError> {
        finish_interrupted(self.context, &self.tables).await?;
        commit::complete_ledger(self.context, &self.tables.data, commit::Landers::One).await?;
        let dataset = Arc::clone(&self.tables.dataset);
        if self.tables.quarantine.exists().await? {
            let mut keys = Keys::new(&dataset, KEYS_MAX);
            keys.rebuild(&dataset, &self.tables.data, self.context.clock.now()).await?;
            self.keys = Some(keys);
            // All parts are of the version that was there at first: what is replayed and stays is not met again.
            let provider = self.tables.quarantine.provider(ReadAt::Latest).await?;
            self.see(read::select(Arc::clone(&provider), condition.clone()).await?).await?;
            let mut parts = read::select(provider, condition).await?;
            while let Some(selected) = parts.next().await {
                let mut run = self.replay(selected?).await?;
                if let Some(last) = &self.last {
                    run.counts.add(&last.counts);
                }
                self.last = Some(run);
            }
        }
        match self.last.take() {
            Some(run) => Ok(run),
            None => {
                let run = self.new_run(RunId::generate(), Counts::default());
                self.record_without_commit(run).await
            }
        }
    }

    /// Looks at all records before any is landed: an expression that cannot be used changes nothing, and one may speak of fields
    /// that only some of them have.
    async fn see(
        &mut self,
        mut parts: BoxStream<'static, Result<Selected, LandError>>,
    ) -> Result<(), LandError> {
        if self.mending.is_empty() {
            return Ok(());
        }
        while let Some(selected) = parts.next().await {
            selected?.parcels.iter().for_each(|(_, parcel)| mend::see(parcel, &mut self.mending));
        }
        let usable = self.mending.apply(&mut []);
        usable.map_err(|error| LandError::Selection { reason: error.to_string() })
    }

    fn new_run(&self, id: RunId, counts: Counts) -> Run {
        Run {
            id,
            hop: self.tables.dataset.name.clone(),
            kind: RunKind::Replay,
            outcome: Outcome::Running,
            trigger: self.trigger(),
            inputs: vec![InputRange { input: "quarantine".to_owned(), from: 0, to: counts.read as i64 }],
            counts,
            started_at: self.context.clock.now(),
            finished_at: None,
            attempts: 1,
            commit: None,
            error: None,
            trace_id: None,
        }
    }

    /// What the run says of itself: with what was mended, so that it can be understood later.
    fn trigger(&self) -> String {
        match self.mending.is_empty() {
            true => "replay".to_owned(),
            false => format!("replay with {}", self.mending),
        }
    }

    /// Replays some records in one run.
    async fn replay(&mut self, selected: Selected) -> Result<Run, LandError> {
        let id = RunId::generate();
        let mut counts = Counts { read: selected.count(), bytes_read: selected.bytes(), ..Counts::default() };
        let mut gone: Vec<Replayed> = Vec::new();
        let mut rows = Vec::new();
        let mut event_time_max = None;
        let received_at_min =
            selected.parcels.iter().filter_map(|(_, parcel)| parcel.received_at_min()).min();
        for (batch, parcel) in selected.parcels {
            let read = parcel.count();
            let settled = self.settle(id, parcel.clone()).await?;
            counts.duplicate += settled.duplicates.len() as u64;
            counts.written += settled.places.len() as u64;
            counts.quarantined += settled.rejected.as_ref().map_or(0, |rejected| rejected.num_rows() as u64);
            event_time_max = event_time_max.max(settled.event_time_max);
            let offsets: HashSet<u64> = settled
                .places
                .iter()
                .chain(&settled.duplicates)
                .map(|place| offset(&parcel, *place))
                .collect();
            debug_assert!(offsets.len() as u64 <= read);
            if !offsets.is_empty() {
                let mut offsets: Vec<i64> = offsets.into_iter().map(|offset| offset as i64).collect();
                offsets.sort_unstable();
                gone.push(Replayed {
                    batch,
                    source: parcel.source.to_string(),
                    partition: parcel.partition,
                    offsets,
                });
            }
            rows.extend(settled.rows);
        }
        let run = self.new_run(id, counts);
        if gone.is_empty() {
            return self.record_without_commit(run).await;
        }
        let flush = Flush {
            run,
            rows: self.stage(&rows).await?,
            // They have passed the log: their place in it says nothing of them any more.
            kept: None,
            position: self.position().await?,
            rejected: None,
            files: Vec::new(),
            replayed: gone,
            findings: Vec::new(),
            audited: std::mem::take(&mut self.audit).finish(
                &self.tables.dataset,
                &self.tables.unrecorded,
                self.context.clock.now(),
            )?,
            event_time_max,
            received_at_min,
        };
        let run = commit::commit(self.context, &self.tables.data, &self.tables.quarantine, &flush).await?;
        meter::committed(&run);
        Ok(run)
    }

    async fn settle(&mut self, run: RunId, mut parcel: crate::parcel::Parcel) -> Result<Settled, LandError> {
        if !self.mending.is_empty() {
            mend::mend(&mut parcel, &self.mending)?;
        }
        parcel.schemas = self.schemas.of_pieces(&parcel.pieces).await?;
        let mut stamp = Stamp::new(run.to_string(), self.context.clock.now_micros());
        let (contract, dataset) = (self.contract.clone(), Arc::clone(&self.tables.dataset));
        let mut keys = self.keys.take().unwrap_or_else(|| Keys::new(&dataset, KEYS_MAX));
        let mut audit = std::mem::take(&mut self.audit);
        let work = compute(move || {
            let examined = examine(&contract, parcel);
            examined.decoded.iter().for_each(|(_, verdicts)| audit.count(verdicts));
            let settled =
                settle(&dataset, examined.compare(), &mut keys, &mut stamp, &mut Findings::default());
            (settled, keys, audit)
        });
        let (settled, keys, audit) = work.await.map_err(|error| failed(&error))?;
        (self.keys, self.audit) = (Some(keys), audit);
        settled.map_err(|error| failed(&error))
    }

    async fn stage(&self, rows: &[arrow::array::RecordBatch]) -> Result<StagedFiles, LandError> {
        if rows.is_empty() {
            return Ok(StagedFiles::none());
        }
        let mut writer = self.tables.data_writer().await?;
        for batch in rows {
            writer.write(batch).await?;
        }
        Ok(writer.finish().await?)
    }

    /// Replays are numbered; the number of the one before is what both tables have.
    async fn position(&self) -> Result<Transaction, LandError> {
        let app_id = take_out::app_id(&self.tables);
        let committed = self.tables.data.transaction_version(&app_id).await?;
        Ok(Transaction { app_id, committed, next: committed.unwrap_or(0) + 1 })
    }

    /// A run that changes no table is a run nevertheless.
    async fn record_without_commit(&self, mut run: Run) -> Result<Run, LandError> {
        run.outcome = Outcome::Succeeded;
        run.finished_at = Some(self.context.clock.now());
        self.context.ledger.record_run(&run, &[], &[]).await?;
        Ok(run)
    }
}
