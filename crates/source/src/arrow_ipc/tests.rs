//! Streams that claim more than they are, and the limits they are held to.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int32Array, NullArray, RecordBatch, StringArray, StringViewArray,
};
use arrow::datatypes::Int32Type;
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use bytes::Bytes;

use super::{IpcError, check_stream, read_file, read_stream};
use crate::http::Limits;

fn batch(column: impl arrow::array::Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("v", Arc::new(column) as ArrayRef, true)]).unwrap()
}

fn stream(batch: &RecordBatch, compression: Option<CompressionType>) -> Bytes {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), batch.schema_ref(), options).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}

#[test]
fn streams_are_read_with_and_without_compression_and_end_mark() {
    let rows = batch(StringArray::from(vec!["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; 100]));
    for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
        let bytes = stream(&rows, compression);
        assert_eq!(check_stream(&bytes, &Limits::default()), Ok(100));
        assert_eq!(
            read_stream(&bytes.slice(..bytes.len() - 8), &Limits::default()).unwrap().1,
            std::slice::from_ref(&rows)
        );
    }
    assert_eq!(check_stream(&stream(&batch(NullArray::new(5)), None), &Limits::default()), Ok(5));
}

#[test]
fn a_stream_cut_anywhere_is_refused() {
    let bytes = stream(&batch(Int32Array::from(vec![1, 2, 3])), None);
    let whole = bytes.len() - 8;
    let schema_end = (0..whole)
        .filter(|end| check_stream(&bytes.slice(..*end), &Limits::default()).is_ok())
        .collect::<Vec<_>>();
    assert_eq!(schema_end.len(), 1, "only the schema alone is a stream, of no rows: {schema_end:?}");
    assert_eq!(
        check_stream(&Bytes::from_static(b""), &Limits::default()),
        Err(IpcError::Malformed("the arrow stream cannot be read: there is no schema".into()))
    );
    let trailing = [&bytes[..], b"more"].concat().into();
    assert!(check_stream(&trailing, &Limits::default()).is_err());
}

#[test]
fn limits_hold_before_anything_is_unpacked() {
    let few = Limits { records_max: 2, ..Limits::default() };
    let rows = batch(Int32Array::from(vec![1, 2, 3]));
    assert_eq!(
        check_stream(&stream(&rows, None), &few),
        Err(IpcError::TooLarge { what: "records", found: 3, limit: 2 })
    );
    let small = Limits { unpacked_bytes_max: 1000, ..Limits::default() };
    let zeros = batch(Int32Array::from(vec![0; 10_000]));
    for compression in [CompressionType::ZSTD, CompressionType::LZ4_FRAME] {
        let bytes = stream(&zeros, Some(compression));
        assert!(bytes.len() < 1000);
        assert!(matches!(
            check_stream(&bytes, &small),
            Err(IpcError::TooLarge { what: "unpacked bytes", .. })
        ));
    }
    assert!(matches!(
        check_stream(&stream(&batch(NullArray::new(5000)), None), &small),
        Err(IpcError::TooLarge { .. })
    ));
}

#[test]
fn values_that_rows_share_count_for_each_row() {
    let small = Limits { unpacked_bytes_max: 100_000, ..Limits::default() };
    let long = "x".repeat(5_000);
    let dictionary: DictionaryArray<Int32Type> = std::iter::repeat_n(long.as_str(), 100).collect();
    assert!(matches!(
        check_stream(&stream(&batch(dictionary), None), &small),
        Err(IpcError::TooLarge { .. })
    ));
    let empty: DictionaryArray<Int32Type> = [None::<&str>, None].into_iter().collect();
    assert_eq!(check_stream(&stream(&batch(empty), None), &small), Ok(2));
    assert_eq!(check_stream(&stream(&batch(StringViewArray::from(vec!["a"; 10])), None), &small), Ok(10));
}

#[test]
fn a_claim_that_does_not_hold_is_refused() {
    let bytes = stream(&batch(Int32Array::from(vec![0; 10_000])), Some(CompressionType::LZ4_FRAME));
    let at = bytes.windows(8).rposition(|window| window == 40_000i64.to_le_bytes()).unwrap();
    for claim in [39_999i64, 40_001, i64::MAX, -2] {
        let mut bytes = bytes.to_vec();
        bytes[at..at + 8].copy_from_slice(&claim.to_le_bytes());
        assert!(check_stream(&bytes.into(), &Limits::default()).is_err(), "{claim}");
    }
}

#[test]
fn files_are_read_and_broken_ones_refused() {
    let rows = batch(Int32Array::from(vec![1, 2, 3]));
    let mut writer = FileWriter::try_new(Vec::new(), rows.schema_ref()).unwrap();
    writer.write(&rows).unwrap();
    writer.finish().unwrap();
    let bytes: Bytes = writer.into_inner().unwrap().into();
    assert!(super::is_file(&bytes));
    assert_eq!(read_file(&bytes).unwrap().1, [rows]);
    for end in 0..bytes.len() {
        assert!(read_file(&bytes.slice(..end)).is_err());
    }
}
