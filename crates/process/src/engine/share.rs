//! The part of the memory for queries that one run may hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use datafusion::error::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::physical_plan::ExecutionPlan;

/// A batch has a row for so many bytes that may be held, at most: some thirty operators and their partitions share them,
/// and each holds a batch or two.
const BATCH_SHARE: usize = 16_384;
/// Rows of a batch, at least.
const BATCH_ROWS_MIN: usize = 64;

/// A pool of its own within the pool of all queries: what is taken from it is taken from both. What cannot be had is
/// an error to whoever asked, who goes to disk with what it holds, or fails with a message that says so.
#[derive(Debug)]
pub(crate) struct MemoryShare {
    limit: usize,
    own: FairSpillPool,
    all: Arc<dyn MemoryPool>,
    peak: AtomicUsize,
    spilled: AtomicU64,
    rows_read: AtomicU64,
}

impl MemoryShare {
    /// The session state with at most `limit` bytes of the memory that it had, and the share itself.
    pub fn of(state: &SessionState, limit: usize) -> Result<(SessionState, Arc<Self>)> {
        let all = Arc::clone(&state.runtime_env().memory_pool);
        let share = Arc::new(Self {
            limit,
            own: FairSpillPool::new(limit),
            all,
            peak: AtomicUsize::new(0),
            spilled: AtomicU64::new(0),
            rows_read: AtomicU64::new(0),
        });
        let pool: Arc<dyn MemoryPool> = Arc::<Self>::clone(&share);
        let runtime =
            RuntimeEnvBuilder::from_runtime_env(state.runtime_env()).with_memory_pool(pool).build_arc()?;
        let mut state =
            SessionStateBuilder::new_from_existing(state.clone()).with_runtime_env(runtime).build();
        let sorting = &mut state.config_mut().options_mut().execution.sort_spill_reservation_bytes;
        // Kept back for merging what was spilled; of little memory not most of it.
        *sorting = (*sorting).min(limit / 16);
        // What operators hold at least is counted in batches.
        let batch_rows = state.config().batch_size().min((limit / BATCH_SHARE).max(BATCH_ROWS_MIN));
        *state.config_mut() = state.config().clone().with_batch_size(batch_rows);
        Ok((state, share))
    }

    /// What may be held, bytes.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// The most that was held at once, bytes.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// What was put on disk since memory did not hold it, bytes.
    pub fn spilled(&self) -> u64 {
        self.spilled.load(Ordering::Relaxed)
    }

    /// The rows that were read from tables.
    pub fn rows_read(&self) -> u64 {
        self.rows_read.load(Ordering::Relaxed)
    }

    /// Adds what a plan that has run in this session read and put on disk, and what was put there besides. Nothing
    /// happens in a session without a share.
    pub fn note_run(state: &SessionState, plan: &Arc<dyn ExecutionPlan>, besides: u64) {
        if let Some(share) = state.runtime_env().memory_pool.downcast_ref::<Self>() {
            share.spilled.fetch_add(spilled_by(plan) + besides, Ordering::Relaxed);
            share.rows_read.fetch_add(rows_read_by(plan), Ordering::Relaxed);
        }
    }

    fn note(&self) {
        self.peak.fetch_max(self.own.reserved(), Ordering::Relaxed);
    }
}

impl MemoryPool for MemoryShare {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
        self.all.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
        self.all.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.all.grow(reservation, additional);
        self.note();
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.all.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        if let Err(error) = self.all.try_grow(reservation, additional) {
            self.own.shrink(reservation, additional);
            return Err(error);
        }
        self.note();
        Ok(())
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

/// Bytes that a plan and those below it have put on disk.
fn spilled_by(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let own = plan.metrics().and_then(|metrics| metrics.spilled_bytes()).unwrap_or_default() as u64;
    own + plan.children().into_iter().map(spilled_by).sum::<u64>()
}

/// Rows that the scans of a plan have given.
fn rows_read_by(plan: &Arc<dyn ExecutionPlan>) -> u64 {
    let children = plan.children();
    if children.is_empty() {
        return plan.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or_default() as u64;
    }
    children.into_iter().map(rows_read_by).sum()
}

impl fmt::Display for MemoryShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "share of {} bytes", self.limit)
    }
}
