use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray, Float32Array,
    Float64Array, Int16Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch,
    StringArray, StringViewArray, StructArray, TimestampMillisecondArray, TimestampNanosecondArray,
    UInt64Array,
};
use arrow::datatypes::{DataType, Field, Int32Type, TimeUnit};
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use flowline_log::{Batch, RecordFormat};
use flowline_testkit::http_dataset;

use super::{outcome, with};
use crate::decode::Decoder;

pub(super) fn stream(batches: &[RecordBatch]) -> Batch {
    let mut writer = StreamWriter::try_new(Vec::new(), batches[0].schema_ref()).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    let records = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u32;
    Batch {
        format: RecordFormat::ArrowStream,
        schema: Bytes::new(),
        payload: writer.into_inner().unwrap().into(),
        spans: vec![],
        records,
        idempotency_key: None,
        received_at: 0,
        trace_id: None,
    }
}

/// What becomes of the values of an array in a column of this type.
fn values(data_type: &str, format: Option<&str>, array: impl Into<ArrayRef>) -> Vec<String> {
    let array: ArrayRef = array.into();
    let dataset = http_dataset("test.values", &[("v", data_type)]);
    let dataset = with(dataset, "v", |column| column.format = format.map(str::to_owned));
    let found = outcome(
        &dataset,
        &stream(&[RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap()]),
    );
    found.into_iter().map(|line| line.strip_suffix("|-").map_or(line.clone(), str::to_owned)).collect()
}

fn of<A: arrow::array::Array + 'static>(array: A) -> ArrayRef {
    Arc::new(array)
}

#[test]
fn numbers_are_cast_where_nothing_is_lost() {
    assert_eq!(values("int32", None, of(Int16Array::from(vec![Some(1), None]))), ["1", "-"]);
    let too_large = "wrong-type v: the value is out of the range of `Int8`";
    assert_eq!(values("int8", None, of(Int64Array::from(vec![127, 128]))), ["127", too_large]);
    assert_eq!(
        values("int64", None, of(UInt64Array::from(vec![1, u64::MAX]))),
        ["1", "wrong-type v: the value is out of the range of `Int64`"]
    );
    assert_eq!(
        values("int32", None, of(Float64Array::from(vec![3.0, 1.5]))),
        ["3", "wrong-type v: `1.5` has more digits behind the point than are kept"]
    );
    assert_eq!(values("float64", None, of(Int32Array::from(vec![3]))), ["3.0"]);
    assert_eq!(values("float32", None, of(Float64Array::from(vec![0.5, 1e300]))).len(), 2);
    assert!(values("float32", None, of(Float64Array::from(vec![1e300])))[0].starts_with("wrong-type"));
    assert_eq!(
        values("decimal(4,1)", None, of(Float64Array::from(vec![0.1, 0.25]))),
        ["0.1", "wrong-type v: `0.25` has more digits behind the point than are kept"]
    );
    assert_eq!(values("decimal(4,1)", None, of(Float32Array::from(vec![0.1]))), ["0.1"]);
    assert_eq!(values("decimal(4,1)", None, of(Int32Array::from(vec![7]))), ["7.0"]);
    let cents = Decimal128Array::from(vec![110, 115]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(
        values("decimal(4,1)", None, of(cents)),
        ["1.1", "wrong-type v: the value is out of the range of `Decimal128(4, 1)`"]
    );
}

#[test]
fn text_is_read_as_in_json() {
    assert_eq!(values("string", None, of(StringViewArray::from(vec!["a"]))), ["a"]);
    assert_eq!(values("string", None, of(LargeStringArray::from(vec![Some("a"), None]))), ["a", "-"]);
    assert_eq!(
        values("string", None, of(DictionaryArray::<Int32Type>::from_iter(["a", "b", "a"]))),
        ["a", "b", "a"]
    );
    assert_eq!(
        values("string", None, of(Int32Array::from(vec![1]))),
        ["wrong-type v: expected `Utf8`, found `Int32`"]
    );
    assert_eq!(
        values("int32", None, of(StringArray::from(vec!["7", "x"]))),
        ["7", "wrong-type v: `x` is not a number"]
    );
    assert_eq!(
        values("int32", None, of(BooleanArray::from(vec![true]))),
        ["wrong-type v: expected `Int32`, found `Boolean`"]
    );
    assert_eq!(values("int32", None, of(NullArray::new(2))), ["-", "-"]);
    assert_eq!(values("json", None, of(StringArray::from(vec!["{\"a\": 1}"]))), ["{\"a\": 1}"]);
    assert_eq!(values("json", None, of(Int32Array::from(vec![Some(1), None]))), ["1", "-"]);
}

#[test]
fn times_become_microseconds_of_utc() {
    let millis = TimestampMillisecondArray::from(vec![1_500_000_000_000]);
    assert_eq!(values("timestamp", None, of(millis.clone())), ["2017-07-14T02:40:00Z"]);
    assert_eq!(values("timestamp", None, of(millis.with_timezone("+02:00"))), ["2017-07-14T02:40:00Z"]);
    let nanos = TimestampNanosecondArray::from(vec![1_500_000_000_000_000_999]);
    assert_eq!(values("timestamp", None, of(nanos)), ["2017-07-14T02:40:00Z"]);
    assert_eq!(values("timestamp", None, of(Date32Array::from(vec![1]))), ["1970-01-02T00:00:00Z"]);
    assert_eq!(values("date", None, of(Date64Array::from(vec![86_400_000]))), ["1970-01-02"]);
    assert_eq!(
        values("date", None, of(TimestampMillisecondArray::from(vec![0]))),
        ["wrong-type v: expected `Date32`, found `Timestamp(ms)`"]
    );
    assert!(values("timestamp", None, of(Int64Array::from(vec![0])))[0].starts_with("wrong-type"));
    assert_eq!(values("timestamp", Some("epoch_s"), of(Int64Array::from(vec![1]))), ["1970-01-01T00:00:01Z"]);
    assert_eq!(
        values("timestamp", Some("%d.%m.%Y"), of(StringArray::from(vec!["31.12.1999"]))),
        ["1999-12-31T00:00:00Z"]
    );
    assert_eq!(DataType::Timestamp(TimeUnit::Millisecond, None).to_string(), "Timestamp(ms)");
}

#[test]
fn nested_values_are_converted_to_the_bottom() {
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![Some(300)]),
    ]);
    assert_eq!(
        values("list<int8>", None, of(list)),
        ["[1, -]", "-", "wrong-type v: in the list: the value is out of the range of `Int8`"]
    );
    let inner = StructArray::from(vec![
        (Arc::new(Field::new("x", DataType::Int32, true)), of(Int32Array::from(vec![Some(1), None]))),
        (Arc::new(Field::new("z", DataType::Utf8, true)), of(StringArray::from(vec![Some("q"), None]))),
    ]);
    assert_eq!(
        values("struct<x: int64, y: string>", None, of(inner)),
        [r#"{x: 1, y: -}|{"v":{"x":1,"z":"q"}}"#, r#"{x: -, y: -}|{"v":{}}"#]
    );
}

