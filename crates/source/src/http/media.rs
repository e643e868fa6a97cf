//! Media types, and which of them are understood.

use super::{ReceiveError, cloudevents};

/// How a request body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Media {
    Json,
    Ndjson,
    Csv,
    ArrowStream,
    /// One record with the number of its schema before it.
    Registered,
    /// CloudEvents in the JSON format: one (structured) or an array of them (batched).
    CloudEvents,
    /// One CloudEvent whose attributes are headers and whose data is the body.
    CloudEventBinary,
}

const UNDERSTOOD: &str = "application/json, application/x-ndjson, text/csv, application/vnd.apache.arrow.stream, \
                          application/vnd.confluent.avro (or .protobuf, .json), \
                          application/cloudevents+json or application/cloudevents-batch+json";

impl Media {
    /// Chooses by content type, and by the `ce-*` headers where that is not a CloudEvents type itself.
    pub(super) fn of(
        content_type: Option<&str>,
        ce_headers: &[(String, String)],
    ) -> Result<Self, ReceiveError> {
        let value = content_type.unwrap_or("");
        let essence = essence(value);
        // `application/cloudevents-batch+json` begins like the structured type does; both are arrays or objects of the
        // same JSON here, so that one branch serves them.
        if essence.starts_with("application/cloudevents") {
            return match essence.as_str() {
                "application/cloudevents" | "application/cloudevents+json" => Ok(Self::CloudEvents),
                "application/cloudevents-batch" | "application/cloudevents-batch+json" => {
                    Ok(Self::CloudEvents)
                }
                _ => Err(unsupported(value)),
            };
        }
        if cloudevents::is_binary(ce_headers) {
            return Ok(Self::CloudEventBinary);
        }
        let media = match essence.as_str() {
            "application/json" | "text/json" => Self::Json,
            "application/x-ndjson"
            | "application/ndjson"
            | "application/jsonl"
            | "application/jsonlines"
            | "application/x-jsonlines"
            | "application/json-lines"
            | "application/x-json-lines"
            | "text/x-ndjson" => Self::Ndjson,
            "text/csv" | "application/csv" => Self::Csv,
            "application/vnd.apache.arrow.stream" => Self::ArrowStream,
            "application/vnd.confluent.avro"
            | "application/vnd.confluent.protobuf"
            | "application/vnd.confluent.json"
            | "application/avro"
            | "avro/binary"
            | "application/protobuf"
            | "application/x-protobuf" => Self::Registered,
            other if other.ends_with("+json") => Self::Json,
            _ => return Err(unsupported(value)),
        };
        if media == Self::Csv
            && parameter(value, "header").is_some_and(|header| header.eq_ignore_ascii_case("absent"))
        {
            let reason = "CSV needs a header line that names the columns: send it, without `header=absent`";
            return Err(ReceiveError::UnsupportedMedia(reason.to_owned()));
        }
        match parameter(value, "charset") {
            Some(charset) if !matches!(media, Self::ArrowStream | Self::Registered) && !utf8(&charset) => {
                Err(ReceiveError::UnsupportedMedia(format!(
                    "charset `{charset}` is not understood: send UTF-8"
                )))
            }
            _ => Ok(media),
        }
    }
}

fn unsupported(value: &str) -> ReceiveError {
    let found = if value.is_empty() {
        "no content-type was sent".to_owned()
    } else {
        format!("content-type `{value}` is not understood")
    };
    ReceiveError::UnsupportedMedia(format!("{found}: send {UNDERSTOOD}"))
}

fn utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"].iter().any(|name| charset.eq_ignore_ascii_case(name))
}

/// `type/subtype` in lower case, without parameters.
pub(super) fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|part| {
        let (found, value) = part.split_once('=')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// Whether data of this media type is JSON.
pub(super) fn is_json(essence: &str) -> bool {
    essence.ends_with("/json") || essence.ends_with("+json")
}
