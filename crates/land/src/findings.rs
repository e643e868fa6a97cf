//! What was found while records were landed, one finding for each kind and subject.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flowline_base::RunId;
use flowline_model::{
    Check, CheckSeverity, Column, Dataset, DatasetName, Drift, Finding, FindingKind, Severity,
};

use crate::drift::Found;

/// The findings of one flush, counted by kind and subject.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    groups: BTreeMap<(FindingKind, String), Group>,
}

#[derive(Debug)]
struct Group {
    message: String,
    count: u64,
    first: Option<String>,
    last: Option<String>,
    drift: Option<Drift>,
    /// Another one than that of its kind.
    severity: Option<Severity>,
}

impl Findings {
    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Counts something at a position.
    pub(crate) fn add(
        &mut self,
        kind: FindingKind,
        subject: &str,
        position: String,
        message: impl FnOnce() -> String,
    ) {
        let group = self.group(kind, subject, message);
        group.count += 1;
        group.first.get_or_insert_with(|| position.clone());
        group.last = Some(position);
    }

    /// Counts something that has no position of its own.
    pub(crate) fn add_count(
        &mut self,
        kind: FindingKind,
        subject: &str,
        count: u64,
        message: impl FnOnce() -> String,
    ) {
        self.group(kind, subject, message).count += count;
    }

    fn group(&mut self, kind: FindingKind, subject: &str, message: impl FnOnce() -> String) -> &mut Group {
        self.groups.entry((kind, subject.to_owned())).or_insert_with(|| Group {
            message: message(),
            count: 0,
            first: None,
            last: None,
            drift: None,
            severity: None,
        })
    }

    /// Takes in what was found of drift; of the same kind and subject it is one finding.
    pub(crate) fn found(&mut self, found: Found) {
        let Found { kind, severity, subject, message, count, first, last, drift } = found;
        let group = self.group(kind, &subject, || message);
        group.count += count;
        group.first.get_or_insert(first);
        group.last = Some(last);
        group.severity = Some(severity);
        let known = group.drift.get_or_insert_with(|| drift.clone());
        // What is suspected later is suspected of all.
        known.renamed = known.renamed.take().or(drift.renamed);
        known.closest_version = known.closest_version.or(drift.closest_version);
    }

    /// Says more of something that was counted.
    pub(crate) fn explain(&mut self, kind: FindingKind, subject: &str, drift: impl FnOnce() -> Drift) {
        if let Some(group) = self.groups.get_mut(&(kind, subject.to_owned()))
            && group.drift.is_none()
        {
            group.drift = Some(drift());
        }
    }

    /// The findings as the ledger keeps them.
    pub(crate) fn finish(
        self,
        dataset: &DatasetName,
        run: Option<RunId>,
        found_at: DateTime<Utc>,
    ) -> Vec<Finding> {
        let finding = |((kind, subject), group): ((FindingKind, String), Group)| Finding {
            dataset: dataset.clone(),
            kind,
            severity: group.severity.unwrap_or_else(|| severity(kind)),
            subject,
            message: group.message,
            count: group.count,
            first_position: group.first,
            last_position: group.last,
            run,
            found_at,
            drift: group.drift.map(Box::new),
        };
        self.groups.into_iter().map(finding).collect()
    }
}

fn severity(kind: FindingKind) -> Severity {
    match kind {
        FindingKind::UnknownField | FindingKind::CoercedType => Severity::Info,
        FindingKind::Missing
        | FindingKind::MissingField
        | FindingKind::NullShare
        | FindingKind::ChangedUnit
        | FindingKind::ChangedValues
        | FindingKind::SlowChange
        | FindingKind::WrongType
        | FindingKind::FailedRule
        | FindingKind::FailedCheck
        | FindingKind::Unparsable
        | FindingKind::Late
        | FindingKind::EmptyFile
        | FindingKind::UnmatchedFile
        | FindingKind::KeysForgotten
        | FindingKind::TopicReplaced
        | FindingKind::BehindWatermark
        | FindingKind::AheadOfClock => Severity::Warning,
        FindingKind::UnreadableFile
        | FindingKind::Imbalance
        | FindingKind::Gap
        | FindingKind::Corruption
        | FindingKind::CheckFailedToRun
        | FindingKind::PartitionDown
        | FindingKind::PartitionsLost => Severity::Error,
    }
}

