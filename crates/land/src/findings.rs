//! What was found while records were landed, one finding for each kind and subject.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flowline_base::RunId;
use flowline_model::{Column, Dataset, DatasetName, Drift, Finding, FindingKind, Severity};

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
        (FindingKind::FailedRule, Some(name)) => match contract.and_then(|column| column.check.as_deref()) {
            Some(check) => format!("records fail the check of `{name}`: `{check}`"),
            None if contract.is_some_and(|column| column.unique) => {
                format!("values of `{name}` must be unique and are not")
            }
            None => format!("records fail a check of `{name}`"),
        },
        (FindingKind::FailedRule, None) => "records fail a check over several columns".to_owned(),
        _ => "records cannot be read".to_owned(),
    };
    format!("{what}; see `flowline quarantine show {}`", dataset.name)
}
