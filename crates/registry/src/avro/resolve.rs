//! Records of one schema as another one reads them, by the resolution rules of Avro.
//!
//! Owns: the plan that is made once of a pair of schemas, and reading records by it. Does not own: whether the pair can be
//! read at all (`compatible`). The rules are those of the specification, with two things more, because it is a contract that
//! decides in the end: what only the writer has is kept under its name, and of what only the reader has, defaults are
//! filled in where someone asks for them.

use std::collections::{HashMap, HashSet};

use super::compatible::Readable;
use super::decode::{Decoder, write_bytes, write_float, write_whole};
use super::defaults::Filling;
use super::{AvroSchema, Field, Kind, Logical, Named, NodeId};
use crate::known::{ALL, KnownFields};
use crate::plan::{Begun, StepId, Steps};
use crate::schema::push_json_text;

/// Steps of a plan: pairs of types, times the places of the contract that they stand at.
const STEPS_MAX: usize = 100_000;

/// How records of one schema are read by another.
#[derive(Debug)]
pub(crate) struct Resolution {
    steps: Vec<Step>,
    root: StepId,
}

#[derive(Debug)]
enum Step {
    /// As the writer says.
    Written(NodeId),
    /// A whole number of 32 or 64 bits, and what it stands for.
    Whole(bool, Logical),
    /// A number that becomes one with a fraction, of 32 bits or 64.
    Real(Numeric, bool),
    Bytes(Logical),
    Fixed(usize, Logical),
    /// Bytes that the reader takes for text.
    Text,
    /// The word for each of the writer's symbols.
    Enum(Vec<Option<String>>),
    Array(StepId),
    Map(StepId),
    /// The writer's branches.
    Union(Vec<StepId>),
    Record(Vec<Part>, Vec<u8>),
}

/// A field in the order of the bytes.
#[derive(Debug)]
struct Part {
    name: String,
    step: StepId,
}

#[derive(Debug, Clone, Copy)]
enum Numeric {
    Int,
    Long,
    Float,
    Double,
}

impl AvroSchema {
    /// How this schema reads what `writer` has written; none when it cannot, or when finding out takes too long.
    pub(crate) fn resolution(&self, writer: &AvroSchema, known: &KnownFields) -> Option<Resolution> {
        let mut readable = Readable::new(self, writer);
        if !readable.root() {
            return None;
        }
        let (filling, steps) = (Filling::new(self), Steps::new(STEPS_MAX));
        let mut planner = Planner { reader: self, writer, readable, filling, steps };
        let root = planner.plan(self.root, writer.root, known)?;
        Some(Resolution { steps: planner.steps.finish()?, root })
    }

    /// Appends the record in these bytes, written with this schema, as JSON of the reader's.
    pub(crate) fn write_resolved(
        &self,
        resolution: &Resolution,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut decoder = Decoder::new(self, bytes, out);
        decoder.step(resolution, resolution.root, out)?;
        decoder.end()
    }
}

struct Planner<'a> {
    reader: &'a AvroSchema,
    writer: &'a AvroSchema,
    readable: Readable<'a>,
    filling: Filling<'a>,
    /// Of pairs of types, by the place of the contract that they stand at.
    steps: Steps<(NodeId, NodeId, *const KnownFields), Step>,
}

impl<'a> Planner<'a> {
    fn plan(&mut self, reader: NodeId, writer: NodeId, known: &KnownFields) -> Option<StepId> {
        match self.steps.begin((reader, writer, std::ptr::from_ref(known)))? {
            Begun::Made(id) => Some(id),
            Begun::New(id) => {
                let step = self.step(reader, writer, known)?;
                Some(self.steps.end(id, step))
            }
        }
    }

