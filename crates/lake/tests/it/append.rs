//! Rows in, rows out; positions and fences.

use std::sync::Arc;

use flowline_base::{Classify, ErrorKind};
use flowline_lake::{CommitMode, LakeError, ReadAt, StagedFiles, TableCommit, WriterOptions};

use crate::support::{Place, append, commit_lines, ids, moving, orders, rows, select, spec, stage};

#[tokio::test]
async fn rows_come_back() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    assert!(!table.exists().await.unwrap());
    assert_eq!(table.transaction_version("a").await.unwrap(), None);
    table.ensure(&spec(&[])).await.unwrap();
    table.ensure(&spec(&[])).await.unwrap();
    assert_eq!(table.version(), Some(0));
    let committed = append(&table, 0..5).await;
    assert_eq!((committed.version, committed.rows, committed.files), (1, 5, 1));
    let found = select(&table, ReadAt::Latest, "select * from t where id >= 3 order by id").await;
    assert_eq!(
        found,
        [
            "3||3.03|2026-01-05T03:00:00.123456Z|2026-01-05",
            "4|de|4.04|2026-01-05T04:00:00.123456Z|2026-01-05"
        ]
    );
    assert_eq!(select(&table, ReadAt::Latest, "select count(*) from t").await, ["5"]);
    assert_eq!(select(&table, ReadAt::Latest, "select count(*) from t where country is null").await, ["1"]);
}

#[tokio::test]
async fn statistics_are_written_as_delta_wants_them() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    append(&table, 0..5).await;
    let lines = commit_lines(&place, &table, 1);
    let add = lines.iter().find_map(|line| line.get("add")).unwrap();
    assert_eq!(
        add["stats"].as_str().unwrap(),
        r#"{"numRecords":5,"minValues":{"id":0,"country":"de","amount":0.00,"ts":"2026-01-05T00:00:00.123Z","ts_day":"2026-01-05"},"maxValues":{"id":4,"country":"it","amount":4.04,"ts":"2026-01-05T04:00:00.124Z","ts_day":"2026-01-05"},"nullCount":{"id":0,"country":1,"amount":0,"ts":0,"ts_day":0}}"#
    );
    assert_eq!(lines[0]["commitInfo"]["isBlindAppend"], true);
    assert_eq!(lines[0]["commitInfo"]["operationMetrics"]["numOutputRows"], "5");
}

#[tokio::test]
async fn a_position_moves_with_the_rows_and_fences_others() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let staged = stage(&table, &rows(0..3)).await.unwrap();
    table.commit(moving(staged, "shop.orders/log/0", None, 3, "run-1")).await.unwrap();
    assert_eq!(table.transaction_version("shop.orders/log/0").await.unwrap(), Some(3));

    // A commit that only moves the position.
    table.commit(moving(StagedFiles::none(), "shop.orders/log/0", Some(3), 5, "run-2")).await.unwrap();

    // A writer that believes something else is stopped.
    let staged = stage(&table, &rows(3..4)).await.unwrap();
    let zombie = orders(&place.again(None).await);
    let error = zombie.commit(moving(staged, "shop.orders/log/0", Some(3), 4, "run-3")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert!(error.to_string().contains("expected 3") && error.to_string().contains("5 is"), "{error}");
    assert_eq!(ids(&table).await, [0, 1, 2]);
    let history = table.history(None, 10).await.unwrap();
    assert_eq!(history[0].transactions, [("shop.orders/log/0".to_owned(), 5)]);
    assert_eq!(history[0].info.as_ref().unwrap()["id"], "run-2");
    assert_eq!(commit_lines(&place, &table, 2)[1]["txn"]["lastUpdated"], crate::support::START * 1000);
}

#[tokio::test]
async fn which_of_several_positions_moved_last_is_told_when_it_is_known() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let any = |table: &flowline_lake::Table| table.moved_last(|app_id| app_id.starts_with("log/"));
    assert_eq!(any(&table), None);
    for (app_id, from, to) in [("log/0", None, 90), ("log/new/0", None, 1), ("other", None, 5)] {
        table.commit(moving(StagedFiles::none(), app_id, from, to, &format!("run-{app_id}"))).await.unwrap();
    }
    assert_eq!(any(&table).as_deref(), Some("log/new/0"), "wherever the positions are");
    table.commit(moving(StagedFiles::none(), "log/0", Some(90), 91, "again")).await.unwrap();
    assert_eq!(any(&table).as_deref(), Some("log/0"));
    for step in 5..30 {
        table
            .commit(moving(StagedFiles::none(), "other", Some(step), step + 1, &format!("run-{step}")))
            .await
            .unwrap();
        table.settle().await;
    }
    let restarted = orders(&place.again(None).await);
    restarted.refresh().await.unwrap();
    assert_eq!(any(&restarted), None, "the checkpoint has both and does not say when they moved");
}

