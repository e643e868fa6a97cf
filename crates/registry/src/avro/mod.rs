//! Avro.
//!
//! Owns: what a valid schema is, and what it says, with its names resolved, for whoever compares schemas or reads records.
//! (`apache-avro` was looked at and left aside. Its canonical form leaves out what registries keep; its check of
//! compatibility stops at the first difference without a place; its reader makes a value of each record before anything
//! can be said of its size. What would be left for it is the check of names and defaults, for some twenty crates.)

mod canonical;
mod compatible;
mod decode;
mod defaults;
mod resolve;
mod valid;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::schema::ResolvedReference;

pub(crate) use resolve::Resolution;

/// A node of a schema, by its number.
pub(crate) type NodeId = usize;

/// A schema with everything that it refers to.
#[derive(Debug)]
pub(crate) struct AvroSchema {
    nodes: Vec<Node>,
    root: NodeId,
    json: Value,
}

/// A type, and what its values mean beyond their encoding.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) logical: Logical,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(NodeId),
    Map(NodeId),
    Union(Vec<NodeId>),
    Record(Named, Vec<Field>),
    /// With its symbols, and the one that stands for those that are unknown.
    Enum(Named, Vec<String>, Option<String>),
    Fixed(Named, usize),
}

/// The name of a type.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    /// With its namespace.
    pub(crate) full: String,
    /// Other names that it had, with their namespaces.
    pub(crate) aliases: Vec<String>,
}

impl Named {
    pub(crate) fn simple(&self) -> &str {
        self.full.rsplit('.').next().unwrap_or(&self.full)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) node: NodeId,
    pub(crate) default: Option<Value>,
}

/// What the bytes of a value stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logical {
    None,
    Decimal {
        scale: u32,
    },
    Uuid,
    Date,
    TimeMillis,
    TimeMicros,
    /// Units a second, and whether it is in UTC.
    Timestamp {
        per_second: i64,
        zoned: bool,
    },
    Duration,
}

impl AvroSchema {
    /// Parses a schema; `references` are what it names and does not define.
    pub(crate) fn parse(text: &str, references: &[ResolvedReference]) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        let mut compiler = Compiler::default();
        for reference in references {
            let json: Value = serde_json::from_str(&reference.text)
                .map_err(|error| format!("the reference `{}` is not JSON: {error}", reference.name))?;
            compiler.compile(&json, "")?;
        }
        let known: Vec<String> = compiler.names.keys().cloned().collect();
        let root = compiler.compile(&json, "")?;
        let nodes: Option<Vec<Node>> = compiler.nodes.into_iter().collect();
        let nodes = nodes.ok_or("a type is used that is not defined")?;
        valid::check(&nodes)?;
        Ok(Self { nodes, root, json: canonical::canonical(&json, &known) })
    }

    /// The text that the schema is known by.
    pub(crate) fn canonical(&self) -> String {
        self.json.to_string()
    }

    /// The same, whatever order its properties were written in.
    pub(crate) fn normalized(&self) -> String {
        canonical::sorted(&self.json).to_string()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// The full name of the type at the top, where it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        match &self.node(self.root).kind {
            Kind::Record(name, _) | Kind::Enum(name, ..) | Kind::Fixed(name, _) => Some(&name.full),
            _ => None,
        }
    }
}

/// Follows names while a schema is read. A named type has its number before its fields are read, because they may name
/// it.
#[derive(Default)]
struct Compiler {
    nodes: Vec<Option<Node>>,
    names: HashMap<String, NodeId>,
}

impl Compiler {
    fn add(&mut self, kind: Kind, logical: Logical) -> NodeId {
        self.nodes.push(Some(Node { kind, logical }));
        self.nodes.len() - 1
    }

    fn define(&mut self, full: String, id: NodeId) -> Result<(), String> {
        match self.names.insert(full.clone(), id) {
            None => Ok(()),
            Some(_) => Err(format!("the type `{full}` is defined twice")),
        }
    }

