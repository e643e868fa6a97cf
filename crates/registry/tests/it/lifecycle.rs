//! What holds whatever is asked: one number for one schema, whoever asks; nothing forgotten; one text for what is the same.

use flowline_base::system_clock;
use flowline_registry::{LookupRequest, Reference, RegisterRequest, Registry, SchemaRequest, VersionChoice};

use super::support::{register, registry, schema};

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_register_at_once_give_one_number_to_one_schema() {
    let folder = tempfile::tempdir().unwrap();
    let url = flowline_ledger::sqlite_url(&folder.path().join("ledger.db"));
    let mut nodes = tokio::task::JoinSet::new();
    for node in 0..4 {
        let ledger = flowline_ledger::connect(&url).await.unwrap();
        let registry = Registry::new(ledger, system_clock());
        nodes.spawn(async move {
            let mut found = Vec::new();
            for number in 0..10 {
                let text = format!(r#"{{"type":"fixed","name":"F{number}","size":{}}}"#, number + 1);
                let subject = format!("s{number}-{}", node % 2);
                let registered = registry.register("", &subject, register("AVRO", &text)).await.unwrap();
                found.push((registered.subject, registered.version, registered.id));
            }
            found
        });
    }
    let mut all: Vec<(String, i32, u32)> = nodes.join_all().await.into_iter().flatten().collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 20, "two subjects each, and everyone was told the same: {all:?}");
    assert!(all.iter().all(|(_, version, _)| *version == 1));
    let mut ids: Vec<u32> = all.iter().map(|(.., id)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (1..=10).collect::<Vec<u32>>());
}

#[tokio::test]
async fn everything_is_there_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let url = flowline_ledger::sqlite_url(&folder.path().join("ledger.db"));
    let open = async || Registry::new(flowline_ledger::connect(&url).await.unwrap(), system_clock());
    let before = open().await;
    before.register("ci", "a", register("AVRO", "\"int\"")).await.unwrap();
    before.register("ci", "a", register("AVRO", "\"long\"")).await.unwrap();
    before.register("ci", ":.prod:a", register("JSON", "{}")).await.unwrap();
    before.delete_version("ops", "a", VersionChoice::Number(1), false).await.unwrap();
    before.configure("ops", "a", super::support::level("full")).await.unwrap();
    before.set_mode("ops", "a", "readonly", false).await.unwrap();
    let after = open().await;
    for registry in [&before, &after] {
        let latest = registry.version("a", VersionChoice::Latest, false).await.unwrap();
        assert_eq!((latest.version, latest.id, latest.schema.text.as_str()), (2, 2, "\"long\""));
        assert_eq!(registry.version("a", VersionChoice::Number(1), false).await.unwrap_err().code(), 40402);
        assert!(registry.version("a", VersionChoice::Number(1), true).await.unwrap().deleted);
        assert_eq!(registry.version(":.prod:a", VersionChoice::Latest, false).await.unwrap().id, 1);
        assert_eq!(registry.mode("a", false).await.unwrap().as_str(), "READONLY");
        assert_eq!(
            registry.register("", "a", register("AVRO", "\"float\"")).await.unwrap_err().code(),
            42205
        );
        assert_eq!(registry.contexts().await.unwrap(), [".", ".prod"]);
    }
    // Who did what is a fact of the ledger.
    let ledger = flowline_ledger::connect(&url).await.unwrap();
    let changes = ledger.registry_changes_after(0).await.unwrap();
    let facts: Vec<(&str, &str, &str)> = changes
        .iter()
        .map(|change| (change.actor.as_str(), change.kind.as_str(), change.subject.as_str()))
        .collect();
    assert_eq!(
        facts,
        [
            ("ci", "registered", "a"),
            ("ci", "registered", "a"),
            ("ci", "registered", ":.prod:a"),
            ("ops", "deleted", "a"),
            ("ops", "configured", "a"),
            ("ops", "mode-set", "a"),
        ]
    );
}

async fn canonical(kind: &str, text: &str, normalize: bool) -> String {
    let request = RegisterRequest { normalize: Some(normalize), ..register(kind, text) };
    registry().await.register("", "s", request).await.unwrap().schema.text.clone()
}

