//! A metric is held against its own history, with its season, once it has one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use flowline_model::{Anomaly, AnomalyMetric, CheckRule, ColumnProfile, DistributionMethod, Season, Verdict};
use flowline_quality::anomaly::Point;
use flowline_quality::outcome;
use flowline_quality::volume::{AddedFile, periods};

fn start() -> DateTime<Utc> {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

fn rows(season: Season, floor: f64) -> Anomaly {
    Anomaly {
        metric: AnomalyMetric::Rows,
        column: None,
        by: None,
        every: Duration::from_secs(3600),
        season,
        sensitivity: 4.0,
        history_min: 5,
        floor,
    }
}

/// Two weeks of hours: 1,000 rows an hour by day, 10 by night.
fn history() -> Vec<Point> {
    let value = |hour: i64| if (8..20).contains(&(hour % 24)) { 1_000.0 + (hour % 7) as f64 } else { 10.0 };
    (0..14 * 24).map(|hour| Point { at: start() + TimeDelta::hours(hour), value: value(hour) }).collect()
}

fn verdict(anomaly: &Anomaly, history: &[Point], hour: i64, value: f64) -> Verdict {
    let current = Point { at: start() + TimeDelta::hours(hour), value };
    outcome::anomalous(anomaly, history, Some(current)).verdict
}

#[test]
fn the_season_decides_what_is_expected() {
    let (noon, night) = (14 * 24 + 12, 14 * 24 + 2);
    let seasonal = rows(Season::HourOfDay, 50.0);
    assert_eq!(verdict(&seasonal, &history(), noon, 1_003.0), Verdict::Passed);
    assert_eq!(verdict(&seasonal, &history(), noon, 10.0), Verdict::Failed);
    assert_eq!(verdict(&seasonal, &history(), night, 10.0), Verdict::Passed);
    assert_eq!(verdict(&seasonal, &history(), night, 1_000.0), Verdict::Failed);
    // Without a season, both are usual.
    assert_eq!(verdict(&rows(Season::None, 50.0), &history(), noon, 10.0), Verdict::Passed);
}

/// A history that reaches as far as numbers do lets nothing pass, and a metric that is no number holds nowhere.
#[test]
fn the_largest_numbers_are_not_evaluated() {
    let far = |hour: i64| if hour % 2 == 0 { f64::MAX } else { f64::MIN };
    let history: Vec<Point> =
        (0..100).map(|hour| Point { at: start() + TimeDelta::hours(hour), value: far(hour) }).collect();
    for value in [0.0, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN] {
        assert_eq!(verdict(&rows(Season::None, 0.0), &history, 100, value), Verdict::NotEvaluated, "{value}");
    }
    for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
        let seasonal = rows(Season::HourOfDay, 50.0);
        assert_eq!(verdict(&seasonal, &self::history(), 14 * 24, value), Verdict::NotEvaluated, "{value}");
    }
    let one = |value: f64| vec![Point { at: start(), value }; 20];
    assert_eq!(verdict(&rows(Season::None, 0.0), &one(f64::MAX), 100, f64::MAX), Verdict::Passed);
    assert_eq!(verdict(&rows(Season::None, 0.0), &one(f64::MAX), 100, 1.0), Verdict::Failed);
}

#[test]
fn small_numbers_do_not_alarm() {
    let night = 14 * 24 + 2;
    assert_eq!(verdict(&rows(Season::HourOfDay, 50.0), &history(), night, 60.0), Verdict::Passed);
    assert_eq!(verdict(&rows(Season::HourOfDay, 0.0), &history(), night, 60.0), Verdict::Failed);
}

#[test]
fn without_a_history_it_says_that_it_cannot_tell() {
    let anomaly = rows(Season::DayOfWeek, 0.0);
    assert_eq!(verdict(&anomaly, &[], 0, 1.0), Verdict::NotEvaluated);
    let short: Vec<Point> = history().into_iter().take(3).collect();
    let current = Point { at: start() + TimeDelta::hours(5), value: 1.0 };
    let outcome = outcome::anomalous(&anomaly, &short, Some(current));
    assert_eq!(outcome.verdict, Verdict::NotEvaluated);
    assert!(
        outcome.message.contains("only 3 earlier periods of this day of the week"),
        "{}",
        outcome.message
    );
    assert_eq!(outcome::anomalous(&anomaly, &short, None).verdict, Verdict::NotEvaluated);
}

