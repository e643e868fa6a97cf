//! YAML as a tree in which every key and value knows its place.
//!
//! Owns: the bounds on what is read (nesting, number of nodes, expansion of aliases), duplicate keys, and the
//! resolution of scalars by the core schema of YAML 1.2 (so `no` and `off` are texts). Does not own: what any key
//! means.

mod build;
mod scalar;
#[cfg(test)]
mod tests;

use serde_json::Value;

pub(crate) use build::parse;

/// How deep mappings and lists may be nested.
pub(crate) const DEPTH_MAX: usize = 32;
/// How many values a file may have, those that aliases repeat included.
pub(crate) const NODES_MAX: usize = 100_000;

/// Where something stands in a file: line and column from 1, columns in characters, the end exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub line: u32,
    pub column: u32,
    pub end_line: u32,
    pub end_column: u32,
}

impl Place {
    /// A place without extent.
    pub fn point(line: u32, column: u32) -> Self {
        Self { line, column, end_line: line, end_column: column }
    }

    /// The beginning of a file.
    pub fn start() -> Self {
        Self::point(1, 1)
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub data: Data,
    pub place: Place,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Data {
    Null,
    Boolean(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub name: String,
    pub place: Place,
}

impl Node {
    /// The value without places. Of a key that stands twice the first counts. Values that are not there (`key:`)
    /// become null.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Boolean(value) => Value::Bool(*value),
            Data::Number(value) => Value::Number(value.clone()),
            Data::Text(text) => Value::String(text.clone()),
            Data::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            Data::Map(entries) => {
                let mut map = serde_json::Map::new();
                for (key, value) in entries {
                    map.entry(&key.name).or_insert_with(|| value.to_value());
                }
                Value::Object(map)
            }
        }
    }

    /// The key (when it stands in a mapping) and the value at a JSON pointer, or as far along it as the tree goes.
    pub fn nearest_to(&self, pointer: &str) -> (Option<&Key>, &Node) {
        let (mut key, mut node) = (None, self);
        for segment in pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let next = match &node.data {
                Data::Map(entries) => {
                    entries.iter().find(|(key, _)| key.name == name).map(|(key, value)| (Some(key), value))
                }
                Data::List(items) => {
                    name.parse::<usize>().ok().and_then(|index| items.get(index)).map(|item| (None, item))
                }
                _ => None,
            };
            match next {
                Some(found) => (key, node) = found,
                None => break,
            }
        }
        (key, node)
    }
}
