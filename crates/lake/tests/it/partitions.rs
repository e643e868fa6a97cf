//! Partitions: nulls, special characters, pruning, replacing.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use flowline_lake::{CommitMode, LakeError, PartitionValues, ReadAt, TableCommit, TableSpec, arrow_types};

use crate::support::{Place, append, ids, lines, orders, query, rows, select, spec, stage};

const STRANGE: [Option<&str>; 10] = [
    None,
    Some("plain"),
    Some("with space"),
    Some("a/b"),
    Some("ü=ä%20&?#"),
    Some("../up"),
    Some("__HIVE_DEFAULT_PARTITION__"),
    Some("'quoted\"\\"),
    Some("line\nbreak"),
    Some("🦀"),
];

#[tokio::test]
async fn any_text_can_be_a_partition() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    let schema = Arc::new(Schema::new(vec![
        Field::new("p", DataType::Utf8, true),
        Field::new("id", DataType::Int64, false),
    ]));
    let spec = TableSpec {
        schema: Arc::clone(&schema),
        partition_columns: vec!["p".into()],
        description: String::new(),
    };
    table.ensure(&spec).await.unwrap();
    let texts: ArrayRef = Arc::new(STRANGE.iter().collect::<StringArray>());
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..STRANGE.len() as i64));
    let batch = RecordBatch::try_new(schema, vec![texts, ids]).unwrap();
    let staged = stage(&table, &batch).await.unwrap();
    assert_eq!(staged.files().len(), STRANGE.len());
    table.commit(TableCommit::append(staged)).await.unwrap();
    for (lake, _) in [(place.lake.clone(), 0), (place.again(None).await, 1)] {
        let table = orders(&lake);
        let provider = table.provider(ReadAt::Latest).await.unwrap();
        let context = SessionContext::new();
        context.register_table("t", provider).unwrap();
        for (index, text) in STRANGE.iter().enumerate() {
            let condition =
                PartitionValues(vec![("p".into(), ScalarValue::from(*text))]).predicate().unwrap();
            let found = context.table("t").await.unwrap().filter(condition).unwrap().collect().await.unwrap();
            let rows: Vec<i64> = found
                .iter()
                .flat_map(|batch| {
                    batch.column(1).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
                })
                .collect();
            assert_eq!(rows, [index as i64], "{text:?}");
        }
    }
    // Every file lies in the table's folder and nowhere else.
    assert!(!place.dir.path().join("raw/shop/up").exists());
}

#[tokio::test]
async fn partitions_of_other_types_come_back() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("day", DataType::Date32, true),
        Field::new("at", arrow_types::timestamp(), true),
        Field::new("flag", DataType::Boolean, true),
    ]));
    let partition_columns = vec!["day".to_owned(), "at".to_owned(), "flag".to_owned()];
    table
        .ensure(&TableSpec { schema: Arc::clone(&schema), partition_columns, description: String::new() })
        .await
        .unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1, 2, 3])),
        Arc::new(Date32Array::from(vec![Some(-1), Some(20_000), None])),
        Arc::new(
            TimestampMicrosecondArray::from(vec![Some(-1), Some(1_767_571_200_000_001), None])
                .with_timezone("UTC"),
        ),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
    ];
    let staged = stage(&table, &RecordBatch::try_new(schema, columns).unwrap()).await.unwrap();
    table.commit(TableCommit::append(staged)).await.unwrap();
    for lake in [place.lake.clone(), place.again(None).await] {
        let found = select(&orders(&lake), ReadAt::Latest, "select * from t order by id").await;
        assert_eq!(
            found,
            [
                "1|1969-12-31|1969-12-31T23:59:59.999999Z|true",
                "2|2024-10-04|2026-01-05T00:00:00.000001Z|false",
                "3|||"
            ]
        );
        let found =
            select(&orders(&lake), ReadAt::Latest, "select id from t where flag and at < now()").await;
        assert_eq!(found, ["1"]);
    }
}

/// The files that a plan reads.
fn files_in(plan: &str) -> usize {
    plan.matches(".parquet").count()
}

#[tokio::test]
async fn files_that_cannot_match_are_not_read() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["ts_day"])).await.unwrap();
    append(&table, 0..48).await;
    append(&table, 48..96).await;
    let provider = || table.provider(ReadAt::Latest);
    for (condition, expected) in [
        ("true", 4),
        ("ts_day = date '2026-01-06'", 1),
        ("ts_day > date '2026-01-06'", 2),
        ("id = 50", 1),
        ("id in (1, 95)", 2),
        ("amount > 90.00", 1),
        ("ts >= timestamp '2026-01-08T23:00:00.123456Z'", 1),
        ("ts > timestamp '2026-01-08T23:00:00.126Z'", 0),
        ("country = 'zz'", 0),
        ("country is null", 4),
        ("ts_day is null", 0),
    ] {
        let plan =
            query(provider().await.unwrap(), &format!("explain select id from t where {condition}")).await;
        assert_eq!(files_in(&plan), expected, "{condition}: {plan}");
        let all: Vec<String> = lines(&query(provider().await.unwrap(), "select count(*) from t").await);
        assert_eq!(all, ["96"]);
    }
}

#[tokio::test]
async fn partitions_are_replaced_and_others_stay() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    append(&table, 0..8).await;
    let partition = |text: Option<&str>| PartitionValues(vec![("country".into(), ScalarValue::from(text))]);
    // de (0, 4) becomes 8; the rows without a country (3, 7) become none.
    let replaced = vec![partition(Some("de")), partition(None)];
    let staged = stage(&table, &rows(8..9)).await.unwrap();
    let commit = TableCommit { mode: CommitMode::ReplacePartitions(replaced), ..TableCommit::append(staged) };
    let committed = table.commit(commit).await.unwrap();
    assert_eq!((committed.rows, committed.rows_removed), (1, 4));
    assert_eq!(ids(&table).await, [1, 2, 5, 6, 8]);
    // A staged row outside of what is replaced.
    let staged = stage(&table, &rows(9..10)).await.unwrap();
    let mode = CommitMode::ReplacePartitions(vec![partition(Some("de"))]);
    let error = table.commit(TableCommit { mode, ..TableCommit::append(staged) }).await.unwrap_err();
    assert!(matches!(&error, LakeError::Input { .. }) && error.to_string().contains("country=fr"), "{error}");
    let mode =
        CommitMode::ReplacePartitions(vec![PartitionValues(vec![("id".into(), ScalarValue::from(1i64))])]);
    let none = TableCommit { mode, ..TableCommit::append(flowline_lake::StagedFiles::none()) };
    assert!(matches!(table.commit(none).await.unwrap_err(), LakeError::Input { .. }));
}
