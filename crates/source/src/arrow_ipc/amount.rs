//! What columns become when dictionaries, runs and views are written out: more bytes than they lie in.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Bytes of text and binary values that several rows share, written out once for each row.
pub(super) fn materialized_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(shared_bytes).sum()
}

fn shared_bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).sum(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).sum(),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            repeated(dictionary.values(), array.len() as u64)
        }
        // The runs of a column are few and its rows many, so that the longest value stands for all.
        DataType::RunEndEncoded(..) => array
            .to_data()
            .child_data()
            .last()
            .map_or(0, |values| repeated(&arrow::array::make_array(values.clone()), array.len() as u64)),
        DataType::List(_) => shared_bytes(array.as_list::<i32>().values()),
        DataType::LargeList(_) => shared_bytes(array.as_list::<i64>().values()),
        DataType::FixedSizeList(..) => shared_bytes(array.as_fixed_size_list().values()),
        DataType::Map(..) => array.as_map().entries().columns().iter().map(shared_bytes).sum(),
        DataType::Struct(_) => array.as_struct().columns().iter().map(shared_bytes).sum(),
        _ => 0,
    }
}

/// An upper bound: every row holds the longest value.
fn repeated(values: &ArrayRef, rows: u64) -> u64 {
    let longest = match values.data_type() {
        DataType::Utf8 => longest(values.as_string::<i32>().iter().flatten().map(str::len)),
        DataType::LargeUtf8 => longest(values.as_string::<i64>().iter().flatten().map(str::len)),
        DataType::Utf8View => longest(values.as_string_view().iter().flatten().map(str::len)),
        DataType::Binary => longest(values.as_binary::<i32>().iter().flatten().map(<[u8]>::len)),
        DataType::LargeBinary => longest(values.as_binary::<i64>().iter().flatten().map(<[u8]>::len)),
        DataType::BinaryView => longest(values.as_binary_view().iter().flatten().map(<[u8]>::len)),
        DataType::FixedSizeBinary(size) => u64::try_from(*size).unwrap_or(0),
        _ => 16,
    };
    rows.saturating_mul(longest)
}

fn longest(lengths: impl Iterator<Item = usize>) -> u64 {
    lengths.max().unwrap_or(0) as u64
}
