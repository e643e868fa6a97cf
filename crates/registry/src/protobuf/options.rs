//! Options of a `.proto` file as text.

use prost_reflect::{DynamicMessage, Kind, MapKey, Value};

/// The options that are set, each with its name and value, in the order of their numbers.
pub(super) fn options(message: &DynamicMessage) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (field, value) in message.fields() {
        if field.name() != "uninterpreted_option" {
            push(&mut found, field.name().to_owned(), &field.kind(), value);
        }
    }
    for (extension, value) in message.extensions() {
        push(&mut found, format!("({})", extension.full_name()), &extension.kind(), value);
    }
    found
}

fn push(found: &mut Vec<(String, String)>, name: String, kind: &Kind, value: &Value) {
    match value {
        Value::List(items) => items.iter().for_each(|item| found.push((name.clone(), text(kind, item)))),
        value => found.push((name, text(kind, value))),
    }
}

fn text(kind: &Kind, value: &Value) -> String {
    match (kind, value) {
        (Kind::Enum(words), Value::EnumNumber(number)) => {
            words.get_value(*number).map_or_else(|| number.to_string(), |word| word.name().to_owned())
        }
        (_, Value::Bool(value)) => value.to_string(),
        (_, Value::I32(value)) => value.to_string(),
        (_, Value::I64(value)) => value.to_string(),
        (_, Value::U32(value)) => value.to_string(),
        (_, Value::U64(value)) => value.to_string(),
        (_, Value::EnumNumber(value)) => value.to_string(),
        (_, Value::F32(value)) => format!("{value:?}"),
        (_, Value::F64(value)) => format!("{value:?}"),
        (_, Value::String(value)) => quoted(value.as_bytes()),
        (_, Value::Bytes(value)) => quoted(value),
        (_, Value::Message(message)) => aggregate(message),
        (_, Value::List(_) | Value::Map(_)) => String::new(),
    }
}

fn aggregate(message: &DynamicMessage) -> String {
    let mut parts = Vec::new();
    for (field, value) in message.fields() {
        match value {
            Value::List(items) => {
                let items = items.iter().map(|item| text(&field.kind(), item));
                parts.extend(items.map(|item| format!("{}: {item}", field.name())));
            }
            Value::Map(entries) => {
                let mut entries: Vec<String> =
                    entries.iter().map(|(key, value)| entry(&field.kind(), key, value)).collect();
                entries.sort();
                parts.extend(entries.into_iter().map(|entry| format!("{}: {entry}", field.name())));
            }
            value => parts.push(format!("{}: {}", field.name(), text(&field.kind(), value))),
        }
    }
    for (extension, value) in message.extensions() {
        parts.push(format!("[{}]: {}", extension.full_name(), text(&extension.kind(), value)));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn entry(kind: &Kind, key: &MapKey, value: &Value) -> String {
    let key = match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => quoted(key.as_bytes()),
    };
    let kind = match kind {
        Kind::Message(entry) => entry.map_entry_value_field().kind(),
        kind => kind.clone(),
    };
    format!("{{ key: {key}, value: {} }}", text(&kind, value))
}

/// A text of the language: what is not plain ASCII is escaped byte by byte, other text as it is.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let escape = |text: &str| {
        text.chars().fold(String::new(), |mut out, character| {
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() => {
                    c.to_string().bytes().for_each(|byte| out.push_str(&format!("\\{byte:03o}")))
                }
                c => out.push(c),
            }
            out
        })
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("\"{}\"", escape(text)),
        Err(_) => {
            let text: String = bytes
                .iter()
                .map(|byte| match byte {
                    b' '..=b'~' if !matches!(byte, b'"' | b'\\') => char::from(*byte).to_string(),
                    byte => format!("\\{byte:03o}"),
                })
                .collect();
            format!("\"{text}\"")
        }
    }
}
