//! Columns that come, go and do not fit.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, Int32Array, RecordBatch, StringArray, StringViewArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema};
use flowline_lake::{CommitMode, LakeError, ReadAt, TableCommit, TableSpec, WriterOptions, arrow_types};
use flowline_model::{Column, ColumnType};

use crate::support::{Place, append, ids, orders, rows, schema, select, spec, stage};

fn with(field: Field) -> TableSpec {
    let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
    fields.push(Arc::new(field));
    TableSpec { schema: Arc::new(Schema::new(fields)), ..spec(&[]) }
}

#[tokio::test]
async fn a_new_column_is_null_in_old_rows() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    append(&table, 0..2).await;
    let before = stage(&table, &rows(2..3)).await.unwrap();
    table.ensure(&with(Field::new("email", DataType::Utf8, false))).await.unwrap();
    assert!(table.schema().unwrap().field_with_name("email").unwrap().is_nullable(), "old rows lack it");
    // Rows that were staged before the column came are still good.
    table.commit(TableCommit::append(before)).await.unwrap();
    let email: ArrayRef = Arc::new(StringArray::from(vec!["a@b"]));
    let batch = RecordBatch::try_from_iter([
        ("email", email),
        ("id", Arc::new(Int32Array::from(vec![9])) as ArrayRef),
    ])
    .unwrap();
    let staged = stage(&table, &batch).await.unwrap();
    table.commit(TableCommit::append(staged)).await.unwrap();
    let found = select(&table, ReadAt::Latest, "select id, email from t order by id").await;
    assert_eq!(found, ["0|", "1|", "2|", "9|a@b"]);
    assert_eq!(select(&table, ReadAt::Latest, "select id from t where email = 'a@b'").await, ["9"]);
    // Another process finds the same.
    assert_eq!(ids(&orders(&place.again(None).await)).await, [0, 1, 2, 9]);
}

#[tokio::test]
async fn a_column_may_become_optional_and_disappear_from_the_contract() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    append(&table, 0..1).await;
    let fewer = TableSpec { schema: Arc::new(schema().project(&[1, 2]).unwrap()), ..spec(&[]) };
    table.ensure(&fewer).await.unwrap();
    let version = table.version();
    table.ensure(&fewer).await.unwrap();
    assert_eq!(table.version(), version, "nothing to do the second time");
    let staged = stage(&table, &rows(5..6).project(&[1]).unwrap()).await.unwrap();
    table.commit(TableCommit::append(staged)).await.unwrap();
    assert_eq!(
        select(&table, ReadAt::Latest, "select id, country from t order by id").await,
        ["0|de", "|fr"]
    );
}

#[tokio::test]
async fn a_column_of_another_type_is_refused_by_name() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let mut fields: Vec<_> = schema().fields().iter().cloned().collect();
    fields[2] = Arc::new(Field::new("amount", DataType::Float64, true));
    let error =
        table.ensure(&TableSpec { schema: Arc::new(Schema::new(fields)), ..spec(&[]) }).await.unwrap_err();
    assert!(matches!(&error, LakeError::Schema { column, .. } if column == "amount"), "{error}");
    let error = table.ensure(&with(Field::new("ID", DataType::Int64, true))).await.unwrap_err();
    assert!(matches!(error, LakeError::Schema { .. }), "{error}");
    let error = table.ensure(&spec(&["country"])).await.unwrap_err();
    assert!(matches!(&error, LakeError::Schema { column, .. } if column == "country"), "{error}");
    let error = orders(&place.lake).ensure(&with(Field::new("a b", DataType::Utf8, true))).await.unwrap_err();
    assert!(matches!(&error, LakeError::Schema { column, .. } if column == "a b"), "{error}");
}

#[tokio::test]
async fn rows_that_do_not_fit_are_refused_and_the_writer_goes_on() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let mut writer = table.writer(WriterOptions::default()).await.unwrap();
    let one = |name: &str, column: ArrayRef| RecordBatch::try_from_iter([(name, column)]).unwrap();
    for (batch, column) in [
        (one("unknown", Arc::new(Int32Array::from(vec![1]))), "unknown"),
        (one("id", Arc::new(Int32Array::from(vec![None]))), "id"),
        (one("id", Arc::new(StringArray::from(vec!["1"]))), "id"),
        (one("id", Arc::new(Float64Array::from(vec![1.5]))), "id"),
        (one("country", Arc::new(StringArray::from(vec!["de"]))), "id"),
    ] {
        let error = writer.write(&batch).await.unwrap_err();
        assert!(matches!(&error, LakeError::Schema { column: named, .. } if named == column), "{error}");
    }
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        ("country", Arc::new(StringViewArray::from(vec!["a view of a string that is long"]))),
        ("ts", Arc::new(TimestampNanosecondArray::from(vec![1_767_571_200_000_000_999]))),
    ]);
    writer.write(&batch.unwrap()).await.unwrap();
    table.commit(TableCommit::append(writer.finish().await.unwrap())).await.unwrap();
    let found = select(&table, ReadAt::Latest, "select id, country, ts from t").await;
    assert_eq!(found, ["1|a view of a string that is long|2026-01-05T00:00:00Z"]);
}

