//! Storage that fails, for a while or for long.

use flowline_base::ErrorKind;
use flowline_ledger::RunFilter;
use flowline_model::{Outcome, Run};
use tokio_util::sync::CancellationToken;

use crate::world::{World, orders};

/// Runs a lander until so many rows are in the table.
async fn run_until(world: &World, rows: u64) {
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(world.lander().await.run(shutdown.clone()));
    while world.totals().await.written < rows {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

fn flush_at_once() -> flowline_model::Dataset {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    dataset.landing.flush_after = std::time::Duration::ZERO;
    dataset
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_lands_once_whatever_the_storage_does() {
    for fault in ["error-before", "error-after", "error-during", "full", "denied"] {
        let mut world = World::new(flush_at_once()).await;
        world.restart(Some(&format!("seed=7;lake.put={fault}:0.2"))).await;
        for number in 0..6 {
            world.post_lines(&[&format!("{{\"id\":\"{number}\"}}"), "x"]).await;
        }
        run_until(&world, 6).await;
        world.restart(None).await;
        assert!(world.land().await.is_empty());
        assert_eq!(world.query("select count(*), count(distinct id) from t").await, ["6|6"], "{fault}");
        assert_eq!(world.query("select count(*), count(distinct _offset) from q").await, ["6|6"], "{fault}");
        let totals = world.totals().await;
        assert_eq!(
            (totals.read, totals.written, totals.quarantined, totals.duplicate),
            (12, 6, 6, 0),
            "{fault}"
        );
    }
}

/// Reads are of some mebibytes, so that a flush fills while the one before it is committed, or fails to be; half of what
/// comes was in the requests before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_hold_over_flushes_of_which_one_fails_while_the_next_one_fills() {
    for fault in ["error-before", "error-after", "error-during"] {
        let mut world = World::new(flush_at_once()).await;
        for request in 0..6 {
            let id = |number: u64| format!("{{\"id\":\"{:0>200}\"}}", request * 6_000 + number);
            let lines: Vec<String> = (0..12_000).map(id).collect();
            world.post_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        world.restart(Some(&format!("seed=3;lake.put={fault}:0.3"))).await;
        run_until(&world, 42_000).await;
        world.restart(None).await;
        assert!(world.land().await.is_empty());
        assert_eq!(
            world.query("select count(*), count(distinct id) from t").await,
            ["42000|42000"],
            "{fault}"
        );
        let totals = world.totals().await;
        assert_eq!((totals.read, totals.written, totals.duplicate), (72_000, 42_000, 30_000), "{fault}");
        let runs = world.context.ledger.runs(&RunFilter::default()).await.unwrap();
        let landed: Vec<&Run> = runs.iter().filter(|run| run.counts.written > 0).collect();
        assert!(landed.len() > 1, "everything was one flush: {landed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lander_that_is_refused_says_so_and_goes_on_when_it_may() {
    let mut world = World::new(flush_at_once()).await;
    world.post_lines(&[r#"{"id":"a"}"#]).await;
    world.land().await;
    world.restart(Some("lake.put/raw/shop/orders=denied@1,denied@2,denied@3")).await;
    world.post_lines(&[r#"{"id":"b"}"#]).await;
    run_until(&world, 2).await;
    let runs = world.context.ledger.runs(&RunFilter::default()).await.unwrap();
    let newest: &Run = &runs[0];
    assert_eq!((newest.outcome, newest.counts.written), (Outcome::Succeeded, 1));
    assert!(newest.attempts > 1, "{newest:?}");
    let attempts = world.context.ledger.attempts(Some(newest.id)).await.unwrap();
    let error = attempts[0].error.as_ref().unwrap();
    assert_eq!(error.kind, ErrorKind::Denied);
    assert!(error.message.contains("raw/shop/orders"), "{}", error.message);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lander_that_stays_refused_stands_as_failed_and_moves_nothing() {
    let mut world = World::new(flush_at_once()).await;
    world.restart(Some("lake.put/raw/shop/orders=denied:1.0")).await;
    world.post_lines(&[r#"{"id":"a"}"#]).await;
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(world.lander().await.run(shutdown.clone()));
    let failed = RunFilter { outcome: Some(Outcome::Failed), ..RunFilter::default() };
    while world.context.ledger.runs(&failed).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let runs = world.context.ledger.runs(&failed).await.unwrap();
    assert_eq!(runs[0].error.as_ref().unwrap().kind, ErrorKind::Denied);
    assert!(world.context.ledger.positions(None).await.unwrap().is_empty());
    assert_eq!(world.context.log.status()[0].released, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failure_each_partition_has_a_run_of_its_own() {
    let mut dataset = flush_at_once();
    if let flowline_model::Origin::Http(origin) = &mut dataset.origin {
        origin.partitions = 3;
    }
    let mut world = World::new(dataset).await;
    world.restart(Some("lake.put/raw/shop/orders=denied@1,denied@2")).await;
    let lines: Vec<String> = (0..30).map(|id| format!("{{\"id\":\"{id}\"}}")).collect();
    world.post_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let recorded = tokio::time::timeout(std::time::Duration::from_secs(60), run_until(&world, 30)).await;
    assert!(recorded.is_ok(), "rows that are in the table are in no run: {:?}", world.totals().await);
    let positions = world.context.ledger.positions(None).await.unwrap();
    assert_eq!(positions.iter().map(|position| position.next).sum::<i64>(), 30);
}
