//! The trait of every ledger.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::RunId;
use flowline_model::{
    Attempt, CheckResult, ColumnLineage, Commit, ContractVersion, DatasetName, Deployment, Finding, Outcome,
    Position, RecordedProfile, RegistryChange, Run, RunKind, Totals,
};
use serde::{Deserialize, Serialize};

use crate::LedgerError;

/// Which runs to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// Only this one.
    pub run: Option<RunId>,
    /// Only of this hop.
    pub hop: Option<DatasetName>,
    /// Only of this kind.
    pub kind: Option<RunKind>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only those that committed to a table.
    pub committed: bool,
    /// Only those started at or after this time.
    pub started_from: Option<DateTime<Utc>>,
    /// Only those started before this one (for paging).
    pub before: Option<RunId>,
    /// At most so many; 1,000 when absent.
    pub limit: Option<u32>,
}

/// Which findings to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct FindingFilter {
    /// Only about this dataset.
    pub dataset: Option<DatasetName>,
    /// At most so many; 1,000 when absent.
    pub limit: Option<u32>,
}

/// A finding as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedFinding {
    /// The finding as it was found last; its count is that of all times together, of a check see
    /// [`Ledger::record_checks`].
    pub finding: Finding,
    /// When it was found first.
    pub first_found_at: DateTime<Utc>,
    /// Since when what it is about holds again; none while it is open.
    pub closed_at: Option<DateTime<Utc>>,
}

/// Which results of checks to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct CheckFilter {
    /// Only of this dataset.
    pub dataset: Option<DatasetName>,
    /// Only of checks of this name.
    pub check: Option<String>,
    /// Only the newest of each check and dimension, of the checks that the deployment recorded last declares; of all
    /// before the first one.
    pub latest: bool,
    /// At most so many; 1,000 when absent.
    pub limit: Option<u32>,
}

/// Which profiles to read, newest first.
#[derive(Debug, Clone, Default)]
pub struct ProfileFilter {
    /// Only of this dataset.
    pub dataset: Option<DatasetName>,
    /// Of a dataset, only this version.
    pub version: Option<i64>,
    /// Of a dataset, only so many newest versions.
    pub versions: Option<u32>,
    /// Only those behind this one (for paging).
    pub behind: Option<ProfilePlace>,
    /// At most so many; 1,000 when absent.
    pub limit: Option<u32>,
}

/// Where a profile stands among all: they come by the time of their commits, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfilePlace {
    /// When the rows were committed.
    pub profiled_at: DateTime<Utc>,
    /// The version.
    pub version: i64,
    /// The dataset.
    pub dataset: DatasetName,
    /// The partition.
    pub partition: String,
}

impl From<&RecordedProfile> for ProfilePlace {
    fn from(recorded: &RecordedProfile) -> Self {
        Self {
            profiled_at: recorded.profiled_at,
            version: recorded.version,
            dataset: recorded.dataset.clone(),
            partition: recorded.profile.partition.clone(),
        }
    }
}

/// How a hop stands with one kind of run, without reading its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// The hop.
    pub hop: DatasetName,
    /// The kind of run.
    pub kind: RunKind,
    /// The run started last.
    pub newest: Run,
    /// The run started last of those that ended.
    pub ended: Option<Run>,
    /// The run started last of those that succeeded.
    pub succeeded: Option<Run>,
    /// The run that made the newest commit.
    pub committed: Option<Run>,
    /// Runs that failed since the last one that succeeded.
    pub failures: u32,
    /// When the first of those failures ended.
    pub failing_since: Option<DateTime<Utc>>,
}

/// A file that has been landed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandedFile {
    /// The dataset it was landed into.
    pub dataset: DatasetName,
    /// Its path below the source's folder.
    pub path: String,
    /// Its etag; the same path with another etag is another file.
    pub etag: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// Records read from it.
    pub records: u64,
    /// The run that landed it.
    pub run: RunId,
    /// When.
    pub landed_at: DateTime<Utc>,
}

/// A dataset as it was last deployed, so that system tables can be read where the project is not at hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogDataset {
    /// The dataset as planned.
    pub dataset: flowline_model::Dataset,
    /// The hops' inputs that were found in its origin: datasets it reads, or none.
    pub inputs: Vec<DatasetName>,
    /// The columns of its table as they are (from the SQL where the contract declares none).
    pub columns: Vec<flowline_model::Column>,
    /// What each of its columns is made from; empty for what is landed.
    #[serde(default)]
    pub lineage: Vec<ColumnLineage>,
}

/// The durable record of facts. Both implementations pass [`crate::contract`].
///
/// Every write is one transaction, and idempotent: the same fact again changes nothing.
#[async_trait]
pub trait Ledger: Send + Sync + std::fmt::Debug {
    /// Records that a version of the project runs now, with its datasets; datasets that are gone are marked retired,
    /// their facts stay. A contract that is not that of its newest version becomes the next version. Open findings of
    /// checks that are not declared any more are closed.
    async fn record_deployment(
        &self,
        deployment: &Deployment,
        datasets: &[CatalogDataset],
    ) -> Result<(), LedgerError>;

    /// The deployment recorded last.
    async fn deployment(&self) -> Result<Option<Deployment>, LedgerError>;

