//! CloudEvents 1.0 in binary mode, brought into the JSON format, so that the log knows one form of them only.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use flowline_log::RecordFormat;

use super::media::{essence, is_json};
use super::{ReceiveError, Received};

const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

/// Whether the headers make the request a CloudEvent in binary mode: every required attribute is there.
pub(super) fn is_binary(ce_headers: &[(String, String)]) -> bool {
    REQUIRED.iter().all(|name| ce_headers.iter().any(|(header, _)| attribute_name(header) == *name))
}

/// The event as one JSON object: attributes as members, the body as `data`, or as `data_base64` where it is neither
/// JSON nor text.
pub(super) fn structured(
    content_type: Option<&str>,
    ce_headers: &[(String, String)],
    body: &Bytes,
) -> Result<Received, ReceiveError> {
    let attributes = attributes(ce_headers)?;
    let mut event = Vec::with_capacity(body.len() + 64 * (attributes.len() + 1));
    event.push(b'{');
    for (name, value) in &attributes {
        push_member(&mut event, name, value);
    }
    if let Some(content_type) = content_type {
        push_member(&mut event, "datacontenttype", content_type);
    }
    push_data(&mut event, content_type.map(essence).as_deref(), body);
    if event.ends_with(b",") {
        event.pop();
    }
    event.push(b'}');
    let end = u32::try_from(event.len()).map_err(|_| ReceiveError::TooLarge {
        what: "bytes",
        found: event.len() as u64,
        limit: u64::from(u32::MAX),
    })?;
    Ok(Received {
        format: RecordFormat::CloudEvent,
        schema: Bytes::new(),
        payload: event.into(),
        spans: vec![(0, end)],
        records: 1,
    })
}

fn attributes(ce_headers: &[(String, String)]) -> Result<BTreeMap<String, String>, ReceiveError> {
    let mut attributes = BTreeMap::new();
    for (header, value) in ce_headers {
        let name = attribute_name(header);
        let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if !valid || name == "data" || name == "datacontenttype" {
            return Err(ReceiveError::Malformed(format!("`ce-{name}` is no header of a CloudEvent")));
        }
        let value = header_value(value).ok_or_else(|| {
            ReceiveError::Malformed(format!("the value of `ce-{name}` is no percent-encoded UTF-8"))
        })?;
        if attributes.insert(name.clone(), value).is_some() {
            return Err(ReceiveError::Malformed(format!("`ce-{name}` was sent more than once")));
        }
    }
    Ok(attributes)
}

fn attribute_name(header: &str) -> String {
    let lower = header.trim().to_ascii_lowercase();
    lower.strip_prefix("ce-").map(str::to_owned).unwrap_or(lower)
}

/// Undoes a quoted string if there is one, then one round of percent-encoding.
fn header_value(value: &str) -> Option<String> {
    let value = value.trim();
    let unquoted = match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => unescape(inside),
        None => value.to_owned(),
    };
    percent_encoding::percent_decode_str(&unquoted).decode_utf8().ok().map(|text| text.into_owned())
}

fn unescape(quoted: &str) -> String {
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    text
}

fn push_data(event: &mut Vec<u8>, essence: Option<&str>, body: &[u8]) {
    if body.is_empty() {
        return;
    }
    let text = std::str::from_utf8(body).ok();
    match text {
        // No content type means JSON in the JSON format, and nothing in binary mode; JSON it is where it reads as such.
        Some(text) if essence.is_none_or(is_json) && crate::json::is_value(text) => {
            event.extend_from_slice(b"\"data\":");
            event.extend_from_slice(body);
        }
        Some(text) if essence.is_some_and(|essence| !is_json(essence)) => {
            push_member(event, "data", text);
            event.pop();
        }
        _ => {
            push_member(event, "data_base64", &base64::engine::general_purpose::STANDARD.encode(body));
            event.pop();
        }
    }
}

/// `"name":"value",`
fn push_member(event: &mut Vec<u8>, name: &str, value: &str) {
    for (text, end) in [(name, b':'), (value, b',')] {
        serde_json::to_writer(&mut *event, text).expect("writing a string to a vector cannot fail");
        event.push(end);
    }
}