    fn step(&mut self, reader: NodeId, writer: NodeId, known: &KnownFields) -> Option<Step> {
        let (mine, theirs) = (self.reader.node(reader), self.writer.node(writer));
        // What the writer says of its numbers is so; what it does not say, the reader may know.
        let logical = if theirs.logical == Logical::None { mine.logical } else { theirs.logical };
        Some(match (&mine.kind, &theirs.kind) {
            (_, Kind::Union(branches)) => {
                let plans = branches.iter().map(|branch| self.plan(reader, *branch, known));
                Step::Union(plans.collect::<Option<Vec<_>>>()?)
            }
            (Kind::Union(branches), _) => {
                let branch = self.branch(branches, writer)?;
                return self.step(branch, writer, known);
            }
            (Kind::Record(_, fields), Kind::Record(_, others)) => self.record(fields, others, known)?,
            (Kind::Array(items), Kind::Array(others)) => Step::Array(self.plan(*items, *others, known)?),
            (Kind::Map(values), Kind::Map(others)) => Step::Map(self.plan(*values, *others, &ALL)?),
            (Kind::Enum(_, symbols, default), Kind::Enum(_, others, _)) => {
                let symbols: HashSet<&String> = symbols.iter().collect();
                let of = |symbol: &String| symbols.contains(symbol).then(|| symbol.clone());
                Step::Enum(others.iter().map(|symbol| of(symbol).or_else(|| default.clone())).collect())
            }
            (Kind::Fixed(..), Kind::Fixed(_, size)) => Step::Fixed(*size, logical),
            (Kind::Bytes, Kind::Bytes) => Step::Bytes(logical),
            (Kind::Bytes, Kind::String) if theirs.logical == Logical::None => Step::Bytes(mine.logical),
            (Kind::String, Kind::Bytes) if logical == Logical::None => Step::Text,
            // An instant is none any more as a number with a fraction.
            (Kind::Float | Kind::Double, other) if theirs.logical == Logical::None => {
                Step::Real(numeric(other)?, matches!(mine.kind, Kind::Float))
            }
            (Kind::Int | Kind::Long, Kind::Int) => Step::Whole(false, logical),
            (Kind::Long, Kind::Long) => Step::Whole(true, logical),
            _ => Step::Written(writer),
        })
    }

    /// The branch that reads a type that is no union: one of the same name or kind before one that it is promoted to.
    fn branch(&mut self, branches: &[NodeId], writer: NodeId) -> Option<NodeId> {
        let mut found: Option<(u8, NodeId)> = None;
        for branch in branches {
            let rank = rank(&self.reader.node(*branch).kind, &self.writer.node(writer).kind);
            let better = found.is_none_or(|(known, _)| rank < known);
            if better && self.readable.fits(*branch, writer) {
                found = Some((rank, *branch));
            }
        }
        found.map(|(_, branch)| branch)
    }

    fn record(&mut self, fields: &'a [Field], others: &[Field], known: &KnownFields) -> Option<Step> {
        let by_name: HashMap<&str, usize> =
            others.iter().enumerate().map(|(place, other)| (other.name.as_str(), place)).collect();
        let names: HashSet<&str> = fields.iter().map(|field| field.name.as_str()).collect();
        let mut matched: HashMap<usize, &Field> = HashMap::new();
        let mut defaults = Vec::new();
        for field in fields {
            let place = |name: &String| by_name.get(name.as_str()).copied();
            let found = place(&field.name).or_else(|| field.aliases.iter().filter_map(place).min());
            match found.filter(|place| !matched.contains_key(place)) {
                Some(place) => {
                    matched.insert(place, field);
                }
                None if known.has(&field.name) => {
                    let inside = known.inside(&field.name);
                    self.filling.member(field, inside, &mut defaults)?;
                }
                None if field.default.is_some() => {}
                None => return None,
            }
        }
        let mut parts = Vec::with_capacity(others.len());
        for (place, other) in others.iter().enumerate() {
            let (name, step) = match matched.get(&place) {
                Some(field) => {
                    let older = !names.contains(other.name.as_str());
                    let name =
                        if older { known.choose(&field.name, &other.name) } else { field.name.as_str() };
                    (name, self.plan(field.node, other.node, known.inside(name))?)
                }
                None => (other.name.as_str(), self.steps.add(Step::Written(other.node))),
            };
            parts.push(Part { name: name.to_owned(), step });
        }
        Some(Step::Record(parts, defaults))
    }
}

