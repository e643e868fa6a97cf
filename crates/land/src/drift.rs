//! Drift: records that depart from the contract where it lets them pass, or from the records before them.
//!
//! Owns: what is remembered of a dataset's rows while it lands ([`DriftWatch`]), which records are set aside or held up
//! because of it (`on_drift`), and what is said of it: positions, producer, examples, the version of the contract that
//! the records fit best, and a suspected rename. Does not own: when rows depart from those before
//! (`flowline_quality::drift`), what is noted of single records (`decode`).
//!
//! What is normal is what the table holds: the memory is read back from its newest rows when a lander opens, so a
//! change that was landed is normal after a restart, and one that was set aside or held up is not. What moves slowly is
//! kept beside the table, since the newest rows do not show it.

mod examples;
mod kept;
mod learn;
mod names;
mod report;
mod window;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use flowline_ledger::Ledger;
use flowline_model::{
    ContractVersion, Dataset, Drift, Fate, Finding, FindingKind, OnDrift, Rename, Severity,
};
use flowline_quality::RowVerdicts;
use flowline_quality::drift::Baseline;
use parking_lot::Mutex;

use crate::LandError;
use crate::decode::{Decoded, Place};
use crate::parcel::Parcel;

use kept::Kept;
use report::Reporter;
use window::Windows;

/// After so many windows of drift, one behind the other, the rows are as they are: 20,000 rows.
const ADOPT_AFTER: u32 = 40;

/// What is remembered of the rows of a dataset while it lands.
#[derive(Debug)]
pub(crate) struct DriftWatch {
    dataset: Arc<Dataset>,
    /// The versions of the contract, the newest first.
    versions: Vec<ContractVersion>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    baseline: Baseline,
    windows: Windows,
    /// Where landing was last held up, so that it is told once.
    held: Option<String>,
    /// The newest point of a slow change that is kept.
    kept: Option<i64>,
}

/// A record that is not landed because of drift.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SetAside {
    /// Its row among those that were decoded.
    pub(crate) row: usize,
    pub(crate) kind: FindingKind,
    /// The column concerned, or the field that is none.
    pub(crate) column: Option<String>,
    pub(crate) message: String,
}

/// Something that was found, before it is part of a flush.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) kind: FindingKind,
    pub(crate) severity: Severity,
    pub(crate) subject: String,
    pub(crate) message: String,
    pub(crate) count: u64,
    pub(crate) first: String,
    pub(crate) last: String,
    pub(crate) drift: Drift,
}

/// What was found in a parcel.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) found: Vec<Found>,
    /// For each decoded batch, the records that are not landed.
    pub(crate) aside: Vec<Vec<SetAside>>,
    /// Nothing of the parcel is to be landed.
    pub(crate) held: bool,
    /// Columns that are suspected to come under another name.
    pub(crate) renames: BTreeMap<String, Rename>,
    /// The version that records with other fields than the contract's fit best.
    pub(crate) closest: Option<u32>,
}

impl DriftWatch {
    /// A memory that knows nothing but the contract.
    fn new(dataset: Arc<Dataset>, versions: Vec<ContractVersion>) -> Self {
        let baseline = learn::baseline(&dataset);
        let state = State { baseline, windows: Windows::default(), held: None, kept: None };
        Self { dataset, versions, state: Mutex::new(state) }
    }

    /// Records held against the contract alone, whatever was before: for those that are landed once more.
    pub(crate) fn of_contract(dataset: Arc<Dataset>) -> Self {
        let watch = Self::new(dataset, Vec::new());
        watch.state.lock().baseline = Baseline::new([], None);
        watch
    }

    /// The memory of a dataset, read back from the newest rows of its table.
    pub(crate) async fn open(
        dataset: Arc<Dataset>,
        ledger: &dyn Ledger,
        table: &flowline_lake::Table,
    ) -> Result<Self, LandError> {
        let versions = ledger.contracts(Some(&dataset.name)).await?;
        let watch = Self::new(Arc::clone(&dataset), versions);
        if let Some(mut kept) = Kept::newest(table).await {
            let mut state = watch.state.lock();
            kept.resume(&dataset, &mut state.baseline);
            state.kept = kept.points.last_key_value().map(|(point, _)| *point);
            state.windows.points = kept.points;
        }
        if let Some(rows) = learn::newest_rows(&dataset, table).await? {
            watch.state.lock().baseline.learn(&rows);
        }
        Ok(watch)
    }

