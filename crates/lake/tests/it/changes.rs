//! What changed between two versions, and the history.

use datafusion::prelude::{col, lit};
use flowline_lake::{Changes, CommitMode, CompactOptions, StagedFiles, TableCommit};

use crate::support::{Place, append, lines, moving, orders, query, rows, spec, stage};

async fn appended_ids(table: &flowline_lake::Table, changes: &Changes) -> Vec<String> {
    lines(&query(table.provider_of(changes).await.unwrap(), "select id from t order by id").await)
}

#[tokio::test]
async fn appended_rows_are_read_alone() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    append(&table, 0..2).await;
    append(&table, 4..6).await;
    table.commit(moving(StagedFiles::none(), "a", None, 1, "r")).await.unwrap();
    append(&table, 10..11).await;
    for lake in [place.lake.clone(), place.again(None).await] {
        let table = orders(&lake);
        let changes = table.changes(Some(1), 4).await.unwrap();
        assert!(changes.append_only() && !changes.is_empty());
        assert_eq!(appended_ids(&table, &changes).await, ["4", "5", "10"]);
        let partitions: Vec<String> = changes.partitions.iter().map(ToString::to_string).collect();
        assert_eq!(partitions, ["country=de", "country=fr", "country=it"]);
        let changes = table.changes(Some(2), 3).await.unwrap();
        assert!(changes.is_empty() && changes.append_only());
        assert!(appended_ids(&table, &changes).await.is_empty());
        assert_eq!(appended_ids(&table, &table.changes(None, 2).await.unwrap()).await, ["0", "1", "4", "5"]);
        assert!(table.changes(Some(4), 4).await.unwrap().is_empty());
        assert!(table.changes(Some(4), 5).await.is_err());
    }
}

#[tokio::test]
async fn rows_that_went_are_told() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    append(&table, 0..4).await;
    table.delete_where(col("id").eq(lit(1)), TableCommit::append(StagedFiles::none())).await.unwrap();
    let changes = table.changes(Some(1), 2).await.unwrap();
    assert!(changes.rewritten && !changes.append_only());
    assert!(!changes.removed_unknown);
    let gone = table.provider_of_files(&changes.removed).await.unwrap();
    assert!(lines(&query(gone, "select id from t").await).contains(&"1".to_owned()), "the file that had it");
    assert_eq!(changes.partitions.iter().map(ToString::to_string).collect::<Vec<_>>(), ["country=fr"]);
    let staged = stage(&table, &rows(9..10)).await.unwrap();
    table.commit(TableCommit { mode: CommitMode::Overwrite, ..TableCommit::append(staged) }).await.unwrap();
    assert!(table.changes(Some(2), 3).await.unwrap().rewritten);
}

#[tokio::test]
async fn compaction_is_no_change() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..9 {
        append(&table, step * 2..step * 2 + 2).await;
    }
    assert_eq!(table.stats().await.unwrap().small_files, 9);
    let committed = table.compact(CompactOptions::default()).await.unwrap().unwrap();
    assert_eq!((committed.files, committed.files_removed, committed.rows), (1, 9, 18));
    assert!(table.changes(Some(9), 10).await.unwrap().is_empty());
    // Files that were appended and joined since are still read as they were appended.
    let changes = table.changes(Some(7), 10).await.unwrap();
    assert!(changes.append_only());
    assert_eq!(appended_ids(&table, &changes).await, ["14", "15", "16", "17"]);
    let stats = table.stats().await.unwrap();
    assert_eq!((stats.files, stats.rows, stats.small_files), (1, 18, 0));
}

#[tokio::test]
async fn what_is_no_longer_kept_is_unknown() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..5 {
        append(&table, step..step + 1).await;
    }
    for version in 0..3 {
        std::fs::remove_file(place.path(&table).join(format!("_delta_log/{version:020}.json"))).unwrap();
    }
    assert!(table.changes(Some(1), 5).await.unwrap().unknown);
    assert!(!table.changes(Some(2), 5).await.unwrap().unknown);
    let versions: Vec<i64> =
        table.history(None, 10).await.unwrap().iter().map(|entry| entry.version).collect();
    assert_eq!(versions, [5, 4, 3]);
}

#[tokio::test]
async fn history_is_newest_first_and_bounded() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..40 {
        append(&table, step..step + 1).await;
    }
    let history = table.history(None, 3).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.version).collect::<Vec<_>>(), [40, 39, 38]);
    assert!(
        history.iter().all(|entry| entry.rows_added == 1 && entry.files_added == 1 && entry.data_changed)
    );
    assert_eq!(history[0].operation, "WRITE");
    assert_eq!(table.history(None, 1000).await.unwrap().len(), 41);
    assert_eq!(table.history(Some(37), 1000).await.unwrap().len(), 3);
    assert!(table.history(Some(40), 1000).await.unwrap().is_empty());
}
