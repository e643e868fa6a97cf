//! Gaps, tombstones and transactions, without a broker.

use bytes::Bytes;
use flowline_kafka::records::Record;

use super::frames::Frames;

fn record(offset: i64, timestamp: i64, value: Option<&'static str>) -> Record {
    let value = value.map(|value| Bytes::from_static(value.as_bytes()));
    Record { offset, timestamp, key: None, value, headers: Vec::new() }
}

#[test]
fn frames_end_at_gaps_tombstones_and_leaps_of_time() {
    let mut frames = Frames::new(flowline_log::RecordFormat::Json, 11);
    let all = [
        record(10, 5, Some("read before")),
        record(11, 5, Some("{}")),
        record(12, 900, Some("[]")),
        record(13, 900, None),
        record(14, 901, Some("a")),
        record(17, 901, Some("b")),
        record(18, 60_000, Some("c")),
    ];
    all.into_iter().for_each(|record| frames.push(record));
    frames.pass(20);
    let slab = frames.finish();
    let seen: Vec<_> = slab
        .frames
        .iter()
        .map(|frame| (frame.first_offset, frame.batch.records, frame.batch.received_at))
        .collect();
    assert_eq!(seen, [(11, 2, 5_000), (14, 1, 901_000), (17, 1, 901_000), (18, 1, 60_000_000)]);
    assert_eq!((slab.next, slab.tombstones, slab.gaps), (21, 1, 4));
    assert_eq!(slab.frames[0].batch.record(1), Some(&b"[]"[..]));
}

#[test]
fn what_a_header_says_of_the_schema_stands_before_the_value() {
    let named = |value| {
        let header = (Bytes::from_static(b"__value_schema_id"), Some(Bytes::from_static(b"\x01guid")));
        Record { headers: vec![header], ..record(0, 5, value) }
    };
    for (format, expected) in [
        (flowline_log::RecordFormat::Registered, &b"\x01guid{}"[..]),
        (flowline_log::RecordFormat::Json, b"{}"),
    ] {
        let mut frames = Frames::new(format, 0);
        frames.push(named(Some("{}")));
        frames.push(Record { offset: 1, ..named(None) });
        let slab = frames.finish();
        assert_eq!(slab.frames[0].batch.record(0), Some(expected));
        assert_eq!(slab.tombstones, 1);
    }
}

#[test]
fn nothing_read_goes_nowhere() {
    let slab = Frames::new(flowline_log::RecordFormat::Json, 7).finish();
    assert_eq!((slab.next, slab.gaps, slab.frames.len()), (7, 0, 0));
}
