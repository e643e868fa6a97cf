//! Every difference between two contracts.

use flowline_model::{Column, ColumnType, Contract, Slo};

use crate::change::{Change, ChangeKind};
use crate::checks;
use crate::types::relation;

/// Every difference between two contracts of one dataset, in the order of the columns; columns are known by their names.
pub fn diff(old: &Contract, new: &Contract) -> Vec<Change> {
    let mut changes = Vec::new();
    for column in &new.columns {
        match old.column(&column.name) {
            Some(before) => column_changes(before, column, &mut changes),
            None => changes.push(added(old, new, column)),
        }
    }
    for column in old.columns.iter().filter(|column| new.column(&column.name).is_none()) {
        changes.push(removed(old, new, column));
    }
    changes.extend(order(old, new));
    changes.extend(key(&old.key, &new.key));
    if old.compatibility != new.compatibility {
        let (before, after) = (old.compatibility.clone(), new.compatibility.clone());
        let shown = |rule: &Option<String>| rule.as_deref().unwrap_or("not set").to_owned();
        let message = format!("the rule for changes was {} and is {}", shown(&before), shown(&after));
        changes.push(Change::new(ChangeKind::Compatibility, message).values(before, after));
    }
    slo(&old.slo, &new.slo, &mut changes);
    changes.extend(checks::changes(old, new));
    changes
}

fn added(old: &Contract, new: &Contract, column: &Column) -> Change {
    let (name, kind) = (&column.name, &column.data_type);
    let what = if column.required { "is added and required" } else { "is added" };
    let mut message = format!("`{name}` ({kind}) {what}");
    if let Some(other) = other_name(column, old, new) {
        message.push_str(&format!("; it looks like `{}` under another name", other.name));
    }
    let change =
        Change::new(ChangeKind::ColumnAdded, message).column(name).values(None, Some(kind.to_string()));
    if column.required { change.tightens() } else { change }
}

fn removed(old: &Contract, new: &Contract, column: &Column) -> Change {
    let (name, kind) = (&column.name, &column.data_type);
    let mut message = format!("`{name}` ({kind}) is gone");
    if let Some(other) = other_name(column, new, old) {
        message.push_str(&format!("; it looks like `{}` under another name", other.name));
    }
    Change::new(ChangeKind::ColumnRemoved, message)
        .column(name)
        .values(Some(kind.to_string()), None)
        .loosens()
}

/// The column of `there` that may be this one of `here` under another name: one that `here` does not have, that takes
/// its values from the same field, or that is the only one with the same type and the same words about it.
fn other_name<'a>(column: &Column, there: &'a Contract, here: &Contract) -> Option<&'a Column> {
    let mut candidates = there.columns.iter().filter(|other| here.column(&other.name).is_none());
    let like = |other: &Column| {
        other.field_name() == column.field_name()
            || (other.data_type == column.data_type
                && other.pii == column.pii
                && (other.description.is_some() && other.description == column.description))
    };
    let found = candidates.clone().find(|other| like(other));
    found.or_else(|| {
        let gone_here = here.columns.iter().filter(|other| there.column(&other.name).is_none()).count();
        let only = candidates.next().filter(|other| other.data_type == column.data_type);
        only.filter(|_| gone_here == 1 && candidates.next().is_none())
    })
}

