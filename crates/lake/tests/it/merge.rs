//! Upsert and delete.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{col, lit};
use flowline_lake::{LakeError, ReadAt, StagedFiles, Table, TableCommit};
use futures::stream;

use crate::support::{Place, append, ids, moving, orders, rows, select, spec, stage};

fn upsert(values: &[(i64, &str)]) -> SendableRecordBatchStream {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(values.iter().map(|(id, _)| *id)));
    let countries: ArrayRef =
        Arc::new(StringArray::from_iter_values(values.iter().map(|(_, country)| *country)));
    let batch = RecordBatch::try_from_iter([("id", ids), ("country", countries)]).unwrap();
    Box::pin(RecordBatchStreamAdapter::new(batch.schema(), stream::iter([Ok(batch)])))
}

async fn countries(table: &Table) -> Vec<String> {
    select(table, ReadAt::Latest, "select id, country from t order by id").await
}

#[tokio::test]
async fn rows_are_inserted_or_replaced_by_key() {
    for partitions in [&[][..], &["country"][..], &["ts_day"][..]] {
        let place = Place::new().await;
        let table = orders(&place.lake);
        table.ensure(&spec(partitions)).await.unwrap();
        append(&table, 0..3).await;
        append(&table, 100..103).await;
        let key = ["id".to_owned()];
        let committed = table
            .merge(
                upsert(&[(1, "xx"), (50, "new"), (101, "yy")]),
                &key,
                TableCommit::append(StagedFiles::none()),
            )
            .await
            .unwrap();
        assert_eq!((committed.rows, committed.rows_removed), (3, 2), "{partitions:?}");
        assert_eq!(countries(&table).await, ["0|de", "1|xx", "2|it", "50|new", "100|de", "101|yy", "102|it"]);
        // Rows that moved to another partition are gone from their old one.
        table.merge(upsert(&[(1, "zz")]), &key, TableCommit::append(StagedFiles::none())).await.unwrap();
        assert_eq!(ids(&table).await, [0, 1, 2, 50, 100, 101, 102]);
        assert_eq!(table.version(), Some(4));
        assert_eq!(
            select(&table, ReadAt::Version(2), "select count(*) from t where country = 'xx'").await,
            ["0"]
        );
    }
}

#[tokio::test]
async fn only_files_that_hold_a_key_are_written_again() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..5 {
        append(&table, step * 10..step * 10 + 10).await;
    }
    let committed = table
        .merge(
            upsert(&[(15, "a"), (16, "b"), (99, "c")]),
            &["id".to_owned()],
            TableCommit::append(StagedFiles::none()),
        )
        .await
        .unwrap();
    assert_eq!((committed.rows, committed.files_removed, committed.rows_removed), (3, 1, 2));
    assert_eq!(ids(&table).await.len(), 51);
}

#[tokio::test]
async fn the_same_key_twice_is_refused() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let error = table
        .stage_merge(upsert(&[(1, "a"), (2, "b"), (1, "c")]), &["id".to_owned()], &[])
        .await
        .unwrap_err();
    assert!(matches!(&error, LakeError::Input { .. }) && error.to_string().contains("`id` = `1`"), "{error}");
    let error = table.stage_merge(upsert(&[(1, "a")]), &["nothing".to_owned()], &[]).await.unwrap_err();
    assert!(matches!(error, LakeError::Schema { .. }), "{error}");
}

#[tokio::test]
async fn a_merge_is_done_again_when_rows_came_meanwhile() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    let other = orders(&place.again(None).await);
    table.ensure(&spec(&[])).await.unwrap();
    append(&table, 0..2).await;
    other.refresh().await.unwrap();
    let merge = table.stage_merge(upsert(&[(1, "x"), (7, "y")]), &["id".to_owned()], &[]).await.unwrap();
    assert_eq!(merge.rows(), 2);
    // The other appends one of the keys, and this process has not seen it yet when it commits.
    append(&other, 7..9).await;
    let commit = moving(StagedFiles::none(), "shop.orders/sql", None, 1, "run-1");
    table.commit_merge(merge, commit).await.unwrap();
    assert_eq!(countries(&table).await, ["0|de", "1|x", "7|y", "8|de"]);
    assert_eq!(other.transaction_version("shop.orders/sql").await.unwrap(), Some(1));
}

#[tokio::test]
async fn rows_of_keys_that_are_gone_go_without_a_new_one() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    append(&table, 0..4).await;
    let gone: ArrayRef = Arc::new(Int32Array::from(vec![1, 3, 9]));
    let gone = RecordBatch::try_from_iter([("whatever it is called", gone)]).unwrap();
    let merge = table.stage_merge(upsert(&[(1, "x")]), &["id".to_owned()], &[gone]).await.unwrap();
    let committed = table.commit_merge(merge, TableCommit::append(StagedFiles::none())).await.unwrap();
    assert_eq!((committed.rows, committed.rows_removed), (1, 2));
    assert_eq!(countries(&table).await, ["0|de", "1|x", "2|it"]);
}

#[tokio::test]
async fn rows_are_deleted_and_others_added_in_one_commit() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["ts_day"])).await.unwrap();
    append(&table, 0..30).await;
    let staged = stage(&table, &rows(500..502)).await.unwrap();
    let predicate = col("t.country").is_null().or(col("id").gt_eq(lit(24)));
    let committed = table.delete_where(predicate, TableCommit::append(staged)).await.unwrap();
    assert_eq!((committed.version, committed.rows, committed.rows_removed), (2, 2, 12));
    let expected: Vec<i64> = (0..24).filter(|id| id % 4 != 3).chain(500..502).collect();
    assert_eq!(ids(&table).await, expected);
    // Nothing to delete: nothing is written again.
    let committed =
        table.delete_where(col("id").eq(lit(-5)), TableCommit::append(StagedFiles::none())).await.unwrap();
    assert_eq!((committed.files, committed.files_removed), (0, 0));
    let committed = table.delete_where(lit(true), TableCommit::append(StagedFiles::none())).await.unwrap();
    assert_eq!((committed.files, committed.rows_removed), (0, 20));
    assert!(ids(&table).await.is_empty());
    let error = table
        .delete_where(col("nothing").eq(lit(1)), TableCommit::append(StagedFiles::none()))
        .await
        .unwrap_err();
    assert!(matches!(error, LakeError::Input { .. }), "{error}");
}
