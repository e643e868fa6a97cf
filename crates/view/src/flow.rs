//! The flow map as it stands: every hop's facts brought together, without any I/O.
//!
//! Owns: what lag, freshness and state of a hop are. Does not own: reading the facts (`tables::hops`).

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use flowline_ledger::{CatalogDataset, Standing};
use flowline_model::{Commit, DatasetName, Held, Origin, Outcome, Position, Run, RunKind, Totals};

use crate::facts::{balance, gap, newest_commits, newest_version, seconds};
use crate::{HopFacts, HopRow, LogPartition, hop_state};

/// Everything that the flow map is drawn from, read at about the same time.
pub(crate) struct Flow {
    pub(crate) catalog: Vec<CatalogDataset>,
    pub(crate) standings: Vec<Standing>,
    pub(crate) totals: Vec<Totals>,
    pub(crate) positions: Vec<Position>,
    /// None where no node runs.
    pub(crate) partitions: Option<Vec<LogPartition>>,
    /// What is not landed now because a table downstream cannot keep up.
    pub(crate) held: BTreeMap<DatasetName, Held>,
    pub(crate) now: DateTime<Utc>,
}

/// An input of a hop that has commits the hop has not read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Unread {
    pub(crate) hop: DatasetName,
    pub(crate) input: DatasetName,
    /// The version that the hop has read.
    pub(crate) version: i64,
    /// How many versions are newer.
    pub(crate) versions: u64,
}

/// What a hop has not read.
#[derive(Debug, Default)]
struct Lag {
    records: Option<u64>,
    versions: Option<u64>,
    seconds: Option<i64>,
}

impl Flow {
    /// The inputs that hops are behind on.
    pub(crate) fn unread(&self) -> Vec<Unread> {
        let commits = newest_commits(&self.standings);
        let mut unread = Vec::new();
        for declared in self.catalog.iter().filter(|declared| runs_sql(declared)) {
            let hop = &declared.dataset.name;
            for input in self.tables_below(declared) {
                let version = self.version_read(hop, &input);
                let newest = commits.get(&input).map_or(-1, |commit| commit.version);
                if let Ok(versions @ 1..) = u64::try_from(newest - version) {
                    unread.push(Unread { hop: hop.clone(), input, version, versions });
                }
            }
        }
        unread
    }

    /// The flow map. `oldest_unread` says when the oldest commit was made that a hop has not read, for each of
    /// [`Self::unread`].
    pub(crate) fn hops(&self, oldest_unread: &[(Unread, Option<DateTime<Utc>>)]) -> Vec<HopRow> {
        let commits = newest_commits(&self.standings);
        self.catalog.iter().map(|declared| self.hop(declared, &commits, oldest_unread)).collect()
    }

    fn hop(
        &self,
        declared: &CatalogDataset,
        commits: &HashMap<DatasetName, &Commit>,
        oldest_unread: &[(Unread, Option<DateTime<Utc>>)],
    ) -> HopRow {
        let dataset = &declared.dataset;
        let standing = self.standing(declared);
        let ended = standing.and_then(|standing| standing.ended.as_ref());
        let failure = ended.filter(|run| run.outcome == Outcome::Failed).and_then(|run| run.error.as_ref());
        let totals = self.totals.iter().find(|totals| totals.hop == dataset.name);
        let counts = totals.map(Totals::counted_once).unwrap_or_default();
        let (balance, missing) = balance(&counts);
        let last_committed_at = self.committed_at(declared, commits, &mut HashSet::new());
        let freshness_seconds = last_committed_at.map(|at| age(self.now, at));
        let freshness_within_seconds = dataset.slo.freshness_within.map(seconds);
        let lag = match &dataset.origin {
            Origin::Http(_) | Origin::Kafka(_) => self.lag_of_landing(&dataset.name, last_committed_at),
            Origin::Files(_) => Lag::default(),
            Origin::Sql(_) if dataset.materialized() => self.lag_of_transform(&dataset.name, oldest_unread),
            Origin::Sql(_) => Lag::default(),
        };
        let state = hop_state(&HopFacts {
            last_outcome: ended.map(|run| run.outcome),
            inputs_ran: !dataset.materialized() && self.inputs_ran(declared),
            lag_seconds: lag.seconds,
            freshness_seconds,
            freshness_within_seconds,
        });
        HopRow {
            dataset: dataset.name.to_string(),
            domain: dataset.name.domain().to_owned(),
            zone: dataset.zone.as_str().to_owned(),
            owner: dataset.owner.clone(),
            kind: if dataset.materialized() { dataset.origin.kind() } else { "view" }.to_owned(),
            inputs: declared.inputs.iter().map(DatasetName::to_string).collect(),
            state: state.as_str().to_owned(),
            running: standing.is_some_and(|standing| standing.newest.outcome == Outcome::Running),
            last_run_id: ended.map(|run| run.id.to_string()),
            last_outcome: ended.map(|run| run.outcome.as_str().to_owned()),
            last_finished_at: ended.and_then(|run: &Run| run.finished_at),
            last_error: failure.map(|error| error.message.clone()),
            last_error_kind: failure.map(|error| error.kind.as_str().to_owned()),
            failures: standing.map_or(0, |standing| standing.failures),
            failing_since: standing.and_then(|standing| standing.failing_since),
            runs: totals.map_or(0, |totals| totals.runs),
            read: counts.read,
            written: counts.written,
            quarantined: counts.quarantined,
            duplicate: counts.duplicate,
            late: counts.late,
            filtered: counts.filtered,
            balance,
            missing,
            gap: totals.and_then(gap),
            slow: self.slow(dataset, standing, &lag, commits),
            held_back: self.held.get(&dataset.name).map(Held::to_string),
            lag_records: lag.records,
            lag_versions: lag.versions,
            lag_seconds: lag.seconds,
            version: newest_version(&self.standings, &dataset.name),
            last_committed_at,
            freshness_seconds,
            freshness_within_seconds,
            runbook: dataset.runbook.clone(),
        }
    }

