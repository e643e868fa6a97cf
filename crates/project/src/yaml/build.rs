//! From the events of the YAML parser to the tree, within bounds.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::{DEPTH_MAX, Data, Key, NODES_MAX, Node, Place, scalar};
use crate::diagnostic::Code;

/// A text as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    /// The document; absent when there is none or it could not be read to its end.
    pub root: Option<Node>,
    /// What is wrong.
    pub problems: Vec<YamlProblem>,
}

/// What is wrong with a text as YAML.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct YamlProblem {
    pub place: Place,
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

/// Reads one YAML document. Syntax errors end it; duplicate keys are all found.
pub(crate) fn parse(text: &str) -> Parsed {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(syntax_problem(text, error.marker(), error.info())),
        };
        if let Err(problem) = step {
            builder.problems.push(problem);
            return Parsed { root: None, problems: builder.problems };
        }
    }
    Parsed { root: builder.root, problems: builder.problems }
}

/// A mapping or list that is not closed yet.
struct Open {
    node: Node,
    anchor: usize,
    /// The key that waits for its value.
    key: Option<Key>,
    /// The keys so far, so that duplicates are found without a search.
    keys: HashMap<String, Place>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    root: Option<Node>,
    problems: Vec<YamlProblem>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlProblem> {
        let place = place(span);
        if has_foreign_tag(&event) {
            return Err(problem(place, "tags (`!name`) are not read").hint("write the plain value"));
        }
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) if self.root.is_some() => {
                Err(problem(place, "a second document begins here")
                    .hint("put each document into a file of its own"))
            }
            Event::DocumentStart(_) => Ok(()),
            Event::SequenceStart(anchor, _) => self.enter(Data::List(Vec::new()), anchor, place),
            Event::MappingStart(anchor, _) => self.enter(Data::Map(Vec::new()), anchor, place),
            Event::SequenceEnd | Event::MappingEnd => self.leave(place),
            Event::Scalar(text, ScalarStyle::Plain, anchor, None) => {
                self.insert(Node { data: scalar::resolve(&text), place }, anchor, Some(&text))
            }
            Event::Scalar(text, _, anchor, _) => {
                self.insert(Node { data: Data::Text(text.to_string()), place }, anchor, Some(&text))
            }
            Event::Alias(anchor) => self.repeat(anchor, place),
        }
    }

    fn enter(&mut self, data: Data, anchor: usize, place: Place) -> Result<(), YamlProblem> {
        if self.open.len() >= DEPTH_MAX {
            return Err(too_large(place, format!("values are nested deeper than {DEPTH_MAX} levels")));
        }
        self.open.push(Open { node: Node { data, place }, anchor, key: None, keys: HashMap::new() });
        Ok(())
    }

    fn leave(&mut self, end: Place) -> Result<(), YamlProblem> {
        let Some(Open { mut node, anchor, .. }) = self.open.pop() else { return Ok(()) };
        (node.place.end_line, node.place.end_column) = (end.end_line, end.end_column);
        self.insert(node, anchor, None)
    }

    /// Puts a complete node into the one that is open; `scalar` is the text that makes it a key.
    fn insert(&mut self, node: Node, anchor: usize, scalar: Option<&str>) -> Result<(), YamlProblem> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(too_large(node.place, format!("the file has more than {NODES_MAX} values")));
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match (&mut parent.node.data, parent.key.take()) {
            (Data::List(items), _) => items.push(node),
            (Data::Map(entries), Some(key)) => {
                match parent.keys.entry(key.name.clone()) {
                    Entry::Occupied(first) => self.problems.push(duplicate_key(&key, *first.get())),
                    Entry::Vacant(entry) => {
                        entry.insert(key.place);
                    }
                }
                entries.push((key, node));
            }
            (Data::Map(_), None) => {
                let Some(name) = scalar else {
                    return Err(problem(node.place, "a key must be a text, not a mapping or a list"));
                };
                parent.key = Some(Key { name: name.to_owned(), place: node.place });
            }
            _ => {}
        }
        Ok(())
    }

    /// Repeats what an anchor stands for; every repeated value counts, so that aliases of aliases stay bounded.
    fn repeat(&mut self, anchor: usize, place: Place) -> Result<(), YamlProblem> {
        let Some(node) = self.anchors.get(&anchor) else {
            return Err(problem(place, "this alias refers to an anchor that is not complete here"));
        };
        let (nodes, depth) = extent(node);
        self.nodes += nodes;
        if self.nodes > NODES_MAX || self.open.len() + depth > DEPTH_MAX {
            return Err(too_large(place, "aliases repeat more values than a file may have".to_owned()));
        }
        let repeated = node.clone();
        let text = match &repeated.data {
            Data::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.insert(repeated, 0, text.as_deref())
    }
}

