//! What is made to take for ever, or more memory than there is, ends with a reason.

use flowline_registry::{SchemaKind, VersionChoice, WriterSchema};

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
