//! What requests become, by content type and headers.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::collections::BTreeSet;

use bytes::Bytes;
use flowline_log::RecordFormat;
use flowline_model::Origin;
use flowline_testkit::http_dataset;
use proptest::prelude::*;

use super::{HttpBody, Limits, ReadRegistered, ReceiveError, Received, receive};

fn body(content_type: &str, headers: &[(&str, &str)], bytes: impl Into<Bytes>) -> HttpBody {
    HttpBody {
        content_type: Some(content_type.to_owned()).filter(|value| !value.is_empty()),
        ce_headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        bytes: bytes.into(),
    }
}

fn post(content_type: &str, bytes: impl Into<Bytes>) -> Result<Received, ReceiveError> {
    receive(body(content_type, &[], bytes), &Limits::default())
}

fn records(received: &Received) -> Vec<&str> {
    (0..received.records as usize)
        .map(|index| std::str::from_utf8(received.record(index).unwrap()).unwrap())
        .collect()
}

#[test]
fn the_content_type_chooses_the_format() {
    for (content_type, bytes, format, expected) in [
        ("application/json", "[1,2]", RecordFormat::Json, vec!["1", "2"]),
        ("Application/JSON; charset=UTF-8", "{\"a\":1}", RecordFormat::Json, vec!["{\"a\":1}"]),
        ("application/vnd.api+json", "{}", RecordFormat::Json, vec!["{}"]),
        ("application/x-ndjson", "1\n2\n", RecordFormat::Json, vec!["1", "2"]),
        ("text/csv; header=present", "a,b\n1,2\n", RecordFormat::Csv, vec!["1,2"]),
        ("application/cloudevents+json", "{}", RecordFormat::CloudEvent, vec!["{}"]),
        ("application/cloudevents-batch+json", "[{},{}]", RecordFormat::CloudEvent, vec!["{}", "{}"]),
        ("application/cloudevents-batch+json", "[]", RecordFormat::CloudEvent, vec![]),
    ] {
        let received = post(content_type, bytes).unwrap();
        assert_eq!((received.format, records(&received)), (format, expected), "{content_type}");
    }
    assert_eq!(post("text/csv", "a,b\n1,2\n").unwrap().schema, "a,b");
    let without = post("text/csv; header=absent", "1,2\n").unwrap_err();
    assert!(without.to_string().contains("needs a header line"), "{without}");
}

#[test]
fn the_payload_is_not_copied() {
    let bytes = Bytes::from("{\"a\":1}\n{\"a\":2}\n");
    let received = post("application/x-ndjson", bytes.clone()).unwrap();
    assert_eq!(received.payload.as_ptr(), bytes.as_ptr());
}

#[test]
fn what_is_not_understood_is_refused_with_what_is() {
    for content_type in ["", "text/plain", "application/cloudevents+avro", "application/json; charset=latin1"]
    {
        let error = post(content_type, "{}").unwrap_err();
        assert_eq!(error.status(), 415, "{content_type}: {error}");
    }
    let error = post("application/vnd.apache.arrow.stream", "not arrow").unwrap_err();
    assert_eq!(error.status(), 400);
    let limits = Limits { records_max: 1, ..Limits::default() };
    let error = receive(body("application/x-ndjson", &[], "1\n2"), &limits).unwrap_err();
    assert_eq!(error.to_string(), "the body has 2 records, at most 1 are taken at once; send it in parts");
    assert_eq!(error.status(), 413);
}

#[test]
fn a_body_that_is_not_utf8_is_taken_as_received() {
    let received = post("application/x-ndjson", &b"{\"a\":1}\n{\"\xff\"}\n"[..]).unwrap();
    assert_eq!(received.records, 2);
    assert_eq!(received.record(1), Some(&b"{\"\xff\"}"[..]));
}

const BINARY: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("CE-ID", "42"), ("ce-source", "/lake/orders"), ("ce-type", "committed")];

fn event(
    content_type: &str,
    more: &[(&str, &str)],
    bytes: &'static [u8],
) -> Result<serde_json::Value, ReceiveError> {
    let headers: Vec<(&str, &str)> = BINARY.iter().chain(more).copied().collect();
    let received = receive(body(content_type, &headers, bytes), &Limits::default())?;
    assert_eq!((received.format, received.records), (RecordFormat::CloudEvent, 1));
    Ok(serde_json::from_slice(received.record(0).unwrap()).unwrap())
}

#[test]
fn binary_events_are_brought_into_the_json_format() {
    let found =
        event("application/json", &[("ce-subject", "gold%20orders%22")], b" {\"version\": 7} ").unwrap();
    let expected = serde_json::json!({
        "id": "42", "source": "/lake/orders", "specversion": "1.0", "subject": "gold orders\"", "type": "committed",
        "datacontenttype": "application/json", "data": { "version": 7 },
    });
    assert_eq!(found, expected);
    assert_eq!(event("text/plain", &[], b"a \"b\"").unwrap()["data"], "a \"b\"");
    assert_eq!(event("application/json", &[], b"{broken").unwrap()["data_base64"], "e2Jyb2tlbg==");
    assert_eq!(event("image/png", &[], b"\xff\x00").unwrap()["data_base64"], "/wA=");
    assert_eq!(event("", &[], b"{\"a\":1}").unwrap()["data"]["a"], 1);
    assert!(event("", &[], b"").unwrap().get("data").is_none());
    assert_eq!(event("", &[("ce-x", "\"quo\\\"ted%25\"")], b"").unwrap()["x"], "quo\"ted%");
}

