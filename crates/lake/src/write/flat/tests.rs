//! What is written is read by the library as it was, and its statistics hold for all of it.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnPath;
use proptest::prelude::*;

use super::super::encoder::Encoder;
use super::*;

fn fresh() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_offset_index_disabled(true)
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_statistics_truncate_length(Some(8))
}

fn written(batches: &[RecordBatch], properties: WriterProperties) -> Bytes {
    let mut encoder = Encoder::new(batches[0].schema(), properties).unwrap();
    let mut bytes = Vec::new();
    for batch in batches {
        bytes.extend(encoder.write(batch).unwrap());
    }
    bytes.extend(encoder.finish().unwrap().1);
    bytes.concat().into()
}

/// The rows of a file and what it says of its row groups.
fn read(file: Bytes) -> (RecordBatch, Vec<RowGroupMetaData>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let groups = reader.metadata().row_groups().to_vec();
    let read: Vec<RecordBatch> =
        reader.with_batch_size(1 << 20).build().unwrap().collect::<Result<_, _>>().unwrap();
    (concat_batches(&read[0].schema(), &read).unwrap(), groups)
}

fn of(columns: Vec<(&str, ArrayRef)>, nullable: bool) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, column)| Field::new(*name, column.data_type().clone(), nullable))
        .collect();
    RecordBatch::try_new(
        Arc::new(Schema::new(fields)),
        columns.into_iter().map(|(_, column)| column).collect(),
    )
    .unwrap()
}

/// Few values far apart and near to each other, in all orders, many of them or none missing.
fn numbers() -> impl Strategy<Value = Vec<Option<i64>>> {
    let number = prop_oneof![
        -3i64..3,
        any::<i64>(),
        Just(i64::MIN),
        Just(i64::MAX),
        1_700_000_000_000_000i64..1_700_000_000_000_999
    ];
    let some = prop::collection::vec(prop::option::weighted(0.8, number.clone()), 1..700);
    let all = prop::collection::vec(number.clone().prop_map(Some), 1..700);
    let same = (number, 1..700usize).prop_map(|(number, count)| vec![Some(number); count]);
    prop_oneof![some, all, same, Just(vec![None; 9])]
}

/// The numbers as decimals with so many digits, those that have more divided until they fit.
fn decimal(numbers: &[Option<i64>], digits: u8) -> ArrayRef {
    let limit = 10i128.pow(u32::from(digits));
    let fitting = |number: &i64| {
        let wide = i128::from(*number) * i128::from(*number) * i128::from(number.signum());
        if digits == 38 { wide % limit } else { i128::from(*number) % limit }
    };
    let decimals: Decimal128Array = numbers.iter().map(|number| number.as_ref().map(fitting)).collect();
    Arc::new(decimals.with_precision_and_scale(digits, 2).unwrap())
}

/// A number as a file keeps it.
fn signed(bytes: &[u8], kind: PhysicalType) -> i128 {
    match kind {
        PhysicalType::INT32 => i32::from_le_bytes(bytes.try_into().unwrap()).into(),
        PhysicalType::INT64 => i64::from_le_bytes(bytes.try_into().unwrap()).into(),
        _ => {
            bytes[1..].iter().fold(i128::from(bytes[0] as i8), |number, byte| number << 8 | i128::from(*byte))
        }
    }
}

