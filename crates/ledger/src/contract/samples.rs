//! Facts to test with.

use chrono::{DateTime, Utc};
use flowline_base::{ErrorKind, RunId};
use flowline_model::{
    Commit, Counts, DatasetName, Finding, FindingKind, InputRange, Outcome, Run, RunError, RunKind, Severity,
};

/// The name `shop.<name>`.
pub fn dataset(name: &str) -> DatasetName {
    DatasetName::new("shop", name).expect("a valid name")
}

/// So many seconds after some midnight.
pub fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600 + seconds, 250_000).expect("a valid time")
}

/// The landing of the offsets `[from, to)` of the first partition, with version `version`, one second a version.
pub fn landing(name: &str, from: i64, to: i64, version: i64) -> Run {
    let read = u64::try_from(to - from).expect("a range runs upwards");
    Run {
        id: RunId::generate(),
        hop: dataset(name),
        kind: RunKind::Land,
        outcome: Outcome::Succeeded,
        trigger: "new-records".to_owned(),
        inputs: vec![InputRange { input: "log/0".to_owned(), from, to }],
        counts: Counts {
            read,
            written: read,
            bytes_read: read * 100,
            bytes_written: read * 10,
            ..Counts::default()
        },
        started_at: at(version),
        finished_at: Some(at(version + 1)),
        attempts: 1,
        commit: Some(commit(name, version)),
        error: None,
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".to_owned()),
    }
}

/// Version `version` of a dataset.
pub fn commit(name: &str, version: i64) -> Commit {
    Commit {
        dataset: dataset(name),
        version,
        committed_at: at(version + 1),
        latency_us: 1_500,
        event_time_max: Some(at(version)),
        received_at_min: Some(at(version - 1)),
    }
}

/// The same run, given up.
pub fn failed(mut run: Run) -> Run {
    run.outcome = Outcome::Failed;
    run.commit = None;
    run.error =
        Some(RunError { kind: ErrorKind::Denied, message: "writing the files: AccessDenied".to_owned() });
    run
}

/// The same run, cancelled.
pub fn cancelled(run: Run) -> Run {
    let error = RunError { kind: ErrorKind::Transient, message: "not wanted any more".to_owned() };
    Run { outcome: Outcome::Cancelled, commit: None, error: Some(error), ..run }
}

/// The same run, under way.
pub fn running(mut run: Run) -> Run {
    run.outcome = Outcome::Running;
    run.commit = None;
    run.finished_at = None;
    run.counts = Counts::default();
    run
}

/// Something found about the column `amount`.
pub fn finding(name: &str, count: u64, position: i64, seconds: i64) -> Finding {
    Finding {
        dataset: dataset(name),
        kind: FindingKind::FailedRule,
        severity: Severity::Error,
        subject: "amount".to_owned(),
        message: format!("`amount` breaks `amount >= 0` at {position}"),
        count,
        first_position: Some(format!("log/0@{position}")),
        last_position: Some(format!("log/0@{}", position + 1)),
        run: None,
        found_at: at(seconds),
        drift: None,
    }
}