#[tokio::test]
async fn what_is_the_same_has_one_text() {
    for (text, expected) in [
        (r#"{"type": "string"}"#, r#""string""#),
        (r#"{"type":{"type":"string"}}"#, r#""string""#),
        (
            r#"[ "null", {"type":"long","logicalType":"timestamp-millis"} ]"#,
            r#"["null",{"type":"long","logicalType":"timestamp-millis"}]"#,
        ),
        (
            r#"{"fields":[{"type":"x.F","name":"f"},{"default":1,"order":"ascending","name":"n","doc":"d","type":{"type":"int"}}],"name":"x.R","extra":7,"type":"record","doc":"of R"}"#,
            "",
        ),
        (
            r#"{"fields":[{"type":{"type":"fixed","size":2,"name":"x.F"},"name":"f"},{"name":"g","type":"x.F","aliases":["h"]}],"name":"x.R","aliases":["Q"],"extra":7,"type":"record"}"#,
            r#"{"type":"record","name":"R","namespace":"x","fields":[{"name":"f","type":{"type":"fixed","name":"F","size":2}},{"name":"g","type":"F","aliases":["h"]}],"extra":7,"aliases":["Q"]}"#,
        ),
        (
            r#"{"symbols":["A"],"type":"enum","default":"A","name":"E","namespace":"a.b"}"#,
            r#"{"type":"enum","name":"E","namespace":"a.b","symbols":["A"],"default":"A"}"#,
        ),
        // A name says nothing of a type that has none; what nobody knows is kept.
        (r#"{"type":"int","name":"x","doc":"d"}"#, r#""int""#),
        (r#"{"type":"array","name":"x","items":"int","own":1}"#, r#"{"type":"array","items":"int","own":1}"#),
        (
            r#"{"type":"record","name":"R","items":"int","default":{},"fields":[]}"#,
            r#"{"type":"record","name":"R","fields":[],"default":{}}"#,
        ),
    ] {
        let registered = registry().await.register("", "s", register("AVRO", text)).await;
        match expected {
            "" => assert_eq!(registered.unwrap_err().code(), 42201, "{text}"),
            expected => assert_eq!(registered.unwrap().schema.text, expected),
        }
    }
    let json = r#"{ "type" : "object", "b":1, "a": {"y":1,"x":2} }"#;
    assert_eq!(canonical("JSON", json, false).await, r#"{"type":"object","b":1,"a":{"y":1,"x":2}}"#);
    assert_eq!(canonical("JSON", json, true).await, r#"{"a":{"x":2,"y":1},"b":1,"type":"object"}"#);
}

const PROTO: &str = r#"
// a comment
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
option java_package = "org.example";
option deprecated = true;
message Order {
  reserved 4, 10 to 12; reserved "old";
  string id = 1 [deprecated = true, json_name = "ID"];
  optional int64 amount = 2;
  repeated Line lines = 3;
  map<string, google.protobuf.Timestamp> times = 5;
  oneof payment { string card = 6; bytes cash = 7; }
  State state = 8;
  message Line { string sku = 1; .shop.v1.Order parent = 2; }
  enum State { option allow_alias = true; NEW = 0; FRESH = 0; PAID = 1; }
}
service Orders { rpc Get (Order) returns (stream Order); }
"#;

#[tokio::test]
async fn a_proto_has_one_text_however_it_is_sent() {
    let registry = registry().await;
    let first = registry.register("", "s", register("PROTOBUF", PROTO)).await.unwrap();
    let expected = r#"syntax = "proto3";
package shop.v1;

import "google/protobuf/timestamp.proto";

option java_package = "org.example";
option deprecated = true;

message Order {
  reserved 4, 10 to 12;
  reserved "old";
  string id = 1 [json_name = "ID", deprecated = true];
  optional int64 amount = 2;
  repeated shop.v1.Order.Line lines = 3;
  map<string, google.protobuf.Timestamp> times = 5;
  oneof payment {
    string card = 6;
    bytes cash = 7;
  }
  shop.v1.Order.State state = 8;
  message Line {
    string sku = 1;
    shop.v1.Order parent = 2;
  }
  enum State {
    option allow_alias = true;
    NEW = 0;
    FRESH = 0;
    PAID = 1;
  }
}

service Orders {
  rpc Get (shop.v1.Order) returns (stream shop.v1.Order);
}
"#;
    assert_eq!(first.schema.text, expected);
    // The text is a schema, and its text is itself; so is that of the descriptor that clients send and ask for.
    let serialized = registry.serialized("s", first.id).await.unwrap();
    for text in [expected, &serialized] {
        let again = registry.register("", "s", register("PROTOBUF", text)).await.unwrap();
        assert_eq!((again.id, again.version, again.schema.text.as_str()), (1, 1, expected));
    }
}

#[tokio::test]
async fn groups_and_extensions_survive() {
    let registry = registry().await;
    let proto = r#"syntax = "proto2"; import "google/protobuf/descriptor.proto";
        extend google.protobuf.FieldOptions { optional string unit = 50000; optional Limits limits = 50001; }
        message Limits { repeated int32 at = 1; optional double f = 2; extensions 100 to max; }
        message A { required int32 a = 1 [default = 7, (unit) = "cm\"\n", (limits) = { at: [1, 2], f: 1.5 }]; optional string s = 2 [default = "x\\y"]; }"#;
    let first = registry.register("", "s", register("PROTOBUF", proto)).await.unwrap();
    let text = &first.schema.text;
    assert!(
        text.contains(r#"[default = 7, (unit) = "cm\"\n", (limits) = { at: 1, at: 2, f: 1.5 }]"#),
        "{text}"
    );
    let again = registry.register("", "s", register("PROTOBUF", text)).await.unwrap();
    assert_eq!((again.id, &again.schema.text), (1, text));
    let group = "syntax = \"proto2\"; message G { optional group X = 1 { optional int32 a = 2; } }";
    let kept = registry.register("", "g", register("PROTOBUF", group)).await.unwrap();
    assert_eq!(kept.schema.text, group);
}

#[tokio::test]
async fn options_that_nothing_declares_are_kept_and_say_nothing_of_records() {
    let registry = registry().await;
    let first = r#"syntax = "proto3"; package shop; import "shop/unit.proto"; import "google/protobuf/descriptor.proto";
        option (owner).team = "shop";
        extend google.protobuf.FieldOptions { string label = 50001; }
        message A { option (table) = "a"; int32 n = 1 [(label) = "N", (unit) = "cm", (.lint.rule) = { off: true }];
          oneof one { option (choice) = 1; string s = 2; } enum E { option (words) = true; ZERO = 0 [(word) = "zero"]; } }
        service S { option (api) = "v1"; rpc Get (A) returns (A) { option (path) = "/a"; } }"#;
    let unit = r#"syntax = "proto3"; package shop; import "google/protobuf/descriptor.proto";
        extend google.protobuf.FieldOptions { string unit = 50000 [(generator.hidden) = true]; }"#;
    registry.register("", "unit", register("PROTOBUF", unit)).await.unwrap();
    let with = |text: &str| {
        let reference =
            Reference { name: "shop/unit.proto".to_owned(), subject: "unit".to_owned(), version: 1 };
        let schema = SchemaRequest { references: vec![reference], ..schema("PROTOBUF", text) };
        RegisterRequest { schema, ..RegisterRequest::default() }
    };
    let kept = registry.register("", "s", with(first)).await.unwrap();
    assert_eq!(kept.schema.text, first);
    let again = registry.register("", "s", with(first)).await.unwrap();
    assert_eq!((again.id, again.version), (kept.id, 1));
    // Another option is another text; another type is what it always was.
    let other = first.replace("(table) = \"a\"", "(table) = \"b\"");
    assert_eq!(registry.register("", "s", with(&other)).await.unwrap().version, 2);
    let changed = registry.register("", "s", with(&first.replace("int32 n", "string n"))).await.unwrap_err();
    assert_eq!(changed.code(), 409, "{changed}");
    // What is declared must be of its type, and what has no brackets is the language's own.
    for (from, to) in [("(unit) = \"cm\"", "(unit) = 7"), ("(table) = \"a\"", "table = \"a\"")] {
        let error = registry.register("", "s", with(&first.replace(from, to))).await.unwrap_err();
        assert_eq!(error.code(), 42201, "{to}: {error}");
    }
}

#[tokio::test]
async fn references_are_followed_and_held() {
    let registry = registry().await;
    let reference = |name: &str, subject: &str, version| Reference {
        name: name.to_owned(),
        subject: subject.to_owned(),
        version,
    };
    let with = |kind: &str, text: &str, references: Vec<Reference>| RegisterRequest {
        schema: SchemaRequest { references, ..schema(kind, text) },
        ..RegisterRequest::default()
    };
    let cases = [
        (
            "AVRO",
            r#"{"type":"record","namespace":"x","name":"B","fields":[{"name":"n","type":"int"}]}"#,
            "x.B",
            r#"{"type":"record","name":"A","fields":[{"name":"b","type":"x.B"}]}"#,
        ),
        (
            "JSON",
            r#"{"type":"object","properties":{"n":{"type":"integer"}}}"#,
            "b.json",
            r##"{"type":"object","properties":{"b":{"$ref":"b.json#/properties/n"}}}"##,
        ),
        (
            "PROTOBUF",
            "syntax = \"proto3\"; package x; message B { int32 n = 1; }",
            "x/b.proto",
            "syntax = \"proto3\"; import \"x/b.proto\"; message A { x.B b = 1; }",
        ),
    ];
    for (kind, inner, name, outer) in cases {
        let (below, above) = (format!("{kind}-b"), format!("{kind}-a"));
        registry.register("", &below, register(kind, inner)).await.unwrap();
        for references in [vec![], vec![reference(name, &below, 9)], vec![reference(name, "nowhere", 1)]] {
            let error = registry.register("", &above, with(kind, outer, references)).await.unwrap_err();
            assert_eq!(error.code(), 42201, "{error}");
        }
        // The latest version is that of the moment, and the same schema from then on.
        let latest = registry
            .register("", &above, with(kind, outer, vec![reference(name, &below, -1)]))
            .await
            .unwrap();
        let first =
            registry.register("", &above, with(kind, outer, vec![reference(name, &below, 1)])).await.unwrap();
        assert_eq!((latest.id, latest.version), (first.id, first.version));
        let lookup = LookupRequest {
            schema: with(kind, outer, vec![reference(name, &below, 1)]).schema,
            ..LookupRequest::default()
        };
        assert_eq!(registry.lookup(&above, lookup).await.unwrap().id, first.id);
        assert_eq!(registry.referenced_by(&below, VersionChoice::Number(1)).await.unwrap(), [first.id]);
        let error = registry.delete_subject("", &below, false).await.unwrap_err();
        assert_eq!(error.code(), 42206, "{error}");
        registry.delete_subject("", &above, false).await.unwrap();
        registry.delete_subject("", &below, false).await.unwrap();
        // What is hidden is still referred to by what is hidden.
        assert_eq!(registry.delete_subject("", &below, true).await.unwrap_err().code(), 42206);
        registry.delete_subject("", &above, true).await.unwrap();
        registry.delete_subject("", &below, true).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_said_of_a_schema_is_read_back_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = flowline_ledger::sqlite_url(&folder.path().join("ledger.db"));
    let open = async || Registry::new(flowline_ledger::connect(&url).await.unwrap(), system_clock());
    let registry = open().await;
    let nested = |levels| (0..levels).fold(serde_json::json!(1), |inside, _| serde_json::json!([inside]));
    let with = |metadata, rule_set| RegisterRequest {
        schema: SchemaRequest { metadata, rule_set, ..schema("AVRO", "\"int\"") },
        ..RegisterRequest::default()
    };
    // 126 levels are read as a request, and are too many for a stored change.
    for levels in [33, 126] {
        for (name, request) in
            [("metadata", with(Some(nested(levels)), None)), ("ruleSet", with(None, Some(nested(levels))))]
        {
            let error = registry.register("", "s", request).await.unwrap_err();
            assert_eq!(error.code(), 42201, "{name}, {levels}");
            let message = format!(
                "Invalid {name}: objects and arrays lie in each other deeper than 32 levels, flatten it"
            );
            assert_eq!(error.to_string(), message);
        }
    }
    let kept = registry.register("", "s", with(Some(nested(32)), Some(nested(32)))).await.unwrap();
    let read = open().await.version("s", VersionChoice::Latest, false).await.unwrap();
    assert_eq!(read.schema, kept.schema);
}

#[tokio::test]
async fn what_is_entangled_ends() {
    let registry = registry().await;
    // Types in which every one holds every other one, in unions: the number of ways through them has no end.
    let names: Vec<String> = (0..12).map(|number| format!("R{number}")).collect();
    let tangle = |shift: usize| {
        let mut schema = String::from("[");
        for (index, name) in names.iter().enumerate() {
            let known: Vec<String> = names[..=index].iter().map(|name| format!("\"{name}\"")).collect();
            let fields: Vec<String> = (0..4)
                .map(|field| {
                    format!(
                        r#"{{"name":"f{}","default":null,"type":["null",{}]}}"#,
                        field + shift,
                        known.join(",")
                    )
                })
                .collect();
            let comma = if index == 0 { "" } else { "," };
            schema.push_str(&format!(
                r#"{comma}{{"type":"record","name":"{name}","fields":[{}]}}"#,
                fields.join(",")
            ));
        }
        schema + "]"
    };
    registry.register("", "s", register("AVRO", &tangle(0))).await.unwrap();
    let _ = registry.register("", "s", register("AVRO", &tangle(1))).await;
    // A chain of references that is longer than any stack.
    let chain: Vec<String> =
        (0..5_000).map(|n| format!(r##""d{n}":{{"$ref":"#/definitions/d{}"}}"##, n + 1)).collect();
    let json =
        format!(r##"{{"definitions":{{{},"d5000":{{}}}},"$ref":"#/definitions/d0"}}"##, chain.join(","));
    assert_eq!(registry.register("", "j", register("JSON", &json)).await.unwrap_err().code(), 42201);
    let circle = r##"{"$ref":"#"}"##;
    let _ = registry.register("", "c", register("JSON", circle)).await;
    let deep = format!("syntax = \"proto3\"; {}{}", "message A { ".repeat(5_000), "}".repeat(5_000));
    assert_eq!(registry.register("", "p", register("PROTOBUF", &deep)).await.unwrap_err().code(), 42201);
    let nested = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(5_000), "}".repeat(5_000));
    assert_eq!(registry.register("", "a", register("AVRO", &nested)).await.unwrap_err().code(), 42201);
}
