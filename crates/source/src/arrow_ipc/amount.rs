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
            let lengths = lengths(dictionary.values());
            if lengths.is_empty() {
                return 0;
            }
            let keys = dictionary.normalized_keys();
            keys.iter().map(|key| lengths.get(*key).copied().unwrap_or(0)).fold(0, u64::saturating_add)
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
    rows.saturating_mul(lengths(values).into_iter().max().unwrap_or(0))
}

/// Bytes of each value.
fn lengths(values: &ArrayRef) -> Vec<u64> {
    match values.data_type() {
        DataType::Utf8 => texts(values.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(values.as_string::<i64>().iter()),
        DataType::Utf8View => texts(values.as_string_view().iter()),
        DataType::Binary => binaries(values.as_binary::<i32>().iter()),
        DataType::LargeBinary => binaries(values.as_binary::<i64>().iter()),
        DataType::BinaryView => binaries(values.as_binary_view().iter()),
        DataType::FixedSizeBinary(size) => vec![u64::try_from(*size).unwrap_or(0); values.len()],
        _ => vec![16; values.len()],
    }
}

fn texts<'a>(values: impl Iterator<Item = Option<&'a str>>) -> Vec<u64> {
    values.map(|value| value.map_or(0, |value| value.len() as u64)).collect()
}

fn binaries<'a>(values: impl Iterator<Item = Option<&'a [u8]>>) -> Vec<u64> {
    values.map(|value| value.map_or(0, |value| value.len() as u64)).collect()
}