fn texts() -> impl Strategy<Value = Vec<Option<String>>> {
    let text =
        prop_oneof!["[ab]{0,2}", "\\PC{0,20}", "https://example.org/[a-c]", Just("\u{10FFFF}".repeat(9))];
    let some = prop::collection::vec(prop::option::weighted(0.8, text.clone()), 1..700);
    let same = (text, 1..700usize).prop_map(|(text, count)| vec![Some(text); count]);
    prop_oneof![some, same, Just(vec![None; 9])]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_written_is_read(
        numbers in numbers(),
        texts in texts(),
        parts in prop::collection::vec(1..400usize, 1..4),
        snappy in any::<bool>(),
        dictionary_bytes in prop_oneof![Just(40usize), Just(1 << 20)],
        group in prop_oneof![Just(50usize), Just(1 << 20)],
    ) {
        let rows = numbers.len().min(texts.len());
        let (numbers, texts) = (&numbers[..rows], &texts[..rows]);
        let times: TimestampMicrosecondArray = numbers.iter().copied().collect();
        let narrow = || numbers.iter().map(|number| number.map(|number| number as i32));
        let text: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringArray>());
        let all = of(vec![
            ("wide", Arc::new(numbers.iter().copied().collect::<Int64Array>())),
            ("time", Arc::new(times.with_timezone("UTC"))),
            ("narrow", Arc::new(narrow().collect::<Int32Array>())),
            ("day", Arc::new(narrow().collect::<Date32Array>())),
            ("cents", decimal(numbers, 9)),
            ("price", decimal(numbers, 18)),
            ("total", decimal(numbers, 19)),
            ("most", decimal(numbers, 38)),
            ("plain", Arc::clone(&text)),
            ("repeated", text),
        ], true);
        let mut builder = fresh()
            .set_dictionary_enabled(false)
            .set_column_dictionary_enabled(ColumnPath::from("repeated"), true)
            .set_dictionary_page_size_limit(dictionary_bytes)
            .set_max_row_group_row_count(Some(group));
        if snappy {
            builder = builder.set_compression(Compression::SNAPPY);
        }
        let (mut batches, mut from) = (Vec::new(), 0);
        for part in parts {
            let count = part.min(rows - from);
            batches.push(all.slice(from, count));
            from += count;
        }
        batches.push(all.slice(from, rows - from));
        let (read, groups) = read(written(&batches, builder.build()));
        prop_assert_eq!(read.columns(), all.columns());
        let mut from = 0;
        for group in groups {
            let count = group.num_rows() as usize;
            for (column, chunk) in all.slice(from, count).columns().iter().zip(group.columns()) {
                let statistics = chunk.statistics().unwrap();
                prop_assert_eq!(statistics.null_count_opt(), Some(column.null_count() as u64));
                if let Some(decimals) = column.as_primitive_opt::<Decimal128Type>() {
                    let bound = |bytes: Option<&[u8]>| bytes.map(|bytes| signed(bytes, chunk.column_type()));
                    prop_assert_eq!(bound(statistics.min_bytes_opt()), decimals.iter().flatten().min());
                    prop_assert_eq!(bound(statistics.max_bytes_opt()), decimals.iter().flatten().max());
                }
                let Some(texts) = column.as_string_opt::<i32>() else { continue };
                if let Some(least) = statistics.min_bytes_opt() {
                    prop_assert!(texts.iter().flatten().all(|text| least <= text.as_bytes()));
                    prop_assert_eq!(statistics.min_is_exact(), texts.iter().flatten().any(|text| text.as_bytes() == least));
                }
                if let Some(most) = statistics.max_bytes_opt() {
                    prop_assert!(texts.iter().flatten().all(|text| text.as_bytes() <= most));
                }
            }
            from += count;
        }
    }
}

#[test]
fn pages_are_bounded_by_rows_and_bytes() {
    let rows = 100_000;
    let batch = of(
        vec![
            ("number", Arc::new(Int64Array::from_iter_values(0..rows))),
            ("text", Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("{n:0100}"))))),
        ],
        false,
    );
    let properties = fresh().set_dictionary_enabled(false).build();
    let file = written(std::slice::from_ref(&batch), properties);
    let reader = SerializedFileReader::new(file.clone()).unwrap();
    let pages = |column| reader.get_row_group(0).unwrap().get_column_page_reader(column).unwrap().count();
    assert_eq!((pages(0), pages(1)), (4, 10));
    let (read, groups) = read(file);
    assert_eq!(read.columns(), batch.columns());
    // One bit a number at most, beside four bytes for each of 128.
    assert!(groups[0].column(0).compressed_size() < rows / 10);
}

#[test]
fn what_is_the_same_in_all_rows_takes_no_room() {
    let rows = 30_000;
    let batch = of(
        vec![
            ("batch", Arc::new(StringArray::from_iter_values((0..rows).map(|_| "0199-7d1e")))),
            ("missing", Arc::new(StringArray::new_null(rows))),
            ("partition", Arc::new(Int32Array::from(vec![7; rows]))),
        ],
        true,
    );
    let batches = [batch.slice(0, 10_000), batch.slice(10_000, 20_000)];
    let properties = fresh().set_column_dictionary_enabled(ColumnPath::from("partition"), false).build();
    let (read, groups) = read(written(&batches, properties));
    assert_eq!(read.columns(), batch.columns());
    let sizes: Vec<i64> = groups[0].columns().iter().map(|chunk| chunk.compressed_size()).collect();
    assert!(sizes[0] < 100 && sizes[1] < 60 && sizes[2] < 30_000 / 128 * 6, "{sizes:?}");
}

#[test]
fn columns_of_files_that_stay_and_of_other_types_are_not_taken() {
    let batch = of(
        vec![
            ("number", Arc::new(Int64Array::from(vec![1]))),
            ("text", Arc::new(StringArray::from(vec!["a"]))),
        ],
        true,
    );
    let schema = parquet::arrow::ArrowSchemaConverter::new().convert(&batch.schema()).unwrap();
    let taken = |properties: WriterPropertiesBuilder| {
        let properties = properties.build();
        let kinds = batch.schema_ref().fields().iter().map(|field| field.data_type());
        let taken: Vec<bool> = kinds
            .enumerate()
            .map(|(index, kind)| FlatColumn::new(&schema.column(index), kind, &properties).is_some())
            .collect();
        taken
    };
    assert_eq!(taken(fresh()), [false, true], "numbers that repeat have a dictionary of the library");
    assert_eq!(taken(fresh().set_dictionary_enabled(false)), [true, true]);
    assert_eq!(taken(fresh().set_compression(Compression::ZSTD(Default::default()))), [false, false]);
    assert_eq!(taken(fresh().set_offset_index_disabled(false)), [false, false]);
}
