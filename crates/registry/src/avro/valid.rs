//! What a valid Avro schema is, beyond its form: names, unions, symbols and defaults.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{Field, Kind, Node, NodeId};
use crate::writer::DEPTH_MAX;

/// Whether a name is one of the types that everyone has.
pub(super) fn is_primitive(name: &str) -> bool {
    matches!(name, "null" | "boolean" | "int" | "long" | "float" | "double" | "bytes" | "string")
}

/// Refuses what is no name: letters, digits and `_`, and no digit first.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let mut characters = name.chars();
    let first = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if first && characters.all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Ok(());
    }
    Err(format!("`{name}` is not a name: letters, digits and `_`, beginning with no digit"))
}

/// Refuses words of an enum that are none, that stand twice, or a default that is not among them.
pub(super) fn check_symbols(name: &str, symbols: &[String], json: &Value) -> Result<(), String> {
    let written = json.get("symbols").and_then(Value::as_array).map_or(0, Vec::len);
    if written != symbols.len() || !json.get("symbols").is_some_and(Value::is_array) {
        return Err(format!("the symbols of the enum `{name}` are not a list of texts"));
    }
    let mut seen = HashSet::new();
    for symbol in symbols {
        check_name(symbol)?;
        if !seen.insert(symbol) {
            return Err(format!("the enum `{name}` has the symbol `{symbol}` twice"));
        }
    }
    match json.get("default") {
        None => Ok(()),
        Some(default) if symbols.iter().any(|symbol| default == symbol) => Ok(()),
        Some(default) => Err(format!("the default {default} is no symbol of the enum `{name}`")),
    }
}

/// Refuses a union in a union, and branches that could not be told apart.
pub(super) fn check_union(nodes: &[Option<Node>], branches: &[NodeId]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for branch in branches {
        // A type that is not done yet is the record around this union.
        let kind = match nodes.get(*branch).and_then(Option::as_ref).map(|node| &node.kind) {
            None => format!("#{branch}"),
            Some(Kind::Union(_)) => return Err("a union stands in a union".to_owned()),
            Some(Kind::Record(name, _) | Kind::Enum(name, ..) | Kind::Fixed(name, _)) => name.full.clone(),
            Some(kind) => format!("{:?}", std::mem::discriminant(kind)),
        };
        if !seen.insert(kind) {
            return Err("a union has two branches of one type".to_owned());
        }
    }
    Ok(())
}

/// How often a value is held against a type at most, in all defaults of a schema: in a union every branch is tried, and
/// each may go down into the same value.
const STEPS_MAX: usize = 1_000_000;

/// Refuses defaults that are not of the type of their field, and those of which that cannot be found out in
/// `STEPS_MAX` steps.
pub(super) fn check(nodes: &[Node]) -> Result<(), String> {
    let mut defaults = Defaults { nodes, steps: 0 };
    for node in nodes {
        let Kind::Record(name, fields) = &node.kind else { continue };
        for field in fields {
            let Some(default) = &field.default else { continue };
            let reason = match defaults.fits(field.node, default, 0) {
                Ok(true) => continue,
                Ok(false) => format!("{default} is not of its type"),
                Err(reason) => reason,
            };
            return Err(format!(
                "Invalid default for field {}: {reason}, in the record `{}`",
                field.name, name.full
            ));
        }
    }
    Ok(())
}

/// Holds the defaults of one schema against their types.
struct Defaults<'a> {
    nodes: &'a [Node],
    steps: usize,
}

impl<'a> Defaults<'a> {
    fn step(&mut self) -> Result<(), String> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(format!(
                "checking the defaults takes more than {STEPS_MAX} steps, shorten them or their unions"
            ));
        }
        Ok(())
    }

    /// Whether a value in JSON is one of this type; `depth` values lie around it.
    fn fits(&mut self, id: NodeId, value: &Value, depth: usize) -> Result<bool, String> {
        self.step()?;
        if depth > DEPTH_MAX {
            return Err(format!("it is nested deeper than {DEPTH_MAX} levels, flatten it"));
        }
        let nodes = self.nodes;
        Ok(match (&nodes[id].kind, value) {
            (Kind::Null, value) => value.is_null(),
            (Kind::Boolean, value) => value.is_boolean(),
            (Kind::Int, value) => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
            (Kind::Long, value) => value.is_i64(),
            (Kind::Float | Kind::Double, value) => value.is_number(),
            (Kind::Bytes | Kind::String | Kind::Fixed(..) | Kind::Enum(..), value) => value.is_string(),
            (Kind::Array(items), Value::Array(all)) => self.all_fit(*items, all.iter(), depth)?,
            (Kind::Map(values), Value::Object(all)) => self.all_fit(*values, all.values(), depth)?,
            (Kind::Union(branches), value) => {
                for branch in branches {
                    if self.fits(*branch, value, depth)? {
                        return Ok(true);
                    }
                }
                false
            }
            (Kind::Record(_, fields), Value::Object(object)) => self.record_fits(fields, object, depth)?,
            (Kind::Array(_) | Kind::Map(_) | Kind::Record(..), _) => false,
        })
    }

    fn all_fit<'v>(
        &mut self,
        id: NodeId,
        values: impl Iterator<Item = &'v Value>,
        depth: usize,
    ) -> Result<bool, String> {
        for value in values {
            if !self.fits(id, value, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record_fits(
        &mut self,
        fields: &'a [Field],
        object: &Map<String, Value>,
        depth: usize,
    ) -> Result<bool, String> {
        for field in fields {
            self.step()?;
            let fits = match object.get(&field.name) {
                Some(value) => self.fits(field.node, value, depth + 1)?,
                None => field.default.is_some(),
            };
            if !fits {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
