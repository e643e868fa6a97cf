//! Records as the latest version of their schema reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flowline_base::{ManualClock, SharedClock};
use flowline_registry::{
    Framed, KnownFields, Registry, SchemaKey, SchemaKind, VersionChoice, WriterSchema, WriterSchemas,
};

use super::support::{level, register, registry};

fn parse(kind: SchemaKind, text: &str) -> WriterSchema {
    WriterSchema::parse(kind, text, &[]).unwrap()
}

fn known(names: &[&str]) -> KnownFields {
    KnownFields::Named(names.iter().map(|name| ((*name).to_owned(), KnownFields::All)).collect())
}

fn json(schema: &WriterSchema, payload: &[u8]) -> Result<String, String> {
    let record = [&[0, 0, 0, 0, 9][..], payload].concat();
    let mut out = Vec::new();
    schema.write_json(&Framed::parse(&record).unwrap(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn record(fields: &str) -> String {
    format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#)
}

fn avro(written: &str, latest: &str, fields: &KnownFields, payload: &[u8]) -> Option<String> {
    let (written, latest) =
        (parse(SchemaKind::Avro, &record(written)), parse(SchemaKind::Avro, &record(latest)));
    written.read_by(&latest, fields).map(|schema| json(&schema, payload).unwrap())
}

#[test]
fn aliases_defaults_and_promotions_of_avro() {
    let all = &KnownFields::All;
    let int = r#"{"name":"a","type":"int"}"#;
    for (latest, expected) in [
        (r#"{"name":"b","type":"int","aliases":["a"]}"#, r#"{"b":7}"#),
        (r#"{"name":"a","type":"double"}"#, r#"{"a":7.0}"#),
        (r#"{"name":"a","type":["null","long"]}"#, r#"{"a":7}"#),
        // A field that is gone is the contract's to leave out.
        (r#"{"name":"b","type":"string","default":"é\""}"#, r#"{"a":7,"b":"é\""}"#),
        // Defaults are what a record with that value would have become.
        (
            r#"{"name":"a","type":"int"},{"name":"d","type":{"type":"int","logicalType":"date"},"default":1}"#,
            r#"{"a":7,"d":"1970-01-02"}"#,
        ),
        (
            r#"{"name":"a","type":"int"},{"name":"m","type":{"type":"bytes","logicalType":"decimal","precision":4,"scale":2},"default":"\u00ff"}"#,
            r#"{"a":7,"m":"-0.01"}"#,
        ),
        (
            r#"{"name":"a","type":"int"},{"name":"u","type":["string","null"],"default":"x"},{"name":"f","type":{"type":"fixed","name":"F","size":2},"default":"\u0000\u00ff"}"#,
            r#"{"a":7,"u":"x","f":"AP8="}"#,
        ),
        (
            r#"{"name":"a","type":"int"},{"name":"i","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":{"type":"map","values":"long"},"default":{"k":1}}]},"default":{"x":2}}"#,
            r#"{"a":7,"i":{"x":2,"y":{"k":1}}}"#,
        ),
    ] {
        assert_eq!(avro(int, latest, all, &[14]).as_deref(), Some(expected), "{latest}");
    }
    // Symbols that are gone have the enum's default.
    let (written, latest) = (
        r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}"#,
        r#"{"name":"e","type":{"type":"enum","name":"E","symbols":["B","Z"],"default":"Z"}}"#,
    );
    assert_eq!(avro(written, latest, all, &[0]).unwrap(), r#"{"e":"Z"}"#);
    assert_eq!(avro(written, latest, all, &[2]).unwrap(), r#"{"e":"B"}"#);
    // What the writer says that a number means is so, whatever the latest version says.
    let millis = r#"{"name":"t","type":{"type":"long","logicalType":"timestamp-millis"}}"#;
    let micros = r#"{"name":"t","type":{"type":"long","logicalType":"timestamp-micros"}}"#;
    assert_eq!(avro(millis, micros, all, &[0xd0, 0x0f]).unwrap(), r#"{"t":"1970-01-01T00:00:01Z"}"#);
    let double = r#"{"name":"t","type":"double"}"#;
    assert_eq!(avro(millis, double, all, &[0xd0, 0x0f]).unwrap(), r#"{"t":"1970-01-01T00:00:01Z"}"#);
    let plain = r#"{"name":"t","type":"long"}"#;
    assert_eq!(avro(plain, micros, all, &[2]).unwrap(), r#"{"t":"1970-01-01T00:00:00.000001Z"}"#);
}

#[test]
fn what_nobody_asks_for_is_left_as_it_was() {
    let written = r#"{"name":"a","type":"int"}"#;
    let latest = r#"{"name":"b","type":"int","aliases":["a"]},{"name":"c","type":"int","default":1}"#;
    for (fields, expected) in [
        (&["b", "c"][..], r#"{"b":7,"c":1}"#),
        (&["b"], r#"{"b":7}"#),
        // The contract has not followed the new name.
        (&["a"], r#"{"a":7}"#),
        (&["a", "b"], r#"{"b":7}"#),
    ] {
        assert_eq!(avro(written, latest, &known(fields), &[14]).as_deref(), Some(expected), "{fields:?}");
    }
    let written = r#"{"name":"i","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"}]}}"#;
    let latest = r#"{"name":"i","type":{"type":"record","name":"I","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}}"#;
    let inside = |names| KnownFields::Named(BTreeMap::from([("i".to_owned(), known(names))]));
    assert_eq!(avro(written, latest, &inside(&["x"]), &[2]).unwrap(), r#"{"i":{"x":1}}"#);
    assert_eq!(avro(written, latest, &inside(&["x", "y"]), &[2]).unwrap(), r#"{"i":{"x":1,"y":0}}"#);
}

#[test]
fn what_the_latest_version_cannot_read_is_no_pair() {
    let int = r#"{"name":"a","type":"int"}"#;
    for latest in [
        r#"{"name":"a","type":"string"}"#,
        r#"{"name":"b","type":"int"}"#,
        // A default that is made of itself has no end.
        r#"{"name":"a","type":"int"},{"name":"s","type":{"type":"record","name":"S","fields":[{"name":"s","type":["S","null"],"default":{}}]},"default":{}}"#,
    ] {
        assert_eq!(avro(int, latest, &KnownFields::All, &[14]), None, "{latest}");
    }
    let (avro, proto) = (
        parse(SchemaKind::Avro, "\"int\""),
        parse(SchemaKind::Protobuf, "syntax = \"proto3\"; message A {}"),
    );
    assert!(avro.read_by(&proto, &KnownFields::All).is_none());
}

#[test]
fn types_that_hold_themselves_are_read() {
    let of = |more: &str| {
        record(&format!(
            r#"{{"name":"v","type":"int"}},{{"name":"next","type":["null","R"],"default":null}}{more}"#
        ))
    };
    let written = parse(SchemaKind::Avro, &of(""));
    let latest = parse(SchemaKind::Avro, &of(r#",{"name":"w","type":"int","default":5}"#));
    let schema = written.read_by(&latest, &KnownFields::All).unwrap();
    // v 1, next { v 2 }
    assert_eq!(json(&schema, &[2, 2, 4, 0]).unwrap(), r#"{"v":1,"next":{"v":2,"next":null,"w":5},"w":5}"#);
    assert!(json(&schema, &[2, 2, 4]).unwrap_err().contains("in `next`"));
    assert!(json(&schema, &[2, 2].repeat(200)).unwrap_err().contains("nested deeper than"));
    assert_eq!(json(&schema, &[2, 0, 0]).unwrap_err(), "1 bytes are left behind the record");
}

#[test]
fn defaults_of_json_schema() {
    let latest = parse(
        SchemaKind::Json,
        r##"{"type":"object","properties":{
          "a":{"type":"integer","default":1},
          "b":{"$ref":"#/definitions/b"},
          "c":{"oneOf":[{"type":"null"},{"type":"object","properties":{"x":{"default":"y"}}}]},
          "l":{"type":"array","items":{"type":"object","properties":{"n":{"type":"number","default":0.5}}}}},
          "definitions":{"b":{"type":"object","properties":{"z":{"default":null}},"default":{}}}}"##,
    );
    let written = parse(SchemaKind::Json, "{}");
    let schema = written.read_by(&latest, &KnownFields::All).unwrap();
    for (record, expected) in [
        ("{}", r#"{"a":1,"b":{}}"#),
        // Digits stay as they are, and so does whatever is no object.
        (
            r#" {"a": 1.10, "c": {}, "l": [{}, 7, {"n": 12345678901234567890.0}], "b": {"z": 2}, "\u0061": 3} "#,
            r#"{"a":1.10,"c":{"x":"y"},"l":[{"n":0.5},7,{"n":12345678901234567890.0}],"b":{"z":2},"a":3}"#,
        ),
        (r#"{"a":2,"b":{},"c":null}"#, r#"{"a":2,"b":{"z":null},"c":null}"#),
        ("[1]", "[1]"),
        ("{", "{"),
    ] {
        assert_eq!(json(&schema, record.as_bytes()).unwrap(), expected);
    }
    let some = written.read_by(&latest, &known(&["b"])).unwrap();
    assert_eq!(json(&some, b"{}").unwrap(), r#"{"b":{}}"#);
    assert!(written.read_by(&latest, &known(&["other"])).is_none(), "there is nothing to fill in");
}

/// Ways through a schema that no stack has room for end: records are read as they were written then.
#[test]
fn chains_of_types_end() {
    let messages = |last: &str| {
        let chain = (1..3_000).map(|n| format!("message M{n} {{ M{} m = 1; }} ", n - 1));
        proto(&format!("message M0 {{ {last} }} {}", chain.collect::<String>()))
    };
    assert!(messages("string a = 1;").read_by(&messages("string b = 1;"), &KnownFields::All).is_none());
}

fn proto(body: &str) -> WriterSchema {
    parse(SchemaKind::Protobuf, &format!("syntax = \"proto3\"; package x; {body}"))
}

#[test]
fn numbers_of_protobuf_decide() {
    let written = proto(
        "message Unused {} message A { string old = 1; int32 n = 2; E e = 3; repeated B list = 4; map<string, B> map = 5; \
         int64 gone = 6; map<string, E> words = 7; message B { string s = 1; int32 left = 2; } } enum E { ZERO = 0; ONE = 1; TWO = 2; }",
    );
    let latest = proto(
        "message Unused {} message A { string name = 1; int64 n = 2; E e = 3; repeated B list = 4; map<string, B> map = 5; map<string, E> words = 7; \
         int32 added = 8; message B { string text = 1; } } enum E { ZERO = 0; UNO = 1; }",
    );
    // old "o", n 3, e TWO, list [{s "a", left 1}], map {"k": {s "b"}}, gone 9, words {"w": TWO}
    let payload = [
        &[2, 2, 0x0a, 1, b'o', 0x10, 3, 0x18, 2, 0x22, 5, 0x0a, 1, b'a', 0x10, 1][..],
        &[0x2a, 8, 0x0a, 1, b'k', 0x12, 3, 0x0a, 1, b'b', 0x30, 9, 0x3a, 5, 0x0a, 1, b'w', 0x10, 2],
    ]
    .concat();
    let schema = written.read_by(&latest, &KnownFields::All).unwrap();
    assert_eq!(
        json(&schema, &payload).unwrap(),
        r#"{"name":"o","n":3,"e":"TWO","list":[{"text":"a","left":1}],"map":{"k":{"text":"b","left":0}},"words":{"w":"TWO"},"added":0,"gone":9}"#
    );
    // The contract has the old name, and does not know the new field.
    let fields = known(&["old", "n", "e", "list"]);
    let schema = written.read_by(&latest, &fields).unwrap();
    assert_eq!(
        json(&schema, &[2, 2, 0x0a, 1, b'o', 0x18, 1]).unwrap(),
        r#"{"old":"o","n":0,"e":"UNO","list":[],"map":{},"words":{},"gone":0}"#
    );
    // Where only names differ, the latest type says it all.
    let (older, newer) = (proto("message A { string a = 1; }"), proto("message A { string b = 1; }"));
    let schema = older.read_by(&newer, &KnownFields::All).unwrap();
    assert_eq!(json(&schema, &[0, 0x0a, 1, b'y']).unwrap(), r#"{"b":"y"}"#);
    // A message that is gone is no pair; nor is a number of another encoding.
    assert!(older.read_by(&proto("message B { string a = 1; }"), &KnownFields::All).is_none());
    assert!(older.read_by(&proto("message A { int32 a = 1; }"), &KnownFields::All).is_none());
}

const V1: &str = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
const V2: &str = r#"{"type":"record","name":"R","fields":[{"name":"b","type":"int","aliases":["a"]},{"name":"c","type":"int","default":1}]}"#;

async fn read(schemas: &WriterSchemas, id: u32) -> String {
    let key = SchemaKey::Id(id);
    let found = schemas.resolve(&BTreeSet::from([key])).await.unwrap();
    json(found[&key].as_ref().unwrap(), &[14]).unwrap()
}

fn schemas(registry: &Registry, clock: &SharedClock) -> WriterSchemas {
    WriterSchemas::new(Arc::new(registry.clone()), clock.clone(), "orders", KnownFields::All)
}

#[tokio::test]
async fn the_latest_version_is_that_of_the_topic_or_of_the_record() {
    let clock: SharedClock = Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH));
    for subject in ["orders-value", "orders-R", "R"] {
        let registry = registry().await;
        let older = registry.register("", subject, register("AVRO", V1)).await.unwrap().id;
        registry.register("", subject, register("AVRO", V2)).await.unwrap();
        assert_eq!(read(&schemas(&registry, &clock), older).await, r#"{"b":7,"c":1}"#, "{subject}");
        // A hidden version is none.
        registry.delete_version("", subject, VersionChoice::Number(2), false).await.unwrap();
        assert_eq!(read(&schemas(&registry, &clock), older).await, r#"{"a":7}"#, "{subject}");
    }
    let registry = registry().await;
    let older = registry.register("", "other-value", register("AVRO", V1)).await.unwrap().id;
    registry.register("", "other-value", register("AVRO", V2)).await.unwrap();
    assert_eq!(read(&schemas(&registry, &clock), older).await, r#"{"a":7}"#, "no subject of this topic");
}

#[tokio::test]
async fn a_new_version_is_seen_when_its_time_has_come_or_its_records_have() {
    let manual = Arc::new(ManualClock::new(chrono::DateTime::UNIX_EPOCH));
    let clock: SharedClock = manual.clone();
    let registry = registry().await;
    let older = registry.register("", "orders-value", register("AVRO", V1)).await.unwrap().id;
    let first = schemas(&registry, &clock);
    assert_eq!(read(&first, older).await, r#"{"a":7}"#);
    let newer = registry.register("", "orders-value", register("AVRO", V2)).await.unwrap().id;
    assert_eq!(read(&first, older).await, r#"{"a":7}"#, "asked for a moment ago");
    let second = schemas(&registry, &clock);
    assert_eq!(read(&second, older).await, r#"{"b":7,"c":1}"#);
    let found = first.resolve(&[older, newer].map(SchemaKey::Id).into()).await.unwrap();
    assert_eq!(json(found[&SchemaKey::Id(older)].as_ref().unwrap(), &[14]).unwrap(), r#"{"b":7,"c":1}"#);
    // One that cannot read what was written before changes nothing.
    registry.configure("", "orders-value", level("NONE")).await.unwrap();
    registry.register("", "orders-value", register("AVRO", "\"string\"")).await.unwrap();
    manual.advance(std::time::Duration::from_secs(60));
    assert_eq!(read(&second, older).await, r#"{"a":7}"#);
}