#[test]
fn unknown_columns_are_kept_and_missing_ones_are_null() {
    let dataset = http_dataset("test.rows", &[("a", "int32"), ("b", "string")]);
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("a", of(Int16Array::from(vec![1, 2])), true),
        ("extra \"x\"", of(StringArray::from(vec![Some("e"), None])), true),
        ("n", of(Float64Array::from(vec![Some(1.5), None])), true),
    ]);
    let found = outcome(&dataset, &stream(&[rows.unwrap()]));
    assert_eq!(found, [r#"1|-|{"extra \"x\"":"e","n":1.5}"#, "2|-|-"]);
}

#[test]
fn records_are_counted_over_all_batches_of_a_stream() {
    let dataset = http_dataset("test.rows", &[("a", "int8")]);
    let rows = |values: Vec<i32>| RecordBatch::try_from_iter([("a", of(Int32Array::from(values)))]).unwrap();
    let batch = stream(&[rows(vec![0, 1, 999]), rows(vec![3, 4])]);
    let decoded = Decoder::compile(&dataset).unwrap().decode(&batch, 2..5);
    let places: Vec<u32> = decoded.iter().flat_map(|d| d.places.iter().map(|place| place.record)).collect();
    let rejected: Vec<u32> = decoded.iter().flat_map(|d| d.rejected.iter().map(|r| r.place.record)).collect();
    assert_eq!((places, rejected), (vec![3, 4], vec![2]));
    let text = decoded[0].arrow.as_ref().unwrap().row_text(2);
    assert_eq!(text.json, r#"{"a":999}"#);
    let limits = Default::default();
    let (_, again) = flowline_source::arrow_ipc::read_stream(&text.stream.into(), &limits).unwrap();
    assert_eq!(again, [rows(vec![999])]);
}

#[test]
fn a_last_batch_without_bytes_is_not_lost() {
    assert_eq!(values("string", None, of(NullArray::new(3))), ["-", "-", "-"]);
}

#[test]
fn a_broken_stream_rejects_every_record_that_was_counted() {
    let dataset = http_dataset("test.rows", &[("a", "int8")]);
    let mut batch = stream(&[RecordBatch::try_from_iter([("a", of(Int32Array::from(vec![1, 2])))]).unwrap()]);
    batch.payload = batch.payload.slice(..batch.payload.len() / 2);
    let found = outcome(&dataset, &batch);
    assert_eq!(found.len(), 2);
    assert!(found[0].starts_with("unparsable: the arrow stream cannot be read"), "{}", found[0]);
}
