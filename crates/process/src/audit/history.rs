//! Checks about what came when, and what it looked like: from the table's log and from profiles, without a scan.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use datafusion::scalar::ScalarValue;
use flowline_lake::{FileRef, Table, TableId};
use flowline_ledger::{CheckFilter, ProfileFilter};
use flowline_model::{
    Anomaly, AnomalyMetric, Check, CheckRule, ColumnProfile, Dataset, PartitionTransform, RecordedProfile,
};
use flowline_quality::Outcome;
use flowline_quality::anomaly::Point;
use flowline_quality::outcome::{self, Calendar};
use flowline_quality::volume::{self, AddedFile};

use super::{Auditor, Outcomes};
use crate::ProcessError;

/// So many commits are gone through for what came when; what lies further back is known from earlier results.
const COMMITS_MAX: i64 = 5_000;
/// So many earlier results of a check are read.
const RESULTS_MAX: u32 = 10_000;
/// So many versions are looked at for metrics of columns.
const VERSIONS_MAX: u32 = 500;

fn table(auditor: &Auditor, dataset: &Dataset) -> Table {
    auditor.engine.lake().table(TableId::of(dataset))
}

/// When rows were last changed.
pub(super) async fn newest_commit(
    auditor: &Auditor,
    dataset: &Dataset,
) -> Result<Option<DateTime<Utc>>, ProcessError> {
    let history = table(auditor, dataset).history(None, COMMITS_MAX as usize).await;
    let history =
        history.map_err(ProcessError::lake(format!("reading the history of `{}`", dataset.name)))?;
    Ok(history
        .iter()
        .find(|entry| entry.data_changed && entry.rows_added > 0)
        .map(|entry| entry.committed_at))
}

/// Whether every period has its partition.
pub(super) async fn partitions(
    auditor: &Auditor,
    dataset: &Dataset,
    column: &str,
    after: Duration,
    periods: u32,
    tolerance: f64,
) -> Result<Outcome, ProcessError> {
    let calendar = dataset.partition_by.iter().find(|field| field.partition_column() == column);
    let calendar = match calendar.map(|field| field.transform) {
        Some(PartitionTransform::Day | PartitionTransform::Identity) => Calendar::Days,
        Some(PartitionTransform::Month) => Calendar::Months,
        Some(PartitionTransform::Year) => Calendar::Years,
        None => return Ok(Outcome::not_evaluated(format!("the table is not split by `{column}`"))),
    };
    let table = table(auditor, dataset);
    let failed = || format!("reading the log of `{}`", dataset.name);
    let Some(version) = table.refresh().await.map_err(ProcessError::lake(failed()))? else {
        return Ok(outcome::partitions(&[], calendar, auditor.engine.clock().now(), periods, tolerance));
    };
    let files = table.changes(None, version).await.map_err(ProcessError::lake(failed()))?.appended;
    let mut present: Vec<NaiveDate> =
        files.iter().filter(|file| file.rows != Some(0)).filter_map(|file| day(file, column)).collect();
    present.sort_unstable();
    present.dedup();
    let late = TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX);
    let until = auditor.engine.clock().now().checked_sub_signed(late).unwrap_or(DateTime::<Utc>::MIN_UTC);
    Ok(outcome::partitions(&present, calendar, until, periods, tolerance))
}

fn day(file: &FileRef, column: &str) -> Option<NaiveDate> {
    let (_, value) = file.partition.0.iter().find(|(name, _)| name == column)?;
    match value {
        ScalarValue::Date32(Some(days)) => {
            DateTime::from_timestamp(i64::from(*days) * 86_400, 0).map(|time| time.date_naive())
        }
        ScalarValue::Utf8(Some(text)) => text.parse().ok(),
        _ => None,
    }
}

/// What a metric says of each part of the dataset that has a history of its own.
pub(super) async fn anomalies(
    auditor: &Auditor,
    dataset: &Dataset,
    check: &Check,
    anomaly: &Anomaly,
) -> Result<Outcomes, ProcessError> {
    let measured = match anomaly.metric.of_column() {
        true => BTreeMap::from([(String::new(), of_profiles(auditor, dataset, anomaly).await?)]),
        false => of_log(auditor, dataset, anomaly).await?,
    };
    if measured.values().all(Vec::is_empty) {
        return Ok(vec![(String::new(), outcome::anomalous(anomaly, &[], None))]);
    }
    let known = known(auditor, dataset, check, anomaly).await?;
    let outcomes = measured.into_iter().filter_map(|(dimension, points)| {
        let (current, measured) = points.split_last()?;
        let first = measured.first().map_or(current.at, |point| point.at);
        // What is known of before the log that was read.
        let mut history: Vec<Point> = known.get(&dimension).into_iter().flatten().copied().collect();
        history.retain(|point| point.at < first);
        history.extend(measured);
        Some((dimension, outcome::anomalous(anomaly, &history, Some(*current))))
    });
    Ok(outcomes.collect())
}

/// The metric of the periods that earlier results are of.
async fn known(
    auditor: &Auditor,
    dataset: &Dataset,
    check: &Check,
    anomaly: &Anomaly,
) -> Result<BTreeMap<String, Vec<Point>>, ProcessError> {
    let filter = CheckFilter {
        dataset: Some(dataset.name.clone()),
        check: Some(check.name.clone()),
        limit: Some(RESULTS_MAX),
        ..CheckFilter::default()
    };
    let mut points = BTreeMap::<String, BTreeMap<i64, Point>>::new();
    let length = i64::try_from(anomaly.every.as_micros()).unwrap_or(i64::MAX).max(1);
    for result in auditor.ledger.checks(&filter).await? {
        let Some(value) = result.metric else { continue };
        // Evaluated while a period was under way, of the one before.
        let period = result.evaluated_at.timestamp_micros().div_euclid(length) - 1;
        let Some(at) = period.checked_mul(length).and_then(DateTime::from_timestamp_micros) else { continue };
        points.entry(result.dimension).or_default().entry(period).or_insert(Point { at, value });
    }
    Ok(points.into_iter().map(|(dimension, points)| (dimension, points.into_values().collect())).collect())
}

