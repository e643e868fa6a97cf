//! Files: from a folder to the table.
//!
//! Owns: which files are new, the flush that takes whole files only, and what is said of files that are empty, cannot
//! be read or match no pattern. Does not own: how files are read (`flowline-source`), what becomes of a record.

mod landed;
mod progress;
mod stage;

use std::sync::Arc;

use datafusion::logical_expr::{col, lit};
use flowline_base::{ErrorKind, RunId};
use flowline_lake::{FileEntry, arrow_types};
use flowline_model::{Dataset, FilesOrigin, FindingKind, Origin, Run};
use flowline_source::files::{FileError, FileSource, Listing};
use tokio_util::sync::CancellationToken;

use self::landed::Landed;
pub use self::progress::{FileProgress, ProgressFn};
use self::stage::{FileFlush, Staged};
use crate::commit::{self, Landers, complete_ledger};
use crate::drift::DriftWatch;
use crate::failures::{Cure, Failures, Tried};
use crate::findings::Findings;
use crate::keys::{KEYS_MAX, Keys};
use crate::replay::finish_interrupted;
use crate::reservation::Reservation;
use crate::staging::{Sealed, Sealing};
use crate::tables::{Place, Tables};
use crate::{Contract, LandContext, LandError, meter};

/// Commits of the quarantine that are looked at to find what a crash left in it.
const LOOK_BACK: usize = 64;

/// Lands the files that appear in the folder of one dataset, each once: a file is known by its path and etag, so that
/// one that is written again lands again, whole. A file is in the table as a whole or not at all.
#[derive(Debug)]
pub struct FileLander {
    context: LandContext,
    contract: Contract,
    tables: Tables,
    origin: FilesOrigin,
    source: FileSource,
    keys_max: usize,
    /// None until they were read from the tables and the ledger.
    state: Option<State>,
    /// None until it was read from the table.
    keys: Option<Keys>,
    /// Held while rows are staged whose keys depend on the table.
    reservation: Reservation,
    failures: Failures,
    progress: Option<ProgressFn>,
}

/// Where landing stands.
#[derive(Debug)]
struct State {
    place: Place,
    landed: Landed,
    /// A flush whose commit has not succeeded yet.
    sealed: Option<Sealed>,
}

impl FileLander {
    /// Compiles the contract and opens the folder, without looking into it.
    ///
    /// # Errors
    /// [`LandError::Contract`], [`LandError::Origin`] and [`LandError::Files`]: mend the dataset.
    pub async fn open(context: LandContext, dataset: Arc<Dataset>) -> Result<Self, LandError> {
        let Origin::Files(origin) = dataset.origin.clone() else {
            let found = dataset.origin.kind();
            return Err(LandError::Origin { dataset: dataset.name.clone(), expected: "files", found });
        };
        let contract = Contract::of(&dataset)?;
        Ok(Self {
            source: FileSource::open(&context.lake, &origin)?,
            tables: Tables::new(&context, Arc::clone(&dataset)),
            failures: Failures::new(dataset.name.clone()),
            contract,
            context,
            origin,
            keys_max: KEYS_MAX,
            state: None,
            keys: None,
            reservation: Reservation::default(),
            progress: None,
        })
    }

