//! One flush while it is filled: rows go into files as they are made, so that its memory does not grow with it.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use chrono::{DateTime, Utc};
use flowline_base::{Computing, RunId, TraceId, compute};
use flowline_lake::{OffsetRange, StagedFiles, StagedWriter};
use flowline_ledger::LandedFile;
use flowline_model::{Balance, Counts, FindingKind, InputRange, Outcome, Run, RunKind};
use flowline_quality::Profiler;
use parking_lot::Mutex;

use crate::audit::{self, Audit};
use crate::commit::{Flush, KeptFlush, Transaction};
use crate::examine::Compared;
use crate::findings::Findings;
use crate::kept::{offsets_of, partition_of};
use crate::keys::{Journal, Keys};
use crate::settle::{Settled, settle};
use crate::stamp::Stamp;
use crate::tables::{Place, Tables};
use crate::{LandContext, LandError};

/// A flush that takes in records.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) run: RunId,
    pub(crate) counts: Counts,
    pub(crate) findings: Findings,
    pub(crate) since: Instant,
    started_at: DateTime<Utc>,
    /// None before the first records.
    stamp: Option<Stamp>,
    // Never locked: a lander that waits is looked at from several threads, and a writer alone may not be.
    data: Option<Mutex<StagedWriter>>,
    quarantine: Option<Mutex<StagedWriter>>,
    /// Rows that stay in the log.
    kept: Vec<RecordBatch>,
    /// Offsets of records that make no row, where rows stay in the log.
    rejected: Vec<i64>,
    journal: Journal,
    event_time_max: Option<i64>,
    received_at_min: Option<i64>,
    trace: Option<TraceId>,
    audit: Audit,
    /// The profile, while rows are taken into it.
    profiling: Option<Computing<Result<Profiler, ArrowError>>>,
}

impl Staging {
    /// A flush that begins now. `run` is given when an earlier try of the same run failed.
    pub(crate) fn start(context: &LandContext, run: Option<RunId>) -> Self {
        Self {
            run: run.unwrap_or_else(RunId::generate),
            counts: Counts::default(),
            findings: Findings::default(),
            since: context.clock.instant(),
            started_at: context.clock.now(),
            stamp: None,
            data: None,
            quarantine: None,
            kept: Vec::new(),
            rejected: Vec::new(),
            journal: Journal::default(),
            event_time_max: None,
            received_at_min: None,
            trace: None,
            audit: Audit::default(),
            profiling: None,
        }
    }

