//! Rows that lie in no file: commits name them by their offsets, and they are read from where they lie.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::scalar::ScalarValue;
use flowline_lake::{
    Changes, Kept, LakeError, OffsetRange, ReadAt, RowsElsewhere, StagedFiles, Table, TableCommit, TableSpec,
    arrow_types,
};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;

use crate::support::{Place, append, ids, lines, moving, orders, query, rows, select, spec, stage};

/// A log of records, each of which is a row with its offset as `id`. It holds those from `oldest` on.
#[derive(Debug, Default)]
struct Log {
    oldest: Mutex<i64>,
    /// What was asked for: a range, and columns.
    asked: Mutex<Vec<(Range<i64>, Vec<String>)>>,
}

impl Log {
    fn asked(&self) -> Vec<(Range<i64>, Vec<String>)> {
        std::mem::take(&mut self.asked.lock())
    }
}

/// Rows of a log have no `country`: they are from before the table had it.
fn of_log(partition: i32, offsets: Range<i64>) -> RecordBatch {
    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(offsets));
    let partitions: ArrayRef = Arc::new(Int32Array::from(vec![partition; offsets.len()]));
    let columns =
        [("id", Arc::clone(&offsets)), (arrow_types::PARTITION, partitions), (arrow_types::OFFSET, offsets)];
    RecordBatch::try_from_iter(columns).unwrap()
}

#[async_trait]
impl RowsElsewhere for Log {
    async fn kept(&self, positions: &[(String, i64)]) -> Result<Kept, LakeError> {
        let oldest = *self.oldest.lock();
        let ranges = positions.iter().filter_map(|(app_id, to)| {
            let input = app_id.strip_prefix("shop.orders/")?;
            let partition = input.rsplit_once('/')?.1.parse().ok()?;
            (oldest < *to).then(|| OffsetRange {
                input: input.to_owned(),
                partition,
                from: oldest,
                to: *to,
                rows: None,
                run: None,
            })
        });
        Ok(Kept { ranges: ranges.collect(), gone: oldest > 0, since: None })
    }

    fn rows(
        self: Arc<Self>,
        range: OffsetRange,
        columns: &[String],
    ) -> BoxStream<'static, Result<RecordBatch, LakeError>> {
        self.asked.lock().push((range.from..range.to, columns.to_vec()));
        if range.from < *self.oldest.lock() {
            let (what, place) = ("what is gone".to_owned(), "the log".to_owned());
            return stream::iter([Err(LakeError::NotFound { what, place })]).boxed();
        }
        // In several batches, as a log gives them.
        let middle = i64::midpoint(range.from, range.to);
        let parts = [range.from..middle, middle..range.to];
        stream::iter(parts.map(|part| Ok(of_log(range.partition, part)))).boxed()
    }
}

fn stamped() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("country", DataType::Utf8, true),
        Field::new(arrow_types::PARTITION, DataType::Int32, true),
        Field::new(arrow_types::OFFSET, DataType::Int64, true),
    ]))
}

/// A table that has rows with these ids in files, with no offsets, and its rows elsewhere in a log.
async fn table(place: &Place) -> (Table, Arc<Log>) {
    let (table, log) = (orders(&place.lake), Arc::new(Log::default()));
    let spec = TableSpec { schema: stamped(), partition_columns: vec![], description: String::new() };
    table.ensure(&spec).await.unwrap();
    table.rows_lie_in(Arc::clone(&log) as _);
    (table, log)
}

async fn in_file(table: &Table, ids: Range<i64>) {
    let count = (ids.end - ids.start) as usize;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids)),
        Arc::new(StringArray::from(vec!["de"; count])),
        Arc::new(Int32Array::from(vec![None::<i32>; count])),
        Arc::new(Int64Array::from(vec![None::<i64>; count])),
    ];
    let staged = stage(table, &RecordBatch::try_new(stamped(), columns).unwrap()).await.unwrap();
    table.commit(TableCommit::append(staged)).await.unwrap();
}

fn range(partition: i32, offsets: Range<i64>) -> OffsetRange {
    let rows = Some((offsets.end - offsets.start) as u64);
    let (from, to, input) = (offsets.start, offsets.end, format!("log/{partition}"));
    OffsetRange { input, partition, from, to, rows, run: Some("r".to_owned()) }
}

