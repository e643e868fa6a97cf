//! From the text of a JSON schema to what it demands. Keywords of several kinds in one place are demanded together.

use std::collections::{HashMap, HashSet};

use fancy_regex::Regex;
use serde_json::{Map, Value};

use super::{ArrayRules, Criterion, Node, NodeId, NumberRules, ObjectRules, Others, Shape, TextRules};
use crate::schema::ResolvedReference;

const OBJECT: [&str; 10] = [
    "properties",
    "required",
    "additionalProperties",
    "minProperties",
    "maxProperties",
    "dependencies",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
    "dependentSchemas",
];
const ARRAY: [&str; 7] =
    ["items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains", "prefixItems"];
const TEXT: [&str; 4] = ["minLength", "maxLength", "pattern", "format"];
const NUMBER: [&str; 5] = ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];

/// The parts of a schema, and which of them is the whole.
pub(super) fn build(json: &Value, references: &[ResolvedReference]) -> Result<(Vec<Node>, NodeId), String> {
    let mut documents = vec![(String::new(), json.clone())];
    for reference in references {
        let value = serde_json::from_str(&reference.text)
            .map_err(|error| format!("the reference `{}` is not JSON: {error}", reference.name))?;
        documents.push((reference.name.clone(), value));
    }
    let mut builder = Builder { documents, nodes: Vec::new(), targets: HashMap::new(), depth: 0 };
    let root = builder.target(0, "")?;
    Ok((builder.nodes, root))
}

struct Builder {
    /// The schema, then the documents it refers to, by name.
    documents: Vec<(String, Value)>,
    nodes: Vec<Node>,
    /// What `$ref`s name: a document and the pointer in it.
    targets: HashMap<(usize, String), NodeId>,
    depth: usize,
}

/// How deep schemas may lie in each other, references followed.
const DEPTH_MAX: usize = 200;

impl Builder {
    fn add(&mut self, shape: Shape) -> NodeId {
        self.nodes.push(Node { shape, ..Node::default() });
        self.nodes.len() - 1
    }

    /// The part that a pointer leads to.
    fn target(&mut self, document: usize, pointer: &str) -> Result<NodeId, String> {
        let key = (document, pointer.to_owned());
        if let Some(id) = self.targets.get(&key) {
            return Ok(*id);
        }
        let found = self.documents[document].1.pointer(pointer).cloned();
        let found = found.ok_or_else(|| format!("`$ref` names `#{pointer}`, which is not there"))?;
        let id = self.add(Shape::Anything);
        self.targets.insert(key, id);
        let built = self.build(document, &found)?;
        self.nodes[id].shape = Shape::Same(built);
        Ok(id)
    }

    fn reference(&mut self, document: usize, text: &str) -> Result<NodeId, String> {
        let (place, fragment) = text.split_once('#').unwrap_or((text, ""));
        let own_id = |json: &Value| {
            let id = json.get("$id").or_else(|| json.get("id")).and_then(Value::as_str);
            id.is_some_and(|id| id.trim_end_matches('#') == place)
        };
        let document = match place {
            "" => document,
            _ => {
                let found = self.documents.iter().position(|(name, json)| {
                    name == place
                        || name == text
                        || own_id(json)
                        || (!name.is_empty() && place.ends_with(&format!("/{name}")))
                });
                match found {
                    Some(found) => found,
                    None if is_meta_schema(place) => return Ok(self.add(Shape::Anything)),
                    None => return Err(format!("`$ref` names `{place}`, which is not among the references")),
                }
            }
        };
        let pointer = percent_decoded(fragment);
        if pointer.is_empty() || pointer.starts_with('/') {
            return self.target(document, &pointer);
        }
        let anchored = anchor(&self.documents[document].1, &pointer, &mut String::new());
        let anchored =
            anchored.ok_or_else(|| format!("`$ref` names the anchor `{pointer}`, which is not there"))?;
        self.target(document, &anchored)
    }