#[test]
fn huge_values_are_no_panic() {
    let history: Vec<Point> = history()
        .into_iter()
        .map(|point| Point { value: f64::MAX * point.value.signum(), ..point })
        .collect();
    verdict(&rows(Season::None, f64::MAX), &history, 14 * 24, f64::MIN);
    verdict(&rows(Season::None, 0.0), &history, 14 * 24, f64::INFINITY);
}

#[test]
fn periods_without_files_have_no_rows() {
    let file = |minute: i64, dimension: &str, rows: u64| AddedFile {
        at: start() + TimeDelta::minutes(minute),
        dimension: dimension.to_owned(),
        rows,
        bytes: rows * 10,
    };
    let files = [file(5, "a", 1), file(10, "a", 2), file(200, "a", 4), file(130, "b", 8), file(250, "a", 99)];
    let now = start() + TimeDelta::minutes(255);
    let every = Duration::from_secs(3600);
    let found = periods(AnomalyMetric::Rows, &files, every, now);
    let values = |of: &str| found[of].iter().map(|point| point.value).collect::<Vec<_>>();
    assert_eq!(values("a"), [3.0, 0.0, 0.0, 4.0]);
    assert_eq!(values("b"), [8.0, 0.0]);
    let sizes = periods(AnomalyMetric::FileBytes, &files, every, now);
    assert_eq!(sizes["a"].iter().map(|point| point.value).collect::<Vec<_>>(), [15.0, 40.0]);
    assert!(periods(AnomalyMetric::Rows, &[], every, now).is_empty());
}

/// Hours of a dataset that stops after two weeks, as the log tells them so many hours after the stop.
fn stopped(hours: i64) -> Vec<Point> {
    let of_hour = |point: &Point| AddedFile {
        at: point.at,
        dimension: String::new(),
        rows: point.value as u64,
        bytes: 1,
    };
    let files: Vec<AddedFile> = history().iter().map(of_hour).collect();
    let now = start() + TimeDelta::hours(14 * 24 + hours);
    periods(AnomalyMetric::Rows, &files, Duration::from_secs(3600), now).remove("").unwrap()
}

#[test]
fn a_stop_that_is_longer_than_the_history_is_not_normal() {
    let seasonal = rows(Season::HourOfDay, 50.0);
    // Days after the stop: as long as the history, and longer than what is looked back to.
    for days in [1, 5, 14, 60, 500] {
        let (noon, night) = ((14 + days) * 24 + 12, (14 + days) * 24 + 2);
        let points = stopped(days * 24 + 13);
        let before =
            |hour: i64| points.iter().filter(move |point| point.at < start() + TimeDelta::hours(hour));
        let before = |hour: i64| before(hour).copied().collect::<Vec<Point>>();
        assert_eq!(points.last().unwrap().value, 0.0);
        assert_eq!(verdict(&seasonal, &before(noon), noon, 0.0), Verdict::Failed, "{days}");
        assert_eq!(verdict(&seasonal, &before(night), night, 0.0), Verdict::Passed, "{days}");
        // What comes after it is held against what was before it.
        assert_eq!(verdict(&seasonal, &before(noon), noon, 1_003.0), Verdict::Passed, "{days}");
        assert_eq!(verdict(&seasonal, &before(noon), noon, 10.0), Verdict::Failed, "{days}");
    }
    // Also when it lies further back, and without a season.
    let steady = |hour: i64| if (100..1_000).contains(&hour) { 0.0 } else { 1_000.0 };
    let steady: Vec<Point> =
        (0..1_050).map(|hour| Point { at: start() + TimeDelta::hours(hour), value: steady(hour) }).collect();
    for (hours, now, value, expected) in [
        (101, 101, 0.0, Verdict::Failed),
        (999, 999, 0.0, Verdict::Failed),
        (1_000, 1_000, 1_000.0, Verdict::Passed),
        (1_050, 1_050, 1_000.0, Verdict::Passed),
        (1_050, 1_050, 0.0, Verdict::Failed),
    ] {
        assert_eq!(verdict(&rows(Season::None, 0.0), &steady[..hours], now, value), expected, "{hours}");
    }
}