    /// The datasets of the deployment recorded last, by name.
    async fn catalog(&self) -> Result<Vec<CatalogDataset>, LedgerError>;

    /// The versions of the contract of a dataset, or of all by name, the newest first.
    async fn contracts(&self, dataset: Option<&DatasetName>) -> Result<Vec<ContractVersion>, LedgerError>;

    /// Records that a run has started. (A landing that commits at once may go to `record_run` without it.)
    async fn start_run(&self, run: &Run) -> Result<(), LedgerError>;

    /// Records one try of a run.
    async fn record_attempt(&self, attempt: &Attempt) -> Result<(), LedgerError>;

    /// Records a run that ended, in one transaction: the run, its commit, its inputs' positions (`next` moves to `to`;
    /// `first` is set by the first run), the files it landed, its counts added to the hop's totals, and its findings.
    ///
    /// A run whose commit `(dataset, version)` or whose id is already recorded as ended changes nothing and returns
    /// false, so that a commit that is found again after a crash can be offered again. One that was given up as
    /// failed and turns out to have committed is put right: its commit counts. Compactions add nothing to totals or
    /// positions, replays nothing to positions, and failed runs to neither. Inputs that are among `files` get no
    /// position: the list of landed files is theirs.
    async fn record_run(
        &self,
        run: &Run,
        files: &[LandedFile],
        findings: &[Finding],
    ) -> Result<bool, LedgerError>;

    /// Records findings outside a run. The same `(dataset, kind, subject)` updates the one that is there: its count
    /// grows, its last position and time move. The same run, time and positions again are the same fact.
    async fn record_findings(&self, findings: &[Finding]) -> Result<(), LedgerError>;

    /// Records what checks said. One that failed or could not be evaluated opens the finding of its check, one that
    /// passed or has nothing due closes it. Rows that fail are counted once: of results over all rows the last one counts, of those over
    /// rows that have just come all since the finding opened.
    async fn record_checks(&self, results: &[CheckResult]) -> Result<(), LedgerError>;

    /// What checks said, newest first.
    async fn checks(&self, filter: &CheckFilter) -> Result<Vec<CheckResult>, LedgerError>;

    /// Records what the rows of commits look like.
    async fn record_profiles(&self, profiles: &[RecordedProfile]) -> Result<(), LedgerError>;

    /// Profiles, newest first. Those of some versions are found by their key, however many there are.
    async fn profiles(&self, filter: &ProfileFilter) -> Result<Vec<RecordedProfile>, LedgerError>;

    /// Runs, newest first.
    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, LedgerError>;

    /// The newest run of each hop and kind.
    async fn latest_runs(&self) -> Result<Vec<Run>, LedgerError>;

    /// How each hop stands with each kind of run; costs the same however long the history is.
    async fn standings(&self) -> Result<Vec<Standing>, LedgerError>;

    /// Attempts of a run, or the newest thousand.
    async fn attempts(&self, run: Option<RunId>) -> Result<Vec<Attempt>, LedgerError>;

    /// Positions of a hop, or all.
    async fn positions(&self, hop: Option<&DatasetName>) -> Result<Vec<Position>, LedgerError>;

    /// What each hop has counted since its first run; counts and positions are of the same instant.
    async fn totals(&self) -> Result<Vec<Totals>, LedgerError>;

    /// Findings, newest first.
    async fn findings(&self, filter: &FindingFilter) -> Result<Vec<RecordedFinding>, LedgerError>;

    /// Commits, newest first, of a dataset (by version) or all (by the start of their runs); at most `limit`.
    async fn commits(&self, dataset: Option<&DatasetName>, limit: u32) -> Result<Vec<Commit>, LedgerError>;

    /// The oldest recorded commit of a dataset that is newer than this version and changed rows: what a reader at
    /// that version has been missing for longest.
    async fn first_commit_after(
        &self,
        dataset: &DatasetName,
        version: i64,
    ) -> Result<Option<Commit>, LedgerError>;

    /// The newest commit of each dataset that has one; compactions, which change no row, are left out.
    async fn latest_commits(&self) -> Result<Vec<Commit>, LedgerError>;

    /// The files that were landed into a dataset.
    async fn landed_files(&self, dataset: &DatasetName) -> Result<Vec<LandedFile>, LedgerError>;

    /// Stores a change of the schema registry under its revision; false when another change has it, which is then to be
    /// read before anything is decided anew. The same change again is stored already.
    async fn append_registry_change(&self, change: &RegistryChange) -> Result<bool, LedgerError>;

    /// The changes of the schema registry behind this revision (0 for all), in order.
    async fn registry_changes_after(&self, revision: i64) -> Result<Vec<RegistryChange>, LedgerError>;

    /// Marks runs that a crash left running as failed; returns how many. Called once by the node when it starts.
    async fn close_abandoned_runs(&self, at: DateTime<Utc>) -> Result<u64, LedgerError>;

    /// Deletes runs with their commits and attempts that ended before this time, but none that a [`Standing`] holds.
    /// Results of checks from before it are deleted as well, but the newest of each, and profiles. Totals, positions,
    /// landed files and findings stay. Returns the runs deleted. Works in small transactions, so
    /// that no run waits long to be recorded.
    async fn prune(&self, before: DateTime<Utc>) -> Result<u64, LedgerError>;
}
