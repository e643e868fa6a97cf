use std::collections::HashMap;
use std::sync::Arc;

use flowline_log::RecordFormat;
use flowline_model::Dataset;
use flowline_registry::{Guid, SchemaKey, SchemaKind, WriterSchema};
use flowline_testkit::http_dataset;
use proptest::prelude::*;

use super::{Decoder, batch, lines, with};
use crate::schemas::FoundSchemas;

const ORDER: &str = r#"{"type":"record","name":"Order","fields":[
  {"name":"id","type":"int"},{"name":"cost","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":3}},
  {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}},{"name":"tags","type":{"type":"array","items":"string"}},
  {"name":"more","type":["null",{"type":"record","name":"More","fields":[{"name":"a","type":"long"},{"name":"b","type":"boolean"}]}]}]}"#;

const GUID: [u8; 16] = *b"sixteen bytes...";

/// Schema 1 as Avro, 2 as Protobuf, 3 as JSON, also by its GUID; 4 cannot be used.
fn schemas() -> FoundSchemas {
    let proto = "syntax = \"proto3\"; message A { int64 id = 1; string cost = 2; repeated string tags = 3; }";
    let schema = |kind, text: &str| WriterSchema::parse(kind, text, &[]).map(Arc::new);
    Arc::new(HashMap::from([
        (SchemaKey::Id(1), schema(SchemaKind::Avro, ORDER)),
        (SchemaKey::Id(2), schema(SchemaKind::Protobuf, proto)),
        (SchemaKey::Id(3), schema(SchemaKind::Json, "{}")),
        (SchemaKey::Guid(Guid(GUID)), schema(SchemaKind::Json, "{}")),
        (SchemaKey::Id(4), Err("schema 4 is not in the registry".to_owned())),
    ]))
}

fn orders() -> Dataset {
    let columns = [
        ("id", "int64"),
        ("cost", "decimal(8,2)"),
        ("at", "timestamp"),
        ("tags", "list<string>"),
        ("more", "struct<a: int64>"),
    ];
    // A format is how texts and plain numbers are written; a logical type needs none.
    with(http_dataset("shop.orders", &columns), "at", |column| column.format = Some("epoch_s".to_owned()))
}

fn outcome(records: &[&[u8]]) -> Vec<String> {
    let batch = batch(RecordFormat::Registered, "", records);
    let mut decoding = Decoder::compile(&orders()).unwrap().start(records.len()).with_schemas(schemas());
    decoding.push(0, &batch, 0..records.len());
    lines(&decoding.finish(), records.len())
}

#[test]
fn records_are_read_with_the_schema_that_they_were_written_with() {
    let found = outcome(&[
        // id 7, cost 1.250, at 1.5 s, tags ["x"], no more
        b"\0\0\0\0\x01\x0e\x04\x04\xe2\xb8\x17\x02\x02x\0\0",
        // more { a: -1, b: true }
        b"\0\0\0\0\x01\x0e\x04\x04\xe2\0\0\x02\x01\x01",
        b"\0\0\0\0\x02\0\x08\x05\x12\x033.5\x1a\x01y",
        br#"{"id": 9}"#,
        b"\0\0\0\0\x03{\"id\": 9, \"at\": 2, \"other\": [1]}",
        &[&[1][..], &GUID, b"{\"id\": 8}"].concat(),
    ]);
    assert_eq!(
        found,
        [
            "7|1.25|1970-01-01T00:00:01.500Z|[x]|-|-",
            r#"7|1.25|1970-01-01T00:00:00Z|[]|{a: -1}|{"more":{"a":-1,"b":true}}"#,
            "5|3.50|-|[y]|-|-",
            "unparsable: the record begins with byte 0x7b: a zero byte and the four bytes of a schema id are expected",
            r#"9|-|1970-01-01T00:00:02Z|-|-|{"other":[1]}"#,
            "8|-|-|-|-|-",
        ]
    );
}

#[test]
fn what_cannot_be_read_says_why() {
    let found = outcome(&[
        b"",
        b"\0\0\0",
        b"\0\0\0\0\x04x",
        b"\0\0\0\0\x05x",
        b"\0\0\0\0\x01\x0e\x04\x04",
        b"\0\0\0\0\x01\x0e\x04\x04\xe2\0\0\0\0",
        b"\0\0\0\0\x02\x04\x02",
        b"\0\0\0\0\x03[1]",
        b"\0\0\0\0\x03{\xff}",
    ]);
    assert_eq!(
        found,
        [
            "unparsable: the record is empty: a zero byte and the four bytes of a schema id are expected",
            "unparsable: the header ends after 3 of 5 bytes: a zero byte and the four bytes of a schema id are expected",
            "unparsable: schema 4 is not in the registry",
            "unparsable: schema 5 was not asked for",
            "unparsable: the record is not what schema 1 says: in `cost`: it ends at byte 3 where 2 more are needed",
            "unparsable: the record is not what schema 1 says: 1 bytes are left behind the record",
            "unparsable: the record is not what schema 2 says: the message indexes are cut off or too large",
            "unparsable: the record is a list and not an object",
            "unparsable: the record is not what schema 3 says: it is not UTF-8 from byte 1 on",
        ]
    );
    // A value that the column does not take is the record's fault, as with any other format: 1.255 has a digit too many.
    let found = outcome(&[b"\0\0\0\0\x01\x0e\x04\x04\xe7\0\0\0"]);
    assert!(found[0].starts_with("wrong-type cost: `1.255`"), "{found:?}");
}

proptest! {
    /// Whatever stands behind a header, every record comes out once.
    #[test]
    fn any_bytes_come_out_once(records in proptest::collection::vec((0u8..6, proptest::collection::vec(any::<u8>(), 0..60)), 0..20)) {
        let records: Vec<Vec<u8>> =
            records.into_iter().map(|(id, bytes)| [&[0, 0, 0, 0, id][..], &bytes].concat()).collect();
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(outcome(&records).len(), records.len());
    }
}
