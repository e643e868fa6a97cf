//! The schema that a record was written with, ready to read it.

use std::sync::Arc;

use crate::avro::Resolution;
use crate::json::Defaults;
use crate::kind::SchemaKind;
use crate::known::KnownFields;
use crate::protobuf::Evolution;
use crate::schema::{ResolvedReference, Schema};
use crate::wire::{Framed, MessagePath};

/// How deep the values of a record may lie in each other.
pub(crate) const DEPTH_MAX: usize = 100;
/// How many bytes of JSON a record may become: a few bytes may stand for very many values.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;

/// How deep types may lie in each other for the latest version to be held beside what was written.
pub(crate) const TYPES_DEPTH_MAX: usize = 200;

pub(crate) fn too_long() -> String {
    format!("it unpacks to more than {TEXT_BYTES_MAX} bytes")
}

/// Takes the JSON of a record, and no more than a record may become.
pub(crate) struct BoundedText<'a> {
    out: &'a mut Vec<u8>,
    left: usize,
}

impl<'a> BoundedText<'a> {
    pub(crate) fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, left: TEXT_BYTES_MAX }
    }
}

impl std::io::Write for BoundedText<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let left = self.left.checked_sub(bytes.len());
        self.left = left.ok_or_else(|| std::io::Error::other(too_long()))?;
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The schema that a record was written with. Making one costs up to some milliseconds; keep it.
#[derive(Debug, Clone)]
pub struct WriterSchema {
    schema: Arc<Schema>,
    latest: Option<Latest>,
}

/// What the latest version of a schema says of records that were written with an older one.
#[derive(Debug, Clone)]
enum Latest {
    Avro(Arc<Resolution>),
    Json(Arc<Defaults>),
    Protobuf(Arc<Schema>, Arc<Evolution>),
}

impl WriterSchema {
    /// The schema of this text. `references` are the names and texts of what it refers to, each behind what it refers to
    /// itself.
    ///
    /// # Errors
    /// Why it is no schema.
    pub fn parse(kind: SchemaKind, text: &str, references: &[(String, String)]) -> Result<Self, String> {
        let references: Vec<ResolvedReference> = references
            .iter()
            .map(|(name, text)| ResolvedReference { name: name.clone(), text: text.clone() })
            .collect();
        Ok(Self::new(Arc::new(Schema::parse(kind, text, &references)?)))
    }

    pub(crate) fn new(schema: Arc<Schema>) -> Self {
        Self { schema, latest: None }
    }

    /// This schema, read by the latest version of its subject: Avro by its resolution rules (aliases, defaults, promotions),
    /// Protobuf by the numbers of fields and words, JSON Schema by the defaults of properties. `known` are the fields that
    /// are asked for. What the latest version lacks stays as it was written. None when it cannot read what this one has
    /// written, or has nothing to add. Costs some milliseconds.
    #[must_use]
    pub fn read_by(&self, latest: &Self, known: &KnownFields) -> Option<Self> {
        let plan = match (&*latest.schema, &*self.schema) {
            (Schema::Avro(reader), Schema::Avro(writer)) => {
                Latest::Avro(Arc::new(reader.resolution(writer, known)?))
            }
            (Schema::Json(reader), Schema::Json(_)) => Latest::Json(Arc::new(reader.defaults(known)?)),
            (Schema::Protobuf(reader), Schema::Protobuf(writer)) => {
                let evolution = Arc::new(reader.evolution(writer, known)?);
                Latest::Protobuf(Arc::clone(&latest.schema), evolution)
            }
            _ => return None,
        };
        Some(Self { schema: Arc::clone(&self.schema), latest: Some(plan) })
    }

    /// The name of what is described, where it has one: an Avro type, the first Protobuf message, a JSON `title`.
    pub fn name(&self) -> Option<String> {
        self.schema.name().map(std::borrow::Cow::into_owned)
    }

    /// The language.
    pub fn kind(&self) -> SchemaKind {
        self.schema.kind()
    }

    /// Appends the record as a JSON document. Decimals come as text with their exact digits, instants as ISO 8601, bytes
    /// as base64, alternatives of a union as their value alone. Cost: one pass over the bytes of Avro; Protobuf takes
    /// some times as long.
    ///
    /// # Errors
    /// Why it is no record of this schema; what was appended until then is worth nothing.
    pub fn write_json(&self, framed: &Framed<'_>, out: &mut Vec<u8>) -> Result<(), String> {
        match (&*self.schema, &self.latest) {
            (Schema::Avro(schema), Some(Latest::Avro(resolution))) => {
                schema.write_resolved(resolution, framed.payload, out)
            }
            (Schema::Avro(schema), _) => schema.write_json(framed.payload, out),
            (Schema::Protobuf(schema), latest) => {
                let (path, payload) = MessagePath::parse(framed.payload)?;
                let message = schema.message(&path)?;
                match latest {
                    Some(Latest::Protobuf(latest, evolution)) => match &**latest {
                        Schema::Protobuf(latest) => {
                            schema.write_evolved(message, (latest, evolution), payload, out)
                        }
                        _ => schema.write_message(message, payload, out),
                    },
                    _ => schema.write_message(message, payload, out),
                }
            }
            (Schema::Json(_), latest) => {
                let text = std::str::from_utf8(framed.payload)
                    .map_err(|error| format!("it is not UTF-8 from byte {} on", error.valid_up_to()))?;
                match latest {
                    Some(Latest::Json(defaults)) => defaults.fill(text, out),
                    _ => out.extend_from_slice(text.as_bytes()),
                }
                Ok(())
            }
        }
    }
}
