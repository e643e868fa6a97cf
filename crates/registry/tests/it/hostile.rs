//! What is made to take for ever, or more memory than there is, ends with a reason.

use flowline_registry::{SchemaKind, WriterSchema};

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