    /// Keeps what moves slowly beside the table, where another point of it has begun since; or whatever there is of it,
    /// when landing stops.
    pub(crate) async fn keep(&self, table: &flowline_lake::Table, at: DateTime<Utc>, stops: bool) {
        let kept = {
            let mut state = self.state.lock();
            let newest = state.windows.points.last_key_value().map(|(point, _)| *point);
            if newest.is_none() || (newest == state.kept && !stops) {
                return;
            }
            state.kept = newest;
            Kept::of(&self.dataset, &state.baseline, &state.windows.points)
        };
        kept.keep(table, at).await;
    }

    /// Holds a parcel against the contract and the records before it. Busy: belongs on a blocking thread. Cost on
    /// records without drift: see [`Baseline::observe`].
    pub(crate) fn look(&self, parcel: &Parcel, decoded: &[(Decoded, RowVerdicts)]) -> Watched {
        let mut state = self.state.lock();
        let stops = self.dataset.on_drift == OnDrift::Stop;
        // What is held up comes again and must be found again, so it leaves nothing behind.
        let before = stops.then(|| (state.baseline.clone(), state.windows.clone()));
        let mut watched = Watched { aside: vec![Vec::new(); decoded.len()], ..Watched::default() };
        let mut reporter = Reporter::new(&self.dataset, &self.versions, parcel);
        for (index, (decoded, _)) in decoded.iter().enumerate() {
            let State { baseline, windows, .. } = &mut *state;
            let signals = windows.take(parcel, decoded, baseline);
            reporter.departures(decoded, baseline);
            reporter.signals(decoded, &signals);
            if self.dataset.on_drift == OnDrift::Quarantine {
                watched.aside[index] = reporter.aside(decoded, &signals);
            }
        }
        watched.renames = std::mem::take(&mut reporter.renames);
        watched.closest = reporter.closest;
        watched.found = reporter.finish();
        watched.held = watched.found.iter().any(|found| found.drift.fate == Fate::Held);
        if let Some((baseline, windows)) = before.filter(|_| watched.held) {
            (state.baseline, state.windows) = (baseline, windows);
        }
        watched
    }

    /// Whether landing was not held up by this before; asked once for each time that it is.
    pub(crate) fn is_news(&self, found: &[Found]) -> bool {
        let first = found.first().map(|found| found.first.clone());
        let held = std::mem::replace(&mut self.state.lock().held, first.clone());
        held != first
    }
}

impl Found {
    /// The finding as the ledger keeps it.
    pub(crate) fn finding(
        self,
        dataset: &Dataset,
        run: Option<flowline_base::RunId>,
        found_at: chrono::DateTime<chrono::Utc>,
    ) -> Finding {
        Finding {
            dataset: dataset.name.clone(),
            kind: self.kind,
            severity: self.severity,
            subject: self.subject,
            message: self.message,
            count: self.count,
            first_position: Some(self.first),
            last_position: Some(self.last),
            run,
            found_at,
            drift: Some(Box::new(self.drift)),
        }
    }
}

/// What becomes of a record in which there is drift of a kind.
fn fate(policy: OnDrift, kind: FindingKind) -> Fate {
    match policy {
        // It concerns no record more than others.
        _ if kind == FindingKind::SlowChange => Fate::Accepted,
        OnDrift::Quarantine => Fate::Quarantined,
        OnDrift::Stop => Fate::Held,
        OnDrift::AcceptNewFields => match kind {
            FindingKind::UnknownField => Fate::KeptInExtra,
            FindingKind::CoercedType => Fate::Coerced,
            _ => Fate::Accepted,
        },
    }
}

/// The row of a place among those that were decoded; none when the record is no row.
fn row_of(decoded: &Decoded, place: Place) -> Option<usize> {
    decoded.places.binary_search(&place).ok()
}