/// Commits that the rows of these offsets are there.
async fn in_log(table: &Table, partition: i32, offsets: Range<i64>) -> flowline_lake::Committed {
    let (app_id, known) =
        (format!("shop.orders/log/{partition}"), Some(offsets.start).filter(|from| *from > 0));
    let mut commit = moving(StagedFiles::none(), &app_id, known, offsets.end, &format!("{offsets:?}"));
    commit.elsewhere.push(range(partition, offsets));
    table.commit(commit).await.unwrap()
}

async fn changed(table: &Table, changes: &Changes, sql: &str) -> Vec<String> {
    lines(&query(table.provider_of(changes).await.unwrap(), sql).await)
}

#[tokio::test]
async fn ranges_are_rows_of_the_commit_that_names_them() {
    let place = Place::new().await;
    let (table, log) = table(&place).await;
    let committed = in_log(&table, 0, 0..3).await;
    assert_eq!((committed.version, committed.rows, committed.files), (1, 3, 0));
    in_log(&table, 0, 3..5).await;
    let history = table.history(None, 9).await.unwrap();
    let added: Vec<_> = history.iter().map(|entry| (entry.rows_added, entry.data_changed)).collect();
    assert_eq!(added, [(2, true), (3, true), (0, false)]);
    assert_eq!(history[1].transactions, [("shop.orders/log/0".to_owned(), 3)]);
    for lake in [place.lake.clone(), place.again(None).await] {
        let table = orders(&lake);
        table.rows_lie_in(Arc::clone(&log) as _);
        let changes = table.changes(Some(1), 2).await.unwrap();
        assert!(changes.append_only() && !changes.is_empty());
        assert_eq!(changes.appended[0].offsets(), Some(&range(0, 3..5)));
        assert_eq!(changes.appended[0].rows, Some(2));
        assert_eq!(changed(&table, &changes, "select id from t order by id").await, ["3", "4"]);
        let all = table.changes(Some(0), 2).await.unwrap();
        assert_eq!(changed(&table, &all, "select id from t order by id").await, ["0", "1", "2", "3", "4"]);
        let all = table.changes(None, 2).await.unwrap();
        assert_eq!(changed(&table, &all, "select count(*) from t").await, ["5"]);
        // What lies there as of a version is told by its position.
        let first = table.changes(None, 1).await.unwrap();
        assert_eq!(changed(&table, &first, "select count(*) from t").await, ["3"]);
        assert_eq!(select(&table, ReadAt::Version(1), "select count(*) from t").await, ["3"]);
        assert_eq!(table.positions(1).await.unwrap(), [("shop.orders/log/0".to_owned(), 3)]);
        assert_eq!(table.positions(2).await.unwrap(), [("shop.orders/log/0".to_owned(), 5)]);
    }
}