fn column_changes(old: &Column, new: &Column, changes: &mut Vec<Change>) {
    let name = &new.name;
    if old.data_type != new.data_type {
        type_changes(name, &old.data_type, &new.data_type, changes);
    }
    let flag = |kind, before: bool, tight: &str, loose: &str| {
        let message = if before { loose } else { tight };
        let change = Change::new(kind, format!("`{name}` {message}"))
            .column(name)
            .values(Some(before.to_string()), Some((!before).to_string()));
        if before { change.loosens() } else { change.tightens() }
    };
    if old.required != new.required {
        changes.push(flag(ChangeKind::Required, old.required, "is required now", "may be null now"));
    }
    if old.unique != new.unique {
        let (tight, loose) = ("must be unique now", "may have the same value in two rows now");
        changes.push(flag(ChangeKind::Unique, old.unique, tight, loose));
    }
    if old.check != new.check {
        changes.push(check_change(name, old.check.as_deref(), new.check.as_deref()));
    }
    if old.pii != new.pii {
        changes.push(pii_change(name, old.pii.as_deref(), new.pii.as_deref()));
    }
    if old.field_name() != new.field_name() {
        let (before, after) = (old.field_name().to_owned(), new.field_name().to_owned());
        let message = format!("`{name}` is taken from the field `{after}`, no longer from `{before}`");
        let mut change =
            Change::new(ChangeKind::Field, message).column(name).values(Some(before), Some(after));
        change.producers = false;
        changes.push(change);
    }
    if old.format != new.format {
        let shown = |format: &Option<String>| format.clone().unwrap_or_else(|| "ISO 8601".to_owned());
        let message =
            format!("`{name}` is written as {} and no longer as {}", shown(&new.format), shown(&old.format));
        let mut change = Change::new(ChangeKind::Format, message)
            .column(name)
            .values(old.format.clone(), new.format.clone());
        change.producers = false;
        changes.push(change);
    }
    if old.description != new.description {
        let change = Change::new(ChangeKind::Description, format!("`{name}` is described in other words"));
        changes.push(change.column(name).values(old.description.clone(), new.description.clone()));
    }
}

/// The change of a type, told at the field that it is in where both are structs.
fn type_changes(path: &str, old: &ColumnType, new: &ColumnType, changes: &mut Vec<Change>) {
    match (old, new) {
        (ColumnType::List(old), ColumnType::List(new)) if is_struct(old) && is_struct(new) => {
            type_changes(&format!("{path}[]"), old, new, changes);
        }
        (ColumnType::Struct(old), ColumnType::Struct(new)) => struct_changes(path, old, new, changes),
        (old, new) => {
            let relation = relation(old, new);
            let what = match (relation.backward, relation.forward) {
                (true, true) => "is written differently",
                (true, false) => "is wider",
                (false, true) => "is narrower",
                (false, false) => "is another type",
            };
            let mut change =
                Change::new(ChangeKind::Type, format!("`{path}` was {old} and is {new}, which {what}"))
                    .column(path)
                    .values(Some(old.to_string()), Some(new.to_string()));
            (change.backward, change.forward, change.producers) =
                (relation.backward, relation.forward, relation.producers);
            changes.push(change);
        }
    }
}

fn is_struct(kind: &ColumnType) -> bool {
    matches!(kind, ColumnType::Struct(_))
}

type Fields = [(String, ColumnType)];

fn struct_changes(path: &str, old: &Fields, new: &Fields, changes: &mut Vec<Change>) {
    let before = changes.len();
    for (name, kind) in new {
        let inner = format!("{path}.{name}");
        match old.iter().find(|(other, _)| other == name) {
            Some((_, was)) if was != kind => type_changes(&inner, was, kind, changes),
            Some(_) => {}
            None => changes.push(
                Change::new(ChangeKind::ColumnAdded, format!("`{inner}` ({kind}) is added"))
                    .column(&inner)
                    .values(None, Some(kind.to_string())),
            ),
        }
    }
    for (name, kind) in old.iter().filter(|(name, _)| !new.iter().any(|(other, _)| other == name)) {
        let inner = format!("{path}.{name}");
        let change = Change::new(ChangeKind::ColumnRemoved, format!("`{inner}` ({kind}) is gone"));
        changes.push(change.column(&inner).values(Some(kind.to_string()), None).loosens());
    }
    if changes.len() == before {
        let change = Change::new(ChangeKind::Order, format!("the fields of `{path}` stand in another order"));
        changes.push(change.column(path));
    }
}