async fn of_log(
    auditor: &Auditor,
    dataset: &Dataset,
    anomaly: &Anomaly,
) -> Result<BTreeMap<String, Vec<Point>>, ProcessError> {
    let table = table(auditor, dataset);
    let failed = || format!("reading the log of `{}`", dataset.name);
    let Some(version) = table.refresh().await.map_err(ProcessError::lake(failed()))? else {
        return Ok(BTreeMap::new());
    };
    let after = (version - COMMITS_MAX).max(0);
    let mut changes = table.changes(Some(after), version).await.map_err(ProcessError::lake(failed()))?;
    if changes.unknown {
        changes = table.changes(None, version).await.map_err(ProcessError::lake(failed()))?;
    }
    let files: Vec<AddedFile> =
        changes.appended.iter().map(|file| added(file, anomaly.by.as_deref())).collect();
    Ok(volume::periods(anomaly.metric, &files, anomaly.every, auditor.engine.clock().now()))
}

fn added(file: &FileRef, by: Option<&str>) -> AddedFile {
    let value = by.and_then(|by| file.partition.0.iter().find(|(name, _)| name == by));
    AddedFile {
        at: DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(),
        dimension: value.map(|(name, value)| format!("{name}={value}")).unwrap_or_default(),
        rows: file.rows.unwrap_or(0),
        bytes: file.bytes,
    }
}

async fn of_profiles(
    auditor: &Auditor,
    dataset: &Dataset,
    anomaly: &Anomaly,
) -> Result<Vec<Point>, ProcessError> {
    let Some(column) = &anomaly.column else { return Ok(Vec::new()) };
    let versions = versions(auditor, dataset, VERSIONS_MAX).await?;
    let point = |profiles: &Vec<RecordedProfile>| {
        let parts = of_column(profiles, column);
        let rows: u64 = parts.iter().map(|(rows, _)| rows).sum();
        let weighted = |value: &dyn Fn(&ColumnProfile) -> Option<f64>| {
            let known = parts.iter().filter_map(|(rows, part)| Some((*rows as f64, value(part)?)));
            let (weight, sum) =
                known.fold((0.0, 0.0), |(weight, sum), (rows, value)| (weight + rows, sum + rows * value));
            (weight > 0.0).then(|| sum / weight)
        };
        let value = match anomaly.metric {
            AnomalyMetric::NullShare => {
                let nulls: u64 = parts.iter().map(|(_, part)| part.nulls).sum();
                (rows > 0).then(|| nulls as f64 / rows as f64)
            }
            AnomalyMetric::Mean => weighted(&|part| part.mean),
            _ => weighted(&|part| Some(part.distinct as f64)),
        };
        Some(Point { at: profiles.first()?.profiled_at, value: value? })
    };
    Ok(versions.values().filter_map(point).collect())
}

/// The profiles of the newest versions, by version.
async fn versions(
    auditor: &Auditor,
    dataset: &Dataset,
    versions: u32,
) -> Result<BTreeMap<i64, Vec<RecordedProfile>>, ProcessError> {
    let filter = ProfileFilter {
        dataset: Some(dataset.name.clone()),
        versions: Some(versions),
        limit: Some(u32::MAX),
        ..ProfileFilter::default()
    };
    let mut by_version = BTreeMap::<i64, Vec<RecordedProfile>>::new();
    for recorded in auditor.ledger.profiles(&filter).await? {
        by_version.entry(recorded.version).or_default().push(recorded);
    }
    Ok(by_version)
}

fn of_column<'a>(profiles: &'a [RecordedProfile], column: &str) -> Vec<(u64, &'a ColumnProfile)> {
    let part = |recorded: &'a RecordedProfile| {
        let found = recorded.profile.columns.iter().find(|profile| profile.column == column)?;
        Some((recorded.profile.rows, found))
    };
    profiles.iter().filter_map(part).collect()
}

/// Whether the newest version's values are distributed as those of the versions before.
pub(super) async fn distributed(
    auditor: &Auditor,
    dataset: &Dataset,
    rule: &CheckRule,
) -> Result<Outcome, ProcessError> {
    let CheckRule::Distribution { column, window, .. } = rule else {
        return Ok(Outcome::not_evaluated("it is no check of a distribution"));
    };
    if dataset.column(column).is_some_and(|column| column.pii.is_some()) {
        return Ok(Outcome::not_evaluated(format!(
            "`{column}` is personal data, of which no sample is kept"
        )));
    }
    let mut versions = versions(auditor, dataset, window.saturating_add(1)).await?;
    let Some((_, newest)) = versions.pop_last() else {
        return Ok(Outcome::not_evaluated("no version has a profile yet"));
    };
    if versions.is_empty() {
        return Ok(Outcome::not_evaluated("no version before the newest has a profile"));
    }
    let before: Vec<(u64, &ColumnProfile)> =
        versions.values().flat_map(|profiles| of_column(profiles, column)).collect();
    Ok(outcome::distributed(rule, &before, &of_column(&newest, column)))
}