/// What a finding about rejected records says. It names no value of them: they may be personal, and findings are seen
/// by more people than the quarantine is.
pub(crate) fn rejected_message(dataset: &Dataset, kind: FindingKind, column: Option<&str>) -> String {
    let contract: Option<&Column> = column.and_then(|name| dataset.column(name));
    let what = match (kind, column) {
        (FindingKind::Missing, Some(name)) => format!("records have no `{name}`, which is required"),
        (FindingKind::WrongType, Some(name)) => match contract {
            Some(column) => format!("values of `{name}` are not of type `{}`", column.data_type),
            None => format!("values of `{name}` are not of its type"),
        },
        (FindingKind::FailedRule, Some(name)) => match rules(dataset, contract, name).as_slice() {
            [check] => format!("records fail the check of `{name}`: {check}"),
            [] if contract.is_some_and(|column| column.unique) => {
                format!("values of `{name}` must be unique and are not")
            }
            [] => format!("records fail a check of `{name}`"),
            several => format!("records fail a check of `{name}`: {}", several.join(" or ")),
        },
        (FindingKind::FailedRule, None) => "records fail a check over several columns".to_owned(),
        (FindingKind::Unparsable, Some(name)) => format!("records have `{name}` twice"),
        _ => "records cannot be read".to_owned(),
    };
    format!("{what}; see `flowline quarantine show {}`", dataset.name)
}

/// What a value of a column must meet to be landed, as it is told.
fn rules(dataset: &Dataset, contract: Option<&Column>, name: &str) -> Vec<String> {
    let own = contract.and_then(|column| column.check.as_ref());
    let own = own.map(|check| format!("`{check}`"));
    let sets_aside = |check: &&Check| {
        check.severity != CheckSeverity::Warn && check.rule.by_row() && check.rule.columns() == [name]
    };
    let checks = dataset.checks.iter().filter(sets_aside).map(|check| format!("`{}`", check.name));
    own.into_iter().chain(checks).collect()
}

#[cfg(test)]
mod tests {
    use flowline_model::CheckRule;
    use flowline_testkit::http_dataset;

    use super::*;

    #[test]
    fn every_rule_that_a_record_may_have_failed_is_named() {
        let mut dataset = http_dataset("shop.orders", &[("amount", "int64"), ("id", "string")]);
        let told =
            |dataset: &Dataset, column| rejected_message(dataset, FindingKind::FailedRule, Some(column));
        let see = "; see `flowline quarantine show shop.orders`";
        assert_eq!(told(&dataset, "amount"), format!("records fail a check of `amount`{see}"));
        dataset.columns[0].check = Some("amount > 0".to_owned());
        assert_eq!(
            told(&dataset, "amount"),
            format!("records fail the check of `amount`: `amount > 0`{see}")
        );
        let check = |name: &str, column: &str, severity| Check {
            name: name.to_owned(),
            description: None,
            owner: "team".to_owned(),
            severity,
            tolerance: 0.0,
            rule: CheckRule::Required { column: column.to_owned() },
        };
        dataset.checks = vec![
            check("there", "amount", CheckSeverity::QuarantineRows),
            check("said", "amount", CheckSeverity::Warn),
            check("named", "id", CheckSeverity::Block),
        ];
        assert_eq!(
            told(&dataset, "amount"),
            format!("records fail a check of `amount`: `amount > 0` or `there`{see}")
        );
        assert_eq!(told(&dataset, "id"), format!("records fail the check of `id`: `named`{see}"));
    }
}
