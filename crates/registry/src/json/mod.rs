//! JSON Schema.
//!
//! Owns: what a schema says, brought into a form in which two can be compared. Does not own: what a valid schema is,
//! which `jsonschema` decides by the meta-schemas.

mod array;
mod build;
mod compare;
mod defaults;
mod object;
mod rules;

use std::collections::BTreeSet;

use fancy_regex::Regex;
use serde_json::Value;

use crate::difference::Difference;
use crate::schema::ResolvedReference;

pub(crate) use defaults::Defaults;

pub(crate) type NodeId = usize;

/// A schema with everything that it refers to.
#[derive(Debug)]
pub(crate) struct JsonSchema {
    json: Value,
    pub(crate) nodes: Vec<Node>,
    root: NodeId,
}

/// A part of a schema.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) shape: Shape,
    pub(crate) id: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) default: Option<Value>,
    pub(crate) connect_bytes: bool,
}

/// What a part demands.
#[derive(Debug, Default)]
pub(crate) enum Shape {
    /// Nothing.
    #[default]
    Anything,
    /// That there is no such value.
    Nothing,
    Null,
    Boolean,
    Text(TextRules),
    Number(NumberRules),
    Enum(Vec<Value>),
    Const(Value),
    Not(NodeId),
    Combined(Criterion, Vec<NodeId>),
    Object(Box<ObjectRules>),
    Array(Box<ArrayRules>),
    /// Whatever another part demands.
    Same(NodeId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Criterion {
    All,
    Any,
    One,
}

impl Criterion {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::All => "allOf",
            Self::Any => "anyOf",
            Self::One => "oneOf",
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct TextRules {
    pub(crate) max_length: Option<f64>,
    pub(crate) min_length: Option<f64>,
    pub(crate) pattern: Option<String>,
}

#[derive(Debug, Default)]
pub(crate) struct NumberRules {
    pub(crate) whole: bool,
    pub(crate) maximum: Option<f64>,
    pub(crate) minimum: Option<f64>,
    pub(crate) exclusive_maximum: Option<f64>,
    pub(crate) exclusive_minimum: Option<f64>,
    pub(crate) multiple_of: Option<f64>,
}

/// What is said of values beyond those that are named: nothing, that there are none, or a schema.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) enum Others {
    #[default]
    Any,
    None,
    Schema(NodeId),
}

#[derive(Debug, Default)]
pub(crate) struct ObjectRules {
    /// In the order in which they stand.
    pub(crate) properties: Vec<(String, NodeId)>,
    pub(crate) required: BTreeSet<String>,
    pub(crate) additional: Others,
    pub(crate) unevaluated: Option<NodeId>,
    pub(crate) patterns: Vec<(Option<Regex>, NodeId)>,
    pub(crate) dependent_names: Vec<(String, BTreeSet<String>)>,
    pub(crate) dependent_schemas: Vec<(String, NodeId)>,
    pub(crate) max_properties: Option<f64>,
    pub(crate) min_properties: Option<f64>,
}

#[derive(Debug, Default)]
pub(crate) struct ArrayRules {
    pub(crate) all_items: Option<NodeId>,
    pub(crate) items: Vec<NodeId>,
    pub(crate) additional: Others,
    pub(crate) unevaluated: Option<NodeId>,
    pub(crate) max_items: Option<f64>,
    pub(crate) min_items: Option<f64>,
    pub(crate) max_contains: Option<f64>,
    pub(crate) min_contains: Option<f64>,
    pub(crate) unique: bool,
}

impl JsonSchema {
    /// Parses a schema; `references` are the documents that a `$ref` may name.
    pub(crate) fn parse(text: &str, references: &[ResolvedReference]) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        if !matches!(json, Value::Object(_) | Value::Bool(_)) {
            return Err("a JSON schema is an object, or true or false".to_owned());
        }
        check(&json)?;
        let (nodes, root) = build::build(&json, references)?;
        Ok(Self { json, nodes, root })
    }

    /// The text that the schema is known by: its own, without white space.
    pub(crate) fn canonical(&self) -> String {
        self.json.to_string()
    }

    /// The same, whatever order its members were written in.
    pub(crate) fn normalized(&self) -> String {
        sorted(&self.json).to_string()
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.json.get("title").and_then(Value::as_str)
    }

    /// What keeps this schema from taking what `writer` lets through.
    pub(crate) fn cannot_read(&self, writer: &JsonSchema, lenient: bool) -> Vec<Difference> {
        compare::differences(writer, self, lenient)
    }

    /// A part, references followed.
    pub(crate) fn node(&self, mut id: NodeId) -> &Node {
        // A reference that leads to itself demands nothing.
        for _ in 0..self.nodes.len() {
            match self.nodes[id].shape {
                Shape::Same(target) => id = target,
                _ => break,
            }
        }
        &self.nodes[id]
    }

    pub(crate) fn root(&self) -> NodeId {
        self.root
    }
}

/// Holds a schema against the meta-schema of its dialect; draft 7 where it names none.
fn check(json: &Value) -> Result<(), String> {
    let dialect = json.get("$schema").and_then(Value::as_str).unwrap_or("").trim_end_matches('#');
    let dialect = dialect.rsplit_once("json-schema.org/").map_or(dialect, |(_, name)| name);
    let checked = match dialect {
        "draft-04/schema" => jsonschema::draft4::meta::validate(json),
        "draft-06/schema" => jsonschema::draft6::meta::validate(json),
        "draft/2019-09/schema" => jsonschema::draft201909::meta::validate(json),
        "draft/2020-12/schema" => jsonschema::draft202012::meta::validate(json),
        _ => jsonschema::draft7::meta::validate(json),
    };
    checked.map_err(|error| format!("{error} (at `{}`)", error.instance_path()))
}

fn sorted(json: &Value) -> Value {
    match json {
        Value::Object(object) => {
            let mut members: Vec<(&String, &Value)> = object.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            Value::Object(members.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
