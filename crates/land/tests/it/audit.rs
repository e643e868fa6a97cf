//! Checks at the door: rows that fail are set aside, told or held back, and what is landed is described.

use std::time::Duration;

use flowline_ledger::{CheckFilter, FindingFilter, ProfileFilter, RunFilter};
use flowline_model::{Check, CheckRule, CheckSeverity, Outcome, Verdict};

use crate::world::{World, orders};

fn positive(severity: CheckSeverity, tolerance: f64) -> Check {
    Check {
        name: "positive".to_owned(),
        description: None,
        owner: "team-money".to_owned(),
        severity,
        tolerance,
        rule: CheckRule::Range { column: "amount".to_owned(), min: Some("0".to_owned()), max: None },
    }
}

async fn world(severity: CheckSeverity, tolerance: f64) -> World {
    let mut dataset = orders();
    dataset.checks = vec![positive(severity, tolerance)];
    World::new(dataset).await
}

const GOOD: &str = r#"{"id":"a","amount":1,"ts":"2026-01-05T08:00:00Z"}"#;
const BAD: &str = r#"{"id":"b","amount":-1,"ts":"2026-01-05T08:00:00Z"}"#;

#[tokio::test]
async fn rows_that_fail_are_told_or_set_aside() {
    for (severity, written) in [(CheckSeverity::Warn, 2), (CheckSeverity::QuarantineRows, 1)] {
        let world = world(severity, 0.0).await;
        world.post_lines(&[GOOD, BAD]).await;
        let run = world.land().await.remove(0);
        assert_eq!((run.counts.read, run.counts.written), (2, written), "{severity:?}");
        assert_eq!(run.counts.balance(), flowline_model::Balance::Balanced);
        let results = world.context.ledger.checks(&CheckFilter::default()).await.unwrap();
        let result = &results[0];
        assert_eq!((result.verdict, result.rows_checked, result.rows_failed), (Verdict::Failed, 2, 1));
        assert_eq!(result.owner, "team-money");
        assert_eq!(result.examples, ["-1.00"]);
        assert_eq!((result.run, result.version), (Some(run.id), run.commit.map(|commit| commit.version)));
        if severity == CheckSeverity::QuarantineRows {
            let kept = world.query("select _reason, _column, _message from q").await;
            assert_eq!(kept, ["failed-rule|amount|`amount` is less than 0 (check `positive`)"]);
        }
    }
}

#[tokio::test]
async fn a_share_may_fail() {
    let world = world(CheckSeverity::Warn, 0.5).await;
    world.post_lines(&[GOOD, BAD]).await;
    world.land().await;
    let results = world.context.ledger.checks(&CheckFilter::default()).await.unwrap();
    assert_eq!((results[0].verdict, results[0].metric), (Verdict::Passed, Some(0.5)));
}

#[tokio::test]
async fn a_check_that_blocks_keeps_the_records_in_the_log() {
    let mut world = world(CheckSeverity::Block, 0.0).await;
    world.post_lines(&[GOOD]).await;
    world.land().await;
    world.post_lines(&[BAD]).await;
    let error = world.lander().await.land_available().await.unwrap_err();
    assert!(error.to_string().contains("check `positive` of `shop.orders` blocks the landing"), "{error}");
    assert_eq!(world.query("select count(*) from t").await, ["1"]);

    // A lander under way puts it on record, as a failed run and as a finding, and tries again.
    let shutdown = tokio_util::sync::CancellationToken::new();
    let lander = world.lander().await;
    let stop = shutdown.clone();
    let running = lander.run(stop);
    let failed = async {
        loop {
            let filter = RunFilter { outcome: Some(Outcome::Failed), ..RunFilter::default() };
            let failed = world.context.ledger.runs(&filter).await.unwrap();
            let found = world.context.ledger.findings(&FindingFilter::default()).await.unwrap();
            if !failed.is_empty() && found.iter().any(|found| found.finding.subject == "positive") {
                shutdown.cancel();
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let (ended, ()) = tokio::join!(running, failed);
    ended.unwrap();

    // Once the contract allows for it, the same record is landed.
    let mut mended = orders();
    mended.checks = vec![positive(CheckSeverity::Warn, 0.0)];
    world.dataset = std::sync::Arc::new(mended);
    world.land().await;
    assert_eq!(world.query("select count(*) from t").await, ["2"]);
}

#[tokio::test]
async fn results_and_profiles_are_recorded_once_a_minute_unless_a_verdict_changes() {
    let world = world(CheckSeverity::Warn, 0.0).await;
    let mut lander = world.lander().await;
    let recorded = async || {
        let checks = world.context.ledger.checks(&CheckFilter::default()).await.unwrap();
        let profiles = world.context.ledger.profiles(&ProfileFilter::default()).await.unwrap();
        let rows: u64 = profiles.iter().map(|recorded| recorded.profile.rows).sum();
        (checks.iter().map(|check| check.rows_checked).collect::<Vec<_>>(), rows)
    };
    for _ in 0..3 {
        world.post_lines(&[GOOD]).await;
        lander.land_available().await.unwrap();
        world.advance(Duration::from_secs(1));
    }
    assert_eq!(recorded().await, (vec![1], 1));
    world.advance(Duration::from_secs(60));
    world.post_lines(&[GOOD]).await;
    lander.land_available().await.unwrap();
    assert_eq!(recorded().await, (vec![3, 1], 4), "nothing of what was committed in between is missing");
    world.advance(Duration::from_secs(1));
    world.post_lines(&[BAD]).await;
    lander.land_available().await.unwrap();
    assert_eq!(recorded().await.0.len(), 3);
}
