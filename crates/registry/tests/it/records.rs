//! Records as JSON by the schema that they were written with.

use flowline_registry::{Framed, Guid, SchemaKey, SchemaKind, WriterSchema};
use proptest::prelude::*;
use prost_reflect::{DynamicMessage, Value};

fn framed(payload: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, 9][..], payload].concat()
}

fn json(schema: &WriterSchema, payload: &[u8]) -> Result<String, String> {
    let record = framed(payload);
    let mut out = Vec::new();
    schema.write_json(&Framed::parse(&record).unwrap(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

const ALL: &str = r#"{"type":"record","name":"All","fields":[
  {"name":"nothing","type":"null"},{"name":"truth","type":"boolean"},{"name":"whole","type":"int"},
  {"name":"long","type":"long"},{"name":"single","type":"float"},{"name":"double","type":"double"},
  {"name":"bytes","type":"bytes"},{"name":"text","type":"string"},
  {"name":"list","type":{"type":"array","items":"int"}},{"name":"map","type":{"type":"map","values":"long"}},
  {"name":"maybe","type":["null","string"]},{"name":"word","type":{"type":"enum","name":"W","symbols":["A","B"]}},
  {"name":"fixed","type":{"type":"fixed","name":"F","size":2}},
  {"name":"money","type":{"type":"bytes","logicalType":"decimal","precision":12,"scale":2}},
  {"name":"day","type":{"type":"int","logicalType":"date"}},
  {"name":"clock","type":{"type":"int","logicalType":"time-millis"}},
  {"name":"fine","type":{"type":"long","logicalType":"time-micros"}},
  {"name":"ms","type":{"type":"long","logicalType":"timestamp-millis"}},
  {"name":"us","type":{"type":"long","logicalType":"timestamp-micros"}},
  {"name":"ns","type":{"type":"long","logicalType":"timestamp-nanos"}},
  {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
  {"name":"uuid","type":{"type":"string","logicalType":"uuid"}},
  {"name":"inner","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}}
]}"#;

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The bytes are those that `fastavro` 1.13 writes for these values.
#[test]
fn every_type_of_avro() {
    let bytes = from_hex(
        "010dffffffffffffffffff01cdcccc3d9c7500883ce4377e0400ff08c3a9220a0402040002026b060002027902010204fb2e \
         01f8bbc60302018089e6a1eee7a306aab4b685b8b5e38731004836626137623831302d396461642d313164312d383062342d \
         3030633034666434333063380a",
    );
    let writer = WriterSchema::parse(SchemaKind::Avro, ALL, &[]).unwrap();
    let expected = r#"{"nothing":null,"truth":true,"whole":-7,"long":-9223372036854775808,"single":0.1,"double":1e300,"bytes":"AP8=","text":"é\"\n","list":[1,2],"map":{"k":3},"maybe":"y","word":"B","fixed":"AQI=","money":"-12.34","day":"1969-12-31","clock":"01:02:03.004","fine":"00:00:00.000001","ms":"1969-12-31T23:59:59.999Z","us":"2026-01-05T08:00:00.123456Z","ns":"2026-01-05T08:00:00.123456789Z","local":"1970-01-01T00:00:00","uuid":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","inner":{"x":5}}"#;
    assert_eq!(json(&writer, &bytes).unwrap(), expected);
    // Cut off anywhere, and with something behind it, it is no record.
    for end in 0..bytes.len() {
        assert!(json(&writer, &bytes[..end]).is_err(), "{end}");
    }
    assert_eq!(
        json(&writer, &[&bytes[..], &[0]].concat()).unwrap_err(),
        "1 bytes are left behind the record"
    );
}

#[test]
fn few_bytes_that_stand_for_many_values_are_refused() {
    let nulls = WriterSchema::parse(SchemaKind::Avro, r#"{"type":"array","items":"null"}"#, &[]).unwrap();
    // Two to the 61 nulls, in ten bytes.
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0];
    assert!(json(&nulls, &many).unwrap_err().contains("unpacks to more than"));
    let list = r#"{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"]}]}"#;
    let list = WriterSchema::parse(SchemaKind::Avro, list, &[]).unwrap();
    assert!(json(&list, &[2; 500]).unwrap_err().contains("nested deeper than"));
    let text = WriterSchema::parse(SchemaKind::Avro, "\"string\"", &[]).unwrap();
    assert!(json(&text, &[0xff, 0xff, 0xff, 0xff, 0x0f, b'x']).is_err());
    assert!(json(&text, &[1]).unwrap_err().contains("a length is -1"));
}

const PROTO: &str = r#"syntax = "proto3"; package x;
import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
message First { string no = 1; }
message A {
  message B { int32 n = 1; }
  string s = 1; int64 i = 2; bytes b = 3; repeated B list = 4; map<string, int32> map = 5; optional int32 may = 6;
  google.protobuf.Timestamp at = 7; google.protobuf.StringValue wrapped = 8; E e = 9; double d = 10; B inner_one = 11;
  oneof o { string left = 12; string right = 13; }
}
enum E { ZERO = 0; ONE = 1; }"#;

#[test]
fn messages_are_found_by_their_path() {
    let writer = WriterSchema::parse(SchemaKind::Protobuf, PROTO, &[]).unwrap();
    // x.A: path [1]; s = "hi", i = -1, at = 1.5 s, e = 1, left = "l"
    let body: &[u8] = &[
        0x0a, 2, b'h', b'i', 0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x3a, 8, 8, 1,
        0x10, 0x80, 0xca, 0xb5, 0xee, 1, 0x48, 1, 0x62, 1, b'l',
    ];
    let payload = [&[2, 2][..], body].concat();
    assert_eq!(
        json(&writer, &payload).unwrap(),
        r#"{"s":"hi","i":-1,"b":"","list":[],"map":{},"at":"1970-01-01T00:00:01.500Z","e":"ONE","d":0.0,"left":"l"}"#
    );
    // The first message has a short form; one within another has a longer path.
    assert_eq!(json(&writer, &[0, 0x0a, 1, b'y']).unwrap(), r#"{"no":"y"}"#);
    assert_eq!(json(&writer, &[4, 2, 0, 8, 5]).unwrap(), r#"{"n":5}"#);
    for (payload, part) in [
        (&[2, 8][..], "no message at [4]"),
        (&[4, 2, 2], "no message at [1, 1]"),
        (&[], "cut off"),
        (&[2, 0x80], "cut off"),
        (&[1], "impossible length"),
        (&[2, 1], "index is -1"),
        (&[0, 0x0a, 9], ""),
    ] {
        let error = json(&writer, payload).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn headers_say_what_is_wrong_with_them() {
    for (record, part) in [
        (&b""[..], "empty"),
        (b"\0\0\0", "ends after 3 of 5 bytes"),
        (b"\x01\0", "ends after 2 of 17 bytes"),
        (b"{\"a\":1}", "begins with byte 0x7b"),
    ] {
        let error = Framed::parse(record).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
    let framed = Framed::parse(b"\0\0\0\x01\x02rest").unwrap();
    assert_eq!((framed.schema, framed.payload), (SchemaKey::Id(258), &b"rest"[..]));
    let guid: Guid = "00112233-4455-8677-8899-aabbccddeeff".parse().unwrap();
    let framed = [&[1][..], &guid.0, b"rest"].concat();
    let framed = Framed::parse(&framed).unwrap();
    assert_eq!((framed.schema, framed.payload), (SchemaKey::Guid(guid), &b"rest"[..]));
    assert_eq!(guid.to_string(), "00112233-4455-8677-8899-aabbccddeeff");
    assert!("0011".parse::<Guid>().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Any bytes behind a header are a record or a reason, and the record is JSON.
    #[test]
    fn any_bytes_are_a_record_or_a_reason(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for (kind, text) in [(SchemaKind::Avro, ALL), (SchemaKind::Protobuf, PROTO), (SchemaKind::Json, "{}")] {
            let writer = WriterSchema::parse(kind, text, &[]).unwrap();
            if let Ok(text) = json(&writer, &bytes) && kind != SchemaKind::Json {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            }
            if let Ok(framed) = Framed::parse(&bytes) {
                let _ = writer.write_json(&framed, &mut Vec::new());
            }
        }
    }

    /// Any text is a schema or a reason.
    #[test]
    fn any_text_is_a_schema_or_a_reason(text in "\\PC{0,80}", junk in "[\\[\\]{}:,\"a-z$#/0-9 ;=]{0,80}") {
        for kind in [SchemaKind::Avro, SchemaKind::Protobuf, SchemaKind::Json] {
            let _ = WriterSchema::parse(kind, &text, &[]);
            let _ = WriterSchema::parse(kind, &junk, &[]);
        }
    }

    /// Decimals of any size come back digit by digit.
    #[test]
    fn decimals_are_exact(value in any::<i128>(), scale in 0u32..20) {
        let schema = format!(r#"{{"type":"bytes","logicalType":"decimal","precision":38,"scale":{scale}}}"#);
        let writer = WriterSchema::parse(SchemaKind::Avro, &schema, &[]).unwrap();
        let text = json(&writer, &[&[32][..], &value.to_be_bytes()].concat()).unwrap();
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
        prop_assert_eq!(digits.parse::<i128>().unwrap(), value);
        prop_assert_eq!(text.trim_matches('"').split_once('.').map_or(0, |(_, rest)| rest.len()), scale as usize);
    }
}

#[test]
fn a_record_of_a_library_reads_back() {
    let mut compiler = protox::Compiler::with_file_resolver({
        let mut resolver = protox::file::ChainFileResolver::new();
        resolver.add(protox::file::GoogleFileResolver::new());
        resolver
    });
    compiler.open_file("google/protobuf/wrappers.proto").unwrap();
    let message = compiler.descriptor_pool().get_message_by_name("google.protobuf.DoubleValue").unwrap();
    let mut value = DynamicMessage::new(message);
    value.set_field_by_name("value", Value::F64(f64::NAN));
    let proto = "syntax = \"proto3\"; message D { double value = 1; }";
    let writer = WriterSchema::parse(SchemaKind::Protobuf, proto, &[]).unwrap();
    let payload = [vec![0], prost::Message::encode_to_vec(&value)].concat();
    assert_eq!(json(&writer, &payload).unwrap(), r#"{"value":"NaN"}"#);
}
