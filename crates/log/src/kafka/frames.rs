//! Frames as records of Kafka, and back.
//!
//! Each record of a frame is a record of Kafka with the bytes that the producer wrote, so that any consumer can read
//! the topic. The headers of the first one say the rest: how many records the frame has, how they are written, when
//! they were received, the idempotency key, the trace. What stood between the records in the request is kept in a
//! header as runs of equal texts, so that the frame comes back byte for byte: three bytes for a line end after each.
//!
//! A payload that is not made of separate records (an Arrow stream) is the value of the frame's first record; the
//! others are empty and only take up its offsets.

use bytes::Bytes;
use flowline_base::TraceId;
use flowline_kafka::records::{BatchBuilder, Record};

use crate::segment::frame::body_crc;
use crate::segment::keys::Known;
use crate::segment::spans::{put_varint, take_varint};
use crate::{Batch, Frame, RecordFormat};

/// How many records the frame has that begins here.
const RECORDS: &str = "flowline-records";
/// How they are written.
const CONTENT_TYPE: &str = "content-type";
/// When they were received, microseconds since the epoch.
const RECEIVED_AT: &str = "received-at";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// The checksum of what was sent with the key, eight digits of base 16; not there without a key, and of older versions.
const BODY: &str = "flowline-body";
const TRACE_ID: &str = "trace-id";
/// What is needed to read each of them: the CSV header.
const SCHEMA: &str = "flowline-schema";
/// What stood between them.
const BETWEEN: &str = "flowline-between";
/// There is one payload for all records.
const WHOLE: &str = "flowline-whole";

/// Appends the records of a batch that was checked.
pub(crate) fn push(batch: &Batch, builder: &mut BatchBuilder) {
    let timestamp = batch.received_at.div_euclid(1_000).max(0);
    let (records, received_at) = (batch.records.to_string(), batch.received_at.to_string());
    let trace_id = batch.trace_id.map(|trace| trace.to_string()).unwrap_or_default();
    let between = between(batch);
    let body = batch.idempotency_key.as_ref().map(|_| format!("{:08x}", body_crc(batch)));
    let mut headers: Vec<(&str, &[u8])> = vec![
        (CONTENT_TYPE, content_type(batch.format).as_bytes()),
        (RECORDS, records.as_bytes()),
        (RECEIVED_AT, received_at.as_bytes()),
    ];
    let present = |name, value: &[u8]| (!value.is_empty()).then_some(name);
    headers.extend(batch.idempotency_key.as_deref().map(|key| (IDEMPOTENCY_KEY, key.as_bytes())));
    headers.extend(body.as_deref().map(|body| (BODY, body.as_bytes())));
    headers.extend(present(TRACE_ID, trace_id.as_bytes()).map(|name| (name, trace_id.as_bytes())));
    headers.extend(present(SCHEMA, &batch.schema).map(|name| (name, &batch.schema[..])));
    headers.extend(present(BETWEEN, &between).map(|name| (name, &between[..])));
    if batch.spans.is_empty() {
        headers.push((WHOLE, b""));
        builder.push(timestamp, Some(&batch.payload), &headers);
        (1..batch.records).for_each(|_| builder.push(timestamp, None, &[]));
        return;
    }
    for index in 0..batch.spans.len() {
        let headers = if index == 0 { headers.as_slice() } else { &[] };
        builder.push(timestamp, batch.record(index), headers);
    }
}

/// The texts before, between and behind the records: a run of equal ones is its length, theirs and the text. Nothing
/// when all are empty.
fn between(batch: &Batch) -> Vec<u8> {
    if batch.spans.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut run: (u32, &[u8]) = (0, &[]);
    let starts = batch.spans.iter().map(|span| span.0 as usize).chain([batch.payload.len()]);
    let ends = std::iter::once(0).chain(batch.spans.iter().map(|span| span.1 as usize));
    for (from, to) in ends.zip(starts) {
        let text = &batch.payload[from..to];
        if text == run.1 {
            run.0 += 1;
        } else {
            put_run(run, &mut out);
            run = (1, text);
        }
    }
    if out.is_empty() && run.1.is_empty() {
        return out;
    }
    put_run(run, &mut out);
    out
}