#[tokio::test]
async fn a_writer_that_lost_a_race_is_fenced_at_the_commit() {
    let place = Place::new().await;
    let (mine, other) = (orders(&place.lake), orders(&place.again(None).await));
    mine.ensure(&spec(&[])).await.unwrap();
    other.refresh().await.unwrap();
    let (first, second) =
        (stage(&mine, &rows(0..3)).await.unwrap(), stage(&other, &rows(0..3)).await.unwrap());
    mine.commit(moving(first, "a", None, 3, "run-1")).await.unwrap();
    // The other has not seen that commit: it meets it where it wants to write its own.
    let error = other.commit(moving(second, "a", None, 3, "run-2")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert_eq!(ids(&mine).await, [0, 1, 2]);
}

#[tokio::test]
async fn writers_of_different_positions_do_not_disturb_each_other() {
    let place = Place::new().await;
    let (one, other) = (orders(&place.lake), orders(&place.again(None).await));
    one.ensure(&spec(&[])).await.unwrap();
    other.refresh().await.unwrap();
    for step in 0..4 {
        let (first, second) = (rows(step * 10..step * 10 + 5), rows(step * 10 + 5..step * 10 + 10));
        let (first, second) = (stage(&one, &first).await.unwrap(), stage(&other, &second).await.unwrap());
        let from = (step > 0).then_some(step);
        let (a, b) = tokio::join!(
            one.commit(moving(first, "a", from, step + 1, &format!("a{step}"))),
            other.commit(moving(second, "b", from, step + 1, &format!("b{step}"))),
        );
        a.unwrap();
        b.unwrap();
    }
    assert_eq!(ids(&one).await, (0..40).collect::<Vec<_>>());
    assert_eq!(ids(&other).await, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_same_run_again_is_the_same_commit() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let staged = stage(&table, &rows(0..3)).await.unwrap();
    let commit = moving(staged, "a", None, 3, "run-1");
    let first = table.commit(commit.clone()).await.unwrap();
    let again = table.commit(commit.clone()).await.unwrap();
    assert_eq!((first.version, again.version), (1, 1));
    // Also for a process that was started since.
    let restarted = orders(&place.again(None).await);
    assert_eq!(restarted.commit(commit).await.unwrap().version, 1);
    assert_eq!(ids(&table).await, [0, 1, 2]);
}

#[tokio::test]
async fn overwrite_replaces_all_and_keeps_the_past() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    append(&table, 0..8).await;
    let staged = stage(&table, &rows(100..102)).await.unwrap();
    let committed = table
        .commit(TableCommit { mode: CommitMode::Overwrite, ..TableCommit::append(staged) })
        .await
        .unwrap();
    assert_eq!((committed.rows, committed.rows_removed, committed.files_removed), (2, 8, 4));
    assert_eq!(ids(&table).await, [100, 101]);
    assert_eq!(select(&table, ReadAt::Version(1), "select count(*) from t").await, ["8"]);
}

#[tokio::test]
async fn files_roll_at_their_size_and_memory_stays_bounded() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["ts_day"])).await.unwrap();
    let options = WriterOptions {
        open_files_max: 2,
        target_file_bytes: 4 << 10,
        memory_bytes_max: 1,
        ..WriterOptions::default()
    };
    let mut writer = table.writer(options).await.unwrap();
    for step in 0..10 {
        writer.write(&rows(step * 100..step * 100 + 100)).await.unwrap();
    }
    assert_eq!(writer.staged_rows(), 1000);
    assert!(writer.staged_bytes() > 0);
    let staged = writer.finish().await.unwrap();
    assert_eq!(staged.rows(), 1000);
    assert!(staged.files().len() >= 42, "a file for each of 42 days at least");
    table.commit(TableCommit::append(staged)).await.unwrap();
    assert_eq!(ids(&table).await, (0..1000).collect::<Vec<_>>());
    assert_eq!(
        select(&table, ReadAt::Latest, "select count(*) from t where ts_day = date '2026-01-06'").await,
        ["24"]
    );
}

#[tokio::test]
async fn staged_rows_of_another_table_are_refused() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let staged = stage(&table, &rows(0..3)).await.unwrap();
    let quarantine = place.lake.table(flowline_lake::TableId::quarantine("shop.orders".parse().unwrap()));
    quarantine.ensure(&spec(&[])).await.unwrap();
    let error = quarantine.commit(TableCommit::append(staged)).await.unwrap_err();
    assert!(matches!(error, LakeError::Input { .. }), "{error}");
    assert_eq!(quarantine.id().to_string(), "quarantine/shop/orders");
}

#[tokio::test]
async fn many_tasks_append_at_once() {
    let place = Arc::new(Place::new().await);
    orders(&place.lake).ensure(&spec(&[])).await.unwrap();
    let tasks = (0..8).map(|task| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let table = orders(&place.lake);
            for step in 0..4 {
                let start = (task * 4 + step) * 3;
                append(&table, start..start + 3).await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    assert_eq!(ids(&orders(&place.lake)).await, (0..96).collect::<Vec<_>>());
    assert_eq!(orders(&place.lake).version(), Some(32));
}
