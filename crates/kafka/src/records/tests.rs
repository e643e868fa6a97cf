//! Batches come back as they were written, and damage is seen.

use bytes::Bytes;

use super::*;

fn batch(compression: Compression) -> EncodedBatch {
    let mut builder = BatchBuilder::default();
    builder.push(1_000, Some(b"{}"), &[("frame", b"2"), ("empty", b"")]);
    builder.push(990, Some(&[b'x'; 300]), &[]);
    builder.push(i64::MAX / 4, None, &[]);
    builder.finish(compression).unwrap()
}

#[test]
fn what_is_written_is_read() {
    for compression in [Compression::None, Compression::Zstd] {
        let mut encoded = batch(compression);
        let stamped = encoded.stamped(Producer { id: 7, epoch: 3, sequence: 9 });
        let read = batches(&stamped).unwrap();
        assert_eq!((read.len(), read[0].producer_id, read[0].last_offset), (1, 7, 2));
        let records = read[0].records().unwrap();
        let seen: Vec<_> = records.iter().map(|record| (record.offset, record.timestamp)).collect();
        assert_eq!(seen, [(0, 1_000), (1, 990), (2, i64::MAX / 4)]);
        assert_eq!(records[0].header("frame"), Some(&Bytes::from_static(b"2")));
        assert_eq!(records[0].header("empty"), Some(&Bytes::new()));
        assert_eq!(records[1].value.as_ref().map(Bytes::len), Some(300));
        assert_eq!((records[2].value.as_ref(), records[2].key.as_ref()), (None, None));
    }
}

#[test]
fn a_batch_that_is_cut_off_is_left_out_and_a_damaged_one_is_refused() {
    let whole = batch(Compression::None).stamped(Producer { id: 1, epoch: 0, sequence: 0 });
    let mut two = whole.to_vec();
    two.extend_from_slice(&whole);
    for cut in 0..two.len() {
        let read = batches(&Bytes::copy_from_slice(&two[..cut])).unwrap();
        assert_eq!(read.len(), cut / whole.len());
    }
    for byte in [16, 17, 21, 60, whole.len() - 1] {
        let mut damaged = whole.to_vec();
        damaged[byte] ^= 1;
        assert!(batches(&Bytes::from(damaged)).is_err(), "byte {byte}");
    }
}

#[test]
fn sequences_wrap_and_epochs_end() {
    let producer = Producer { id: 1, epoch: i16::MAX - 1, sequence: i32::MAX };
    assert_eq!(producer.behind(1).sequence, 0);
    assert_eq!(producer.behind(3).sequence, 2);
    let last = producer.next_epoch().unwrap();
    assert_eq!((last.epoch, last.sequence, last.next_epoch()), (i16::MAX, 0, None));
}

#[test]
fn numbers_of_every_size() {
    for value in [0, -1, 1, 63, 64, -64, -65, i64::from(i32::MAX), i64::MIN, i64::MAX] {
        let mut bytes = Vec::new();
        varint::put(value, &mut bytes);
        assert_eq!(bytes.len(), varint::bytes(value));
        assert_eq!(varint::take(&mut &bytes[..]), Some(value));
        assert_eq!(varint::take(&mut &bytes[..bytes.len() - 1]), None);
    }
    assert_eq!(varint::take(&mut &[0xff; 11][..]), None);
}
