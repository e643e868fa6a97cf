//! Connections, transactions and the retry of what may pass.
//!
//! Owns: the two pools and how a failed operation is tried again. Does not own: any statement about facts.

use std::future::Future;
use std::time::Duration;

use flowline_base::{Backoff, Clock, SystemClock, retry};
use sqlx::{Any, AnyPool, Transaction};

use crate::LedgerError;
use crate::dialect::Dialect;
use crate::fault::Fault;

/// Every operation is one transaction and idempotent, so trying it again is safe also when the answer to the commit
/// got lost.
const BACKOFF: Backoff =
    Backoff { attempts_max: 4, delay_first: Duration::from_millis(50), delay_max: Duration::from_secs(1) };

/// One ledger's database. On SQLite the writer is one connection, as SQLite has one writer; on PostgreSQL, and in
/// memory, both pools are the same.
pub(crate) struct Database {
    pub(crate) writer: AnyPool,
    pub(crate) readers: AnyPool,
    pub(crate) dialect: Dialect,
    /// The URL without its password.
    pub(crate) place: String,
}

impl Database {
    /// A transaction that writes.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, Fault> {
        Ok(self.writer.begin_with(self.dialect.begin_write()).await?)
    }

    /// A transaction whose reads all see the same instant.
    pub(crate) async fn snapshot(&self) -> Result<Transaction<'static, Any>, Fault> {
        Ok(self.readers.begin_with(self.dialect.begin_snapshot()).await?)
    }

    /// Runs an operation, again when it failed for a reason that may pass, and names it in its error.
    pub(crate) async fn run<T, F, Fut>(
        &self,
        action: &'static str,
        mut operation: F,
    ) -> Result<T, LedgerError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<T, Fault>>,
    {
        let start = SystemClock.instant();
        let result = retry(BACKOFF, |attempt| {
            let outcome = operation();
            async move {
                let result = outcome.await.map_err(|fault| fault.during(action));
                if let Err(error @ LedgerError::Transient { .. }) = &result {
                    metrics::counter!("flowline_ledger_failed_attempts_total", "operation" => action)
                        .increment(1);
                    tracing::warn!(attempt, "{error}");
                }
                result
            }
        })
        .await;
        let seconds = (SystemClock.instant() - start).as_secs_f64();
        metrics::histogram!("flowline_ledger_operation_seconds", "operation" => action).record(seconds);
        result
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("place", &self.place).finish_non_exhaustive()
    }
}
