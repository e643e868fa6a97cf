//! How the columns of a file are encoded, decided from the first rows that it gets.
//!
//! Owns: dictionaries, encodings and compression of each column. What they cost and save was measured on values of every
//! kind, one million each (nanoseconds a value to write, encoding and compression together): numbers that seldom repeat
//! take 12.6 plain with snappy, and as small differences 6.8 and half the room; texts that do not compress, 113 with
//! snappy and 46 without; a dictionary takes 7 for numbers and 12 to 24 for texts, and pays where values repeat.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::row::{RowConverter, SortField};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use xxhash_rust::xxh3::xxh3_64;

use super::flat::DIGITS_OF_64;
use crate::WritePurpose;

/// Encoded rows are held until there are so many bytes of them; then they become a row group and leave memory. Those of
/// fresh files are small: the rows of a commit are encoded while others wait for memory.
const ROW_GROUP_BYTES: usize = 32 << 20;
const FRESH_ROW_GROUP_BYTES: usize = 16 << 20;
const ROW_GROUP_ROWS: usize = 1 << 20;
/// A dictionary that grows beyond this is given up, and its column goes on without one: at more than twice the cost for
/// texts, so that it may have half of a row group.
const DICTIONARY_BYTES: usize = 4 << 20;
/// Statistics keep so many bytes of a text.
const TEXT_BYTES: usize = 32;
/// Differences of up to so many bits are packed: four times as quick as the places of a dictionary, which take 4 to 12.
const DIFFERENCE_BITS: u32 = 16;
/// Rows that are looked at.
const SAMPLE_ROWS: usize = 512;
/// Rows of texts: where one in two is one of thousands, few of these come twice among the first hundreds.
const SAMPLE_TEXTS: usize = 4_096;
/// From fewer nothing is concluded.
const SAMPLE_ROWS_MIN: usize = 16;

