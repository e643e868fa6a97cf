//! What a valid Avro schema is, beyond its form: names, unions, symbols and defaults.

use std::collections::HashSet;

use serde_json::Value;

use super::{Kind, Node, NodeId};

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

/// Refuses defaults that are not of the type of their field.
pub(super) fn check(nodes: &[Node]) -> Result<(), String> {
    for node in nodes {
        let Kind::Record(name, fields) = &node.kind else { continue };
        for field in fields {
            if let Some(default) = &field.default
                && !fits(nodes, field.node, default)
            {
                return Err(format!(
                    "Invalid default for field {}: {default} is not of its type, in the record `{}`",
                    field.name, name.full
                ));
            }
        }
    }
    Ok(())
}

/// Whether a value in JSON is one of this type. It ends, because with each step the value is a smaller one, or the type is
/// a branch of a union, in which no union stands.
fn fits(nodes: &[Node], id: NodeId, value: &Value) -> bool {
    match &nodes[id].kind {
        Kind::Null => value.is_null(),
        Kind::Boolean => value.is_boolean(),
        Kind::Int => value.as_i64().is_some_and(|value| i32::try_from(value).is_ok()),
        Kind::Long => value.is_i64(),
        Kind::Float | Kind::Double => value.is_number(),
        Kind::Bytes | Kind::String | Kind::Fixed(..) | Kind::Enum(..) => value.is_string(),
        Kind::Array(items) => {
            value.as_array().is_some_and(|all| all.iter().all(|one| fits(nodes, *items, one)))
        }
        Kind::Map(values) => {
            value.as_object().is_some_and(|all| all.values().all(|one| fits(nodes, *values, one)))
        }
        Kind::Union(branches) => branches.iter().any(|branch| fits(nodes, *branch, value)),
        Kind::Record(_, fields) => value.as_object().is_some_and(|object| {
            fields.iter().all(|field| match object.get(&field.name) {
                Some(value) => fits(nodes, field.node, value),
                None => field.default.is_some(),
            })
        }),
    }
}
