#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use proptest::prelude::*;
use serde_json::Value;

use super::{Json, Key, Kind, is_value};

/// The value as a document, read the way that records are.
fn document(json: &mut Json<'_>) -> Option<Value> {
    let mut scratch = String::new();
    Some(match json.peek().ok()? {
        Kind::Null => json.null().ok().map(|()| Value::Null)?,
        Kind::True | Kind::False => Value::Bool(json.boolean().ok()?),
        Kind::Number => match json.whole() {
            Some(number) => number.into(),
            None => serde_json::from_str(json.number().ok()?).ok()?,
        },
        Kind::Text => Value::String(json.text(&mut scratch).ok()?.to_owned()),
        Kind::List => {
            json.list().ok()?;
            let mut items = Vec::new();
            while json.item(items.is_empty()).ok()?.is_some() {
                items.push(document(json)?);
            }
            Value::Array(items)
        }
        Kind::Object => {
            json.object().ok()?;
            let mut members = serde_json::Map::new();
            let mut first = true;
            while json.member(first).ok()? {
                let key = match json.key_is(&Key::new("known")).ok()? {
                    true => "known".to_owned(),
                    false => json.key(&mut scratch).ok()?.to_owned(),
                };
                let value = document(json)?;
                members.insert(key, value);
                first = false;
            }
            Value::Object(members)
        }
    })
}

fn whole(text: &str) -> Option<Value> {
    let mut json = Json::new(text);
    let value = document(&mut json)?;
    json.finish().ok().map(|()| value)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let key = prop_oneof![Just("known".to_owned()), ".{0,12}"];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in value(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
        prop_assert!(is_value(&text));
        prop_assert_eq!(whole(&text), Some(serde_json::from_str(&text).unwrap()));
    }

    #[test]
    fn what_is_cut_or_changed_is_read_as_others_read_it(
        value in value(), at in any::<prop::sample::Index>(), with in "[\\]\\[{}\",:0-9eE+.\\\\ntfu\t \u{1}é-]{0,3}",
    ) {
        let mut text = serde_json::to_string(&value).unwrap();
        let mut place = at.index(text.len() + 1);
        while !text.is_char_boundary(place) {
            place -= 1;
        }
        let end = (place + 1..=text.len()).find(|end| text.is_char_boundary(*end)).unwrap_or(place);
        text.replace_range(place..end, &with);
        let others = serde_json::from_str::<&serde_json::value::RawValue>(&text).ok();
        prop_assert_eq!(is_value(&text), others.is_some(), "{}", text);
        // A number that no float holds is a document to nobody else.
        if let Ok(document) = serde_json::from_str::<Value>(&text) {
            prop_assert_eq!(whole(&text), Some(document));
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "\\PC*") {
        prop_assert_eq!(whole(&text).is_some(), serde_json::from_str::<Value>(&text).is_ok());
    }
}

#[test]
fn what_is_no_json_is_refused_at_its_place() {
    let cases = [
        ("", "expected a value at byte 0"),
        ("{\"a\" 1}", "expected `:` at byte 5"),
        ("{\"a\":1 \"b\":2}", "expected `,` or `}` at byte 7"),
        ("{\"a\":1,}", "expected a key at byte 7"),
        ("[1,]", "expected a value at byte 3"),
        ("01", "expected the end at byte 1"),
        ("1.", "expected a digit at byte 2"),
        ("-", "expected a digit at byte 1"),
        ("\"a", "expected the end of a text at byte 2"),
        ("\"a\tb\"", "expected an escape for a control character at byte 2"),
        ("\"\\ud83d\"", "expected a whole character at byte 7"),
        ("\"\\x\"", "expected an escape at byte 2"),
        ("nul", "expected null at byte 0"),
        ("{} x", "expected the end at byte 3"),
    ];
    for (text, expected) in cases {
        let mut json = Json::new(text);
        let found = json.skip().and_then(|()| json.finish()).unwrap_err();
        assert_eq!(found.to_string(), expected, "{text}");
    }
}

#[test]
fn whole_numbers_are_passed_as_they_are() {
    for (text, expected, at) in [
        ("0,        ", Some(0), 1),
        ("-0,        ", Some(0), 2),
        ("-12,        ", Some(-12), 3),
        ("1234567812345678,        ", Some(1_234_567_812_345_678), 16),
        ("12345678123456781,        ", None, 0),
        ("01,        ", None, 0),
        ("1.5,        ", None, 0),
        ("1e5,        ", None, 0),
        ("-,        ", None, 0),
        ("1", None, 0),
    ] {
        let mut json = Json::new(text);
        assert_eq!((json.whole(), json.at()), (expected, at), "{text}");
    }
}

#[test]
fn values_lie_in_each_other_200_levels_deep() {
    for (levels, fits) in [(200, true), (201, false), (1_000_000, false)] {
        assert_eq!(is_value(&("[".repeat(levels) + &"]".repeat(levels))), fits, "{levels}");
    }
}

#[test]
fn keys_with_escapes_are_no_plain_ones() {
    for (text, name, is) in [
        (r#"{"a\"b":1}"#, r#"a\"b"#, false),
        (r#"{"a\\":1}"#, r"a\\", false),
        (r#"{"ab":1}"#, "a", false),
        (r#"{"a":1}"#, "ab", false),
        (r#"{"ä" :1}"#, "ä", true),
        (r#"{"a":1, "behind": [1, 2, 3]}"#, "a", true),
        (r#"{"a" :1, "behind": [1, 2, 3]}"#, "a", true),
        (r#"{"thirteen_long":1, "behind": 1}"#, "thirteen_long", true),
        (r#"{"thirteen_lung":1, "behind": 1}"#, "thirteen_long", false),
        (r#"{"longer_than_thirteen":1, "behind": 1}"#, "longer_than_thirteen", true),
        (r#"{"longer_than_fourteen":1, "behind": 1}"#, "longer_than_thirteen", false),
    ] {
        let mut json = Json::new(text);
        json.object().unwrap();
        assert!(json.member(true).unwrap());
        assert_eq!(json.key_is(&Key::new(name)).unwrap(), is, "{text}");
    }
}
