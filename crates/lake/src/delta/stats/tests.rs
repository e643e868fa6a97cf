//! Statistics hold for every row, whatever the rows are.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::Field;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;

use super::*;

fn text(columns: Vec<(&str, ArrayRef)>, unordered: &[String]) -> (String, RecordBatch) {
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    );
    let batch = batch.unwrap();
    let properties = WriterProperties::builder()
        .set_statistics_truncate_length(Some(32))
        .set_max_row_group_row_count(Some(3))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    let metadata = writer.finish().unwrap();
    (collect(&metadata, &batch.schema(), unordered).unwrap(), batch)
}

#[test]
fn values_are_written_as_the_log_has_them() {
    for (value, least, most) in [
        (ScalarValue::Decimal128(Some(-5), 12, 2), "-0.05", "-0.05"),
        (
            ScalarValue::Decimal128(Some(i128::MAX), 38, 0),
            "170141183460469231731687303715884105727",
            "170141183460469231731687303715884105727",
        ),
        (
            ScalarValue::TimestampMicrosecond(Some(-1), None),
            "\"1969-12-31T23:59:59.999Z\"",
            "\"1970-01-01T00:00:00.000Z\"",
        ),
        (
            ScalarValue::TimestampMicrosecond(Some(1_000_000), None),
            "\"1970-01-01T00:00:01.000Z\"",
            "\"1970-01-01T00:00:01.000Z\"",
        ),
        (ScalarValue::Date32(Some(-1)), "\"1969-12-31\"", "\"1969-12-31\""),
        (ScalarValue::Float64(Some(1e300)), "1e300", "1e300"),
        (ScalarValue::Utf8(Some("a\"\n".into())), r#""a\"\n""#, r#""a\"\n""#),
    ] {
        assert_eq!(
            (json(&value, false).as_deref(), json(&value, true).as_deref()),
            (Some(least), Some(most)),
            "{value:?}"
        );
    }
    for nothing in [
        ScalarValue::Float64(Some(f64::INFINITY)),
        ScalarValue::Date32(Some(i32::MAX)),
        ScalarValue::TimestampMicrosecond(Some(i64::MAX), None),
        ScalarValue::Int64(None),
        ScalarValue::Boolean(Some(true)),
    ] {
        assert_eq!(json(&nothing, true), None, "{nothing:?}");
    }
}

#[test]
fn what_is_not_known_is_left_out() {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("nan", Arc::new(Float64Array::from(vec![Some(1.0), Some(f64::NAN), None, None]))),
        ("null", Arc::new(Int64Array::from(vec![None::<i64>; 4]))),
        ("part", Arc::new(Int64Array::from(vec![None, None, None, Some(7)]))),
    ];
    let (stats, _) = text(columns, &["nan".to_owned()]);
    assert_eq!(
        stats,
        r#"{"numRecords":4,"minValues":{"part":7},"maxValues":{"part":7},"nullCount":{"nan":2,"null":4,"part":3}}"#
    );
    assert_eq!(FileStats::parse("not json").rows(), None);
    assert_eq!(rows(r#"{"numRecords":12,"minValues":{"a":{"b":1}}}"#), Some(12));
}

#[test]
fn only_so_many_columns_have_statistics_and_the_stamps_always() {
    let names: Vec<String> =
        (0..40).map(|index| format!("c{index}")).chain([INGESTED_AT.to_owned()]).collect();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let (stats, _) = text(names.iter().map(|name| (name.as_str(), Arc::clone(&column))).collect(), &[]);
    let stats = FileStats::parse(&stats);
    assert_eq!((stats.nulls("c31"), stats.nulls("c32"), stats.nulls(INGESTED_AT)), (Some(0), None, Some(0)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_row_lies_outside(
        numbers in prop::collection::vec(prop::option::of(any::<i64>()), 8),
        texts in prop::collection::vec(prop::option::of("\\PC{0,50}|\u{10FFFF}{20,50}"), 8),
        times in prop::collection::vec(prop::option::of(-60_000_000_000_000_000i64..200_000_000_000_000_000), 8),
        decimals in prop::collection::vec(prop::option::of(-(10i128.pow(38) - 1)..10i128.pow(38)), 8),
        days in prop::collection::vec(prop::option::of(-700_000i32..2_900_000), 8),
    ) {
        let decimals: Decimal128Array = decimals.into_iter().collect();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("number", Arc::new(Int64Array::from(numbers))),
            ("text", Arc::new(StringArray::from(texts))),
            ("time", Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))),
            ("decimal", Arc::new(decimals.with_precision_and_scale(38, 10).unwrap())),
            ("day", Arc::new(Date32Array::from(days))),
        ];
        let (stats, batch) = text(columns, &[]);
        let stats = FileStats::parse(&stats);
        prop_assert_eq!(stats.rows(), Some(8));
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let field: &Field = field;
            prop_assert_eq!(stats.nulls(field.name()), Some(column.null_count() as u64));
            let known = stats.min(field).zip(stats.max(field));
            for row in (0..8).filter(|&row| column.is_valid(row)) {
                let value = ScalarValue::try_from_array(column, row).unwrap();
                let Some((min, max)) = &known else { continue };
                prop_assert!(*min <= value && value <= *max, "{} of {} is not within {} and {}", value, field.name(), min, max);
            }
        }
    }
}