    /// Calls this for every part of a file that is read.
    pub fn with_progress(mut self, progress: ProgressFn) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Lists and lands until it is told to stop. Failures are put on record and tried again for as long as need be.
    ///
    /// # Errors
    /// Only what trying again cannot mend: another lander has taken over.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), LandError> {
        while !shutdown.is_cancelled() {
            match self.land(&shutdown).await {
                Ok(_) => {
                    self.failures.recovered(&self.context).await;
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        () = tokio::time::sleep(self.origin.poll_every) => {}
                    }
                }
                Err(error) => {
                    self.failed(error).await?;
                    self.failures.pause(&shutdown).await;
                }
            }
        }
        self.keep_watch(true).await;
        Ok(())
    }

    /// Keeps what is known of the rows that the table does not say.
    async fn keep_watch(&self, stops: bool) {
        if let Some(watch) = &self.contract.watch {
            watch.keep(&self.tables.data, self.context.clock.now(), stops).await;
        }
    }

    /// Lands the files that are there now; returns the runs.
    ///
    /// # Errors
    /// The first failure. What was committed stays; calling again goes on behind it.
    pub async fn land_available(&mut self) -> Result<Vec<Run>, LandError> {
        let landed = self.land(&CancellationToken::new()).await;
        if landed.is_err() {
            self.begin_again();
        }
        landed
    }

    /// One look at the folder. Stops between two files when it is told to.
    async fn land(&mut self, shutdown: &CancellationToken) -> Result<Vec<Run>, LandError> {
        self.begin().await?;
        let mut runs = Vec::new();
        runs.extend(self.commit().await?);
        let listing = self.source.list().await?;
        self.report_unmatched(&listing).await?;
        let mut new = self.new_files(listing);
        let files_total = new.len() as u64;
        while !new.is_empty() && !shutdown.is_cancelled() {
            self.reserve().await?;
            let mut flush = FileFlush::start(&self.context, self.failures.run());
            let rest = self.fill(&mut flush, &new, files_total, shutdown).await?;
            if flush.files.is_empty() {
                flush.abandon(&mut self.keys);
            } else {
                self.seal(flush).await?;
                runs.extend(self.commit().await?);
            }
            self.reservation.give_back();
            new = rest;
        }
        Ok(runs)
    }

    /// Before records are looked at: keys that others wrote meanwhile are read.
    async fn reserve(&mut self) -> Result<(), LandError> {
        let Some(keys) = self.keys.as_mut().filter(|keys| !keys.is_empty()) else { return Ok(()) };
        if !self.reservation.take(&self.tables, &self.context.clock).await {
            *keys = Keys::new(&self.tables.dataset, self.keys_max);
            keys.rebuild(&self.tables.dataset, &self.tables.data, self.context.clock.now()).await?;
        }
        Ok(())
    }

    async fn begin(&mut self) -> Result<(), LandError> {
        if self.state.is_some() && self.keys.is_some() {
            return Ok(());
        }
        let dataset = Arc::clone(&self.tables.dataset);
        self.tables.ensure_data().await?;
        finish_interrupted(&self.context, &self.tables).await?;
        complete_ledger(&self.context, &self.tables.data, Landers::One).await?;
        let mut keys = Keys::new(&dataset, self.keys_max);
        keys.rebuild(&dataset, &self.tables.data, self.context.clock.now()).await?;
        let mut place = self.tables.place(format!("{}/files", dataset.name)).await?;
        self.bring_back_quarantine(&mut place).await?;
        let files = self.context.ledger.landed_files(&dataset.name).await?;
        if self.contract.watch.is_none() {
            let watch = DriftWatch::open(dataset, self.context.ledger.as_ref(), &self.tables.data).await?;
            self.contract = self.contract.clone().watching(Arc::new(watch));
        }
        self.state = Some(State { place, landed: Landed::new(&files), sealed: None });
        self.keys = Some(keys);
        Ok(())
    }

    /// Rejected records of runs whose rows were not committed are removed: their files will be landed again.
    async fn bring_back_quarantine(&self, place: &mut Place) -> Result<(), LandError> {
        let committed = place.data.unwrap_or(0);
        if place.quarantine.is_none_or(|position| position <= committed) {
            return Ok(());
        }
        let entries = self.tables.quarantine.history(None, LOOK_BACK).await?;
        let ahead = entries.into_iter().filter(|entry| {
            entry.transactions.iter().any(|(app_id, version)| *app_id == place.app_id && *version > committed)
        });
        // An identifier is written otherwise in JSON than in the column.
        let run = |info: serde_json::Value| info.get("id")?.as_str()?.parse::<RunId>().ok();
        let runs = ahead.filter_map(|entry| Some(lit(run(entry.info?)?.to_string()))).collect();
        let of_runs = col(arrow_types::BATCH).in_list(runs, false);
        self.tables.rewind_quarantine(place, committed, of_runs).await
    }

    fn new_files(&self, listing: Listing) -> Vec<FileEntry> {
        let Some(state) = &self.state else { return Vec::new() };
        let now = self.context.clock.now();
        let mut new: Vec<FileEntry> =
            listing.matched.into_iter().filter(|entry| state.landed.is_new(entry, now)).collect();
        new.sort_by(|one, other| (one.modified, &one.path).cmp(&(other.modified, &other.path)));
        new
    }

    /// Takes files into the flush until it is full; returns those that are left. When one turns out to be unreadable
    /// half-way, what was staged is let go, and the others are left for the next flush. When drift holds one up, those
    /// before it are landed first, alone.
    async fn fill(
        &mut self,
        flush: &mut FileFlush,
        files: &[FileEntry],
        files_total: u64,
        shutdown: &CancellationToken,
    ) -> Result<Vec<FileEntry>, LandError> {
        let flush_bytes = self.tables.dataset.landing.flush_bytes;
        for (index, entry) in files.iter().enumerate() {
            let left = (files.len() - index) as u64;
            let staged = match self.stage(flush, entry, files_total, left).await {
                Err(LandError::Drift { .. }) if !flush.files.is_empty() => {
                    let fresh = FileFlush::start(&self.context, self.failures.run());
                    return Ok(std::mem::replace(flush, fresh).abandon(&mut self.keys));
                }
                staged => staged?,
            };
            match staged {
                Staged::Whole => {}
                Staged::Gone => continue,
                Staged::Unreadable { reason, spoilt } => {
                    self.report_unreadable(entry, reason).await?;
                    if spoilt {
                        let again =
                            std::mem::replace(flush, FileFlush::start(&self.context, self.failures.run()));
                        let again: Vec<FileEntry> = again.abandon(&mut self.keys);
                        return Ok(again.into_iter().chain(files[index + 1..].iter().cloned()).collect());
                    }
                }
            }
            if flush.bytes() >= flush_bytes || shutdown.is_cancelled() {
                return Ok(files[index + 1..].to_vec());
            }
        }
        Ok(Vec::new())
    }

    async fn seal(&mut self, flush: FileFlush) -> Result<(), LandError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let run = flush.staging.run;
        let now = self.context.clock.now();
        let sealing = Sealing {
            trigger: "new-files",
            inputs: flush.inputs(),
            files: flush.landed(&self.tables.dataset.name, run, now),
            place: state.place.clone(),
            next: state.place.data.unwrap_or(0) + 1,
            attempts: self.failures.attempt(),
            now,
        };
        state.sealed = Some(flush.staging.seal(&self.tables, sealing, &mut self.keys).await?);
        Ok(())
    }

    /// Commits the flush that waits for it, if one does.
    async fn commit(&mut self) -> Result<Option<Run>, LandError> {
        let Some(state) = &mut self.state else { return Ok(None) };
        let Some(sealed) = &mut state.sealed else { return Ok(None) };
        sealed.flush.run.attempts = self.failures.attempt();
        let run =
            commit::commit(&self.context, &self.tables.data, &self.tables.quarantine, &sealed.flush).await?;
        state.place.data = Some(sealed.flush.position.next);
        if let Some((_, position)) = &sealed.flush.rejected {
            state.place.quarantine = Some(position.next);
        }
        state.landed.add(&sealed.flush.files);
        state.sealed = None;
        self.failures.clear();
        meter::committed(&run);
        self.keep_watch(false).await;
        Ok(Some(run))
    }

    async fn failed(&mut self, error: LandError) -> Result<(), LandError> {
        let sealed = self.state.as_ref().and_then(|state| state.sealed.as_ref());
        let tried = Tried {
            run: sealed.map(|sealed| sealed.flush.run.id),
            inputs: sealed.map(|sealed| sealed.flush.run.inputs.clone()).unwrap_or_default(),
            trigger: "new-files",
        };
        let keep = sealed.is_some();
        self.failures.record(&self.context, tried, &error).await;
        match Cure::of(&error) {
            Cure::GiveUp => return Err(error),
            Cure::OfferAgain if keep && self.keys.is_some() => {}
            // What was staged is dropped with its keys, which are read back from the table.
            Cure::BeginAgain | Cure::OfferAgain => self.begin_again(),
        }
        Ok(())
    }

    fn begin_again(&mut self) {
        self.state = None;
        self.keys = None;
        self.reservation.give_back();
    }

    async fn report_unmatched(&mut self, listing: &Listing) -> Result<(), LandError> {
        let Some(state) = &mut self.state else { return Ok(()) };
        let mut findings = Findings::default();
        let new = |entry: &&FileEntry| !state.landed.reported(entry);
        let mut unmatched: Vec<&FileEntry> = listing.unmatched.iter().filter(new).collect();
        let elsewhere: Vec<&FileEntry> = listing.elsewhere.iter().filter(new).collect();
        for entry in &elsewhere {
            tracing::warn!(dataset = %self.tables.dataset.name, path = entry.path, "a link leads out of the folder");
            findings.add_count(FindingKind::UnreadableFile, &entry.path, 1, || {
                format!(
                    "`{}` is behind a symbolic link that leads out of the folder: it is not landed; put the file \
                     itself there, or set `follow_links: true`",
                    entry.path
                )
            });
        }
        for entry in &unmatched {
            findings.add_count(FindingKind::UnmatchedFile, &entry.path, 1, || {
                format!(
                    "`{}` lies in the folder and does not match `{}`: it is not landed",
                    entry.path, self.origin.pattern
                )
            });
        }
        unmatched.extend(elsewhere);
        if unmatched.is_empty() {
            return Ok(());
        }
        let findings = findings.finish(&self.tables.dataset.name, None, self.context.clock.now());
        self.context.ledger.record_findings(&findings).await?;
        state.landed.set_reported(&unmatched);
        Ok(())
    }

    async fn report_unreadable(&mut self, entry: &FileEntry, reason: String) -> Result<(), LandError> {
        let now = self.context.clock.now();
        let Some(state) = &mut self.state else { return Ok(()) };
        tracing::warn!(dataset = %self.tables.dataset.name, path = entry.path, reason, "a file cannot be read");
        let first = !state.landed.reported(entry);
        state.landed.put_off(entry, now, self.origin.poll_every);
        if first {
            let mut findings = Findings::default();
            findings.add_count(FindingKind::UnreadableFile, &entry.path, 1, || reason);
            let findings = findings.finish(&self.tables.dataset.name, None, now);
            self.context.ledger.record_findings(&findings).await?;
            state.landed.set_reported(&[entry]);
        }
        Ok(())
    }
}

/// Whether an error is about the one file and not about the storage as a whole; with the reason.
fn about_the_file(error: &FileError) -> Option<String> {
    match error {
        FileError::Unreadable { .. } => Some(error.to_string()),
        FileError::Storage(storage) => match flowline_base::Classify::kind(storage) {
            ErrorKind::Denied | ErrorKind::Corrupt | ErrorKind::Input => Some(flowline_base::chain(storage)),
            _ => None,
        },
        FileError::Pattern { .. } => None,
    }
}
