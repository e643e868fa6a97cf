//! Whether records written with one schema can be read with another, by the resolution rules of Avro.
//!
//! `apache-avro` has such a check as well; it stops at the first thing that does not fit and does not say where, compares
//! the names of records with their namespaces, and knows no defaults of enumerations. Registries tell all of it.

use std::collections::{HashMap, HashSet};

use super::{AvroSchema, Field, Kind, Named, NodeId};
use crate::difference::Difference;

impl AvroSchema {
    /// What keeps this schema from reading what `writer` has written; one difference alone when that takes more than
    /// `STEPS_MAX` steps.
    pub(crate) fn cannot_read(&self, writer: &AvroSchema) -> Vec<Difference> {
        let mut check = Check::new(self, writer);
        check.types(self.root, writer.root);
        if check.given_up() {
            return vec![Difference::given_up(STEPS_MAX)];
        }
        check.found
    }
}

/// What a comparison costs at most; a pair of types, a field, a symbol and an alias are a step each: unions of types that
/// hold each other could take for ever.
const STEPS_MAX: usize = 4_000_000;
/// Bytes of what is told that are a step: it is kept until the end.
const BYTES_PER_STEP: usize = 8;
/// Parts of a path: some two hundred records in each other.
const PATH_MAX: usize = 600;

struct Check<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    /// Pairs that were looked at already: types that hold themselves end there.
    looked_at: HashSet<(NodeId, NodeId)>,
    /// The same in their order, so that those of a trial can be taken back.
    order: Vec<(NodeId, NodeId)>,
    path: Vec<String>,
    found: Vec<Difference>,
    /// How many trials are under way, in each other.
    trials: usize,
    steps: usize,
}

/// Which types of one schema read which of another, without telling why not. All questions together cost no more than one
/// comparison may; beyond that the answer is no.
pub(super) struct Readable<'a>(Check<'a>);

impl<'a> Readable<'a> {
    pub(super) fn new(reader: &'a AvroSchema, writer: &'a AvroSchema) -> Self {
        Self(Check::new(reader, writer))
    }

    /// Whether the whole schemas do.
    pub(super) fn root(&mut self) -> bool {
        let (reader, writer) = (self.0.reader.root, self.0.writer.root);
        self.fits(reader, writer)
    }

    /// Whether a pair of types does.
    pub(super) fn fits(&mut self, reader: NodeId, writer: NodeId) -> bool {
        self.0.fits(reader, writer) && !self.0.given_up()
    }
}

impl<'a> Check<'a> {
    fn new(reader: &'a AvroSchema, writer: &'a AvroSchema) -> Self {
        Self {
            reader,
            writer,
            looked_at: HashSet::new(),
            order: Vec::new(),
            path: Vec::new(),
            found: Vec::new(),
            trials: 0,
            steps: 0,
        }
    }

    fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_add(steps);
    }

    /// Whether the comparison took too long: nothing more is compared then, and what was found is worth nothing.
    fn given_up(&self) -> bool {
        self.steps > STEPS_MAX
    }

    /// Whether what is still to be compared changes nothing.
    fn is_decided(&self) -> bool {
        self.given_up() || (self.trials > 0 && !self.found.is_empty())
    }

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
        self.spend(text.len() / BYTES_PER_STEP);
        self.found.push(Difference { kind, path, text });
    }

    /// Whether the pair fits, without telling anyone.
    fn fits(&mut self, reader: NodeId, writer: NodeId) -> bool {
        let (before, found) = (self.order.len(), std::mem::take(&mut self.found));
        self.trials += 1;
        self.types(reader, writer);
        self.trials -= 1;
        for pair in self.order.drain(before..) {
            self.looked_at.remove(&pair);
        }
        std::mem::replace(&mut self.found, found).is_empty()
    }

    fn types(&mut self, reader: NodeId, writer: NodeId) {
        self.spend(1);
        if self.is_decided() || !self.looked_at.insert((reader, writer)) {
            return;
        }
        self.order.push((reader, writer));
        if self.path.len() > PATH_MAX {
            return self.add("TYPE_MISMATCH", "the types are nested too deep to be compared");
        }
        let (mine, theirs) = (&self.reader.node(reader).kind, &self.writer.node(writer).kind);
        match (mine, theirs) {
            (Kind::Union(_), Kind::Union(branches)) => {
                for (index, branch) in branches.iter().enumerate() {
                    self.at(index.to_string(), |check| check.branch_of(reader, *branch));
                    if self.is_decided() {
                        return;
                    }
                }
            }
            (_, Kind::Union(branches)) => {
                for branch in branches {
                    self.types(reader, *branch);
                    if self.is_decided() {
                        return;
                    }
                }
            }
            (Kind::Union(_), _) => self.branch_of(reader, writer),
            (Kind::Array(mine), Kind::Array(theirs)) => self.at("items", |check| check.types(*mine, *theirs)),
            (Kind::Map(mine), Kind::Map(theirs)) => self.at("values", |check| check.types(*mine, *theirs)),
            (Kind::Record(name, fields), Kind::Record(other, others)) => {
                self.names(name, other);
                self.fields(fields, others);
            }
            (Kind::Enum(name, symbols, default), Kind::Enum(other, others, _)) => {
                self.names(name, other);
                if default.is_none() && !self.is_decided() {
                    self.symbols(symbols, others);
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
        for branch in branches {
            if self.fits(*branch, writer) || self.given_up() {
                return;
            }
        }
        let message = format!("reader union lacking writer type: {}", word(&self.writer.node(writer).kind));
        self.add("MISSING_UNION_BRANCH", message);
    }

    fn symbols(&mut self, symbols: &[String], others: &[String]) {
        self.spend(symbols.len() + others.len());
        let known: HashSet<&String> = symbols.iter().collect();
        let missing: Vec<&str> =
            others.iter().filter(|symbol| !known.contains(symbol)).map(String::as_str).collect();
        if !missing.is_empty() {
            self.at("symbols", |check| {
                check.add("MISSING_ENUM_SYMBOLS", format_args!("[{}]", missing.join(", ")));
            });
        }
    }

    fn names(&mut self, reader: &Named, writer: &Named) {
        self.spend(reader.aliases.len());
        if reader.simple() != writer.simple() && !reader.aliases.contains(&writer.full) {
            self.at("name", |check| check.add("NAME_MISMATCH", format_args!("expected: {}", writer.full)));
        }
    }

    fn fields(&mut self, fields: &[Field], others: &[Field]) {
        if self.is_decided() {
            return;
        }
        self.spend(others.len());
        let by_name: HashMap<&str, usize> =
            others.iter().enumerate().map(|(place, other)| (other.name.as_str(), place)).collect();
        for (index, field) in fields.iter().enumerate() {
            self.spend(1 + field.aliases.len());
            if self.is_decided() {
                return;
            }
            let place = |name: &String| by_name.get(name.as_str()).copied();
            // Of several fields that had one of these names, the first counts.
            let found = place(&field.name).or_else(|| field.aliases.iter().filter_map(place).min());
            self.at("fields", |check| {
                check.at(index.to_string(), |check| match found.map(|place| &others[place]) {
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