    /// How the hop stands with the kind of run that is its work; replays and compactions are not.
    fn standing(&self, declared: &CatalogDataset) -> Option<&Standing> {
        let kind = if declared.dataset.landed() { RunKind::Land } else { RunKind::Transform };
        self.standings.iter().find(|standing| standing.hop == declared.dataset.name && standing.kind == kind)
    }

    /// Whether any of the tables that a hop reads was ever run for, be it that there was nothing for it.
    fn inputs_ran(&self, declared: &CatalogDataset) -> bool {
        let tables = self.tables_below(declared);
        let ran = |table: &DatasetName| {
            let of_table = |standing: &&Standing| standing.hop == *table && standing.ended.is_some();
            self.standings.iter().any(|standing| of_table(&standing))
        };
        tables.iter().any(ran)
    }

    fn position(&self, hop: &DatasetName, input: &str) -> Option<&Position> {
        self.positions.iter().find(|position| position.hop == *hop && position.input == input)
    }

    /// The version of an input that a hop has read; of a stream that is divided, the one that all its parts have read. They
    /// are called after the input and the partition.
    fn version_read(&self, hop: &DatasetName, input: &DatasetName) -> i64 {
        let part = format!("{input}/");
        let whole = self.position(hop, &input.to_string());
        let divided = self.declared(hop).is_some_and(|declared| declared.dataset.divided());
        let parts = self
            .positions
            .iter()
            .filter(|position| divided && position.hop == *hop && position.input.starts_with(&part));
        match divided {
            true => parts.map(|position| position.next).min().unwrap_or(-1),
            false => whole.map_or(-1, |position| position.next),
        }
    }

    fn declared(&self, name: &DatasetName) -> Option<&CatalogDataset> {
        self.catalog.iter().find(|declared| declared.dataset.name == *name)
    }

    /// The tables that a hop reads: its inputs, and for those that are views, theirs.
    fn tables_below(&self, declared: &CatalogDataset) -> Vec<DatasetName> {
        let mut tables = Vec::new();
        let mut seen = HashSet::new();
        let mut waiting: Vec<&DatasetName> = declared.inputs.iter().rev().collect();
        while let Some(name) = waiting.pop() {
            if !seen.insert(name) {
                continue;
            }
            match self.declared(name) {
                Some(input) if !input.dataset.materialized() => waiting.extend(input.inputs.iter().rev()),
                _ => tables.push(name.clone()),
            }
        }
        tables
    }

    /// When the rows of a dataset last changed; those of a view are as old as the oldest of its inputs.
    fn committed_at<'a>(
        &'a self,
        declared: &'a CatalogDataset,
        commits: &HashMap<DatasetName, &Commit>,
        seen: &mut HashSet<&'a DatasetName>,
    ) -> Option<DateTime<Utc>> {
        if declared.dataset.materialized() {
            return commits.get(&declared.dataset.name).map(|commit| commit.committed_at);
        }
        let mut oldest = None;
        for input in declared.inputs.iter().filter_map(|input| self.declared(input)) {
            if seen.insert(&input.dataset.name) {
                // An input that was never committed makes the view as good as never filled.
                let at = self.committed_at(input, commits, seen)?;
                oldest = Some(oldest.map_or(at, |oldest: DateTime<Utc>| oldest.min(at)));
            }
        }
        oldest
    }

    fn lag_of_landing(&self, hop: &DatasetName, last_committed_at: Option<DateTime<Utc>>) -> Lag {
        let Some(partitions) = &self.partitions else { return Lag::default() };
        let mut lag = Lag { records: Some(0), versions: None, seconds: Some(0) };
        for partition in partitions.iter().filter(|partition| partition.dataset == *hop) {
            let next =
                self.position(hop, &partition.input).and_then(|position| u64::try_from(position.next).ok());
            let waiting = partition.end.saturating_sub(next.unwrap_or(partition.start));
            if waiting == 0 {
                continue;
            }
            lag.records = lag.records.map(|records| records + waiting);
            // Where the log cannot tell since when, the last commit is the time from which nothing was taken up.
            let since = partition.oldest_waiting_at.or(last_committed_at).or(partition.last_received_at);
            lag.seconds = lag.seconds.max(since.map(|since| age(self.now, since)));
        }
        lag
    }

    fn lag_of_transform(&self, hop: &DatasetName, oldest_unread: &[(Unread, Option<DateTime<Utc>>)]) -> Lag {
        let mut lag = Lag { records: None, versions: Some(0), seconds: Some(0) };
        for (unread, since) in oldest_unread.iter().filter(|(unread, _)| unread.hop == *hop) {
            lag.versions = lag.versions.map(|versions| versions + unread.versions);
            lag.seconds = lag.seconds.max(since.map(|since| age(self.now, since)));
        }
        lag
    }
}

/// Whether the hop runs SQL into a table.
fn runs_sql(declared: &CatalogDataset) -> bool {
    !declared.dataset.landed() && declared.dataset.materialized()
}

/// Whole seconds since; zero when a clock says that it lies ahead.
fn age(now: DateTime<Utc>, at: DateTime<Utc>) -> i64 {
    (now - at).num_seconds().max(0)
}

mod slow;
#[cfg(test)]
mod tests;
