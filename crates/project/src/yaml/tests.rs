#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use serde_json::json;

use super::*;
use crate::diagnostic::Code;

fn value(text: &str) -> Value {
    let parsed = parse(text);
    assert_eq!(parsed.problems, [], "{text}");
    parsed.root.unwrap().to_value()
}

fn problem(text: &str) -> (Code, u32, u32, String) {
    let mut parsed = parse(text);
    assert_eq!(parsed.problems.len(), 1, "{text}: {:?}", parsed.problems);
    let problem = parsed.problems.remove(0);
    (problem.code, problem.place.line, problem.place.column, problem.message)
}

#[test]
fn scalars_follow_the_core_schema() {
    let text = "a: 1\nb: -2.5\nc: yes\nd: true\ne: ~\nf: '1'\ng: 0x1f\nh: 1.2.3\ni: 10s\nj: +4\nk: 1e3\nl: .nan\nm:\nn: 0o17\no: 2026-01-01\n";
    assert_eq!(
        value(text),
        json!({"a": 1, "b": -2.5, "c": "yes", "d": true, "e": null, "f": "1", "g": 31, "h": "1.2.3", "i": "10s",
               "j": 4, "k": 1000.0, "l": ".nan", "m": null, "n": 15, "o": "2026-01-01"})
    );
}

#[test]
fn keys_and_values_know_their_places() {
    let root = parse("a:\n  - { b: ü, c: xyz }\n").root.unwrap();
    let (key, node) = root.nearest_to("/a/0/c");
    assert_eq!(key.unwrap().place, Place { line: 2, column: 13, end_line: 2, end_column: 14 });
    assert_eq!(node.place, Place { line: 2, column: 16, end_line: 2, end_column: 19 });
    let (key, node) = root.nearest_to("/a/0/d/e");
    assert_eq!((key, node.place.line, node.place.column), (None, 2, 5));
}

#[test]
fn duplicate_keys_are_all_found() {
    let parsed = parse("a: 1\nb: { c: 1, c: 2 }\na: 2\n");
    let places: Vec<_> = parsed.problems.iter().map(|problem| (problem.code, problem.place.line)).collect();
    assert_eq!(places, [(Code::DuplicateKey, 2), (Code::DuplicateKey, 3)]);
    assert_eq!(parsed.root.unwrap().to_value(), json!({"a": 1, "b": {"c": 1}}));
}

#[test]
fn what_is_not_read_is_said() {
    assert_eq!(problem("a: !env X").0, Code::InvalidYaml);
    assert_eq!(problem("a: 1\n---\nb: 2\n").3, "a second document begins here");
    assert_eq!(problem("? [a]\n: 1\n").3, "a key must be a text, not a mapping or a list");
    assert_eq!(problem("a: [1, 2\n").0, Code::InvalidYaml);
    assert_eq!(problem("a: *x\n").0, Code::InvalidYaml);
    assert_eq!(value("a: !!str 1"), json!({"a": "1"}));
}

#[test]
fn aliases_repeat_and_stay_bounded() {
    assert_eq!(value("a: &x [1, 2]\nb: *x\n"), json!({"a": [1, 2], "b": [1, 2]}));
    let mut bomb = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned();
    for level in 1..12 {
        let previous = format!("*a{}, ", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
    }
    assert_eq!(problem(&bomb).0, Code::TooLarge);
}

#[test]
fn nesting_stays_bounded() {
    for text in ["[".repeat(33), "{a: ".repeat(33), "- ".repeat(33)] {
        assert_eq!(problem(&text).0, Code::TooLarge, "{text}");
    }
    for text in ["[", "a: {", "{a: ", "- ", "? "] {
        assert_eq!(problem(&text.repeat(200_000)).1, 1);
    }
}
