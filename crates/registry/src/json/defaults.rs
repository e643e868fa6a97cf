//! Defaults of properties, filled into records that lack them.
//!
//! JSON Schema says of defaults only what they are. That a record which lacks a property has its default is what makes a
//! property with a default one that older writers need not know.

use std::collections::HashMap;

use serde_json::Value;

use super::{Criterion, JsonSchema, NodeId, Shape};
use crate::known::KnownFields;
use crate::members::{Members, items};
use crate::plan::{Begun, StepId, Steps};
use crate::schema::push_json_text;
use crate::writer::DEPTH_MAX;

/// Places of a schema that a plan may have, times the places of the contract that they stand at.
const STEPS_MAX: usize = 10_000;

/// Which defaults are filled in where.
#[derive(Debug)]
pub(crate) struct Defaults {
    steps: Vec<Step>,
    root: StepId,
}

#[derive(Debug, Default)]
struct Step {
    /// Names of properties with their defaults as JSON.
    defaults: Vec<(String, String)>,
    properties: HashMap<String, StepId>,
    items: Option<StepId>,
}

impl Step {
    fn is_empty(&self) -> bool {
        self.defaults.is_empty() && self.properties.is_empty() && self.items.is_none()
    }
}

impl JsonSchema {
    /// The defaults of the properties that are asked for; none when there are none.
    pub(crate) fn defaults(&self, known: &KnownFields) -> Option<Defaults> {
        let mut planner = Planner { schema: self, steps: Steps::new(STEPS_MAX) };
        let root = planner.plan(self.root(), known)?;
        let steps = planner.steps.finish()?;
        let some = steps.iter().any(|step| !step.defaults.is_empty());
        some.then_some(Defaults { steps, root })
    }
}

struct Planner<'a> {
    schema: &'a JsonSchema,
    steps: Steps<(NodeId, *const KnownFields), Step>,
}

impl Planner<'_> {
    fn plan(&mut self, node: NodeId, known: &KnownFields) -> Option<StepId> {
        match self.steps.begin((node, std::ptr::from_ref(known)))? {
            Begun::Made(id) => Some(id),
            Begun::New(id) => {
                let mut step = Step::default();
                self.gather(node, known, 0, &mut step)?;
                Some(self.steps.end(id, step))
            }
        }
    }

    /// Adds what a part says; of alternatives only the one that is an object, so that `null` may stand beside it.
    fn gather(&mut self, node: NodeId, known: &KnownFields, depth: usize, step: &mut Step) -> Option<()> {
        if depth > DEPTH_MAX || self.steps.full() {
            return None;
        }
        let schema = self.schema;
        match &schema.node(node).shape {
            Shape::Object(rules) => {
                for (name, property) in &rules.properties {
                    if !known.has(name) {
                        continue;
                    }
                    if let Some(default) = self.default(*property)
                        && !step.defaults.iter().any(|(other, _)| other == name)
                    {
                        step.defaults.push((name.clone(), default.to_string()));
                    }
                    let inside = self.plan(*property, known.inside(name))?;
                    if self.says_something(inside) {
                        step.properties.insert(name.clone(), inside);
                    }
                }
            }
            Shape::Array(rules) => {
                if let Some(all) = rules.all_items {
                    let inside = self.plan(all, known)?;
                    step.items = self.says_something(inside).then_some(inside);
                }
            }
            Shape::Combined(Criterion::All, parts) => {
                for part in parts {
                    self.gather(*part, known, depth + 1, step)?;
                }
            }
            Shape::Combined(_, parts) => {
                let objects: Vec<NodeId> = parts
                    .iter()
                    .copied()
                    .filter(|part| matches!(schema.node(*part).shape, Shape::Object(_)))
                    .collect();
                if let [only] = objects[..] {
                    self.gather(only, known, depth + 1, step)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn says_something(&self, id: StepId) -> bool {
        self.steps.get(id).is_none_or(|step| !step.is_empty())
    }

    /// The default that stands at a property, or at what it refers to.
    fn default(&self, mut id: NodeId) -> Option<&Value> {
        for _ in 0..=self.schema.nodes.len() {
            let node = &self.schema.nodes[id];
            match (&node.default, &node.shape) {
                (Some(default), _) => return Some(default),
                (None, Shape::Same(target)) => id = *target,
                _ => return None,
            }
        }
        None
    }
}

impl Defaults {
    /// Appends a record with what it lacks; everything else is as it was written.
    pub(crate) fn fill(&self, record: &str, out: &mut Vec<u8>) {
        self.step(self.root, record, 0, out);
    }

    fn step(&self, id: StepId, text: &str, depth: usize, out: &mut Vec<u8>) {
        let step = &self.steps[id];
        if depth < DEPTH_MAX {
            if let Some(members) = Members::of(text) {
                return self.object(step, &members, depth, out);
            }
            if let Some(inside) = step.items
                && let Some(items) = items(text)
            {
                out.push(b'[');
                for (index, item) in items.into_iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    self.step(inside, item.get(), depth + 1, out);
                }
                out.push(b']');
                return;
            }
        }
        out.extend_from_slice(text.as_bytes());
    }

    fn object(&self, step: &Step, members: &Members<'_>, depth: usize, out: &mut Vec<u8>) {
        let missing = step.defaults.iter().filter(|(name, _)| members.get(name).is_none());
        let mut separator = b'{';
        for (name, value) in &members.0 {
            out.push(std::mem::replace(&mut separator, b','));
            push_json_text(out, name);
            out.push(b':');
            match step.properties.get(name.as_ref()) {
                Some(inside) => self.step(*inside, value.get(), depth + 1, out),
                None => out.extend_from_slice(value.get().as_bytes()),
            }
        }
        for (name, default) in missing {
            out.push(std::mem::replace(&mut separator, b','));
            push_json_text(out, name);
            out.push(b':');
            out.extend_from_slice(default.as_bytes());
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }
}
