//! Differences between the checks of two contracts.
//!
//! A check that only warns promises nothing: whatever becomes of it is compatible. One that keeps rows or commits back is
//! a promise to readers, and a demand on producers.

use std::cmp::Ordering;

use flowline_model::{Check, CheckRule, CheckSeverity, Contract};

use crate::change::{Change, ChangeKind};

/// The differences, in the order of the new checks; a check is known by its name, or else by what must hold.
pub(crate) fn changes(old: &Contract, new: &Contract) -> Vec<Change> {
    let named = |all: &[Check], name: &str| all.iter().any(|check| check.name == name);
    let mut changes = Vec::new();
    let mut renamed: Vec<&str> = Vec::new();
    for check in &new.checks {
        let before = old.checks.iter().find(|before| before.name == check.name).or_else(|| {
            let same = |before: &&Check| before.rule == check.rule && !named(&new.checks, &before.name);
            old.checks.iter().find(same)
        });
        match before {
            Some(before) => {
                renamed.push(&before.name);
                changes.extend(changed(before, check));
            }
            None => changes.push(added(check)),
        }
    }
    let gone = old.checks.iter().filter(|check| !renamed.contains(&check.name.as_str()));
    changes.extend(gone.map(removed));
    changes
}

fn change(check: &Check, message: String) -> Change {
    let change = Change::new(ChangeKind::Check, message);
    match check.columns().as_slice() {
        [column] => change.column(*column),
        _ => change,
    }
}

fn keeps_back(check: &Check) -> bool {
    check.severity != CheckSeverity::Warn
}

fn added(check: &Check) -> Change {
    let change = change(check, format!("the check `{}` ({}) is added", check.name, words(check)))
        .values(None, Some(text(check)));
    if keeps_back(check) { change.tightens() } else { change }
}

fn removed(check: &Check) -> Change {
    let change = change(check, format!("the check `{}` ({}) is gone", check.name, words(check)))
        .values(Some(text(check)), None);
    if keeps_back(check) { change.loosens() } else { change }
}

/// What it is and does, in words: `range, quarantine_rows`.
fn words(check: &Check) -> String {
    format!("{}, {}", check.rule.kind(), check.severity.as_str())
}

/// What must hold, for programs.
fn text(check: &Check) -> String {
    serde_json::json!({ "severity": check.severity, "tolerance": check.tolerance, "rule": check.rule })
        .to_string()
}

fn changed(old: &Check, new: &Check) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut add = |what: String, bound: Bound| {
        let message = format!("the check `{}` {what}", new.name);
        let change = change(new, message).values(Some(text(old)), Some(text(new)));
        // What only warns, before and after, keeps nothing back.
        let change = if bound.tighter && keeps_back(new) { change.tightens() } else { change };
        changes.push(if bound.looser && keeps_back(old) { change.loosens() } else { change });
    };
    let bound =
        |order: Ordering| Bound { tighter: order == Ordering::Greater, looser: order == Ordering::Less };
    if old.name != new.name {
        add(format!("was called `{}`", old.name), Bound::default());
    }
    if old.severity != new.severity {
        let what = format!("was {} and is {}", old.severity.as_str(), new.severity.as_str());
        add(what, bound(keeps_back(new).cmp(&keeps_back(old))));
    }
    if old.tolerance.total_cmp(&new.tolerance).is_ne() {
        let percent = |share: f64| format!("{}%", (share * 1e8).round() / 1e6);
        let what = format!("tolerated {} and tolerates {}", percent(old.tolerance), percent(new.tolerance));
        add(what, bound(old.tolerance.total_cmp(&new.tolerance)));
    }
    if old.rule != new.rule {
        add("asks for something else".to_owned(), Bound::between(&old.rule, &new.rule));
    }
    if old.owner != new.owner {
        add(format!("was owned by {} and is by {}", old.owner, new.owner), Bound::default());
    }
    if old.description != new.description {
        add("is described in other words".to_owned(), Bound::default());
    }
    changes
}

/// What a change does to the data that passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bound {
    /// Something that passed passes no longer.
    tighter: bool,
    /// Something passes that did not.
    looser: bool,
}

impl Bound {
    /// Where it is not known what a change means, it does both.
    const BOTH: Self = Self { tighter: true, looser: true };

    fn and(self, other: Self) -> Self {
        Self { tighter: self.tighter || other.tighter, looser: self.looser || other.looser }
    }

    fn between(old: &CheckRule, new: &CheckRule) -> Self {
        match (old, new) {
            (
                CheckRule::Range { column: one, min, max },
                CheckRule::Range { column: other, min: new_min, max: new_max },
            ) if one == other => least(min.as_deref(), new_min.as_deref(), texts).and(most(
                max.as_deref(),
                new_max.as_deref(),
                texts,
            )),
            (
                CheckRule::Length { column: one, min, max },
                CheckRule::Length { column: other, min: new_min, max: new_max },
            ) if one == other => least(*min, *new_min, numbers).and(most(*max, *new_max, numbers)),
            (CheckRule::RowCount { min, max }, CheckRule::RowCount { min: new_min, max: new_max }) => {
                least(*min, *new_min, numbers).and(most(*max, *new_max, numbers))
            }
            (
                CheckRule::AcceptedValues { column: one, values },
                CheckRule::AcceptedValues { column: other, values: new_values },
            ) if one == other => Self {
                tighter: values.iter().any(|value| !new_values.contains(value)),
                looser: new_values.iter().any(|value| !values.contains(value)),
            },
            (
                CheckRule::Freshness { column: one, within },
                CheckRule::Freshness { column: other, within: new_within },
            ) if one == other => Self { tighter: new_within < within, looser: new_within > within },
            _ => Self::BOTH,
        }
    }
}

/// A lower bound that rises is tighter.
fn least<T: Copy>(old: Option<T>, new: Option<T>, order: impl Fn(T, T) -> Option<Ordering>) -> Bound {
    match (old, new) {
        (None, None) => Bound::default(),
        (None, Some(_)) => Bound { tighter: true, looser: false },
        (Some(_), None) => Bound { tighter: false, looser: true },
        (Some(old), Some(new)) => order(new, old).map_or(Bound::BOTH, |order| Bound {
            tighter: order == Ordering::Greater,
            looser: order == Ordering::Less,
        }),
    }
}

fn most<T: Copy>(old: Option<T>, new: Option<T>, order: impl Fn(T, T) -> Option<Ordering>) -> Bound {
    least(old, new, |new, old| order(old, new))
}

fn numbers(one: u64, other: u64) -> Option<Ordering> {
    Some(one.cmp(&other))
}

/// Bounds are written in the type of their column: numbers are told by their value, dates and times in one form by their
/// letters; of anything else the order is not known here.
fn texts(one: &str, other: &str) -> Option<Ordering> {
    if one == other {
        return Some(Ordering::Equal);
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one.partial_cmp(&other).filter(|order| order.is_ne()),
        (Err(_), Err(_)) if one.len() == other.len() && is_time(one) && is_time(other) => {
            Some(one.cmp(other))
        }
        _ => None,
    }
}

fn is_time(text: &str) -> bool {
    let begins = text
        .as_bytes()
        .get(..5)
        .is_some_and(|begin| begin[..4].iter().all(u8::is_ascii_digit) && begin[4] == b'-');
    begins && !text.contains('+')
}
