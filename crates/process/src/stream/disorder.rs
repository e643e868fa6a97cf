//! Rows that come behind the watermark, and rows whose time lies ahead of the clock: how many, how far and from where,
//! told as findings.
//!
//! Owns: what of it was told already. A producer that is always a little late is told once, and again when it is later
//! by half or after an hour; what came in between is in the count of the next finding. It stands in the state of the
//! stream, so that a crash tells nothing twice and forgets nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_model::{DatasetName, Finding, FindingKind, LatePolicy, Severity};
use serde::{Deserialize, Serialize};

/// Times further ahead of the clock than this are told: clocks of machines are seldom closer.
pub(super) const SKEW_MIN: TimeDelta = TimeDelta::seconds(10);
/// What goes on is told again after so long.
const TOLD_AGAIN_AFTER: TimeDelta = TimeDelta::hours(1);

/// Rows of one partition that were out of place in one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Astray {
    /// How many.
    pub rows: u64,
    /// How far, at most, microseconds.
    pub by: i64,
    /// The offset of the first, where it came from a log.
    pub first: Option<i64>,
    /// The offset of the last.
    pub last: Option<i64>,
}

impl Astray {
    /// Counts a row.
    pub fn add(&mut self, by: i64, offset: Option<i64>) {
        self.rows += 1;
        self.by = self.by.max(by);
        self.first = self.first.or(offset);
        self.last = offset.or(self.last);
    }

    fn join(&mut self, other: &Self) {
        self.rows += other.rows;
        self.by = self.by.max(other.by);
        self.first = self.first.or(other.first);
        self.last = other.last.or(self.last);
    }
}

/// What new rows of one partition were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Disorder {
    /// Behind the watermark.
    pub behind: Astray,
    /// Ahead of the clock.
    pub ahead: Astray,
}

/// What was told of one partition, and what was not yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionDisorder {
    behind: Told,
    ahead: Told,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    untold: Astray,
    /// When something was told last.
    at: Option<DateTime<Utc>>,
    /// How far that was, microseconds.
    by: i64,
}

/// By input and partition.
pub(crate) type Disorders = BTreeMap<DatasetName, BTreeMap<i32, PartitionDisorder>>;

impl Told {
    /// What is to be told now.
    fn take(&mut self, now: DateTime<Utc>) -> Option<Astray> {
        let further = self.untold.by > self.by.saturating_add(self.by / 2);
        let due = further || self.at.is_none_or(|at| now >= at + TOLD_AGAIN_AFTER);
        if self.untold.rows == 0 || !due {
            return None;
        }
        (self.at, self.by) = (Some(now), self.by.max(self.untold.by));
        Some(std::mem::take(&mut self.untold))
    }
}

/// Adds what new rows of an input were. `anew` says that rows were looked at again: of partitions that are known, they
/// were counted before.
pub(super) fn note(known: &mut Disorders, input: &DatasetName, found: &BTreeMap<i32, Disorder>, anew: bool) {
    for (partition, disorder) in found {
        let of_input = known.entry(input.clone()).or_default();
        if anew && of_input.contains_key(partition) {
            continue;
        }
        let told = of_input.entry(*partition).or_default();
        told.behind.untold.join(&disorder.behind);
        told.ahead.untold.join(&disorder.ahead);
    }
}

/// The findings that are due. `landed_from` says what a partition of an input is called in positions.
pub(super) fn findings(
    stream: &DatasetName,
    late: LatePolicy,
    known: &mut Disorders,
    now: DateTime<Utc>,
    landed_from: &dyn Fn(&DatasetName, i32) -> Option<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (input, partitions) in known {
        for (partition, told) in partitions {
            let about = About { stream, input, partition: *partition, now, landed_from };
            findings.extend(told.behind.take(now).map(|rows| about.behind(rows, late)));
            findings.extend(told.ahead.take(now).map(|rows| about.ahead(rows)));
        }
    }
    findings
}