fn put_run((count, text): (u32, &[u8]), out: &mut Vec<u8>) {
    if count > 0 {
        put_varint(count, out);
        put_varint(text.len() as u32, out);
        out.extend_from_slice(text);
    }
}

/// The texts that [`between`] wrote, one after the other; empty ones without end behind them.
struct Between<'a> {
    rest: &'a [u8],
    run: (u32, &'a [u8]),
}

impl<'a> Between<'a> {
    fn next(&mut self) -> Option<&'a [u8]> {
        while self.run.0 == 0 {
            if self.rest.is_empty() {
                return Some(&[]);
            }
            let count = take_varint(&mut self.rest)?;
            let bytes = take_varint(&mut self.rest)? as usize;
            let text = self.rest.get(..bytes)?;
            self.rest = &self.rest[bytes..];
            self.run = (count, text);
        }
        self.run.0 -= 1;
        Some(self.run.1)
    }
}

/// The frames that these records of one batch make. Records that no frame of ours claims were written by somebody else;
/// those that follow each other are a frame of JSON.
///
/// # Errors
/// What does not hold.
pub(crate) fn frames(records: &[Record]) -> Result<Vec<Frame>, String> {
    let (mut frames, mut rest) = (Vec::new(), records);
    while let Some(first) = rest.first() {
        let count = match first.header(RECORDS) {
            Some(count) => number::<usize>(count).ok_or("a frame does not say how many records it has")?,
            None => rest.iter().take_while(|record| record.header(RECORDS).is_none()).count(),
        };
        let ours = rest.get(..count.max(1)).ok_or("a frame lacks records")?;
        let follow = |(index, record): (usize, &Record)| record.offset == first.offset + index as i64;
        if !ours.iter().enumerate().all(follow) {
            return Err("records are missing within a frame".to_owned());
        }
        frames.push(Frame { first_offset: u64::try_from(first.offset).unwrap_or(0), batch: batch(ours)? });
        rest = &rest[ours.len()..];
    }
    Ok(frames)
}

fn batch(records: &[Record]) -> Result<Batch, String> {
    let first = &records[0];
    let text = |name: &str| first.header(name).and_then(|value| std::str::from_utf8(value).ok());
    let mut batch = Batch {
        format: text(CONTENT_TYPE).and_then(format_of).unwrap_or(RecordFormat::Json),
        schema: first.header(SCHEMA).cloned().unwrap_or_default(),
        payload: Bytes::new(),
        spans: Vec::new(),
        records: records.len() as u32,
        idempotency_key: text(IDEMPOTENCY_KEY).map(str::to_owned),
        received_at: match first.header(RECEIVED_AT) {
            Some(at) => number(at).ok_or("a frame does not say when it was received")?,
            None => first.timestamp.saturating_mul(1_000),
        },
        trace_id: text(TRACE_ID).and_then(|trace| trace.parse::<TraceId>().ok()),
    };
    if first.header(WHOLE).is_some() {
        batch.payload = first.value.clone().unwrap_or_default();
        return Ok(batch);
    }
    let between = first.header(BETWEEN).map_or(&[][..], |between| &between[..]);
    let (payload, spans) = join(records, between).ok_or("what lies between the records is damaged")?;
    (batch.payload, batch.spans) = (payload, spans);
    Ok(batch)
}

fn join(records: &[Record], between: &[u8]) -> Option<(Bytes, Vec<(u32, u32)>)> {
    let mut between = Between { rest: between, run: (0, &[]) };
    let bytes: usize = records.iter().filter_map(|record| record.value.as_ref()).map(Bytes::len).sum();
    let (mut payload, mut spans) =
        (Vec::with_capacity(bytes + records.len()), Vec::with_capacity(records.len()));
    for record in records {
        payload.extend_from_slice(between.next()?);
        let start = payload.len() as u32;
        payload.extend_from_slice(record.value.as_deref().unwrap_or_default());
        spans.push((start, u32::try_from(payload.len()).ok()?));
    }
    payload.extend_from_slice(between.next()?);
    Some((Bytes::from(payload), spans))
}

