//! The judgement over all contracts of two states of a project.

use std::collections::{BTreeMap, BTreeSet};

use flowline_model::{Contract, DatasetName};
use serde::Serialize;

use crate::change::{Change, ChangeKind, Compatibility};
use crate::diff;
use crate::flow::{Flow, Hit, HitKind};

/// The contracts of a project at one time.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What it is called in the report: `main`, `version 3`, `the working tree`.
    pub name: String,
    /// The contracts.
    pub contracts: BTreeMap<DatasetName, Contract>,
}

/// What changes between two states, whom it hits, and whether it may.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What is compared with.
    pub from: String,
    /// What is judged.
    pub to: String,
    /// Whether anything may not be.
    pub verdict: Verdict,
    /// The datasets whose contract changes, by name.
    pub datasets: Vec<DatasetReport>,
}

/// Whether a change may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It breaks the rule of a dataset, or a consumer that is declared.
    Refused,
}

/// What changes in the contract of one dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatasetReport {
    /// The dataset.
    pub dataset: DatasetName,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The rule that changes must follow: the one that held before, so that no change is let in by changing the rule
    /// along with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// In which directions all of it together is compatible.
    pub compatibility: Compatibility,
    /// Whether it may be.
    pub verdict: Verdict,
    /// Why not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The changes, those that break something first.
    pub changes: Vec<JudgedChange>,
}

/// A change and whom it hits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JudgedChange {
    /// The change.
    #[serde(flatten)]
    pub change: Change,
    /// In which directions it is compatible.
    pub compatibility: Compatibility,
    /// What works no longer.
    pub breaks: Vec<Hit>,
    /// What is made from it and may give other values.
    pub affects: Vec<Hit>,
}

/// Holds every contract of one state against the same of the other. `flow` is of the state that is judged: whoever
/// no longer reads a column is not hit by its loss. The origins of datasets tell what producers are called.
pub fn judge(from: &State, to: &State, flow: &Flow, origins: &BTreeMap<DatasetName, String>) -> Report {
    let names: BTreeSet<&DatasetName> = from.contracts.keys().chain(to.contracts.keys()).collect();
    let mut datasets = Vec::new();
    for name in names {
        let (old, new) = (from.contracts.get(name), to.contracts.get(name));
        let changes = match (old, new) {
            (Some(old), Some(new)) => diff(old, new),
            (None, Some(_)) => vec![Change::new(ChangeKind::DatasetAdded, format!("`{name}` is added"))],
            _ => vec![Change::new(ChangeKind::DatasetRemoved, format!("`{name}` is gone")).loosens()],
        };
        if changes.is_empty() {
            continue;
        }
        let rule = old.and_then(|old| old.compatibility.clone());
        let rule = rule.or_else(|| new.and_then(|new| new.compatibility.clone()));
        let judged = changes.into_iter().map(|change| judge_change(name, change, flow, origins));
        datasets.push(judge_dataset(name, rule, judged.collect(), flow));
    }
    let verdict = datasets.iter().map(|dataset| dataset.verdict).max().unwrap_or(Verdict::Allowed);
    Report { from: from.name.clone(), to: to.name.clone(), verdict, datasets }
}

fn judge_change(
    dataset: &DatasetName,
    change: Change,
    flow: &Flow,
    origins: &BTreeMap<DatasetName, String>,
) -> JudgedChange {
    // A field within a column belongs to the column that consumers and lineage name.
    let column = change.column.as_deref().map(|path| path.split(['.', '[']).next().unwrap_or(path));
    let mut breaks = Vec::new();
    if !change.forward {
        breaks.extend(flow.readers(dataset, column));
    }
    let plain = |kind, name: &str| Hit {
        kind,
        name: name.to_owned(),
        owner: None,
        column: change.column.clone(),
        through: None,
    };
    if !change.producers
        && let Some(origin) = origins.get(dataset)
    {
        breaks.push(plain(HitKind::Producers, origin));
    }
    if !change.backward {
        breaks.push(plain(HitKind::StoredRows, &dataset.to_string()));
    }
    let says_nothing_of_values = matches!(
        change.kind,
        ChangeKind::Description | ChangeKind::Order | ChangeKind::Compatibility | ChangeKind::DatasetAdded
    );
    // A check that only warns keeps no row from anybody.
    let warns = change.kind == ChangeKind::Check && change.producers;
    let affects = if change.forward && change.backward && (says_nothing_of_values || warns) {
        Vec::new()
    } else {
        flow.downstream(dataset, column)
    };
    JudgedChange { compatibility: change.compatibility(), change, breaks, affects }
}

fn judge_dataset(
    name: &DatasetName,
    rule: Option<String>,
    mut changes: Vec<JudgedChange>,
    flow: &Flow,
) -> DatasetReport {
    changes.sort_by_key(|judged| std::cmp::Reverse(judged.compatibility));
    let compatibility = Compatibility::of(
        changes.iter().all(|judged| judged.change.backward),
        changes.iter().all(|judged| judged.change.forward),
    );
    let mut reasons = Vec::new();
    for judged in &changes {
        let message = &judged.change.message;
        let rule_word = rule.as_deref().unwrap_or_default();
        if !judged.compatibility.allowed_by(rule.as_deref()) {
            reasons.push(format!(
                "{message}: the rule is `{rule_word}`, and this is {}",
                kept(judged.compatibility)
            ));
        }
        // A rule of `none` says that readers follow; without a rule nobody has said so.
        if rule.as_deref() != Some("none") {
            for hit in judged.breaks.iter().filter(|hit| hit.kind == HitKind::Consumer) {
                let owner = hit.owner.as_deref().unwrap_or_default();
                reasons.push(format!("{message}: `{}` ({owner}) reads it", hit.name));
            }
        }
    }
    let verdict = if reasons.is_empty() { Verdict::Allowed } else { Verdict::Refused };
    let owner = flow.owners.get(name).cloned();
    DatasetReport { dataset: name.clone(), owner, rule, compatibility, verdict, reasons, changes }
}

fn kept(compatibility: Compatibility) -> &'static str {
    match compatibility {
        Compatibility::Full => "compatible in both directions",
        Compatibility::Backward => "compatible backward only",
        Compatibility::Forward => "compatible forward only",
        Compatibility::Breaking => "compatible in no direction",
    }
}
