//! After a crash, and over time.

use std::sync::Arc;

use flowline_base::{ErrorKind, RunId};
use flowline_model::{Attempt, Outcome, Run};

use super::samples::{at, dataset, failed, finding, landing, running};
use crate::{FindingFilter, Ledger, RunFilter};

const FINE: &str = "the ledger answers";

fn try_of(run: RunId, outcome: Outcome) -> Attempt {
    let finished_at = (outcome != Outcome::Running).then(|| at(1));
    Attempt { run, number: 1, outcome, started_at: at(0), finished_at, error: None }
}

pub async fn abandoned_runs_are_closed(ledger: Arc<dyn Ledger>) {
    let left = running(landing("orders", 0, 10, 0));
    let done = landing("events", 0, 10, 1);
    ledger.start_run(&left).await.expect(FINE);
    ledger.record_attempt(&try_of(left.id, Outcome::Running)).await.expect(FINE);
    ledger.record_run(&done, &[], &[]).await.expect(FINE);
    assert_eq!(ledger.close_abandoned_runs(at(60)).await.expect(FINE), 1);
    assert_eq!(ledger.close_abandoned_runs(at(61)).await.expect(FINE), 0);

    let runs =
        ledger.runs(&RunFilter { hop: Some(dataset("orders")), ..RunFilter::default() }).await.expect(FINE);
    assert_eq!((runs[0].outcome, runs[0].finished_at), (Outcome::Failed, Some(at(60))));
    assert_eq!(runs[0].error.as_ref().map(|error| error.kind), Some(ErrorKind::Transient));
    let attempts = ledger.attempts(Some(left.id)).await.expect(FINE);
    assert_eq!((attempts[0].outcome, attempts[0].finished_at), (Outcome::Failed, Some(at(60))));
    let standings = ledger.standings().await.expect(FINE);
    assert_eq!((standings[0].hop.clone(), standings[0].failures), (dataset("events"), 0));
    assert_eq!((standings[1].hop.clone(), standings[1].failures), (dataset("orders"), 1));
}

pub async fn an_abandoned_run_that_committed_is_put_right(ledger: Arc<dyn Ledger>) {
    // The node is killed between the commit of the table and the record of it, and finds the commit when it is back.
    let run = landing("orders", 0, 10, 0);
    ledger.start_run(&running(run.clone())).await.expect(FINE);
    assert_eq!(ledger.close_abandoned_runs(at(60)).await.expect(FINE), 1);
    assert!(ledger.record_run(&run, &[], &[]).await.expect(FINE));
    assert!(!ledger.record_run(&run, &[], &[]).await.expect(FINE));
    let totals = ledger.totals().await.expect(FINE);
    assert_eq!((totals[0].counts.read, totals[0].gap()), (10, 0));
    assert_eq!(ledger.latest_commits().await.expect(FINE).len(), 1);
}

pub async fn pruning_keeps_what_stands(ledger: Arc<dyn Ledger>) {
    let mut all = Vec::new();
    for version in 0..6 {
        let run = landing("orders", version * 10, version * 10 + 10, version);
        ledger.record_attempt(&try_of(run.id, Outcome::Succeeded)).await.expect(FINE);
        ledger.record_run(&run, &[], &[finding("orders", 1, version, version)]).await.expect(FINE);
        all.push(run);
    }
    let broken = failed(landing("orders", 60, 70, 6));
    ledger.record_run(&broken, &[], &[]).await.expect(FINE);
    let under_way = running(landing("events", 0, 1, 0));
    ledger.start_run(&under_way).await.expect(FINE);
    let facts = async || {
        let findings = ledger.findings(&FindingFilter::default()).await.expect(FINE);
        let commits = ledger.latest_commits().await.expect(FINE);
        let standings = ledger.standings().await.expect(FINE);
        let positions = ledger.positions(None).await.expect(FINE);
        (ledger.totals().await.expect(FINE), positions, findings, commits, standings)
    };
    let before = facts().await;

    assert_eq!(ledger.prune(at(3)).await.expect(FINE), 2, "the runs of versions 0 and 1 ended before");
    assert_eq!(ledger.prune(at(3)).await.expect(FINE), 0);
    assert_eq!(ledger.attempts(Some(all[1].id)).await.expect(FINE), []);
    assert_eq!(ledger.attempts(Some(all[2].id)).await.expect(FINE).len(), 1);

    assert_eq!(ledger.prune(at(1_000)).await.expect(FINE), 3);
    let mut left = ledger.runs(&RunFilter::default()).await.expect(FINE);
    left.sort_by_key(|run: &Run| run.id);
    assert_eq!(
        left,
        [all[5].clone(), broken, under_way],
        "the newest commit, what failed last, and what runs"
    );
    assert_eq!(facts().await, before);
}
