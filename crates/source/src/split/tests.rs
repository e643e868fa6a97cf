//! Where records begin and end, and that no byte that might be data is left out.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use proptest::prelude::*;

use super::{Spans, csv, json, lines};

fn texts<'a>(bytes: &'a [u8], spans: &Spans) -> Vec<&'a str> {
    spans
        .iter()
        .map(|(start, end)| std::str::from_utf8(&bytes[*start as usize..*end as usize]).unwrap())
        .collect()
}

fn json_values(text: &str) -> Vec<&str> {
    texts(text.as_bytes(), &json::values(text.as_bytes(), 100).unwrap())
}

fn csv_records(text: &str) -> (Option<&str>, Vec<&str>) {
    let (header, spans) = csv::records(text.as_bytes(), 100).unwrap();
    let header = header.map(|span| texts(text.as_bytes(), &vec![span])[0]);
    (header, texts(text.as_bytes(), &spans))
}

#[test]
fn lines_are_records_unless_they_are_blank() {
    let text = "\u{feff}{\"a\":1}\r\n\n  \n{broken\n{\"a\":2}";
    assert_eq!(
        texts(text.as_bytes(), &lines(text.as_bytes(), 9).unwrap()),
        ["{\"a\":1}", "{broken", "{\"a\":2}"]
    );
    assert!(lines(b"a\nb\nc", 2).is_err());
}

#[test]
fn the_items_of_an_array_are_records() {
    assert_eq!(
        json_values(" [ {\"a\":[1,2]} , {\"b\":\"],[\\\"\"},3 ] \n"),
        ["{\"a\":[1,2]}", "{\"b\":\"],[\\\"\"}", "3"]
    );
    assert_eq!(json_values("[]"), [""; 0]);
    assert_eq!(json_values(""), [""; 0]);
    assert_eq!(json_values("[[1,2],[3]]"), ["[1,2]", "[3]"]);
}

#[test]
fn one_value_is_one_record() {
    assert_eq!(json_values(" {\"a\": [1]} "), ["{\"a\": [1]}"]);
    assert_eq!(json_values("nonsense, more"), ["nonsense, more"]);
    assert_eq!(json_values("{\"a\":1}\n{\"a\":2} x"), ["{\"a\":1}", "{\"a\":2}", "x"]);
}

#[test]
fn what_is_broken_stays_whole_and_takes_as_few_as_it_can() {
    assert_eq!(json_values("[{\"a\":01},{\"a\":2}]"), ["{\"a\":01}", "{\"a\":2}"]);
    assert_eq!(json_values("[{\"a\":1],{\"a\":2}]"), ["{\"a\":1]", "{\"a\":2}"]);
    assert_eq!(json_values("[1,{\"a\":2"), ["1", "{\"a\":2"]);
    assert_eq!(json_values("[1,\"open]"), ["1", "\"open]"]);
    assert_eq!(json_values("[1}2,3]"), ["1", "}2,3]"]);
    assert_eq!(json_values("[1,,2,]"), ["1", ",", "2"]);
    assert_eq!(json_values("[1] trailing"), ["1", "trailing"]);
}

#[test]
fn csv_records_end_outside_quotes() {
    let (header, rows) = csv_records("\u{feff}a,b\r\n1,\"x\ny\"\r\n\n2,\"\"\"\"\n3,5\" disk\n4,z");
    assert_eq!(header, Some("a,b"));
    assert_eq!(rows, ["1,\"x\ny\"", "2,\"\"\"\"", "3,5\" disk", "4,z"]);
    assert_eq!(csv_records("\n\n"), (None, vec![]));
    assert_eq!(csv_records("a,b"), (Some("a,b"), vec![]));
    assert_eq!(csv_records("a\n1,\"x\n2,y\n"), (Some("a"), vec!["1,\"x\n2,y"]));
    let wide = format!("a\n{}\nend", "x,".repeat(3000));
    assert_eq!(csv_records(&wide).1.len(), 2);
}

/// Spans follow each other, lie inside, and leave out only these bytes.
fn covered(bytes: &[u8], spans: &Spans, separators: &[u8]) {
    let mut at = 0;
    for (start, end) in spans {
        assert!(at <= *start as usize && start <= end && *end as usize <= bytes.len());
        assert!(
            bytes[at..*start as usize].iter().all(|byte| separators.contains(byte)),
            "{bytes:?} {spans:?}"
        );
        at = *end as usize;
    }
    assert!(bytes[at..].iter().all(|byte| separators.contains(byte)), "{bytes:?} {spans:?}");
}

proptest! {
    #[test]
    fn nothing_is_left_out_of_lines(text in "[ab \n\r\"]{0,40}") {
        covered(text.as_bytes(), &lines(text.as_bytes(), 1000).unwrap(), b" \r\n\t");
    }

    #[test]
    fn nothing_is_left_out_of_json(text in "[\\[\\]{},:\"\\\\1a \n]{0,40}") {
        covered(text.as_bytes(), &json::values(text.as_bytes(), 1000).unwrap(), b" \r\n\t[],");
    }

    #[test]
    fn nothing_is_left_out_of_csv(text in "[ab,\"\r\n ]{0,40}") {
        let (header, mut spans) = csv::records(text.as_bytes(), 1000).unwrap();
        if let Some(header) = header {
            spans.insert(0, header);
        }
        covered(text.as_bytes(), &spans, b"\r\n");
    }

    #[test]
    fn a_valid_array_has_the_items_that_a_document_has(items in prop::collection::vec("[a-z\"\\\\,\\]]{0,6}", 0..6), space in "[ \n]{0,2}") {
        let items: Vec<String> = items.iter().map(|text| serde_json::to_string(&vec![text]).unwrap()).collect();
        let text = format!("{space}[{space}{}{space}]{space}", items.join(&format!("{space},{space}")));
        prop_assert_eq!(json_values(&text), items);
    }

    #[test]
    fn any_bytes_are_split(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        lines(&bytes, 1000).unwrap();
        json::values(&bytes, 1000).unwrap();
        csv::records(&bytes, 1000).unwrap();
    }
}
