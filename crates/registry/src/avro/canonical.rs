//! The text that an Avro schema is known by: whatever says nothing is left out, and attributes stand in one order.
//! Documentation, defaults and aliases stay, as registries keep them.

use std::collections::HashSet;

use serde_json::{Map, Value};

/// What the specification's own library takes for itself on every type, and leaves out where it says nothing.
const RESERVED: [&str; 10] =
    ["type", "name", "namespace", "doc", "aliases", "fields", "symbols", "size", "items", "values"];
const RESERVED_IN_FIELDS: [&str; 6] = ["name", "type", "doc", "default", "order", "aliases"];
const PRIMITIVES: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The canonical form; `known` are the full names of types that references define.
pub(super) fn canonical(json: &Value, known: &[String]) -> Value {
    Writer { seen: known.iter().cloned().collect() }.write(json, "")
}

/// The same with the members of every object in the order of their names.
pub(super) fn sorted(json: &Value) -> Value {
    match json {
        Value::Object(object) => {
            let mut members: Vec<(&String, &Value)> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => items.iter().map(sorted).collect::<Vec<_>>().into(),
        other => other.clone(),
    }
}

struct Writer {
    seen: HashSet<String>,
}

impl Writer {
    fn write(&mut self, json: &Value, space: &str) -> Value {
        match json {
            Value::String(name) => self.name(name, space),
            Value::Array(branches) => branches.iter().map(|branch| self.write(branch, space)).collect(),
            Value::Object(object) => match object.get("type") {
                Some(Value::String(kind)) => self.object(kind, object, space),
                Some(inner) => self.write(inner, space),
                None => json.clone(),
            },
            other => other.clone(),
        }
    }

    /// A name as short as it can be said here.
    fn name(&self, name: &str, space: &str) -> Value {
        if PRIMITIVES.contains(&name) {
            return name.into();
        }
        let full = super::full_name(name, space);
        let full = if self.seen.contains(&full) { full } else { name.to_owned() };
        match full.rsplit_once('.') {
            Some((inside, simple)) if inside == space => simple.into(),
            _ => full.into(),
        }
    }

    fn object(&mut self, kind: &str, object: &Map<String, Value>, space: &str) -> Value {
        let mut out = Map::new();
        out.insert("type".to_owned(), kind.into());
        match kind {
            "record" | "error" | "enum" | "fixed" => return self.named(kind, object, space),
            "array" | "map" => {
                let key = if kind == "array" { "items" } else { "values" };
                if let Some(inner) = object.get(key) {
                    out.insert(key.to_owned(), self.write(inner, space));
                }
                properties(&mut out, object, &RESERVED);
            }
            _ => {
                properties(&mut out, object, &RESERVED);
                if out.len() == 1 {
                    return self.name(kind, space);
                }
            }
        }
        out.into()
    }

    fn named(&mut self, kind: &str, object: &Map<String, Value>, space: &str) -> Value {
        let Ok(name) = super::named_of(&Value::Object(object.clone()), space) else {
            return Value::Object(object.clone());
        };
        let inside = name.full.rsplit_once('.').map_or("", |(inside, _)| inside).to_owned();
        self.seen.insert(name.full.clone());
        let mut out = Map::new();
        out.insert("type".to_owned(), kind.into());
        out.insert("name".to_owned(), name.simple().into());
        if inside != space {
            out.insert("namespace".to_owned(), inside.as_str().into());
        }
        copy(&mut out, object, "doc");
        match kind {
            "enum" => copy(&mut out, object, "symbols"),
            "fixed" => copy(&mut out, object, "size"),
            _ => {
                let fields = object.get("fields").and_then(Value::as_array);
                let fields = fields.into_iter().flatten().map(|field| self.field(field, &inside)).collect();
                out.insert("fields".to_owned(), Value::Array(fields));
            }
        }
        // Of an enum it is the word for those that are unknown; of others, something that somebody wrote.
        if kind == "enum" {
            copy(&mut out, object, "default");
        }
        properties(&mut out, object, &RESERVED);
        copy_aliases(&mut out, object);
        out.into()
    }

    fn field(&mut self, field: &Value, space: &str) -> Value {
        let Value::Object(object) = field else { return field.clone() };
        let mut out = Map::new();
        copy(&mut out, object, "name");
        if let Some(kind) = object.get("type") {
            out.insert("type".to_owned(), self.write(kind, space));
        }
        copy(&mut out, object, "doc");
        copy(&mut out, object, "default");
        if object.get("order").is_some_and(|order| order != "ascending") {
            copy(&mut out, object, "order");
        }
        copy_aliases(&mut out, object);
        properties(&mut out, object, &RESERVED_IN_FIELDS);
        out.into()
    }
}

fn copy(out: &mut Map<String, Value>, object: &Map<String, Value>, key: &str) {
    if let Some(value) = object.get(key) {
        out.insert(key.to_owned(), value.clone());
    }
}

fn copy_aliases(out: &mut Map<String, Value>, object: &Map<String, Value>) {
    if object.get("aliases").and_then(Value::as_array).is_some_and(|aliases| !aliases.is_empty()) {
        copy(out, object, "aliases");
    }
}

/// Attributes that the specification does not know, in the order in which they stand.
fn properties(out: &mut Map<String, Value>, object: &Map<String, Value>, own: &[&str]) {
    for (key, value) in object.iter().filter(|(key, _)| !own.contains(&key.as_str())) {
        out.insert(key.clone(), value.clone());
    }
}
