//! Profiles: exact where they say so, close where they estimate, and silent about people.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use flowline_model::{Column, ColumnType, Dataset, PartitionField, PartitionTransform};
use flowline_quality::Profiler;

fn batch(from: i64, rows: i64) -> RecordBatch {
    let ids: Int64Array = (from..from + rows).map(Some).collect();
    let amounts: Float64Array =
        (from..from + rows).map(|id| (id % 10 != 0).then_some((id % 100) as f64)).collect();
    let names: StringArray =
        (from..from + rows).map(|id| Some(if id % 4 == 0 { "rare" } else { "often" })).collect();
    RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as ArrayRef),
        ("amount", Arc::new(amounts) as ArrayRef),
        ("name", Arc::new(names) as ArrayRef),
    ])
    .unwrap()
}

fn dataset() -> flowline_model::Dataset {
    let columns = vec![
        Column::new("id", ColumnType::Int64),
        Column::new("amount", ColumnType::Float64),
        Column::new("name", ColumnType::String),
    ];
    crate::landed("shop.orders", columns)
}

#[test]
fn a_hundred_thousand_rows() {
    let dataset = dataset();
    let mut profiler = Profiler::new(&dataset, &dataset.columns);
    for part in 0..25 {
        profiler.update(&batch(part * 4_000, 4_000)).unwrap();
    }
    let profile = profiler.finish().unwrap().remove(0);
    assert_eq!((profile.partition.as_str(), profile.rows), ("", 100_000));
    let [id, amount, name] = &profile.columns[..] else { panic!("three columns") };
    assert_eq!((id.min.as_deref(), id.max.as_deref(), id.nulls), (Some("0"), Some("99999"), 0));
    assert!((95_000..105_000).contains(&id.distinct), "{}", id.distinct);
    assert_eq!(id.mean, Some(49_999.5));
    assert!((id.quantiles[3] - 50_000.0).abs() < 5_000.0, "{:?}", id.quantiles);
    assert_eq!((amount.nulls, amount.distinct), (10_000, 90));
    assert_eq!(amount.mean, Some(50.0));
    assert_eq!((name.distinct, name.lengths), (2, Some((4, 5))));
    assert_eq!(name.top[0].0, "often");
    assert!((name.top[0].1 - 0.75).abs() < 0.06, "{:?}", name.top);
}

#[test]
fn personal_data_is_counted_and_not_shown() {
    let mut dataset = dataset();
    for column in &mut dataset.columns {
        column.pii = Some("name".to_owned());
    }
    let mut profiler = Profiler::new(&dataset, &dataset.columns);
    profiler.update(&batch(0, 100)).unwrap();
    for column in &profiler.finish().unwrap()[0].columns {
        assert_eq!((column.min.as_ref(), column.max.as_ref(), column.mean), (None, None, None));
        assert!(column.top.is_empty() && column.quantiles.is_empty() && column.sample.is_empty());
        assert!(column.distinct > 0);
    }
}

#[test]
fn each_partition_has_its_own() {
    let mut dataset = dataset();
    let transform = PartitionTransform::Identity;
    dataset.partition_by = vec![PartitionField { column: "name".to_owned(), transform }];
    let mut profiler = Profiler::new(&dataset, &dataset.columns);
    profiler.update(&batch(0, 1_000)).unwrap();
    let found: Vec<(String, u64)> =
        profiler.finish().unwrap().into_iter().map(|profile| (profile.partition, profile.rows)).collect();
    assert_eq!(found, [("name=often".to_owned(), 750), ("name=rare".to_owned(), 250)]);
}

#[test]
fn nothing_and_nulls() {
    let dataset = dataset();
    let mut profiler = Profiler::new(&dataset, &dataset.columns);
    profiler.update(&batch(0, 0)).unwrap();
    assert!(profiler.finish().unwrap().is_empty());
    let nulls: ArrayRef = Arc::new(Int64Array::new_null(5));
    profiler.update(&RecordBatch::try_from_iter([("id", nulls)]).unwrap()).unwrap();
    let profile = profiler.finish().unwrap().remove(0);
    assert!(
        profile
            .columns
            .iter()
            .all(|column| column.nulls == 5 && column.distinct == 0 && column.min.is_none())
    );
}

#[test]
fn bounds_are_written_as_values_of_their_column() {
    let columns = [("at", "timestamp"), ("day", "date"), ("price", "decimal(12,2)"), ("word", "string")];
    let columns: Vec<Column> =
        columns.iter().map(|(name, kind)| Column::new(*name, kind.parse().unwrap())).collect();
    let dataset = Dataset { columns, ..dataset() };
    let arrays: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000]).with_timezone("UTC")),
        Arc::new(Date32Array::from(vec![0, 1])),
        Arc::new(Decimal128Array::from(vec![-150, 7]).with_precision_and_scale(12, 2).unwrap()),
        Arc::new(StringArray::from(vec!["a", "b"])),
    ];
    let names = dataset.columns.iter().map(|column| column.name.as_str());
    let rows = RecordBatch::try_from_iter(names.zip(arrays)).unwrap();
    let mut profiler = Profiler::new(&dataset, &dataset.columns);
    profiler.update(&rows).unwrap();
    let profile = profiler.finish().unwrap().remove(0);
    let bounds: Vec<_> =
        profile.columns.iter().map(|column| (column.min.as_deref(), column.max.as_deref())).collect();
    let expected = [
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:01.500Z"),
        ("1970-01-01", "1970-01-02"),
        ("-1.50", "0.07"),
        ("a", "b"),
    ];
    assert_eq!(bounds, expected.map(|(min, max)| (Some(min), Some(max))));
}