    fn compile(&mut self, json: &Value, space: &str) -> Result<NodeId, String> {
        match json {
            Value::String(name) => self.named(name, space, Logical::None),
            Value::Array(branches) => {
                let branches: Result<Vec<NodeId>, String> =
                    branches.iter().map(|branch| self.compile(branch, space)).collect();
                let branches = branches?;
                valid::check_union(&self.nodes, &branches)?;
                Ok(self.add(Kind::Union(branches), Logical::None))
            }
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.object(kind, json, space),
                Some(inner) => self.compile(inner, space),
                None => Err("a type has no `type`".to_owned()),
            },
            other => Err(format!("`{other}` is not a type")),
        }
    }

    fn object(&mut self, kind: &str, json: &Value, space: &str) -> Result<NodeId, String> {
        let child = |key: &str| json.get(key).ok_or_else(|| format!("a type `{kind}` has no `{key}`"));
        match kind {
            "record" | "error" => self.record(json, space),
            "enum" => {
                let name = named_of(json, space)?;
                let symbols = texts(child("symbols")?);
                valid::check_symbols(&name.full, &symbols, json)?;
                let default = json.get("default").and_then(Value::as_str).map(str::to_owned);
                let id = self.add(Kind::Enum(name.clone(), symbols, default), Logical::None);
                self.define(name.full, id)?;
                Ok(id)
            }
            "fixed" => {
                let name = named_of(json, space)?;
                let size = child("size")?.as_u64().and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| format!("the size of `{}` is not a number", name.full))?;
                let id = self.add(Kind::Fixed(name.clone(), size), logical_of(json, kind));
                self.define(name.full, id)?;
                Ok(id)
            }
            "array" => {
                let items = self.compile(child("items")?, space)?;
                Ok(self.add(Kind::Array(items), Logical::None))
            }
            "map" => {
                let values = self.compile(child("values")?, space)?;
                Ok(self.add(Kind::Map(values), Logical::None))
            }
            name => self.named(name, space, logical_of(json, name)),
        }
    }

    fn record(&mut self, json: &Value, space: &str) -> Result<NodeId, String> {
        let name = named_of(json, space)?;
        self.nodes.push(None);
        let id = self.nodes.len() - 1;
        self.define(name.full.clone(), id)?;
        let inside = name.full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let fields = json.get("fields").and_then(Value::as_array);
        let (mut compiled, mut known) = (Vec::new(), HashSet::new());
        for field in fields.ok_or_else(|| format!("the record `{}` has no `fields`", name.full))? {
            let text = |key: &str| field.get(key).and_then(Value::as_str);
            let field_name = text("name").ok_or("a field has no `name`")?.to_owned();
            let kind = field.get("type").ok_or_else(|| format!("the field `{field_name}` has no `type`"))?;
            valid::check_name(&field_name)?;
            if !known.insert(field_name.clone()) {
                return Err(format!("the record `{}` has two fields `{field_name}`", name.full));
            }
            compiled.push(Field {
                node: self.compile(kind, &inside)?,
                aliases: field.get("aliases").map(texts).unwrap_or_default(),
                default: field.get("default").cloned(),
                name: field_name,
            });
        }
        self.nodes[id] = Some(Node { kind: Kind::Record(name, compiled), logical: Logical::None });
        Ok(id)
    }

    /// A primitive type, or one that was named before.
    fn named(&mut self, name: &str, space: &str, logical: Logical) -> Result<NodeId, String> {
        let kind = match name {
            "null" => Kind::Null,
            "boolean" => Kind::Boolean,
            "int" => Kind::Int,
            "long" => Kind::Long,
            "float" => Kind::Float,
            "double" => Kind::Double,
            "bytes" => Kind::Bytes,
            "string" => Kind::String,
            _ => {
                let full = full_name(name, space);
                let found = self.names.get(&full).or_else(|| self.names.get(name));
                return found.copied().ok_or_else(|| format!("the type `{full}` is not defined"));
            }
        };
        Ok(self.add(kind, logical))
    }
}

fn named_of(json: &Value, space: &str) -> Result<Named, String> {
    let text = |key: &str| json.get(key).and_then(Value::as_str);
    let name = text("name").ok_or("a type has no `name`")?;
    let full = full_name(name, text("namespace").unwrap_or(space));
    for part in full.split('.') {
        valid::check_name(part)?;
    }
    if valid::is_primitive(&full) {
        return Err(format!("a type cannot be called `{full}`"));
    }
    let inside = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
    let aliases = json.get("aliases").map(texts).unwrap_or_default();
    let aliases = aliases.iter().map(|alias| full_name(alias, &inside)).collect();
    Ok(Named { full, aliases })
}

fn full_name(name: &str, space: &str) -> String {
    match name.rsplit_once('.') {
        Some(("", name)) => name.to_owned(),
        Some(_) => name.to_owned(),
        None if space.is_empty() => name.to_owned(),
        None => format!("{space}.{name}"),
    }
}

fn texts(json: &Value) -> Vec<String> {
    let items = json.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A logical type that its underlying type cannot have is none, as the specification says.
fn logical_of(json: &Value, kind: &str) -> Logical {
    let timestamp = |per_second, zoned| Logical::Timestamp { per_second, zoned };
    let name = json.get("logicalType").and_then(Value::as_str).unwrap_or("");
    match (name, kind) {
        ("decimal", "bytes" | "fixed") => {
            let number =
                |key: &str| json.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
            let (precision, scale) = (number("precision").unwrap_or(0), number("scale").unwrap_or(0));
            if precision == 0 || scale > precision { Logical::None } else { Logical::Decimal { scale } }
        }
        ("uuid", "string" | "fixed") => Logical::Uuid,
        ("date", "int") => Logical::Date,
        ("time-millis", "int") => Logical::TimeMillis,
        ("time-micros", "long") => Logical::TimeMicros,
        ("timestamp-millis", "long") => timestamp(1_000, true),
        ("timestamp-micros", "long") => timestamp(1_000_000, true),
        ("timestamp-nanos", "long") => timestamp(1_000_000_000, true),
        ("local-timestamp-millis", "long") => timestamp(1_000, false),
        ("local-timestamp-micros", "long") => timestamp(1_000_000, false),
        ("local-timestamp-nanos", "long") => timestamp(1_000_000_000, false),
        ("duration", "fixed") => Logical::Duration,
        _ => Logical::None,
    }
}
