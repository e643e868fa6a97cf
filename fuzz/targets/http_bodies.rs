//! Any bytes as a request body of any kind: refused or split into records that lie inside the body; never a panic.
#![no_main]

use bytes::Bytes;
use flowline_source::http::{HttpBody, Limits, receive};
use libfuzzer_sys::fuzz_target;

const KINDS: [&str; 8] = [
    "application/json",
    "application/x-ndjson",
    "text/csv",
    "application/vnd.apache.arrow.stream",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/plain",
    "application/octet-stream",
];

fuzz_target!(|input: (u8, Vec<(String, String)>, Vec<u8>)| {
    let (kind, mut headers, bytes) = input;
    headers.truncate(8);
    let length = bytes.len();
    let body = HttpBody {
        content_type: Some(KINDS[kind as usize % KINDS.len()].to_owned()),
        ce_headers: headers,
        bytes: Bytes::from(bytes),
    };
    let limits = Limits { records_max: 10_000, unpacked_bytes_max: 1 << 20 };
    if let Ok(received) = receive(body, &limits) {
        for (start, end) in &received.spans {
            assert!(start <= end && *end as usize <= received.payload.len(), "{start}..{end} of {length}");
        }
    }
});