#[tokio::test]
async fn a_commit_that_only_moves_the_position_changes_nothing() {
    let place = Place::new().await;
    let (table, _) = table(&place).await;
    table.commit(moving(StagedFiles::none(), "shop.orders/log/0", None, 7, "r")).await.unwrap();
    let entry = &table.history(None, 1).await.unwrap()[0];
    assert_eq!((entry.rows_added, entry.data_changed), (0, false));
    assert!(table.changes(Some(0), 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn files_and_ranges_are_one_table() {
    let place = Place::new().await;
    let (table, log) = table(&place).await;
    in_file(&table, 100..103).await;
    in_log(&table, 0, 0..2).await;
    in_file(&table, 103..104).await;
    in_log(&table, 1, 0..3).await;
    assert_eq!(ids(&table).await, [0, 0, 1, 1, 2, 100, 101, 102, 103]);
    log.asked();
    // No column is asked for, and yet there are as many rows.
    assert_eq!(select(&table, ReadAt::Latest, "select count(*) from t").await, ["9"]);
    assert!(log.asked().iter().all(|(_, columns)| columns.is_empty()));
    // Only columns that are asked for, also by filters.
    let sql = "select country from t where id > 1 order by country nulls last";
    assert_eq!(select(&table, ReadAt::Latest, sql).await, ["de", "de", "de", "de", ""]);
    assert!(log.asked().iter().all(|(_, columns)| *columns == ["id", "country"]));
    // A column that the rows do not have is null, whatever else is read.
    let sql = "select count(*), count(country), count(_offset), max(_offset) from t";
    assert_eq!(select(&table, ReadAt::Latest, sql).await, ["9|4|5|2"]);
    let changes = table.changes(Some(1), 4).await.unwrap();
    assert_eq!(
        changed(&table, &changes, "select id, country from t order by id, country").await,
        ["0|", "0|", "1|", "1|", "2|", "103|de"]
    );
    assert_eq!(changed(&table, &changes, "select count(*) from t").await, ["6"]);
    assert_eq!(select(&table, ReadAt::Latest, "select id from t order by id limit 2").await, ["0", "0"]);
    assert_eq!(table.stats().await.unwrap().rows, 4, "those of files");
}

#[tokio::test]
async fn a_part_of_the_table_is_asked_of_its_partition_alone() {
    let place = Place::new().await;
    let (table, log) = table(&place).await;
    in_log(&table, 0, 0..4).await;
    in_log(&table, 1, 0..2).await;
    let part = orders(&place.lake).only(arrow_types::PARTITION, ScalarValue::Int32(Some(1)));
    for changes in [part.changes(Some(0), 2).await.unwrap(), part.changes(None, 2).await.unwrap()] {
        log.asked();
        assert_eq!(
            changed(&part, &changes, "select _partition, id from t order by id").await,
            ["1|0", "1|1"]
        );
        assert!(log.asked().iter().all(|(offsets, _)| offsets.end <= 2), "what is another's is not read");
        assert_eq!(changed(&part, &changes, "select count(*) from t").await, ["2"]);
    }
    let changes = part.changes(Some(0), 2).await.unwrap();
    assert_eq!(changes.appended.iter().map(|file| file.rows).collect::<Vec<_>>(), [Some(2)]);
    assert_eq!(select(&part, ReadAt::Latest, "select count(*) from t").await, ["2"]);
    assert_eq!(select(&table, ReadAt::Latest, "select count(*) from t").await, ["6"]);
}

#[tokio::test]
async fn positions_and_ranges_outlive_checkpoints() {
    let place = Place::new().await;
    let (table, log) = table(&place).await;
    for step in 0..25 {
        in_log(&table, 0, step..step + 1).await;
        table.settle().await;
    }
    let again = orders(&place.again(None).await);
    again.rows_lie_in(Arc::clone(&log) as _);
    assert_eq!(select(&again, ReadAt::Latest, "select count(*) from t").await, ["25"]);
    assert_eq!(select(&again, ReadAt::Version(12), "select count(*) from t").await, ["12"]);
    let changes = again.changes(Some(3), 25).await.unwrap();
    assert_eq!(changed(&again, &changes, "select min(id), count(*) from t").await, ["3|22"]);
    // Only what is still there is read of a whole table; a range that was named is there or fails.
    *log.oldest.lock() = 20;
    assert_eq!(select(&again, ReadAt::Latest, "select min(id), count(*) from t").await, ["20|5"]);
    assert!(again.kept_elsewhere().await.unwrap().unwrap().gone);
    let provider = again.provider_of(&changes).await.unwrap();
    let session = datafusion::prelude::SessionContext::new();
    let failed = session.read_table(provider).unwrap().collect().await.unwrap_err().to_string();
    assert!(failed.contains("what is gone"), "{failed}");
}

#[tokio::test]
async fn without_a_log_it_is_said_why_rows_cannot_be_read() {
    let place = Place::new().await;
    let (table, _) = table(&place).await;
    in_log(&table, 0, 0..2).await;
    let table = orders(&place.again(None).await);
    assert!(!table.reads_elsewhere());
    assert_eq!(table.kept_elsewhere().await.unwrap(), None);
    let provider = table.provider_of(&table.changes(Some(0), 1).await.unwrap()).await.unwrap();
    let session = datafusion::prelude::SessionContext::new();
    let failed = session.read_table(provider).unwrap().collect().await.unwrap_err().to_string();
    assert!(
        failed.contains("they stay in the log (`landing: { keep: log }`), which this process does not read"),
        "{failed}"
    );
}

#[tokio::test]
async fn a_table_of_files_alone_is_as_it_was() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    append(&table, 0..4).await;
    table.rows_lie_in(Arc::new(Log::default()));
    assert_eq!(ids(&table).await, [0, 1, 2, 3]);
    stage(&table, &rows(4..5)).await.unwrap();
    assert_eq!(table.kept_elsewhere().await.unwrap(), Some(Kept::default()));
}