#[test]
fn headers_that_contradict_are_refused() {
    for header in [
        ("ce-id", "43"),
        ("ce-datacontenttype", "text/plain"),
        ("ce-data", "1"),
        ("ce-x", "%ff"),
        ("ce-a_b", "1"),
    ] {
        assert_eq!(event("application/json", &[header], b"{}").unwrap_err().status(), 400, "{header:?}");
    }
    // Without all that an event must have it is no event, and the content type decides.
    let received = receive(body("application/json", &BINARY[..3], "{}"), &Limits::default()).unwrap();
    assert_eq!(received.format, RecordFormat::Json);
}

#[test]
fn records_with_one_key_go_to_one_partition() {
    let mut dataset = http_dataset("shop.orders", &[("id", "string"), ("n", "int32")]);
    dataset.key = vec!["id".into()];
    let json: String = (0..40).map(|n| format!("{{\"n\":{n},\"id\":\"k{}\"}}\n", n % 7)).collect();
    let csv: String =
        std::iter::once("n,id\n".to_owned()).chain((0..40).map(|n| format!("{n},k{}\n", n % 7))).collect();
    let none = |_: &[u8]| None;
    let by_json =
        places(post("application/x-ndjson", json.clone()).unwrap().partition(&dataset, 3, None, &none));
    let by_csv = places(post("text/csv", csv).unwrap().partition(&dataset, 3, None, &none));
    assert_eq!(by_json, by_csv);
    assert_eq!(by_json.len(), 7, "{by_json:?}");
    // One that says the number of its schema goes where its JSON would, or, when it cannot be read, where its bytes lead.
    let registered = |record: &str, read: &ReadRegistered<'_>| {
        let posted = post("application/vnd.confluent.avro", record.to_owned());
        posted.unwrap().partition(&dataset, 3, None, read)[0].0
    };
    for (key, partition) in &by_json {
        let read = |_: &[u8]| Some(format!("{{\"id\":\"{key}\"}}"));
        assert_eq!(registered("\0\0\0\0\u{1}x", &read), *partition);
    }
    let unread: BTreeSet<u32> = (0..40).map(|n| registered(&format!("\0\0\0\0\u{1}{n}"), &none)).collect();
    assert_eq!(unread.len(), 3);
    let whole = post("application/x-ndjson", json).unwrap();
    assert_eq!(whole.clone().partition(&dataset, 1, None, &none), [(0, whole.clone())]);
    dataset.key.clear();
    let first = whole.clone().partition(&dataset, 3, Some("request-1"), &none);
    assert_eq!((first.len(), &first), (1, &whole.partition(&dataset, 3, Some("request-1"), &none)));
}

#[test]
fn records_go_where_their_partition_key_leads_and_not_their_key() {
    let mut dataset = http_dataset("shop.orders", &[("id", "string"), ("n", "int32")]);
    dataset.key = vec!["id".into()];
    let Origin::Http(origin) = &mut dataset.origin else { unreachable!() };
    origin.partition_key = vec!["n".into()];
    for n in [0, 7, -3] {
        let place = |content_type: &str, text: String| {
            let parts = post(content_type, text).unwrap().partition(&dataset, 5, None, &|_| None);
            assert_eq!(parts.len(), 1, "records with one partition key are parted");
            parts[0].0
        };
        let json = place(
            "application/x-ndjson",
            (0..9).map(|id| format!("{{\"id\":\"k{id}\",\"n\":{n}}}\n")).collect(),
        );
        let texts = place(
            "application/json",
            format!("[{{\"id\":\"a\",\"n\":\"{n}\"}},{{\"id\":\"b\",\"n\":\"{n} \"}}]"),
        );
        let csv = place("text/csv", format!("id,n\na,{n}\nb,{n:+}\nc,{n:+04}\nd,{n}.0\n"));
        assert_eq!((json, json), (texts, csv));
    }
}

/// The partition of each key; a key that is found in two fails the test.
fn places(parts: Vec<(u32, Received)>) -> std::collections::BTreeMap<String, u32> {
    let mut places = std::collections::BTreeMap::new();
    let mut count = 0;
    for (partition, received) in &parts {
        for record in records(received) {
            count += 1;
            let key = record[record.find('k').unwrap()..].chars().take(2).collect::<String>();
            assert_eq!(*places.entry(key).or_insert(*partition), *partition);
        }
    }
    assert_eq!(count, 40);
    places
}

proptest! {
    #[test]
    fn any_request_is_answered(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        content_type in prop::sample::select(vec![
            "application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream",
            "application/cloudevents+json", "application/cloudevents-batch+json", "text/plain",
        ]),
        value in "[ -~]{0,10}",
        partitions in 1u32..4,
    ) {
        let mut dataset = http_dataset("shop.orders", &[("id", "string")]);
        dataset.key = vec!["id".into()];
        for headers in [vec![], BINARY.to_vec(), [BINARY.as_slice(), &[("ce-x", value.as_str())]].concat()] {
            if let Ok(received) = receive(body(content_type, &headers, bytes.clone()), &Limits::default()) {
                let records = received.records;
                let parts = received.partition(&dataset, partitions, None, &|_| None);
                prop_assert_eq!(parts.iter().map(|(_, part)| part.records).sum::<u32>(), records);
            }
        }
    }
}
