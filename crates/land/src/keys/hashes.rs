//! The key of each row as 128 bits.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use xxhash_rust::xxh3::xxh3_128;

use super::memory::Hash;

/// The hash of these columns for each row; none where one of them is null. Rows of the same values have the same hash
/// whenever the columns have the contract's types. Two of ten million keys meet with a chance below one in 10^24.
pub(super) fn of(rows: &RecordBatch, columns: &[usize]) -> Result<Vec<Option<Hash>>, ArrowError> {
    let arrays: Vec<ArrayRef> = rows.project(columns)?.columns().to_vec();
    let null = |row: usize| arrays.iter().any(|array| array.is_null(row));
    if let [array] = arrays.as_slice()
        && array.data_type() == &DataType::Utf8
    {
        let texts = array.as_string::<i32>();
        return Ok(texts.iter().map(|text| text.map(|text| hash(text.as_bytes()))).collect());
    }
    let fields = arrays.iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let encoded = RowConverter::new(fields)?.convert_columns(&arrays)?;
    Ok((0..rows.num_rows()).map(|row| (!null(row)).then(|| hash(encoded.row(row).data()))).collect())
}

fn hash(bytes: &[u8]) -> Hash {
    let hash = xxh3_128(bytes);
    Hash([hash as u64, (hash >> 64) as u64])
}
