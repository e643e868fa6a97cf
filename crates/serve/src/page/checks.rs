//! The checks of each dataset with what they said last: what is declared, held against `system.checks`. Pure.

use std::collections::BTreeMap;

use flowline_model::{CheckSeverity, Plan};
use flowline_view::CheckRow;

/// Parts of a dataset that one check does not hold for and that are shown.
const PARTS_MAX: usize = 10;

/// The checks of the datasets that have any.
#[derive(Debug, Clone, Default)]
pub(super) struct Checks {
    /// By dataset.
    pub datasets: Vec<DatasetChecks>,
}

/// The checks of one dataset, in the order in which they are declared.
#[derive(Debug, Clone)]
pub(super) struct DatasetChecks {
    pub dataset: String,
    pub checks: Vec<DeclaredCheck>,
}

/// A check with what it said last.
#[derive(Debug, Clone)]
pub(super) struct DeclaredCheck {
    pub name: String,
    pub kind: &'static str,
    pub severity: CheckSeverity,
    pub owner: String,
    pub standing: Standing,
    /// The results that say so: those that do not hold first, of some parts of the dataset at most.
    pub results: Vec<CheckRow>,
    /// Results that are not among them.
    pub more: usize,
}

/// How a check stands; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    Failed,
    CouldNotRun,
    NotYet,
    NotDue,
    Passed,
}

impl Standing {
    pub fn of(verdict: &str) -> Self {
        match verdict {
            "passed" => Self::Passed,
            "not_due" => Self::NotDue,
            "failed" => Self::Failed,
            // What is not known for a pass is none.
            _ => Self::CouldNotRun,
        }
    }

    /// As it is said.
    pub fn word(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotRun => "could not run",
            Self::NotYet => "not run yet",
            Self::NotDue => "not due yet",
            Self::Passed => "passed",
        }
    }

    /// The mark and the colour.
    pub fn state(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::CouldNotRun => "stale",
            Self::NotYet | Self::NotDue => "never",
            Self::Passed => "ok",
        }
    }
}

impl Checks {
    /// The checks that a plan declares, with the newest results.
    pub fn new(plan: &Plan, results: Vec<CheckRow>) -> Self {
        let mut of_check = BTreeMap::<(String, String), Vec<CheckRow>>::new();
        for result in results {
            of_check.entry((result.dataset.clone(), result.name.clone())).or_default().push(result);
        }
        let mut datasets = Vec::new();
        for dataset in plan.datasets.iter().filter(|dataset| !dataset.checks.is_empty()) {
            let name = dataset.name.to_string();
            let declared = dataset.checks.iter().map(|check| {
                let mut results = of_check.remove(&(name.clone(), check.name.clone())).unwrap_or_default();
                results.sort_by_key(|result| (Standing::of(&result.verdict), result.dimension.clone()));
                let standing = results.first().map_or(Standing::NotYet, |first| Standing::of(&first.verdict));
                let failing =
                    results.iter().filter(|result| Standing::of(&result.verdict) != Standing::Passed).count();
                let shown = failing.clamp(1, PARTS_MAX).min(results.len());
                let more = results.len() - shown;
                results.truncate(shown);
                DeclaredCheck {
                    name: check.name.clone(),
                    kind: check.rule.kind(),
                    severity: check.severity,
                    owner: check.owner.clone(),
                    standing,
                    results,
                    more,
                }
            });
            let checks = declared.collect();
            datasets.push(DatasetChecks { dataset: name, checks });
        }
        datasets.sort_by(|one, other| one.dataset.cmp(&other.dataset));
        Self { datasets }
    }

    /// The checks of a dataset.
    pub fn of(&self, dataset: &str) -> Option<&DatasetChecks> {
        self.datasets.iter().find(|checks| checks.dataset == dataset)
    }

    /// How many checks there are that stand so.
    pub fn count(&self, standing: Standing) -> u64 {
        self.datasets.iter().map(|dataset| dataset.count(standing)).sum()
    }
}

impl DatasetChecks {
    /// How many of them stand so.
    pub fn count(&self, standing: Standing) -> u64 {
        self.checks.iter().filter(|check| check.standing == standing).count() as u64
    }

    /// How the worst of them stands.
    pub fn worst(&self) -> Standing {
        self.checks.iter().map(|check| check.standing).min().unwrap_or(Standing::NotYet)
    }
}