    /// Whether nothing was taken in yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.read == 0 && self.findings.is_empty()
    }

    /// Counts records that are read and make no row.
    pub(crate) fn leave_out(&mut self, records: u64) {
        self.counts.read += records;
        self.counts.filtered += records;
    }

    /// Settles a parcel and writes what comes of it. `keys` is none afterwards only when settling itself broke down; the
    /// keys must be read back from the table then. After an error the flush cannot be committed.
    pub(crate) async fn take(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        compared: Compared,
        keys: &mut Option<Keys>,
    ) -> Result<(), LandError> {
        let parcel = &compared.parcel;
        self.leave_out(compared.parcel.tombstones);
        self.counts.read += parcel.count();
        self.counts.bytes_read += parcel.bytes();
        self.received_at_min = [self.received_at_min, parcel.received_at_min()].into_iter().flatten().min();
        self.trace = self.trace.or_else(|| parcel.pieces.iter().find_map(|piece| piece.trace));
        for (_, verdicts) in &compared.decoded {
            self.audit.count(verdicts);
        }
        let settled = self.settle(context, tables, compared, keys).await?;
        self.counts.duplicate += settled.duplicates.len() as u64;
        self.event_time_max = self.event_time_max.max(settled.event_time_max);
        self.journal.extend(settled.journal);
        self.profiled().await?;
        let (mut profiler, rows) =
            (self.audit.profiler(&tables.dataset, &tables.unrecorded), settled.rows.clone());
        self.profiling = Some(compute(move || {
            audit::profile(&mut profiler, &rows)?;
            Ok(profiler)
        }));
        self.write(tables, &settled.rows, settled.rejected.as_ref()).await
    }

    /// Waits until the rows that were taken in last are profiled; they are while they are written and the next ones are
    /// settled.
    async fn profiled(&mut self) -> Result<(), LandError> {
        let Some(profiling) = self.profiling.take() else { return Ok(()) };
        let profiler = profiling.await.map_err(|error| failed(&error))?;
        self.audit.profiled(profiler.map_err(|error| failed(&error))?);
        Ok(())
    }

    async fn settle(
        &mut self,
        context: &LandContext,
        tables: &Tables,
        compared: Compared,
        keys: &mut Option<Keys>,
    ) -> Result<Settled, LandError> {
        let now = context.clock.now_micros();
        let mut stamp = self.stamp.take().unwrap_or_else(|| Stamp::new(self.run.to_string(), now));
        stamp.ingested_at = now;
        let mut findings = std::mem::take(&mut self.findings);
        let mut owned = keys
            .take()
            .ok_or_else(|| LandError::Internal { reason: "the keys are not read yet".to_owned() })?;
        let dataset = Arc::clone(&tables.dataset);
        if owned.is_empty() && compared.is_plain() {
            // Stamps alone: less than it takes to have it done elsewhere, behind what is decoded there.
            let settled = settle(&dataset, compared, &mut owned, &mut stamp, &mut findings);
            (*keys, self.stamp, self.findings) = (Some(owned), Some(stamp), findings);
            return settled.map_err(|error| failed(&error));
        }
        let work = compute(move || {
            let settled = settle(&dataset, compared, &mut owned, &mut stamp, &mut findings);
            (settled, owned, stamp, findings)
        });
        let (settled, owned, stamp, findings) = work.await.map_err(|error| failed(&error))?;
        *keys = Some(owned);
        self.stamp = Some(stamp);
        self.findings = findings;
        settled.map_err(|error| failed(&error))
    }

    async fn write(
        &mut self,
        tables: &Tables,
        rows: &[RecordBatch],
        rejected: Option<&RecordBatch>,
    ) -> Result<(), LandError> {
        for batch in rows {
            if tables.kept.is_some() {
                self.kept.push(batch.clone());
                self.counts.written += batch.num_rows() as u64;
                continue;
            }
            if self.data.is_none() {
                self.data = Some(Mutex::new(tables.data_writer().await?));
            }
            if let Some(writer) = &mut self.data {
                writer.get_mut().write(batch).await?;
                self.counts.written += batch.num_rows() as u64;
            }
        }
        if let Some(batch) = rejected {
            if tables.kept.is_some() {
                self.rejected.extend_from_slice(offsets_of(batch).unwrap_or_default());
            }
            if self.quarantine.is_none() {
                self.quarantine = Some(Mutex::new(tables.quarantine_writer().await?));
            }
            if let Some(writer) = &mut self.quarantine {
                writer.get_mut().write(batch).await?;
                self.counts.quarantined += batch.num_rows() as u64;
            }
        }
        Ok(())
    }

    /// Lets go of the flush; its keys are taken back.
    pub(crate) fn abandon(self, keys: &mut Option<Keys>) {
        if let Some(keys) = keys {
            keys.take_back(self.journal);
        }
    }

    /// Ends the flush: what is left is to close its files and to commit it. After an error its keys are taken back.
    pub(crate) async fn end(
        mut self,
        tables: &Tables,
        sealing: Sealing,
        keys: &mut Option<Keys>,
    ) -> Result<Closing, LandError> {
        self.balance(tables);
        if let Err(error) = self.profiled().await {
            self.abandon(keys);
            return Err(error);
        }
        let audit = std::mem::take(&mut self.audit);
        let audited = match audit.finish(&tables.dataset, &tables.unrecorded, sealing.now) {
            Ok(audited) => audited,
            Err(error) => {
                self.abandon(keys);
                return Err(error);
            }
        };
        let run = Run {
            id: self.run,
            hop: tables.dataset.name.clone(),
            kind: RunKind::Land,
            outcome: Outcome::Running,
            trigger: sealing.trigger.to_owned(),
            inputs: sealing.inputs.clone(),
            counts: self.counts,
            started_at: self.started_at,
            finished_at: None,
            attempts: sealing.attempts,
            commit: None,
            error: None,
            trace_id: self.trace.map(|trace| trace.to_string()),
        };
        let flush = Flush {
            run,
            rows: StagedFiles::none(),
            kept: kept_flush(tables, &sealing, self.run, self.counts.written, (self.kept, self.rejected)),
            position: sealing.transaction(sealing.place.data),
            rejected: None,
            findings: self.findings.finish(&tables.dataset.name, Some(self.run), sealing.now),
            files: sealing.files,
            replayed: Vec::new(),
            audited,
            event_time_max: self.event_time_max,
            received_at_min: self.received_at_min,
        };
        let quarantined = Transaction { committed: sealing.place.quarantine, ..flush.position.clone() };
        Ok(Closing {
            run: self.run,
            data: self.data.map(Mutex::into_inner),
            quarantine: self.quarantine.map(Mutex::into_inner),
            quarantined,
            journal: self.journal,
            flush,
        })
    }

    /// The same, its files closed. After an error its keys are taken back.
    pub(crate) async fn seal(
        self,
        tables: &Tables,
        sealing: Sealing,
        keys: &mut Option<Keys>,
    ) -> Result<Sealed, LandError> {
        self.end(tables, sealing, keys).await?.close().await.map_err(|(error, journal)| {
            if let Some(keys) = keys {
                keys.take_back(journal);
            }
            error
        })
    }

    /// Every record that was read is somewhere, by counters that know nothing of each other; when not, it is found.
    fn balance(&mut self, tables: &Tables) {
        let Balance::Unbalanced(missing) = self.counts.balance() else { return };
        tracing::error!(dataset = %tables.dataset.name, run = %self.run, missing, counts = ?self.counts, "a flush does not balance");
        self.findings.add_count(FindingKind::Imbalance, "landing", missing.unsigned_abs(), || {
            "records were read that are neither written nor set aside; report it, and compare `system.runs`".to_owned()
        });
    }
}