struct About<'a> {
    stream: &'a DatasetName,
    input: &'a DatasetName,
    partition: i32,
    now: DateTime<Utc>,
    landed_from: &'a dyn Fn(&DatasetName, i32) -> Option<String>,
}

impl About<'_> {
    fn behind(&self, rows: Astray, late: LatePolicy) -> Finding {
        let becomes = match late {
            LatePolicy::Reopen => "what they change is computed again",
            LatePolicy::Quarantine => "those that count towards nothing open are in quarantine",
            LatePolicy::Drop => "those that count towards nothing open are left out",
        };
        let message = format!(
            "{} rows of partition {} of `{}` came behind the watermark, the furthest by {}; {becomes}; let `watermark` wait that much longer, or find what holds records back",
            rows.rows,
            self.partition,
            self.input,
            shown(rows.by)
        );
        self.finding(FindingKind::BehindWatermark, rows, message)
    }

    fn ahead(&self, rows: Astray) -> Finding {
        let message = format!(
            "{} rows of partition {} of `{}` have times ahead of the clock, the furthest by {}; times more than an hour ahead move no watermark, others close windows too early; set the clock of whoever sends them, or mend the time zone",
            rows.rows,
            self.partition,
            self.input,
            shown(rows.by)
        );
        self.finding(FindingKind::AheadOfClock, rows, message)
    }

    fn finding(&self, kind: FindingKind, rows: Astray, message: String) -> Finding {
        let source = (self.landed_from)(self.input, self.partition);
        let position = |offset: Option<i64>| Some(format!("{}@{}", source.as_deref()?, offset?));
        Finding {
            dataset: self.stream.clone(),
            kind,
            severity: Severity::Warning,
            subject: format!("{}/{}", self.input, self.partition),
            message,
            count: rows.rows,
            first_position: position(rows.first),
            last_position: position(rows.last),
            run: None,
            found_at: self.now,
            drift: None,
        }
    }
}

/// A length of time in words, to the second where it is longer than one.
fn shown(micros: i64) -> String {
    let length = Duration::from_micros(u64::try_from(micros).unwrap_or_default());
    if length < Duration::from_secs(1) {
        return format!("{} ms", length.as_millis());
    }
    let seconds = length.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let parts = parts.iter().filter(|(number, _)| *number > 0).take(2);
    parts.map(|(number, unit)| format!("{number} {unit}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minutes * 60, 0).unwrap()
    }

    #[test]
    fn what_goes_on_is_told_once_until_it_gets_worse() {
        let (stream, input): (DatasetName, DatasetName) =
            ("shop.out".parse().unwrap(), "shop.sales".parse().unwrap());
        let mut known = Disorders::new();
        let mut step = |minute: i64, rows: u64, seconds: i64| {
            let mut disorder = Disorder::default();
            (0..rows)
                .for_each(|row| disorder.behind.add(seconds * 1_000_000, Some(minute * 100 + row as i64)));
            note(&mut known, &input, &BTreeMap::from([(3, disorder)]), false);
            let source = |_: &DatasetName, partition: i32| Some(format!("kafka/ab/{partition}"));
            let found = findings(&stream, LatePolicy::Drop, &mut known, at(minute), &source);
            found
                .iter()
                .map(|finding| (finding.count, finding.first_position.clone().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(step(0, 2, 10), [(2, "kafka/ab/3@0".to_owned())]);
        assert_eq!(step(1, 5, 10), [], "as before");
        assert_eq!(step(2, 1, 14), [], "hardly later");
        assert_eq!(step(3, 1, 16), [(7, "kafka/ab/3@100".to_owned())], "later by half");
        assert_eq!(step(4, 0, 0), []);
        assert_eq!(step(70, 0, 0), [], "nothing new");
        assert_eq!(step(71, 1, 1), [(1, "kafka/ab/3@7100".to_owned())], "an hour later");
        assert_eq!(shown(90_061_000_000), "1 d 1 h");
        assert_eq!(shown(61_000_000), "1 min 1 s");
    }
}