#[test]
fn periods_without_rows_become_normal_where_they_are_no_stop() {
    // Every second hour, after a hundred in which rows always came.
    let value = |hour: i64| if hour >= 100 && hour % 2 == 0 { 0.0 } else { 1_000.0 };
    let points: Vec<Point> =
        (0..400).map(|hour| Point { at: start() + TimeDelta::hours(hour), value: value(hour) }).collect();
    let anomaly = rows(Season::None, 0.0);
    assert_eq!(verdict(&anomaly, &points[..100], 100, 0.0), Verdict::Failed);
    assert_eq!(verdict(&rows(Season::HourOfDay, 0.0), &points, 400, 0.0), Verdict::Passed);
    // Nothing was expected before: rows that come seldom have long stretches without.
    let seldom = |hour: i64| if hour % 50 == 0 { 5.0 } else { 0.0 };
    let seldom: Vec<Point> =
        (0..400).map(|hour| Point { at: start() + TimeDelta::hours(hour), value: seldom(hour) }).collect();
    assert_eq!(verdict(&anomaly, &seldom, 399, 0.0), Verdict::Passed);
}

#[test]
fn distributions_are_compared_by_profiles() {
    let rule = |method: DistributionMethod| CheckRule::Distribution {
        column: "x".to_owned(),
        method,
        limit: method.limit_default(),
        window: 7,
    };
    let numbers = |shift: f64| ColumnProfile {
        column: "x".to_owned(),
        nulls: if shift > 0.0 { 50 } else { 0 },
        distinct: if shift > 0.0 { 500 } else { 100 },
        sample: (0..100).map(|number| f64::from(number) + shift).collect(),
        ..ColumnProfile::default()
    };
    let texts = |counts: [u64; 2]| ColumnProfile {
        column: "x".to_owned(),
        frequencies: vec![("a".to_owned(), counts[0]), ("b".to_owned(), counts[1])],
        ..ColumnProfile::default()
    };
    let (before, same, shifted) = (numbers(0.0), numbers(0.0), numbers(40.0));
    use DistributionMethod::*;
    for method in [Psi, Ks, JensenShannon, Wasserstein, ChiSquare, NullShare, Cardinality] {
        let say = |current: &ColumnProfile| {
            outcome::distributed(&rule(method), &[(100, &before)], &[(100, current)]).verdict
        };
        assert_eq!(say(&same), Verdict::Passed, "{method:?}");
        assert_eq!(say(&shifted), Verdict::Failed, "{method:?}");
        // Nothing, and all null.
        let nothing = outcome::distributed(&rule(method), &[], &[(100, &same)]).verdict;
        assert_eq!(nothing, Verdict::NotEvaluated, "{method:?}");
        let null = ColumnProfile { nulls: 100, ..ColumnProfile::default() };
        let null = outcome::distributed(&rule(method), &[(100, &before)], &[(100, &null)]).verdict;
        assert_ne!(null, Verdict::Passed, "{method:?}");
        // Values at the end of the range.
        let huge = ColumnProfile { sample: vec![f64::MAX; 100], ..same.clone() };
        outcome::distributed(&rule(method), &[(100, &huge)], &[(100, &before)]);
    }
    for method in [Psi, JensenShannon, ChiSquare] {
        let say = |current: &ColumnProfile| {
            outcome::distributed(&rule(method), &[(100, &texts([50, 50]))], &[(100, current)]).verdict
        };
        assert_eq!(say(&texts([52, 48])), Verdict::Passed, "{method:?}");
        assert_eq!(say(&texts([95, 5])), Verdict::Failed, "{method:?}");
    }
}