#[tokio::test]
async fn replacing_all_rows_may_replace_the_columns() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    append(&table, 0..4).await;
    let other = TableSpec {
        schema: Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("n", DataType::UInt32, true),
        ])),
        partition_columns: vec!["id".into()],
        description: "other".into(),
    };
    let mut writer = table.writer_for(&other, WriterOptions::default()).await.unwrap();
    let batch = RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
        ("n", Arc::new(Int32Array::from(vec![1, 2]))),
    ]);
    writer.write(&batch.unwrap()).await.unwrap();
    let staged = writer.finish().await.unwrap();
    table
        .commit(TableCommit { mode: CommitMode::OverwriteWith(other), ..TableCommit::append(staged) })
        .await
        .unwrap();
    assert_eq!(select(&table, ReadAt::Latest, "select id, n from t order by n").await, ["x|1", "y|2"]);
    assert_eq!(table.partition_columns().unwrap(), ["id"]);
    assert_eq!(
        select(&table, ReadAt::Version(1), "select id, country from t order by id limit 1").await,
        ["0|de"]
    );
    assert_eq!(
        select(&orders(&place.again(None).await), ReadAt::Latest, "select sum(n) from t").await,
        ["3"]
    );
}

#[test]
fn column_types_come_back_from_arrow() {
    let types = [
        "string",
        "boolean",
        "int8",
        "int16",
        "int32",
        "int64",
        "float32",
        "float64",
        "decimal(12,2)",
        "date",
        "timestamp",
        "binary",
        "list<string>",
        "struct<a: int64, b: list<decimal(3,1)>>",
    ];
    for text in types {
        let kind: ColumnType = text.parse().unwrap();
        let column = Column::new("c", kind.clone()).required();
        let field = arrow_types::field(&column);
        assert!(!field.is_nullable());
        assert_eq!(arrow_types::column_of(&field), column, "{text}");
    }
    let widened = arrow_types::column_of(&Field::new("n", DataType::UInt64, true)).data_type;
    assert_eq!(widened.to_string(), "decimal(20,0)");
}

#[tokio::test]
async fn every_type_is_stored_and_read_back() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    let columns: Vec<Column> = [
        "string",
        "boolean",
        "int8",
        "int16",
        "float32",
        "float64",
        "decimal(38,10)",
        "date",
        "timestamp",
        "binary",
        "json",
        "list<int32>",
        "struct<a: string, b: timestamp>",
    ]
    .iter()
    .enumerate()
    .map(|(index, kind)| Column::new(format!("c{index}"), kind.parse().unwrap()))
    .collect();
    let schema = Arc::new(arrow_types::schema(&columns));
    table
        .ensure(&TableSpec {
            schema: Arc::clone(&schema),
            partition_columns: vec![],
            description: String::new(),
        })
        .await
        .unwrap();
    let text = r#"{"c0":"é","c1":true,"c2":-128,"c3":32767,"c4":1.5,"c5":-0.1,"c6":"12345678901234567890.0123456789","c7":"2026-01-05","c8":"2026-01-05T01:02:03.000004Z","c9":"00ff","c10":"{}","c11":[1,null],"c12":{"a":"x","b":"1999-12-31T23:59:59Z"}}"#;
    let mut decoder = arrow::json::ReaderBuilder::new(schema).build_decoder().unwrap();
    decoder.decode(text.as_bytes()).unwrap();
    let batch = decoder.flush().unwrap().unwrap();
    let staged = stage(&table, &batch).await.unwrap();
    table.commit(TableCommit::append(staged)).await.unwrap();
    let found = select(
        &table,
        ReadAt::Latest,
        "select * from t where c6 > 1 and c8 < now() and c7 = date '2026-01-05'",
    )
    .await;
    assert_eq!(
        found,
        [
            "é|true|-128|32767|1.5|-0.1|12345678901234567890.0123456789|2026-01-05|2026-01-05T01:02:03.000004Z|00ff|{}|[1, ]|{a: x, b: 1999-12-31T23:59:59Z}"
        ]
    );
}
