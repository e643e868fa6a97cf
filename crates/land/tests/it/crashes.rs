//! What is found after a crash between two of the steps of a commit.

use std::sync::Arc;

use flowline_lake::TableId;

use crate::world::{World, orders};

/// The put of the data table's commit fails for good, so that the quarantine stays ahead of it.
async fn quarantine_ahead() -> World {
    let mut world = World::new(orders()).await;
    world.post_lines(&[r#"{"id":"a"}"#, "x", r#"{"id":"b","amount":"n"}"#]).await;
    world.land().await;
    world.restart(Some("lake.put/raw/shop/orders/_delta_log=error-before:1.0")).await;
    world.post_lines(&["y", r#"{"id":"c","amount":"n"}"#, r#"{"id":"d"}"#]).await;
    assert!(world.lander().await.land_available().await.is_err());
    assert_eq!(world.query("select _offset from q order by _offset").await, ["1", "2", "3", "4"]);
    world.restart(None).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quarantine_that_is_ahead_is_brought_back() {
    let world = quarantine_ahead().await;
    let runs = world.land().await;
    assert_eq!(runs.iter().map(|run| run.counts.quarantined).sum::<u64>(), 2);
    assert_eq!(world.query("select _offset from q order by _offset").await, ["1", "2", "3", "4"]);
    assert_eq!(world.query("select id from t order by id").await, ["a", "d"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_that_changed_meanwhile_judges_the_records_anew() {
    let mut world = quarantine_ahead().await;
    let mut dataset = orders();
    dataset.columns.remove(1);
    world.dataset = Arc::new(dataset);
    world.post_lines(&[r#"{"id":5}"#]).await;
    world.land().await;
    // `c` fits the new contract; it is in one place only, and so is everything else.
    assert_eq!(world.query("select id, _offset from t order by _offset").await, ["a|0", "c|4", "d|5"]);
    assert_eq!(world.query("select _offset from q order by _offset").await, ["1", "2", "3", "6"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_lacks_commits_is_completed_from_the_tables() {
    let mut world = World::new(orders()).await;
    for id in ["a", "b", "c"] {
        world.post_lines(&[&format!("{{\"id\":\"{id}\"}}"), "x"]).await;
        world.land().await;
    }
    let before = world.totals().await;
    world.context.log.close().await.unwrap();
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(world.folder.path().join(file));
    }
    world.restart(None).await;
    assert_eq!(world.totals().await.read, 0);
    assert!(world.land().await.is_empty());
    assert_eq!(world.totals().await, before);
    let commits = world.context.ledger.commits(Some(&world.dataset.name), 10).await.unwrap();
    assert_eq!(commits.len(), 3);
    assert!(commits.iter().all(|commit| commit.received_at_min.is_some()));
    world.land().await;
    assert_eq!(world.totals().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_ends_before_what_was_landed_is_refused() {
    let mut world = World::new(orders()).await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    world.land().await;
    world.context.log.close().await.unwrap();
    std::fs::remove_dir_all(world.folder.path().join("log")).unwrap();
    world.restart(None).await;
    world.post_lines(&[r#"{"id":"c"}"#]).await;
    let error = world.lander().await.land_available().await.unwrap_err();
    assert!(error.to_string().contains("ends at offset 1, but its dataset has landed up to 2"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_log_goes_on_behind_what_was_landed() {
    let mut world = World::new(orders()).await;
    world.post_lines(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]).await;
    world.land().await;
    world.context.log.close().await.unwrap();
    std::fs::remove_dir_all(world.folder.path().join("log")).unwrap();
    world.restart(None).await;
    flowline_land::release_landed(&world.context, &world.dataset).await.unwrap();
    world.post_lines(&[r#"{"id":"c"}"#, r#"{"id":"d"}"#, r#"{"id":"e"}"#]).await;
    world.land().await;
    assert_eq!(
        world.query("select id, _offset from t order by _offset").await,
        ["a|0", "b|1", "c|2", "d|3", "e|4"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_lander_lands_nothing_twice() {
    let world = World::new(orders()).await;
    world.post_lines(&[r#"{"id":"a"}"#]).await;
    let (mut first, mut second) = (world.lander().await, world.lander().await);
    first.land_available().await.unwrap();
    second.land_available().await.unwrap();
    world.post_lines(&[r#"{"id":"b"}"#]).await;
    first.land_available().await.unwrap();
    // It believes that offset 1 is still to be landed.
    let _ = second.land_available().await;
    second.land_available().await.unwrap();
    assert_eq!(world.query("select id from t order by id").await, ["a", "b"]);
    let table = world.context.lake.table(TableId::of(&world.dataset));
    assert_eq!(table.transaction_version("shop.orders/log/0").await.unwrap(), Some(2));
    let totals = world.totals().await;
    assert_eq!((totals.read, totals.written), (2, 2));
}