/// How a file with these first rows is encoded. Fresh files are read a few times and compacted soon: snappy, no index of
/// pages. Files that stay are smaller and have one.
pub(super) fn properties(first: &RecordBatch, purpose: WritePurpose) -> WriterProperties {
    let (compression, statistics, row_group_bytes) = match purpose {
        WritePurpose::Land => (Compression::SNAPPY, EnabledStatistics::Chunk, FRESH_ROW_GROUP_BYTES),
        WritePurpose::Keep => {
            (Compression::ZSTD(ZstdLevel::default()), EnabledStatistics::Page, ROW_GROUP_BYTES)
        }
    };
    let mut builder = WriterProperties::builder()
        .set_compression(compression)
        .set_statistics_enabled(statistics)
        .set_offset_index_disabled(purpose == WritePurpose::Land)
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_statistics_truncate_length(Some(TEXT_BYTES))
        .set_column_index_truncate_length(Some(TEXT_BYTES))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(row_group_bytes));
    for (field, column) in first.schema_ref().fields().iter().zip(first.columns()) {
        let first = |rows: usize| column.slice(0, column.len().min(rows));
        let (sample, texts) = (first(SAMPLE_ROWS), first(SAMPLE_TEXTS));
        let repeat = || texts.as_string_opt().map_or_else(|| repeats(&sample), texts_repeat);
        if field.data_type().is_nested() || sample.len() < SAMPLE_ROWS_MIN || repeat() {
            continue;
        }
        let path = ColumnPath::from(field.name().as_str());
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
        let by_difference = by_difference(field.data_type());
        if by_difference {
            builder = builder.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
        }
        if purpose == WritePurpose::Land && (by_difference || !compresses(&sample)) {
            builder = builder.set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    builder.build()
}

/// Whether the values are numbers that can be told by how they differ from the one before.
fn by_difference(kind: &DataType) -> bool {
    match kind {
        DataType::Int32 | DataType::Int64 | DataType::Timestamp(_, _) => true,
        DataType::Decimal128(digits, _) => *digits <= DIGITS_OF_64,
        _ => false,
    }
}

/// Whether values repeat often enough for a dictionary to pay.
fn repeats(sample: &ArrayRef) -> bool {
    let rows = RowConverter::new(vec![SortField::new(sample.data_type().clone())])
        .and_then(|converter| converter.convert_columns(&[Arc::clone(sample)]));
    let Ok(rows) = rows else { return true };
    let different = rows.iter().collect::<HashSet<_>>().len();
    match by_difference(sample.data_type()) {
        // Differences are as small as the places in a dictionary, unless that has few entries, and quicker where it has one.
        true => different > 1 && different * 8 < sample.len() && difference_bits(sample) > DIFFERENCE_BITS,
        false => different * 2 < sample.len(),
    }
}

/// The same of texts.
fn texts_repeat(sample: &StringArray) -> bool {
    let different: HashSet<u64> = sample.iter().flatten().map(|text| xxh3_64(text.as_bytes())).collect();
    different.len() * 2 < sample.len()
}

/// Bits that the difference between a number and the one before takes, on average over stretches of 32, of which each has
/// as many as its largest one asks for.
fn difference_bits(sample: &ArrayRef) -> u32 {
    // A decimal is stored as the whole number that it is.
    let whole = sample
        .as_primitive_opt::<Decimal128Type>()
        .map(|decimals| -> ArrayRef { Arc::new(decimals.unary::<_, Int64Type>(|number| number as i64)) });
    let Ok(numbers) = whole.map_or_else(|| cast(sample, &DataType::Int64), Ok) else { return u32::MAX };
    let numbers: Vec<i64> = numbers.as_primitive::<Int64Type>().iter().flatten().collect();
    let differences: Vec<i64> = numbers.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    let stretches = differences.chunks(32).map(|stretch| {
        let (least, most) = (stretch.iter().min().copied(), stretch.iter().max().copied());
        u64::BITS - most.unwrap_or(0).wrapping_sub(least.unwrap_or(0)).leading_zeros()
    });
    stretches.clone().sum::<u32>() / stretches.count().max(1) as u32
}

/// Whether snappy makes texts smaller by more than a tenth; values of other types are taken to.
fn compresses(sample: &ArrayRef) -> bool {
    let Some(texts) = sample.as_string_opt::<i32>() else { return true };
    let (first, last) = (texts.offsets()[0] as usize, texts.offsets()[texts.len()] as usize);
    let bytes = &texts.values()[first..last];
    let compressed = snap::raw::Encoder::new().compress_vec(bytes);
    compressed.map_or(true, |compressed| compressed.len() * 10 < bytes.len() * 9)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use arrow::array::{Int64Array, StringArray};

    use Compression::{SNAPPY, UNCOMPRESSED};
    use WritePurpose::{Keep, Land};

    use super::*;

    fn encoded(column: ArrayRef, purpose: WritePurpose) -> (bool, Option<Encoding>, Compression) {
        let rows = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let (properties, path) = (properties(&rows, purpose), ColumnPath::from("c"));
        (properties.dictionary_enabled(&path), properties.encoding(&path), properties.compression(&path))
    }

    fn texts(count: u64, text: impl Fn(u64) -> String) -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..count).map(text)))
    }

    fn numbers(count: i64, number: impl Fn(i64) -> i64) -> ArrayRef {
        Arc::new(Int64Array::from_iter_values((0..count).map(number)))
    }

    #[test]
    fn each_column_is_encoded_as_its_values_ask_for() {
        // The last steps of a generator of random numbers, so that nothing repeats within a text.
        let mixed = |n: u64| {
            let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!("{:016x}", mixed.rotate_left(31) ^ n << 7)
        };
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let difference = Some(Encoding::DELTA_BINARY_PACKED);
        let link = |n| format!("https://example.org/orders/{n}");
        let cases = [
            (
                "one in two of thousands",
                texts(5_000, |n| {
                    let other = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
                    if n % 2 == 0 { "often".to_owned() } else { format!("channel-{}", other % 5_000) }
                }),
                Land,
                (true, None, SNAPPY),
            ),
            ("different numbers", numbers(600, |n| n * 7), Land, (false, difference, UNCOMPRESSED)),
            ("few numbers", numbers(600, |n| n % 20 * 0x1234_5678), Land, (true, None, SNAPPY)),
            (
                "few numbers near to each other",
                numbers(600, |n| n % 20),
                Land,
                (false, difference, UNCOMPRESSED),
            ),
            ("kept numbers", numbers(600, |n| n * 7), Keep, (false, difference, zstd)),
            ("one number", numbers(600, |_| 7), Land, (false, difference, UNCOMPRESSED)),
            ("few texts", texts(600, |n| link(n % 9)), Land, (true, None, SNAPPY)),
            ("like texts", texts(600, link), Land, (false, None, SNAPPY)),
            ("random texts", texts(600, mixed), Land, (false, None, UNCOMPRESSED)),
            ("kept random texts", texts(600, mixed), Keep, (false, None, zstd)),
            ("too few to tell", texts(5, mixed), Land, (true, None, SNAPPY)),
        ];
        for (name, column, purpose, expected) in cases {
            assert_eq!(encoded(column, purpose), expected, "{name}");
        }
    }
}
