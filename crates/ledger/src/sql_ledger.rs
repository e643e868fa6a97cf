//! The ledger over a SQL database: every method names its operation and hands it on.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::RunId;
use flowline_model::{
    Attempt, CheckResult, Commit, ContractVersion, DatasetName, Deployment, Finding, Outcome, Position,
    RecordedProfile, RegistryChange, Run, Totals,
};

use crate::database::Database;
use crate::fault::Fault;
use crate::upkeep::Prunable;
use crate::{
    CatalogDataset, CheckFilter, FindingFilter, LandedFile, Ledger, LedgerError, ProfileFilter,
    RecordedFinding, RunFilter, Standing,
};
use crate::{
    attempts, catalog, checks, contracts, files, findings, positions, profiles, record, registry, runs,
    standings, totals, upkeep,
};

/// The ledger over SQLite or PostgreSQL.
#[derive(Debug)]
pub(crate) struct SqlLedger {
    database: Database,
}

impl SqlLedger {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }
}

#[async_trait]
impl Ledger for SqlLedger {
    async fn record_deployment(
        &self,
        deployment: &Deployment,
        datasets: &[CatalogDataset],
    ) -> Result<(), LedgerError> {
        let db = &self.database;
        db.run("recording a deployment", || catalog::record(db, deployment, datasets)).await
    }

    async fn deployment(&self) -> Result<Option<Deployment>, LedgerError> {
        let db = &self.database;
        db.run("reading the deployment", || catalog::deployment(db)).await
    }

    async fn catalog(&self) -> Result<Vec<CatalogDataset>, LedgerError> {
        let db = &self.database;
        db.run("reading the catalog", || catalog::list(db)).await
    }

    async fn contracts(&self, dataset: Option<&DatasetName>) -> Result<Vec<ContractVersion>, LedgerError> {
        let db = &self.database;
        db.run("reading the versions of contracts", || contracts::list(db, dataset)).await
    }

    async fn start_run(&self, run: &Run) -> Result<(), LedgerError> {
        let db = &self.database;
        db.run("recording the start of a run", || record::start_run(db, run)).await
    }

    async fn record_attempt(&self, attempt: &Attempt) -> Result<(), LedgerError> {
        let db = &self.database;
        db.run("recording an attempt", || attempts::record(db, attempt)).await
    }

    async fn record_run(
        &self,
        run: &Run,
        landed: &[LandedFile],
        found: &[Finding],
    ) -> Result<bool, LedgerError> {
        let action = "recording a run";
        if run.outcome == Outcome::Running {
            let reason = format!("run `{}` of `{}` has not ended", run.id, run.hop);
            return Err(LedgerError::Statement { action, reason });
        }
        let db = &self.database;
        db.run(action, || async {
            match record::record_run(db, run, landed, found).await {
                // Another process has recorded the same commit between our look and our insert.
                Err(fault) if fault.is_known_key() => Ok(false),
                result => result,
            }
        })
        .await
    }

    async fn record_findings(&self, found: &[Finding]) -> Result<(), LedgerError> {
        let db = &self.database;
        db.run("recording findings", || findings::record(db, found)).await
    }

    async fn record_checks(&self, results: &[CheckResult]) -> Result<(), LedgerError> {
        let db = &self.database;
        db.run("recording checks", || checks::record(db, results)).await
    }

    async fn checks(&self, filter: &CheckFilter) -> Result<Vec<CheckResult>, LedgerError> {
        let db = &self.database;
        db.run("reading checks", || checks::list(db, filter)).await
    }

    async fn record_profiles(&self, profiles: &[RecordedProfile]) -> Result<(), LedgerError> {
        let db = &self.database;
        db.run("recording profiles", || profiles::record(db, profiles)).await
    }

    async fn profiles(&self, filter: &ProfileFilter) -> Result<Vec<RecordedProfile>, LedgerError> {
        let db = &self.database;
        db.run("reading profiles", || profiles::list(db, filter)).await
    }

    async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, LedgerError> {
        let db = &self.database;
        db.run("reading runs", || runs::list(db, filter)).await
    }

    async fn latest_runs(&self) -> Result<Vec<Run>, LedgerError> {
        Ok(self.standings().await?.into_iter().map(|standing| standing.newest).collect())
    }

    async fn standings(&self) -> Result<Vec<Standing>, LedgerError> {
        let db = &self.database;
        db.run("reading how hops stand", || standings::list(db)).await
    }

    async fn attempts(&self, run: Option<RunId>) -> Result<Vec<Attempt>, LedgerError> {
        let db = &self.database;
        db.run("reading attempts", || attempts::list(db, run)).await
    }

    async fn positions(&self, hop: Option<&DatasetName>) -> Result<Vec<Position>, LedgerError> {
        let db = &self.database;
        db.run("reading positions", || positions::list(db, hop)).await
    }

    async fn totals(&self) -> Result<Vec<Totals>, LedgerError> {
        let db = &self.database;
        db.run("reading totals", || totals::list(db)).await
    }

    async fn findings(&self, filter: &FindingFilter) -> Result<Vec<RecordedFinding>, LedgerError> {
        let db = &self.database;
        db.run("reading findings", || findings::list(db, filter)).await
    }

    async fn commits(&self, dataset: Option<&DatasetName>, limit: u32) -> Result<Vec<Commit>, LedgerError> {
        let db = &self.database;
        db.run("reading commits", || runs::commits(db, dataset, limit)).await
    }

    async fn first_commit_after(
        &self,
        dataset: &DatasetName,
        version: i64,
    ) -> Result<Option<Commit>, LedgerError> {
        let db = &self.database;
        db.run("reading a commit", || runs::first_commit_after(db, dataset, version)).await
    }

    async fn latest_commits(&self) -> Result<Vec<Commit>, LedgerError> {
        Ok(standings::newest_commits(self.standings().await?))
    }

    async fn landed_files(&self, dataset: &DatasetName) -> Result<Vec<LandedFile>, LedgerError> {
        let db = &self.database;
        db.run("reading the landed files", || files::list(db, dataset)).await
    }

    async fn append_registry_change(&self, change: &RegistryChange) -> Result<bool, LedgerError> {
        let db = &self.database;
        db.run("storing a change of the schema registry", || registry::append(db, change)).await
    }

    async fn registry_changes_after(&self, revision: i64) -> Result<Vec<RegistryChange>, LedgerError> {
        let db = &self.database;
        db.run("reading the schema registry", || registry::after(db, revision)).await
    }

    async fn close_abandoned_runs(&self, at: DateTime<Utc>) -> Result<u64, LedgerError> {
        let db = &self.database;
        db.run("closing abandoned runs", || upkeep::close_abandoned_runs(db, at)).await
    }

    async fn prune(&self, before: DateTime<Utc>) -> Result<u64, LedgerError> {
        let mut runs = 0;
        for what in [Prunable::Runs, Prunable::Attempts, Prunable::Checks] {
            loop {
                let deleted = self.prune_portion(what, before).await?;
                if what == Prunable::Runs {
                    runs += deleted;
                }
                if deleted == 0 {
                    break;
                }
            }
        }
        Ok(runs)
    }
}

impl SqlLedger {
    async fn prune_portion(&self, what: Prunable, before: DateTime<Utc>) -> Result<u64, LedgerError> {
        let db = &self.database;
        db.run("deleting old runs", || async {
            let deleted: Result<u64, Fault> = upkeep::prune_portion(db, what, before).await;
            deleted
        })
        .await
    }
}
