//! Duplicates, within a flush, between flushes and over restarts.

use std::time::Duration;

use flowline_land::LogLander;
use flowline_ledger::FindingFilter;
use flowline_model::FindingKind;
use std::sync::Arc;

use crate::world::{World, orders};

async fn keyed() -> World {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    dataset.dedupe_horizon = Duration::from_secs(60);
    World::new(dataset).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_remembered_over_restarts_until_the_horizon() {
    let mut world = keyed().await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    world.land().await;
    world.restart(None).await;
    world.advance(Duration::from_secs(50));
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"c"}"#]).await;
    assert_eq!(world.land().await[0].counts.duplicate, 1);
    world.restart(None).await;
    world.advance(Duration::from_secs(50));
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"c"}"#]).await;
    assert_eq!(world.land().await[0].counts.duplicate, 1);
    assert_eq!(world.query("select id, _offset from t order by _offset").await, ["a|0", "b|1", "c|3", "a|4"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_record_does_not_claim_its_key() {
    let world = keyed().await;
    world.post_lines(&[r#"{"id":"a","amount":"x"}"#, r#"{"id":"a","amount":1}"#]).await;
    let counts = world.land().await[0].counts;
    assert_eq!((counts.written, counts.quarantined, counts.duplicate), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unique_value_under_another_key_is_quarantined() {
    let mut dataset = orders();
    dataset.key = vec!["id".into()];
    dataset.columns[1].unique = true;
    let mut world = World::new(dataset).await;
    world.post_lines(&[r#"{"id":"a","amount":1}"#]).await;
    world.land().await;
    world.restart(None).await;
    world.post_lines(&[r#"{"id":"b","amount":1.00}"#, r#"{"id":"b","amount":2}"#]).await;
    world.land().await;
    assert_eq!(world.query("select id, amount from t order by id").await, ["a|1.00", "b|2.00"]);
    assert_eq!(world.query("select _reason, _column, _offset from q").await, ["failed-rule|amount|1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_forgotten_early_are_a_finding() {
    let world = keyed().await;
    let mut lander =
        LogLander::open(world.context.clone(), Arc::clone(&world.dataset)).await.unwrap().with_keys_max(8);
    let lines: Vec<String> = (0..20).map(|n| format!("{{\"id\":\"{n}\"}}")).collect();
    world.post_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).await;
    lander.land_available().await.unwrap();
    let found = world.context.ledger.findings(&FindingFilter::default()).await.unwrap();
    let forgotten = found.iter().find(|found| found.finding.kind == FindingKind::KeysForgotten).unwrap();
    assert_eq!((forgotten.finding.subject.as_str(), forgotten.finding.count), ("id", 14));
}