/// The idempotency keys among records: the key, and what was appended with it.
pub(crate) fn keys(records: &[Record]) -> impl Iterator<Item = (&str, Known)> {
    records.iter().filter_map(|record| {
        let key = std::str::from_utf8(record.header(IDEMPOTENCY_KEY)?).ok()?;
        let count = record.header(RECORDS).and_then(number).unwrap_or(1);
        let body = record.header(BODY).and_then(|body| std::str::from_utf8(body).ok());
        let body = body.and_then(|body| u32::from_str_radix(body, 16).ok());
        Some((key, Known { first: u64::try_from(record.offset).ok()?, records: count, body }))
    })
}

fn number<N: std::str::FromStr>(text: &Bytes) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn content_type(format: RecordFormat) -> &'static str {
    match format {
        RecordFormat::Json => "application/json",
        RecordFormat::Csv => "text/csv",
        RecordFormat::ArrowStream => "application/vnd.apache.arrow.stream",
        RecordFormat::CloudEvent => "application/cloudevents+json",
        RecordFormat::Registered => "application/vnd.flowline.registered",
    }
}

fn format_of(content_type: &str) -> Option<RecordFormat> {
    (1..=u8::MAX).map_while(RecordFormat::from_u8).find(|format| self::content_type(*format) == content_type)
}

#[cfg(test)]
mod tests {
    use flowline_kafka::records::{Compression, Producer, batches};

    use super::*;
    use crate::contract;

    fn there_and_back(appended: &[Batch]) -> Vec<Frame> {
        let mut builder = BatchBuilder::default();
        appended.iter().for_each(|batch| push(batch, &mut builder));
        let mut encoded = builder.finish(Compression::Zstd).unwrap();
        let bytes = encoded.stamped(Producer { id: 1, epoch: 0, sequence: 0 });
        frames(&batches(&bytes).unwrap()[0].records().unwrap()).unwrap()
    }

    fn spaced(payload: &str, spans: &[(u32, u32)]) -> Batch {
        let records = spans.len() as u32;
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        Batch { payload, spans: spans.to_vec(), records, ..contract::batch(&["x"]) }
    }

    #[test]
    fn frames_come_back_byte_for_byte() {
        let whole = contract::batch(&["ARROW"]);
        let appended = [
            contract::keyed("k", &["{}", "", "[1]"]),
            spaced("[1,2,3]", &[(1, 2), (3, 4), (5, 6)]),
            spaced("  {}", &[(2, 4)]),
            spaced("12", &[(0, 1), (1, 2)]),
            Batch { format: RecordFormat::ArrowStream, spans: Vec::new(), records: 70_000, ..whole },
            Batch {
                format: RecordFormat::Csv,
                schema: Bytes::from("a,b"),
                received_at: -5,
                ..contract::batch(&["1,2"])
            },
        ];
        let frames = there_and_back(&appended);
        let mut next = 0;
        for (frame, batch) in frames.iter().zip(&appended) {
            assert_eq!((frame.first_offset, &frame.batch), (next, batch));
            next = frame.next_offset();
        }
        assert_eq!(frames.len(), appended.len());
    }

    #[test]
    fn a_line_end_after_each_record_takes_few_bytes() {
        let lines: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert!(between(&contract::batch(&lines)).len() < 10);
        assert!(between(&spaced("12", &[(0, 1), (1, 2)])).is_empty());
    }

    #[test]
    fn records_of_others_are_json() {
        let mut builder = BatchBuilder::default();
        builder.push(7, Some(b"{}"), &[]);
        builder.push(8, None, &[("other", b"1")]);
        push(&contract::batch(&["[]"]), &mut builder);
        let mut encoded = builder.finish(Compression::None).unwrap();
        let bytes = encoded.stamped(Producer { id: 1, epoch: 0, sequence: 0 });
        let frames = frames(&batches(&bytes).unwrap()[0].records().unwrap()).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].batch.records, frames[0].batch.received_at), (2, 7_000));
        assert_eq!(
            (frames[0].batch.record(0), frames[0].batch.record(1)),
            (Some(&b"{}"[..]), Some(&b""[..]))
        );
        assert_eq!(frames[1].batch, contract::batch(&["[]"]));
    }
}
