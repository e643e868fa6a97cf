//! A flush on its way into the tables, while the one after it fills.
//!
//! Owns: closing its files, its commit, and telling what became of it. Does not own: the order of flushes; of a partition
//! only one is on its way at a time (`lane`).

use flowline_base::RunId;
use flowline_model::Run;
use tokio::task::JoinHandle;

use crate::commit;
use crate::keys::Journal;
use crate::staging::{Closing, Sealed, failed};
use crate::tables::Tables;
use crate::{LandContext, LandError};

/// A flush whose commit is being made.
#[derive(Debug)]
pub(crate) struct Committing {
    pub(crate) run: RunId,
    task: JoinHandle<Ended>,
}

/// What became of a flush.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It is in the tables.
    Committed(Box<Run>, Box<Sealed>),
    /// Its files could not be closed: nothing of it is in the tables, and the keys of its rows are to be taken back.
    Unclosed(LandError, Journal),
    /// It may be offered again.
    Refused(LandError, Box<Sealed>),
    /// It broke down half-way. What is in the tables is not known.
    Lost(LandError),
}

impl Committing {
    /// Closes the files of a flush, and commits it.
    pub(crate) fn close(context: &LandContext, tables: &Tables, closing: Closing, attempts: u32) -> Self {
        let (context, tables) = (context.clone(), tables.clone());
        Self::begin(closing.run, async move {
            match closing.close().await {
                Ok(sealed) => committed(&context, &tables, sealed, attempts).await,
                Err((error, journal)) => Ended::Unclosed(error, journal),
            }
        })
    }

    /// Offers a flush again.
    pub(crate) fn again(context: &LandContext, tables: &Tables, sealed: Sealed, attempts: u32) -> Self {
        let (context, tables) = (context.clone(), tables.clone());
        Self::begin(sealed.flush.run.id, async move { committed(&context, &tables, sealed, attempts).await })
    }

    fn begin(run: RunId, commit: impl Future<Output = Ended> + Send + 'static) -> Self {
        // tidy: allow(spawn): it lasts for as long as one commit, and its lane waits for its end.
        Self { run, task: tokio::spawn(commit) }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Ended {
        self.task.await.unwrap_or_else(|error| Ended::Lost(failed(&error)))
    }
}

async fn committed(context: &LandContext, tables: &Tables, mut sealed: Sealed, attempts: u32) -> Ended {
    sealed.flush.run.attempts = attempts;
    match commit::commit(context, &tables.data, &tables.quarantine, &sealed.flush).await {
        Ok(run) => Ended::Committed(Box::new(run), Box::new(sealed)),
        Err(error) => Ended::Refused(error, Box::new(sealed)),
    }
}
