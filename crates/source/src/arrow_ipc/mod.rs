//! Arrow IPC from whoever sends it: read with bounds, never with trust.
//!
//! Owns: the checks that keep a hostile stream from taking more memory than it may, and the reading itself.
//! Does not own: what the columns must be (`flowline-land` casts them to the contract).

mod amount;
mod scan;
#[cfg(test)]
mod tests;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{RecordBatch, new_empty_array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamDecoder};
use arrow::json::writer::{EncoderOptions, make_encoder};
use bytes::Bytes;

use crate::http::Limits;

/// Why Arrow IPC cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IpcError {
    /// It is broken, or has columns of a type that is not understood.
    #[error("{0}")]
    Malformed(String),
    /// It holds more than a limit allows.
    #[error("the arrow data has {found} {what}, at most {limit} are taken at once")]
    TooLarge {
        /// `records` or `unpacked bytes`.
        what: &'static str,
        /// How many there are, or at least are.
        found: u64,
        /// How many are taken.
        limit: u64,
    },
}

/// What ends a stream: the continuation mark and a length of zero.
const END_MARK: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Reads the whole stream and tells how many rows it has. Cost: as [`read_stream`].
pub fn check_stream(bytes: &Bytes, limits: &Limits) -> Result<u32, IpcError> {
    let (_, batches) = read_stream(bytes, limits)?;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    u32::try_from(rows).map_err(|_| IpcError::TooLarge {
        what: "records",
        found: rows as u64,
        limit: u64::from(limits.records_max),
    })
}

/// The schema and the batches of an IPC stream. Everything in it is validated; buffers that are not compressed are
/// shared with `bytes`, not copied. A stream without its end mark is taken, one that ends inside a message is not.
///
/// # Errors
/// [`IpcError`]; never a panic, and never more memory than `limits.unpacked_bytes_max` beside the bytes themselves.
pub fn read_stream(bytes: &Bytes, limits: &Limits) -> Result<(SchemaRef, Vec<RecordBatch>), IpcError> {
    let (end, claimed) = scan::scan(bytes, limits)?;
    let (schema, batches) = guarded("the arrow stream", || decode_stream(bytes.slice(..end)))?;
    check_types(&schema)?;
    let found: u64 = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    if found != claimed {
        return Err(IpcError::Malformed(format!(
            "the arrow stream claims {claimed} rows and {found} can be read"
        )));
    }
    let mut amount = 0u64;
    for batch in &batches {
        amount =
            amount.saturating_add(guarded("the arrow stream", || Ok(amount::materialized_bytes(batch)))?);
        if amount > limits.unpacked_bytes_max {
            return Err(IpcError::TooLarge {
                what: "unpacked bytes",
                found: amount,
                limit: limits.unpacked_bytes_max,
            });
        }
    }
    Ok((schema, batches))
}

fn decode_stream(bytes: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    // The decoder takes up a message whose body is empty only when more bytes follow: without the end mark the last
    // batch of a stream would be lost if all its columns were of nulls.
    for mut buffer in [Buffer::from(bytes), Buffer::from(&END_MARK)] {
        while !buffer.is_empty() {
            if let Some(batch) = decoder.decode(&mut buffer)? {
                batches.push(batch);
            }
        }
    }
    decoder.finish()?;
    let schema = decoder.schema().ok_or_else(|| ArrowError::IpcError("there is no schema".to_owned()))?;
    Ok((schema, batches))
}

/// The schema and the batches of an IPC file, for files that are small enough to be held.
///
/// # Errors
/// [`IpcError`]; never a panic.
pub fn read_file(bytes: &Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), IpcError> {
    let (schema, batches) = guarded("the arrow file", || {
        let reader = FileReader::try_new(Cursor::new(bytes.clone()), None)?;
        let schema = reader.schema();
        Ok((schema, reader.collect::<Result<Vec<_>, _>>()?))
    })?;
    check_types(&schema)?;
    Ok((schema, batches))
}

/// Whether the bytes begin as an IPC file does (and not as a stream).
pub fn is_file(bytes: &[u8]) -> bool {
    bytes.starts_with(b"ARROW1")
}

/// The reader of the arrow crate checks what it reads, but not everywhere: a panic inside of it is an error here.
pub(crate) fn guarded<T>(what: &str, read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, IpcError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IpcError::Malformed(format!("{what} cannot be read: {error}"))),
        Err(_) => Err(IpcError::Malformed(format!("{what} cannot be read: it contradicts itself"))),
    }
}

/// Runs what reads or converts arrays that came from outside; a panic inside of it is an error.
pub fn guard<T>(read: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, IpcError> {
    guarded("the arrow data", read)
}

/// Refuses types that no contract can take and that JSON cannot hold either.
pub(crate) fn check_types(schema: &Schema) -> Result<(), IpcError> {
    for field in schema.fields() {
        if !understood(field.data_type(), 0) {
            return Err(IpcError::Malformed(format!(
                "column `{}` has the arrow type `{}`, which is not understood: cast it before sending",
                field.name(),
                field.data_type()
            )));
        }
    }
    writable_as_json(schema)
}

/// Columns that the contract does not know are kept as JSON, so that all must have a form in it.
fn writable_as_json(schema: &Schema) -> Result<(), IpcError> {
    let options = EncoderOptions::default();
    guarded("the arrow data", || {
        for field in schema.fields() {
            make_encoder(field, &new_empty_array(field.data_type()), &options)?;
        }
        Ok(())
    })
}

fn understood(data_type: &DataType, depth: usize) -> bool {
    if depth > flowline_model::column::MAX_DEPTH {
        return false;
    }
    match data_type {
        DataType::Union(..) | DataType::ListView(_) | DataType::LargeListView(_) => false,
        DataType::Dictionary(_, values) => !values.is_nested() && understood(values, depth + 1),
        DataType::RunEndEncoded(_, values) => {
            !values.data_type().is_nested() && understood(values.data_type(), depth + 1)
        }
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => understood(field.data_type(), depth + 1),
        DataType::Struct(fields) => fields.iter().all(|field| understood(field.data_type(), depth + 1)),
        _ => true,
    }
}
