//! What is made to take for ever, or more memory than there is, ends with a reason.

use flowline_registry::{
    Framed, Reference, RegisterRequest, SchemaKind, SchemaRequest, VersionChoice, WriterSchema,
};

use super::support::{register, registry, schema};

/// A record `R` whose field has a default of so many records in each other around `innermost`. Each of them may be an `A`
/// or a `B`, so that a way to read it is one of two to the number of levels.
fn nested_default(levels: usize, innermost: &str) -> String {
    let b = r#"{"type":"record","name":"B","fields":[{"name":"x","type":["null","A","B"]}]}"#;
    let a = format!(r#"{{"type":"record","name":"A","fields":[{{"name":"x","type":["null","A",{b}]}}]}}"#);
    let default = (0..levels).fold(innermost.to_owned(), |inside, _| format!(r#"{{"x":{inside}}}"#));
    format!(
        r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":{a}}},{{"name":"b","type":"A","default":{default}}}]}}"#
    )
}

#[test]
fn defaults_that_fit_unions_in_very_many_ways_are_refused() {
    let parse =
        |levels, innermost| WriterSchema::parse(SchemaKind::Avro, &nested_default(levels, innermost), &[]);
    // The first way fits; a way that does not fit is found out where there are few.
    assert!(parse(60, "null").is_ok());
    assert!(parse(8, "7").unwrap_err().contains("is not of its type, in the record `R`"));
    let error = parse(60, "7").unwrap_err();
    assert_eq!(
        error,
        "Invalid default for field b: checking the defaults takes more than 1000000 steps, shorten them or their \
         unions, in the record `R`"
    );
    let error = parse(110, "null").unwrap_err();
    assert!(error.contains("it is nested deeper than 100 levels, flatten it"), "{error}");
}

fn listed(count: usize, one: impl Fn(usize) -> String) -> String {
    (0..count).map(one).collect::<Vec<_>>().join(",")
}

/// What keeps `new` from reading what `old` has written.
async fn in_the_way(kind: &str, old: &str, new: &str) -> Vec<String> {
    let registry = registry().await;
    registry.register("", "s", register(kind, old)).await.unwrap();
    let latest = Some(VersionChoice::Latest);
    let answer = registry.check("s", latest, schema(kind, new), None).await.unwrap();
    let differences = answer.messages.into_iter().filter(|message| message.contains("errorType"));
    differences.collect()
}

const GIVEN_UP: &str = "{errorType:'COMPARISON_GIVEN_UP', description:'Comparing the new schema with the old schema \
    takes more than 4000000 steps; use fewer alternatives, or set the compatibility of the subject to NONE'}";

#[tokio::test]
async fn json_schemas_of_too_many_alternatives_are_given_up() {
    let constants = |word: &str| {
        format!(r#"{{"oneOf":[{}]}}"#, listed(50_000, |number| format!(r#"{{"const":"{word}{number}"}}"#)))
    };
    assert_eq!(in_the_way("JSON", &constants("a"), &constants("b")).await, [GIVEN_UP]);
    // Properties that are covered by a schema are held against all of it, each of them.
    let covered = |word: &str| {
        let many = listed(2_000, |number| format!(r#""{word}{number}":{{"type":"object"}}"#));
        format!(
            r#"{{"properties":{{{many}}},"additionalProperties":{{"properties":{{{many}}},"type":"object"}}}}"#
        )
    };
    assert_eq!(in_the_way("JSON", &covered("a"), &covered("b")).await, [GIVEN_UP]);
    // A long name stands in the path of every difference below it.
    let long = "n".repeat(500_000);
    let below = |word: &str| {
        let many = listed(5_000, |number| format!(r#""{word}{number}":{{}}"#));
        format!(r#"{{"properties":{{"{long}":{{"additionalProperties":false,"properties":{{{many}}}}}}}}}"#)
    };
    assert_eq!(in_the_way("JSON", &below("a"), &below("b")).await, [GIVEN_UP]);
}

#[tokio::test]
async fn large_json_schemas_are_compared_to_the_end() {
    let words = |from: usize| {
        format!(r#"{{"enum":[{}]}}"#, listed(80_000, |number| format!(r#""{}""#, from + number)))
    };
    assert!(in_the_way("JSON", &words(0), &words(0)).await.is_empty());
    let found = in_the_way("JSON", &words(0), &words(1)).await;
    assert!(found.len() == 1 && found[0].contains("ENUM_ARRAY_CHANGED"), "{found:?}");
    let properties = |kind: &str| {
        let others = listed(40_000, |number| format!(r#""p{number}":{{}}"#));
        format!(r#"{{"type":"object","properties":{{{others},"last":{{"type":"{kind}"}}}}}}"#)
    };
    let found = in_the_way("JSON", &properties("string"), &properties("null")).await;
    assert!(found.len() == 1 && found[0].contains("TYPE_CHANGED"), "{found:?}");
    assert!(found[0].contains("'#/properties/last'"), "{found:?}");
    // As many pairs as can be made, however the alternatives stand.
    let numbers = |upwards: bool| {
        let maximum = |number: usize| if upwards { number } else { 300 - number };
        let parts = listed(300, |number| format!(r#"{{"type":"number","maximum":{}}}"#, maximum(number + 1)));
        format!(r#"{{"oneOf":[{parts}]}}"#)
    };
    assert!(in_the_way("JSON", &numbers(true), &numbers(true)).await.is_empty());
}

#[tokio::test]
async fn avro_unions_of_too_many_types_are_given_up() {
    let union = |word: &str| {
        format!(
            "[{}]",
            listed(10_000, |number| format!(r#"{{"type":"fixed","name":"{word}{number}","size":1}}"#))
        )
    };
    assert_eq!(in_the_way("AVRO", &union("A"), &union("B")).await, [GIVEN_UP]);
}

#[tokio::test]
async fn large_avro_schemas_are_compared_to_the_end() {
    let symbols = |from: usize| {
        let symbols = listed(80_000, |number| format!(r#""S{}""#, from + number));
        format!(r#"{{"type":"enum","name":"E","symbols":[{symbols}]}}"#)
    };
    let found = in_the_way("AVRO", &symbols(0), &symbols(1)).await;
    assert!(found.len() == 1 && found[0].contains("missing enum symbols '[S0]'"), "{found:?}");
    let fields = |kind: &str| {
        let others = listed(20_000, |number| format!(r#"{{"name":"f{number}","type":"int"}}"#));
        format!(r#"{{"type":"record","name":"R","fields":[{others},{{"name":"last","type":"{kind}"}}]}}"#)
    };
    let found = in_the_way("AVRO", &fields("int"), &fields("string")).await;
    assert!(found.len() == 1 && found[0].contains("'/fields/20000/type'"), "{found:?}");
    // A field that had two names takes the values of the one that stands first.
    let aliased = r#"{"type":"record","name":"R","fields":[{"name":"c","type":"int","aliases":["b","a"]}]}"#;
    let two =
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"b","type":"string"}]}"#;
    assert!(in_the_way("AVRO", two, aliased).await.is_empty());
}

#[tokio::test]
async fn imports_that_are_compared_too_often_are_given_up() {
    let registry = registry().await;
    // Each message holds the next one twice: the last one is reached in two to the 20 ways.
    let imported = |word: &str, kind: &str| {
        let messages: String = (0..20)
            .map(|number| {
                let next = number + 1;
                format!("message M{number} {{ M{next} {word} = 1; M{next} twice = 2; }} ")
            })
            .collect();
        format!(
            "syntax = \"proto3\"; package b; {messages} message M20 {{ int32 {word} = 1; }} message N {{ {kind} n = 1; }}"
        )
    };
    let importing = |subject: &str| {
        let reference = Reference { name: "b.proto".to_owned(), subject: subject.to_owned(), version: 1 };
        let text = "syntax = \"proto3\"; import \"b.proto\"; message A { b.M0 m = 1; b.N n = 2; }";
        SchemaRequest { references: vec![reference], ..schema("PROTOBUF", text) }
    };
    for (subject, text) in [("old", imported("a", "int32")), ("new", imported("c", "string"))] {
        registry.register("", subject, register("PROTOBUF", &text)).await.unwrap();
    }
    let old = RegisterRequest { schema: importing("old"), ..RegisterRequest::default() };
    registry.register("", "s", old).await.unwrap();
    let answer = registry.check("s", Some(VersionChoice::Latest), importing("new"), None).await.unwrap();
    // What was not looked at may be what is in the way, as `n` is here.
    assert!(!answer.compatible);
    assert_eq!(answer.messages[0], GIVEN_UP.replace("4000000", "100000"));
}

/// The record of the first message of a schema in these bytes as JSON, and how much memory was filled with it.
fn json(proto: &str, message: &[u8]) -> (Result<(), String>, Vec<u8>) {
    let writer = WriterSchema::parse(SchemaKind::Protobuf, proto, &[]).unwrap();
    let record = [&[0, 0, 0, 0, 1, 0][..], message].concat();
    let mut out = Vec::new();
    (writer.write_json(&Framed::parse(&record).unwrap(), &mut out), out)
}

/// A field of bytes with a number up to 15.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    prost::encoding::encode_varint(bytes.len() as u64, &mut length);
    [&[number << 3 | 2], &length[..], bytes].concat()
}

#[test]
fn the_text_of_a_record_stops_at_its_limit() {
    const TEXT_BYTES_MAX: usize = 64 << 20;
    // Two bytes of a record are a message of 100 KB: fields without presence are written whether they are set or not.
    let long = "x".repeat(490);
    let fields: String = (1..=200).map(|number| format!("int32 f{number}_{long} = {number}; ")).collect();
    let proto =
        format!("syntax = \"proto3\"; message A {{ repeated Wide list = 1; }} message Wide {{ {fields} }}");
    let (written, out) = json(&proto, &[0x0a, 0].repeat(1_000));
    assert_eq!(written.unwrap_err(), format!("it unpacks to more than {TEXT_BYTES_MAX} bytes"));
    assert!(out.len() <= TEXT_BYTES_MAX, "{} bytes were written", out.len());
    let (written, out) = json(&proto, &[0x0a, 0].repeat(500));
    assert!(written.is_ok() && out.len() > TEXT_BYTES_MAX / 2, "{written:?}, {} bytes", out.len());
}

#[test]
fn few_bytes_that_take_much_memory_are_refused() {
    let too_much = "decoding it takes more than 268435456 bytes of memory: send it as smaller records";
    let long = "x".repeat(100_000);
    let default = format!(
        "syntax = \"proto2\"; message A {{ repeated B list = 1; }} message B {{ optional string s = 1 [default = \"{long}\"]; }}"
    );
    let fields: String = (1..=2_000).map(|number| format!("optional int32 f{number} = {number}; ")).collect();
    let silent =
        format!("syntax = \"proto2\"; message A {{ repeated B list = 1; }} message B {{ {fields} }}");
    let flags = "syntax = \"proto3\"; message A { repeated bool list = 1; }";
    let (many_flags, some_flags) = (field(1, &vec![1; 2_000_000]), field(1, &vec![1; 1_000_000]));
    for (what, proto, record) in [
        ("a long default in each message", &default[..], [0x0a, 2, 0x0a, 0].repeat(5_000)),
        ("fields that are declared, and not written", &silent, [0x0a, 0].repeat(20_000)),
        ("a value for each byte", flags, many_flags),
    ] {
        let (written, out) = json(proto, &record);
        assert_eq!((written.unwrap_err().as_str(), out.len()), (too_much, 0), "{what}");
    }
    assert!(json(flags, &some_flags).0.is_ok(), "a megabyte of values is a record");
}

#[test]
fn records_that_hold_each_other_without_a_schema_are_refused() {
    let proto = "syntax = \"proto3\"; import \"google/protobuf/any.proto\"; message A { google.protobuf.Any any = 1; int32 n = 2; }";
    let any = |name: &str, inside: &[u8]| [field(1, name.as_bytes()), field(2, inside)].concat();
    let nested = |levels: usize| {
        let innermost = any("x/A", &[0x10, 7]);
        field(1, &(0..levels).fold(innermost, |inside, _| any("x/google.protobuf.Any", &inside)))
    };
    let (written, out) = json(proto, &nested(1));
    assert_eq!(written, Ok(()));
    let expected = r#"{"any":{"@type":"x/google.protobuf.Any","value":{"@type":"x/A","n":7}},"n":0}"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    // Each level is another one on the stack.
    for levels in [100, 5_000] {
        let (written, _) = json(proto, &nested(levels));
        assert_eq!(written.unwrap_err(), "it is nested deeper than 100 levels", "{levels}");
    }
}