fn numeric(kind: &Kind) -> Option<Numeric> {
    match kind {
        Kind::Int => Some(Numeric::Int),
        Kind::Long => Some(Numeric::Long),
        Kind::Float => Some(Numeric::Float),
        Kind::Double => Some(Numeric::Double),
        _ => None,
    }
}

/// How near two types are: the same, of one kind, or one that the other is promoted to.
fn rank(reader: &Kind, writer: &Kind) -> u8 {
    fn name(kind: &Kind) -> Option<&Named> {
        match kind {
            Kind::Record(name, _) | Kind::Enum(name, ..) | Kind::Fixed(name, _) => Some(name),
            _ => None,
        }
    }
    let same = std::mem::discriminant(reader) == std::mem::discriminant(writer);
    match (same, name(reader), name(writer)) {
        (true, Some(mine), Some(theirs)) if mine.full != theirs.full => 1,
        (true, ..) => 0,
        _ => 2,
    }
}

impl Decoder<'_> {
    fn step(&mut self, plan: &Resolution, id: StepId, out: &mut Vec<u8>) -> Result<(), String> {
        self.within_limit(out)?;
        match &plan.steps[id] {
            Step::Written(node) => return self.value(*node, out),
            Step::Whole(long, logical) => {
                let value = if *long { self.long()? } else { self.int()?.into() };
                write_whole(value, *logical, out)?;
            }
            Step::Real(numeric, single) => {
                let value = match numeric {
                    Numeric::Int => self.int()?.into(),
                    // Rounded once.
                    Numeric::Long if *single => (self.long()? as f32).into(),
                    Numeric::Long => self.long()? as f64,
                    Numeric::Float => f32::from_le_bytes(self.array()?).into(),
                    Numeric::Double => f64::from_le_bytes(self.array()?),
                };
                // A float is the nearest one to the number itself.
                write_float(value, *single || matches!(numeric, Numeric::Float), out);
            }
            Step::Bytes(logical) => write_bytes(self.sized()?, *logical, out)?,
            Step::Fixed(size, logical) => write_bytes(self.take(*size)?, *logical, out)?,
            Step::Text => push_json_text(out, self.text()?),
            Step::Enum(words) => {
                let index = self.long()?;
                let word = usize::try_from(index).ok().and_then(|index| words.get(index));
                let word = word.ok_or_else(|| format!("an enum has no symbol {index}"))?.as_ref();
                push_json_text(out, word.ok_or("a symbol is unknown in the latest version")?);
            }
            nested => self.deeper(|decoder| decoder.nested_step(plan, nested, out))?,
        }
        Ok(())
    }

    fn nested_step(&mut self, plan: &Resolution, step: &Step, out: &mut Vec<u8>) -> Result<(), String> {
        match step {
            Step::Array(items) => {
                out.push(b'[');
                self.blocks(out, |decoder, out| decoder.step(plan, *items, out))?;
                out.push(b']');
            }
            Step::Map(values) => {
                out.push(b'{');
                self.blocks(out, |decoder, out| {
                    push_json_text(out, decoder.text()?);
                    out.push(b':');
                    decoder.step(plan, *values, out)
                })?;
                out.push(b'}');
            }
            Step::Union(branches) => {
                let index = self.long()?;
                let branch = usize::try_from(index).ok().and_then(|index| branches.get(index));
                return self.step(
                    plan,
                    *branch.ok_or_else(|| format!("a union has no branch {index}"))?,
                    out,
                );
            }
            Step::Record(parts, defaults) => {
                out.push(b'{');
                for (index, part) in parts.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_json_text(out, &part.name);
                    out.push(b':');
                    let read = self.step(plan, part.step, out);
                    read.map_err(|reason| format!("in `{}`: {reason}", part.name))?;
                }
                // Each default has a comma before it.
                out.extend_from_slice(if parts.is_empty() {
                    defaults.get(1..).unwrap_or(&[])
                } else {
                    defaults
                });
                out.push(b'}');
            }
            _ => {}
        }
        Ok(())
    }
}