    fn build(&mut self, document: usize, json: &Value) -> Result<NodeId, String> {
        let object = match json {
            Value::Bool(true) => return Ok(self.add(Shape::Anything)),
            Value::Bool(false) => return Ok(self.add(Shape::Nothing)),
            Value::Object(object) => object,
            other => return Err(format!("`{other}` is not a JSON schema")),
        };
        if let Some(reference) =
            object.get("$ref").or_else(|| object.get("$dynamicRef")).and_then(Value::as_str)
        {
            if self.depth == DEPTH_MAX {
                return Err(format!("schemas lie in each other deeper than {DEPTH_MAX} levels"));
            }
            self.depth += 1;
            let target = self.reference(document, reference);
            self.depth -= 1;
            return Ok(self.add(Shape::Same(target?)));
        }
        if self.depth == DEPTH_MAX {
            return Err(format!("schemas lie in each other deeper than {DEPTH_MAX} levels"));
        }
        self.depth += 1;
        let parts = self.parts(document, object);
        self.depth -= 1;
        let mut parts = parts?;
        let shape = match parts.len() {
            0 => Shape::Anything,
            1 => parts.remove(0),
            _ => {
                let parts = parts.into_iter().map(|shape| self.add(shape)).collect();
                Shape::Combined(Criterion::All, parts)
            }
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        self.nodes.push(Node {
            shape,
            id: text("$id").or_else(|| text("id")),
            title: text("title"),
            description: text("description"),
            default: object.get("default").cloned(),
            connect_bytes: object.get("connect.type").is_some_and(|kind| kind == "bytes"),
        });
        Ok(self.nodes.len() - 1)
    }

    fn parts(&mut self, document: usize, object: &Map<String, Value>) -> Result<Vec<Shape>, String> {
        let mut parts = Vec::new();
        if let Some(Value::Array(values)) = object.get("enum") {
            parts.push(Shape::Enum(values.clone()));
        }
        for criterion in [Criterion::All, Criterion::Any, Criterion::One] {
            if let Some(Value::Array(schemas)) = object.get(criterion.word()) {
                // The same one twice demands no more than once.
                let mut known = HashSet::new();
                let different = schemas.iter().filter(|schema| known.insert(*schema));
                let schemas: Result<Vec<NodeId>, String> =
                    different.map(|schema| self.build(document, schema)).collect();
                parts.push(Shape::Combined(criterion, schemas?));
            }
        }
        if let Some(schema) = object.get("not") {
            parts.push(Shape::Not(self.build(document, schema)?));
        }
        if let Some(value) = object.get("const") {
            parts.push(Shape::Const(value.clone()));
        }
        match object.get("type") {
            Some(Value::String(kind)) => parts.push(self.typed(document, kind, object)?),
            Some(Value::Array(kinds)) => {
                let mut alternatives = Vec::new();
                for kind in kinds.iter().filter_map(Value::as_str) {
                    let shape = self.typed(document, kind, object)?;
                    alternatives.push(self.add(shape));
                }
                parts.push(Shape::Combined(Criterion::Any, alternatives));
            }
            _ => {
                for (kind, keywords) in
                    [("array", &ARRAY[..]), ("string", &TEXT), ("object", &OBJECT), ("number", &NUMBER)]
                {
                    if keywords.iter().any(|keyword| object.contains_key(*keyword)) {
                        parts.push(self.typed(document, kind, object)?);
                    }
                }
            }
        }
        Ok(parts)
    }

    fn typed(&mut self, document: usize, kind: &str, object: &Map<String, Value>) -> Result<Shape, String> {
        let number = |key: &str| object.get(key).and_then(Value::as_f64);
        Ok(match kind {
            "string" => Shape::Text(TextRules {
                max_length: number("maxLength"),
                min_length: number("minLength"),
                pattern: object.get("pattern").and_then(Value::as_str).map(str::to_owned),
            }),
            "number" | "integer" => Shape::Number(NumberRules {
                whole: kind == "integer",
                maximum: number("maximum"),
                minimum: number("minimum"),
                exclusive_maximum: number("exclusiveMaximum"),
                exclusive_minimum: number("exclusiveMinimum"),
                multiple_of: number("multipleOf"),
            }),
            "boolean" => Shape::Boolean,
            "null" => Shape::Null,
            "object" => Shape::Object(Box::new(self.object(document, object)?)),
            "array" => Shape::Array(Box::new(self.array(document, object)?)),
            other => return Err(format!("`{other}` is not a type")),
        })
    }

    fn others(&mut self, document: usize, value: Option<&Value>) -> Result<Others, String> {
        Ok(match value {
            None | Some(Value::Bool(true)) => Others::Any,
            Some(Value::Bool(false)) => Others::None,
            Some(schema) => Others::Schema(self.build(document, schema)?),
        })
    }

    fn object(&mut self, document: usize, object: &Map<String, Value>) -> Result<ObjectRules, String> {
        let number = |key: &str| object.get(key).and_then(Value::as_f64);
        let mut rules = ObjectRules {
            required: object.get("required").map(names).unwrap_or_default(),
            additional: self.others(document, object.get("additionalProperties"))?,
            max_properties: number("maxProperties"),
            min_properties: number("minProperties"),
            ..ObjectRules::default()
        };
        if let Some(schema) = object.get("unevaluatedProperties") {
            rules.unevaluated = Some(self.build(document, schema)?);
        }
        let members = |key: &str| object.get(key).and_then(Value::as_object).into_iter().flatten();
        for (name, schema) in members("properties") {
            rules.properties.push((name.clone(), self.build(document, schema)?));
        }
        for (pattern, schema) in members("patternProperties") {
            rules.patterns.push((Regex::new(pattern).ok(), self.build(document, schema)?));
        }
        for key in ["dependencies", "dependentRequired", "dependentSchemas"] {
            for (name, value) in members(key) {
                match value {
                    Value::Array(_) => rules.dependent_names.push((name.clone(), names(value))),
                    schema => rules.dependent_schemas.push((name.clone(), self.build(document, schema)?)),
                }
            }
        }
        Ok(rules)
    }

    fn array(&mut self, document: usize, object: &Map<String, Value>) -> Result<ArrayRules, String> {
        let number = |key: &str| object.get(key).and_then(Value::as_f64);
        let mut rules = ArrayRules {
            max_items: number("maxItems"),
            min_items: number("minItems"),
            max_contains: number("maxContains"),
            min_contains: number("minContains"),
            unique: object.get("uniqueItems").is_some_and(|unique| unique == true),
            ..ArrayRules::default()
        };
        if let Some(schema) = object.get("unevaluatedItems") {
            rules.unevaluated = Some(self.build(document, schema)?);
        }
        // What was a list of `items` is `prefixItems` now, and what was `additionalItems` is `items`.
        let (listed, others) = match (object.get("prefixItems"), object.get("items")) {
            (Some(prefix), items) => (Some(prefix), items),
            (None, Some(items @ Value::Array(_))) => (Some(items), object.get("additionalItems")),
            (None, Some(items)) => {
                rules.all_items = Some(self.build(document, items)?);
                (None, None)
            }
            (None, None) => (None, object.get("additionalItems")),
        };
        for schema in listed.and_then(Value::as_array).into_iter().flatten() {
            rules.items.push(self.build(document, schema)?);
        }
        rules.additional = self.others(document, others)?;
        Ok(rules)
    }
}

fn names(value: &Value) -> std::collections::BTreeSet<String> {
    let names = value.as_array().into_iter().flatten();
    names.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn is_meta_schema(place: &str) -> bool {
    place.trim_start_matches("https://").trim_start_matches("http://").starts_with("json-schema.org/")
}

/// The pointer to the part with this `$anchor` (or, before there were anchors, this `$id`).
fn anchor(json: &Value, name: &str, pointer: &mut String) -> Option<String> {
    let fragment = format!("#{name}");
    let is_it = |key: &str, value: &str| json.get(key).and_then(Value::as_str) == Some(value);
    if is_it("$anchor", name)
        || is_it("$dynamicAnchor", name)
        || is_it("$id", &fragment)
        || is_it("id", &fragment)
    {
        return Some(pointer.clone());
    }
    let length = pointer.len();
    let members: Vec<(String, &Value)> = match json {
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
        }
        _ => return None,
    };
    for (key, value) in members {
        pointer.push('/');
        pointer.push_str(&key);
        if let Some(found) = anchor(value, name, pointer) {
            return Some(found);
        }
        pointer.truncate(length);
    }
    None
}

fn percent_decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
