//! Whether records written with one schema can be read with another, by the resolution rules of Avro.
//!
//! `apache-avro` has such a check as well; it stops at the first thing that does not fit and does not say where, compares
//! the names of records with their namespaces, and knows no defaults of enumerations. Registries tell all of it.

use std::collections::HashSet;

use super::{AvroSchema, Field, Kind, Named, NodeId};
use crate::difference::Difference;

impl AvroSchema {
    /// What keeps this schema from reading what `writer` has written.
    pub(crate) fn cannot_read(&self, writer: &AvroSchema) -> Vec<Difference> {
        let mut check = Check {
            reader: self,
            writer,
            under_way: HashSet::new(),
            path: Vec::new(),
            found: Vec::new(),
            steps: 0,
        };
        check.types(self.root, writer.root);
        check.found
    }
}

/// Pairs of types that are compared at most: unions of types that hold each other could take for ever.
const STEPS_MAX: usize = 100_000;
/// Parts of a path: some two hundred records in each other.
const PATH_MAX: usize = 600;

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Pairs that were looked at already: types that hold themselves end there.
    under_way: HashSet<(NodeId, NodeId)>,
    path: Vec<String>,
    found: Vec<Difference>,
    steps: usize,
}

impl Check<'_> {
    fn at(&mut self, part: impl Into<String>, look: impl FnOnce(&mut Self)) {
        self.path.push(part.into());
        look(self);
        self.path.pop();
    }

    fn add(&mut self, kind: &'static str, message: impl std::fmt::Display) {
        let path = format!("/{}", self.path.join("/"));
        let sentence = match kind {
            "FIXED_SIZE_MISMATCH" => {
                format!(
                    "The size of FIXED type field at path '{path}' in the %s schema does not match with the %s schema"
                )
            }
            "TYPE_MISMATCH" => {
                format!(
                    "The type (path '{path}') of a field in the %s schema does not match with the %s schema"
                )
            }
            "NAME_MISMATCH" => format!("The name of the schema has changed (path '{path}')"),
            "MISSING_ENUM_SYMBOLS" => {
                format!("The %s schema is missing enum symbols '{message}' at path '{path}' in the %s schema")
            }
            "MISSING_UNION_BRANCH" => format!(
                "The %s schema is missing a type inside a union field at path '{path}' in the %s schema"
            ),
            _ => format!(
                "The field '{message}' at path '{path}' in the %s schema has no default value and is missing in the %s schema"
            ),
        };
        let text = format!("{{errorType:'{kind}', description:'{sentence}', additionalInfo:'{message}'}}");
        self.found.push(Difference { kind, path, text });
    }

    /// Whether the pair fits, without telling anyone.
    fn fits(&mut self, reader: NodeId, writer: NodeId) -> bool {
        let (under_way, found) = (self.under_way.clone(), std::mem::take(&mut self.found));
        self.types(reader, writer);
        let fits = self.found.is_empty();
        (self.under_way, self.found) = (under_way, found);
        fits
    }

    fn types(&mut self, reader: NodeId, writer: NodeId) {
        if !self.under_way.insert((reader, writer)) {
            return;
        }
        self.steps += 1;
        if self.steps > STEPS_MAX || self.path.len() > PATH_MAX {
            return self.add("TYPE_MISMATCH", "the schemas are too entangled to be compared");
        }
        let (mine, theirs) = (&self.reader.node(reader).kind, &self.writer.node(writer).kind);
        match (mine, theirs) {
            (Kind::Union(_), Kind::Union(branches)) => {
                for (index, branch) in branches.iter().enumerate() {
                    self.at(index.to_string(), |check| check.branch_of(reader, *branch));
                }
            }
            (_, Kind::Union(branches)) => branches.iter().for_each(|branch| self.types(reader, *branch)),
            (Kind::Union(_), _) => self.branch_of(reader, writer),
            (Kind::Array(mine), Kind::Array(theirs)) => self.at("items", |check| check.types(*mine, *theirs)),
            (Kind::Map(mine), Kind::Map(theirs)) => self.at("values", |check| check.types(*mine, *theirs)),
            (Kind::Record(name, fields), Kind::Record(other, others)) => {
                self.names(name, other);
                self.fields(fields, others);
            }
            (Kind::Enum(name, symbols, has_default), Kind::Enum(other, others, _)) => {
                self.names(name, other);
                let missing: Vec<&str> =
                    others.iter().filter(|symbol| !symbols.contains(symbol)).map(String::as_str).collect();
                if !missing.is_empty() && !has_default {
                    self.at("symbols", |check| {
                        check.add("MISSING_ENUM_SYMBOLS", format_args!("[{}]", missing.join(", ")));
                    });
                }
            }
            (Kind::Fixed(name, size), Kind::Fixed(other, found)) => {
                self.names(name, other);
                if size != found {
                    self.at("size", |check| {
                        check.add("FIXED_SIZE_MISMATCH", format_args!("expected: {found}, found: {size}"));
                    });
                }
            }
            _ if promotes(theirs, mine) => {}
            _ => {
                let message =
                    format!("reader type: {} not compatible with writer type: {}", word(mine), word(theirs));
                self.add("TYPE_MISMATCH", message);
            }
        }
    }

    /// The reader has a union: one of its branches must read it.
    fn branch_of(&mut self, reader: NodeId, writer: NodeId) {
        let Kind::Union(branches) = &self.reader.node(reader).kind else { return };
        if !branches.iter().any(|branch| self.fits(*branch, writer)) {
            let message =
                format!("reader union lacking writer type: {}", word(&self.writer.node(writer).kind));
            self.add("MISSING_UNION_BRANCH", message);
        }
    }

    fn names(&mut self, reader: &Named, writer: &Named) {
        if reader.simple() != writer.simple() && !reader.aliases.contains(&writer.full) {
            self.at("name", |check| check.add("NAME_MISMATCH", format_args!("expected: {}", writer.full)));
        }
    }

    fn fields(&mut self, fields: &[Field], others: &[Field]) {
        for (index, field) in fields.iter().enumerate() {
            let found = others
                .iter()
                .find(|other| other.name == field.name)
                .or_else(|| others.iter().find(|other| field.aliases.contains(&other.name)));
            self.at("fields", |check| {
                check.at(index.to_string(), |check| match found {
                    Some(other) => check.at("type", |check| check.types(field.node, other.node)),
                    None if field.default.is_some() => {}
                    None => check.add("READER_FIELD_MISSING_DEFAULT_VALUE", &field.name),
                });
            });
        }
    }
}

fn promotes(writer: &Kind, reader: &Kind) -> bool {
    use Kind::{Boolean, Bytes, Double, Float, Int, Long, Null, String};
    matches!(
        (writer, reader),
        (Null, Null)
            | (Boolean, Boolean)
            | (Int, Int | Long | Float | Double)
            | (Long, Long | Float | Double)
            | (Float, Float | Double)
            | (Double, Double)
            | (String | Bytes, String | Bytes)
    )
}

fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Null => "NULL",
        Kind::Boolean => "BOOLEAN",
        Kind::Int => "INT",
        Kind::Long => "LONG",
        Kind::Float => "FLOAT",
        Kind::Double => "DOUBLE",
        Kind::Bytes => "BYTES",
        Kind::String => "STRING",
        Kind::Array(_) => "ARRAY",
        Kind::Map(_) => "MAP",
        Kind::Union(_) => "UNION",
        Kind::Record(..) => "RECORD",
        Kind::Enum(..) => "ENUM",
        Kind::Fixed(..) => "FIXED",
    }
}
