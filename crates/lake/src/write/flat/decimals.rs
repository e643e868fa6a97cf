//! Decimal numbers: as the whole numbers that they are where these are short, else by all their bytes.

use arrow::array::{Array, PrimitiveArray};
use arrow::datatypes::Decimal128Type;
use parquet::data_type::FixedLenByteArray;
use parquet::file::statistics::{Statistics, ValueStatistics};

/// Digits of a decimal that 32 bits hold, and 64.
pub(super) const DIGITS_OF_32: u8 = 9;
pub(in crate::write) const DIGITS_OF_64: u8 = 18;

/// The smallest and the largest number.
pub(super) type Bounds = Option<(i128, i128)>;

/// Appends the numbers that are not null, each with so many bytes, the highest first.
pub(super) fn append(
    values: &PrimitiveArray<Decimal128Type>,
    bytes: usize,
    bounds: &mut Bounds,
    page: &mut Vec<u8>,
) {
    page.reserve_exact(bytes * (values.len() - values.null_count()));
    for number in values.iter().flatten() {
        let (least, most) = bounds.unwrap_or((number, number));
        *bounds = Some((least.min(number), most.max(number)));
        page.extend_from_slice(lowest(&number.to_be_bytes(), bytes));
    }
}

/// As a file keeps them.
pub(super) fn statistics(bounds: Bounds, bytes: usize, nulls: u64) -> Statistics {
    let bound = |number: i128| FixedLenByteArray::from(lowest(&number.to_be_bytes(), bytes).to_vec());
    let (least, most) = bounds.unzip();
    ValueStatistics::new(least.map(bound), most.map(bound), None, Some(nulls), false).into()
}

/// The last bytes; those before them say the sign once more.
fn lowest(number: &[u8; 16], bytes: usize) -> &[u8] {
    &number[number.len() - bytes.min(number.len())..]
}
