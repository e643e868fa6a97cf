//! A schema of any language: parsed, named by its canonical text, compared with others, and read records with.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::avro::AvroSchema;
use crate::difference::Difference;
use crate::json::JsonSchema;
use crate::kind::SchemaKind;
use crate::protobuf::ProtobufSchema;

/// A schema that another one names: an Avro full name, the URI of a `$ref`, or the path of an import.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Reference {
    /// What it is called in the schema.
    pub name: String,
    /// The subject it is registered under.
    pub subject: String,
    /// Its version there; -1 for the latest.
    pub version: i32,
}

/// A reference with its text.
#[derive(Debug, Clone)]
pub(crate) struct ResolvedReference {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A parsed schema.
#[derive(Debug)]
pub(crate) enum Schema {
    Avro(AvroSchema),
    Json(JsonSchema),
    Protobuf(ProtobufSchema),
}

impl Schema {
    /// Parses a schema. References come with what they refer to before them.
    pub(crate) fn parse(
        kind: SchemaKind,
        text: &str,
        references: &[ResolvedReference],
    ) -> Result<Self, String> {
        Ok(match kind {
            SchemaKind::Avro => Self::Avro(AvroSchema::parse(text, references)?),
            SchemaKind::Json => Self::Json(JsonSchema::parse(text, references)?),
            SchemaKind::Protobuf => Self::Protobuf(ProtobufSchema::parse(text, references)?),
        })
    }

    /// The language.
    pub(crate) fn kind(&self) -> SchemaKind {
        match self {
            Self::Avro(_) => SchemaKind::Avro,
            Self::Json(_) => SchemaKind::Json,
            Self::Protobuf(_) => SchemaKind::Protobuf,
        }
    }

    /// The text that the schema is stored and known by.
    pub(crate) fn canonical(&self, normalize: bool) -> String {
        match (self, normalize) {
            (Self::Avro(schema), false) => schema.canonical(),
            (Self::Avro(schema), true) => schema.normalized(),
            (Self::Json(schema), false) => schema.canonical(),
            (Self::Json(schema), true) => schema.normalized(),
            (Self::Protobuf(schema), normalize) => schema.canonical(normalize),
        }
    }

    /// What keeps this schema from reading what `writer` has written; `lenient` is a policy of JSON Schema.
    pub(crate) fn cannot_read(&self, writer: &Schema, lenient: bool) -> Vec<Difference> {
        match (self, writer) {
            (Self::Avro(reader), Self::Avro(writer)) => reader.cannot_read(writer),
            (Self::Json(reader), Self::Json(writer)) => reader.cannot_read(writer, lenient),
            (Self::Protobuf(reader), Self::Protobuf(writer)) => reader.cannot_read(writer),
            _ => vec![Difference {
                kind: "SCHEMA_TYPE_CHANGED",
                path: String::new(),
                text: "Incompatible because of different schema type".to_owned(),
            }],
        }
    }

    /// The name of what is described, where it has one: an Avro type, the first Protobuf message, a JSON `title`.
    pub(crate) fn name(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Avro(schema) => schema.name().map(Cow::Borrowed),
            Self::Json(schema) => schema.name().map(Cow::Borrowed),
            Self::Protobuf(schema) => schema.name().map(Cow::Owned),
        }
    }
}

/// Appends a text as JSON.
pub(crate) fn push_json_text(out: &mut Vec<u8>, text: &str) {
    if text.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing a text to a vector cannot fail.
        let _ = serde_json::to_writer(out, text);
    }
}