/// How many nodes stand in this one, and how deep.
fn extent(node: &Node) -> (usize, usize) {
    let below: Vec<(usize, usize)> = match &node.data {
        Data::List(items) => items.iter().map(extent).collect(),
        Data::Map(entries) => entries.iter().map(|(_, value)| extent(value)).collect(),
        _ => return (1, 0),
    };
    let nodes = below.iter().map(|(nodes, _)| nodes).sum::<usize>();
    (nodes + 1, below.iter().map(|(_, depth)| *depth).max().unwrap_or(0) + 1)
}

fn has_foreign_tag(event: &Event<'_>) -> bool {
    let (Event::Scalar(_, _, _, tag) | Event::SequenceStart(_, tag) | Event::MappingStart(_, tag)) = event
    else {
        return false;
    };
    tag.as_ref().is_some_and(|tag| {
        !(tag.is_yaml_core_schema() && ["str", "seq", "map"].contains(&tag.suffix.as_str()))
    })
}

fn place(span: Span) -> Place {
    let (line, column) = position(&span.start);
    let (end_line, end_column) = position(&span.end);
    Place { line, column, end_line, end_column }
}

fn position(marker: &Marker) -> (u32, u32) {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
    (number(marker.line().max(1)), number(marker.col() + 1))
}

impl YamlProblem {
    fn hint(mut self, hint: &str) -> Self {
        self.hint = Some(hint.to_owned());
        self
    }
}

fn problem(place: Place, message: impl Into<String>) -> YamlProblem {
    YamlProblem { place, code: Code::InvalidYaml, message: message.into(), hint: None }
}

fn too_large(place: Place, message: String) -> YamlProblem {
    YamlProblem { place, code: Code::TooLarge, message, hint: None }
}

fn duplicate_key(key: &Key, first: Place) -> YamlProblem {
    YamlProblem {
        place: key.place,
        code: Code::DuplicateKey,
        message: format!("`{}` stands here for the second time", key.name),
        hint: Some(format!("it first stands on line {}; keep one of them", first.line)),
    }
}

fn syntax_problem(text: &str, marker: &Marker, info: &str) -> YamlProblem {
    let (line, column) = position(marker);
    let lines = text.lines().count() as u32;
    // What is not closed is missed behind the last line, where there is nothing to show.
    let place = match text.lines().last() {
        Some(last) if line > lines => Place::point(lines, last.chars().count() as u32 + 1),
        _ => Place::point(line, column),
    };
    if info.contains("tab") {
        let place = indenting_tab(text, place).unwrap_or(place);
        return problem(place, format!("not valid YAML: {info}")).hint("indent with spaces, not tabs");
    }
    problem(place, format!("not valid YAML: {info}"))
}

/// The first tab that indents a line, from the one where something broke off: a value that goes on below is told where it
/// begins.
fn indenting_tab(text: &str, from: Place) -> Option<Place> {
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let lines = text.lines().enumerate().skip(from.line.saturating_sub(1) as usize);
    let mut tabs = lines.filter_map(|(index, line)| Some((index, line[..indent(line)].find('\t')?)));
    tabs.next().map(|(index, before)| Place::point(index as u32 + 1, before as u32 + 1))
}
