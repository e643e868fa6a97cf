//! Defaults of fields as they stand in records: the same JSON that a record with that value would become.

use serde_json::Value;

use super::decode::{write_bytes, write_float, write_whole};
use super::{AvroSchema, Field, Kind, NodeId};
use crate::known::{ALL, KnownFields};
use crate::schema::push_json_text;
use crate::writer::DEPTH_MAX;

/// Values that are looked at for all defaults of a schema: a default may stand for a default that stands for itself twice.
const STEPS_MAX: usize = 100_000;

/// Writes defaults, while they come to an end.
pub(super) struct Filling<'a> {
    schema: &'a AvroSchema,
    steps: usize,
}

impl<'a> Filling<'a> {
    pub(super) fn new(schema: &'a AvroSchema) -> Self {
        Self { schema, steps: 0 }
    }

    /// Appends a comma, the name of a field and its default. None when it has none that can be written.
    pub(super) fn member(&mut self, field: &Field, known: &KnownFields, out: &mut Vec<u8>) -> Option<()> {
        self.named(field, field.default.as_ref()?, known, 0, out)
    }

    fn named(
        &mut self,
        field: &Field,
        value: &Value,
        known: &KnownFields,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.push(b',');
        push_json_text(out, &field.name);
        out.push(b':');
        self.value(field.node, value, known, depth, out)
    }

    fn value(
        &mut self,
        id: NodeId,
        value: &Value,
        known: &KnownFields,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX || depth > DEPTH_MAX {
            return None;
        }
        let node = self.schema.node(id);
        match (&node.kind, value) {
            (Kind::Null, Value::Null) => out.extend_from_slice(b"null"),
            (Kind::Boolean, Value::Bool(value)) => {
                out.extend_from_slice(if *value { b"true" } else { b"false" });
            }
            (Kind::Int, value) => {
                let value = i32::try_from(value.as_i64()?).ok()?;
                write_whole(value.into(), node.logical, out).ok()?;
            }
            (Kind::Long, value) => write_whole(value.as_i64()?, node.logical, out).ok()?,
            (Kind::Float, value) => write_float(value.as_f64()?, true, out),
            (Kind::Double, value) => write_float(value.as_f64()?, false, out),
            (Kind::Bytes, Value::String(text)) => write_bytes(&bytes(text)?, node.logical, out).ok()?,
            (Kind::Fixed(_, size), Value::String(text)) => {
                let bytes = bytes(text).filter(|bytes| bytes.len() == *size)?;
                write_bytes(&bytes, node.logical, out).ok()?;
            }
            (Kind::String, Value::String(text)) => push_json_text(out, text),
            (Kind::Enum(_, symbols, _), Value::String(text)) if symbols.contains(text) => {
                push_json_text(out, text);
            }
            (Kind::Union(branches), value) => return self.union(branches, value, known, depth, out),
            (Kind::Array(items), Value::Array(values)) => {
                out.push(b'[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.value(*items, value, known, depth + 1, out)?;
                }
                out.push(b']');
            }
            (Kind::Map(values), Value::Object(object)) => {
                out.push(b'{');
                for (index, (key, value)) in object.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_json_text(out, key);
                    out.push(b':');
                    self.value(*values, value, &ALL, depth + 1, out)?;
                }
                out.push(b'}');
            }
            (Kind::Record(_, fields), Value::Object(object)) => {
                let start = out.len();
                for field in fields.iter().filter(|field| known.has(&field.name)) {
                    let value = object.get(&field.name).or(field.default.as_ref())?;
                    self.named(field, value, known.inside(&field.name), depth + 1, out)?;
                }
                match out.get_mut(start) {
                    Some(comma) => *comma = b'{',
                    None => out.push(b'{'),
                }
                out.push(b'}');
            }
            _ => return None,
        }
        Some(())
    }

    /// The first branch that has such a value.
    fn union(
        &mut self,
        branches: &[NodeId],
        value: &Value,
        known: &KnownFields,
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Option<()> {
        let start = out.len();
        for branch in branches {
            out.truncate(start);
            if self.value(*branch, value, known, depth + 1, out).is_some() {
                return Some(());
            }
        }
        None
    }
}

/// Bytes stand in schemas as text, a character a byte.
fn bytes(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
