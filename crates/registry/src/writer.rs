//! The schema that a record was written with, ready to read it.

use std::sync::Arc;

use crate::kind::SchemaKind;
use crate::schema::{ResolvedReference, Schema};
use crate::wire::{Framed, MessagePath};

/// How deep the values of a record may lie in each other.
pub(crate) const DEPTH_MAX: usize = 100;
/// How many bytes of JSON a record may become: a few bytes may stand for very many values.
pub(crate) const TEXT_BYTES_MAX: usize = 64 << 20;

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
#[derive(Debug)]
pub struct WriterSchema {
    schema: Arc<Schema>,
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
        Ok(Self { schema: Arc::new(Schema::parse(kind, text, &references)?) })
    }

    pub(crate) fn new(schema: Arc<Schema>) -> Self {
        Self { schema }
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
        match &*self.schema {
            Schema::Avro(schema) => schema.write_json(framed.payload, out),
            Schema::Protobuf(schema) => {
                let (path, payload) = MessagePath::parse(framed.payload)?;
                schema.write_json(&path, payload, out)
            }
            Schema::Json(_) => match std::str::from_utf8(framed.payload) {
                Ok(_) => {
                    out.extend_from_slice(framed.payload);
                    Ok(())
                }
                Err(error) => Err(format!("it is not UTF-8 from byte {} on", error.valid_up_to())),
            },
        }
    }
}