/// What a condition means for rows is not known here: a changed one is compatible in neither direction.
fn check_change(name: &str, old: Option<&str>, new: Option<&str>) -> Change {
    let message = match (old, new) {
        (None, Some(new)) => format!("`{name}` must meet `{new}` now"),
        (Some(old), None) => format!("`{name}` need not meet `{old}` any more"),
        (old, new) => {
            format!(
                "`{name}` must meet `{}` and no longer `{}`",
                new.unwrap_or_default(),
                old.unwrap_or_default()
            )
        }
    };
    let change = Change::new(ChangeKind::Check, message)
        .column(name)
        .values(old.map(str::to_owned), new.map(str::to_owned));
    let change = if new.is_some() { change.tightens() } else { change };
    if old.is_some() { change.loosens() } else { change }
}

fn pii_change(name: &str, old: Option<&str>, new: Option<&str>) -> Change {
    let message = match (old, new) {
        (None, Some(new)) => format!("`{name}` holds personal data now: {new}; readers may see it masked"),
        (Some(old), None) => {
            format!(
                "`{name}` no longer counts as personal data ({old}); whoever may read it sees it unmasked"
            )
        }
        (old, new) => format!(
            "`{name}` holds personal data of another kind: {}, no longer {}",
            new.unwrap_or_default(),
            old.unwrap_or_default()
        ),
    };
    Change::new(ChangeKind::Pii, message).column(name).values(old.map(str::to_owned), new.map(str::to_owned))
}

fn order(old: &Contract, new: &Contract) -> Option<Change> {
    let common = |one: &Contract, other: &Contract| -> Vec<String> {
        let both = one.columns.iter().filter(|column| other.column(&column.name).is_some());
        both.map(|column| column.name.clone()).collect()
    };
    let (before, after) = (common(old, new), common(new, old));
    let message = "the columns stand in another order; readers name columns, so nothing breaks";
    (before != after).then(|| {
        Change::new(ChangeKind::Order, message).values(Some(before.join(", ")), Some(after.join(", ")))
    })
}

/// Rows that are unique by some columns are unique by more of them, not by less.
fn key(old: &[String], new: &[String]) -> Option<Change> {
    if old == new {
        return None;
    }
    let shown = |key: &[String]| if key.is_empty() { "none".to_owned() } else { key.join(", ") };
    let message = format!("the key was {} and is {}", shown(old), shown(new));
    let change = Change::new(ChangeKind::Key, message).values(Some(old.join(", ")), Some(new.join(", ")));
    let within =
        |few: &[String], many: &[String]| !few.is_empty() && few.iter().all(|name| many.contains(name));
    let unique_still = new.is_empty() || within(old, new);
    let unique_before = old.is_empty() || within(new, old);
    let change = if unique_still { change } else { change.tightens() };
    Some(if unique_before { change } else { change.loosens() })
}

fn slo(old: &Slo, new: &Slo, changes: &mut Vec<Change>) {
    let mut add = |what: &str, before: Option<String>, after: Option<String>, weaker: bool| {
        if before == after {
            return;
        }
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "not promised".to_owned());
        let message = format!("{what} was {} and is {}", shown(&before), shown(&after));
        let change = Change::new(ChangeKind::Slo, message).values(before, after);
        changes.push(if weaker { change.loosens() } else { change });
    };
    let seconds =
        |within: Option<std::time::Duration>| within.map(|within| format!("{}s", within.as_secs_f64()));
    let percent = |share: Option<f64>| share.map(|share| format!("{}%", round(share * 100.0)));
    let lower = |old: Option<f64>, new: Option<f64>| old.is_some_and(|old| new.is_none_or(|new| new < old));
    let older = match (old.freshness_within, new.freshness_within) {
        (Some(old), Some(new)) => new > old,
        (old, new) => old.is_some() && new.is_none(),
    };
    add("freshness", seconds(old.freshness_within), seconds(new.freshness_within), older);
    let weaker = lower(old.freshness_target, new.freshness_target);
    add("the target of freshness", percent(old.freshness_target), percent(new.freshness_target), weaker);
    let weaker = lower(old.completeness_target, new.completeness_target);
    add(
        "the target of completeness",
        percent(old.completeness_target),
        percent(new.completeness_target),
        weaker,
    );
}

fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}