/// What a flush needs to be committed.
#[derive(Debug, Clone)]
pub(crate) struct Sealing {
    pub(crate) trigger: &'static str,
    pub(crate) inputs: Vec<InputRange>,
    pub(crate) files: Vec<LandedFile>,
    pub(crate) place: Place,
    /// The version of the application id after the commit.
    pub(crate) next: i64,
    pub(crate) attempts: u32,
    pub(crate) now: DateTime<Utc>,
}

impl Sealing {
    fn transaction(&self, committed: Option<i64>) -> Transaction {
        Transaction { app_id: self.place.app_id.clone(), committed, next: self.next }
    }
}

/// A flush that takes in no more, and whose files are still open.
pub(crate) struct Closing {
    pub(crate) run: RunId,
    data: Option<StagedWriter>,
    quarantine: Option<StagedWriter>,
    /// The position of the quarantine table, where something goes there.
    quarantined: Transaction,
    journal: Journal,
    flush: Flush,
}

impl Closing {
    /// Closes the files; what is left is to commit. After an error the keys of its rows are to be taken back.
    pub(crate) async fn close(self) -> Result<Sealed, (LandError, Journal)> {
        let Self { data, quarantine, quarantined, journal, mut flush, .. } = self;
        let closed = async {
            if let Some(writer) = data {
                flush.rows = writer.finish().await?;
            }
            if let Some(writer) = quarantine {
                flush.rejected = Some((writer.finish().await?, quarantined));
            }
            Ok(())
        };
        match closed.await {
            Ok(()) => Ok(Sealed { flush }),
            Err(error) => Err((error, journal)),
        }
    }
}

/// A flush that waits for its commit, which may be tried as often as need be.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) flush: Flush,
}

/// The rows of a flush that stay in the log, and which those are.
fn kept_flush(
    tables: &Tables,
    sealing: &Sealing,
    run: RunId,
    rows: u64,
    (batches, rejected): (Vec<RecordBatch>, Vec<i64>),
) -> Option<KeptFlush> {
    let kept = tables.kept.clone()?;
    let InputRange { input, from, to } = sealing.inputs.first()?.clone();
    let partition = partition_of(&input)?;
    let range = OffsetRange { input, partition, from, to, rows: Some(rows), run: Some(run.to_string()) };
    Some(KeptFlush { kept, range, batches, rejected })
}

pub(crate) fn failed(error: &(dyn std::error::Error + 'static)) -> LandError {
    LandError::Internal { reason: flowline_base::chain(error) }
}
