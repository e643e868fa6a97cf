//! Records of one schema as another one reads them: numbers decide, so the latest type of a message names its fields and
//! the words of its enums.
//!
//! A record is read with both. What comes out is what the latest type says of it, with two things more, because it is a
//! contract that decides in the end: fields that the latest type lacks keep the names that they were written with, and
//! fields that only the latest type has are there where someone asks for them.

use std::collections::{HashMap, HashSet};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::ProtobufSchema;
use crate::known::{ALL, KnownFields};
use crate::members::{Members, items};
use crate::plan::{Begun, StepId, Steps};
use crate::schema::push_json_text;

/// Pairs of messages, times the places of the contract that they stand at.
const STEPS_MAX: usize = 10_000;

/// How records of one schema are read by another.
#[derive(Debug)]
pub(crate) struct Evolution {
    /// The messages of the writer's schema, with the latest type of each.
    messages: HashMap<String, (MessageDescriptor, StepId)>,
    steps: Vec<Step>,
    /// Whether what the latest types say is all there is to say.
    plain: bool,
}

/// A message as both schemas have it.
#[derive(Debug, Default)]
struct Step {
    /// By the names of the latest type.
    fields: HashMap<String, Part>,
    /// Fields of the writer's type that the latest one lacks, and whose names are free.
    gone: HashSet<String>,
}

#[derive(Debug)]
enum Part {
    /// Only the latest type has it; whether someone asks for it.
    New(bool),
    /// Both have it.
    Kept {
        /// What it becomes.
        name: String,
        /// What the writer calls it.
        written: String,
        is_map: bool,
        inside: Inside,
    },
}

#[derive(Debug, Clone, Copy)]
enum Inside {
    Value,
    /// Words that the latest type lacks are the writer's.
    Enum,
    Message(StepId),
}

impl ProtobufSchema {
    /// How this schema reads what `writer` has written; none when it cannot.
    pub(crate) fn evolution(&self, writer: &ProtobufSchema, known: &KnownFields) -> Option<Evolution> {
        if !self.cannot_read(writer).is_empty() {
            return None;
        }
        let mut planner = Planner { steps: Steps::new(STEPS_MAX) };
        let mut messages = HashMap::new();
        let mut left: Vec<MessageDescriptor> = writer.file.messages().collect();
        while let Some(message) = left.pop() {
            left.extend(message.child_messages().filter(|child| !child.is_map_entry()));
            let latest = self.file.parent_pool().get_message_by_name(message.full_name());
            if let Some(latest) = latest {
                let step = planner.plan(&latest, &message, known)?;
                messages.insert(message.full_name().to_owned(), (latest, step));
            }
        }
        let steps = planner.steps.finish()?;
        let plain = steps.iter().all(|step| {
            let plain = |(latest, part): (&String, &Part)| match part {
                Part::New(asked) => *asked,
                Part::Kept { name, inside, .. } => name == latest && !matches!(inside, Inside::Enum),
            };
            step.gone.is_empty() && step.fields.iter().all(plain)
        });
        Some(Evolution { messages, steps, plain })
    }

    /// Appends a record that was written with a message of this schema, as the latest type has it; as it was written when
    /// there is no such type any more.
    pub(crate) fn write_evolved(
        &self,
        message: MessageDescriptor,
        latest: (&ProtobufSchema, &Evolution),
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let (latest, evolution) = latest;
        let Some((newer, step)) = evolution.messages.get(message.full_name()) else {
            return self.write_message(message, bytes, out);
        };
        if evolution.plain {
            return latest.write_message(newer.clone(), bytes, out);
        }
        let (mut mine, mut theirs) = (Vec::new(), Vec::new());
        latest.write_message(newer.clone(), bytes, &mut mine)?;
        self.write_message(message, bytes, &mut theirs)?;
        // Both were written as JSON.
        let text = |bytes| std::str::from_utf8(bytes).map_err(|error| error.to_string());
        evolution.message(*step, text(&mine)?, text(&theirs)?, out);
        Ok(())
    }
}

struct Planner {
    steps: Steps<(String, String, *const KnownFields), Step>,
}

impl Planner {
    fn plan(
        &mut self,
        latest: &MessageDescriptor,
        written: &MessageDescriptor,
        known: &KnownFields,
    ) -> Option<StepId> {
        let place =
            (latest.full_name().to_owned(), written.full_name().to_owned(), std::ptr::from_ref(known));
        let id = match self.steps.begin(place)? {
            Begun::Made(id) => return Some(id),
            Begun::New(id) => id,
        };
        let mut step = Step::default();
        for field in latest.fields() {
            let part = self.part(latest, &field, written.get_field(field.number()), known)?;
            step.fields.insert(field.name().to_owned(), part);
        }
        let gone = written.fields().filter(|field| {
            latest.get_field(field.number()).is_none() && latest.get_field_by_name(field.name()).is_none()
        });
        step.gone = gone.map(|field| field.name().to_owned()).collect();
        Some(self.steps.end(id, step))
    }

    fn part(
        &mut self,
        latest: &MessageDescriptor,
        field: &FieldDescriptor,
        written: Option<FieldDescriptor>,
        known: &KnownFields,
    ) -> Option<Part> {
        let Some(written) = written else { return Some(Part::New(known.has(field.name()))) };
        let name = match latest.get_field_by_name(written.name()) {
            Some(_) => field.name(),
            None => known.choose(field.name(), written.name()),
        };
        let (mine, theirs, known) = match (entry(field), entry(&written)) {
            (Some(mine), Some(theirs)) => (mine, theirs, &ALL),
            _ => (field.kind(), written.kind(), known.inside(name)),
        };
        let is_map = field.is_map() && written.is_map();
        let inside = match (mine, theirs) {
            _ if field.is_map() != written.is_map() => Inside::Value,
            (Kind::Enum(mine), Kind::Enum(theirs)) => {
                let lacks = theirs.values().any(|value| mine.get_value(value.number()).is_none());
                if lacks { Inside::Enum } else { Inside::Value }
            }
            // Those of Google are written in ways of their own.
            (Kind::Message(mine), Kind::Message(theirs))
                if !theirs.full_name().starts_with("google.protobuf.") =>
            {
                Inside::Message(self.plan(&mine, &theirs, known)?)
            }
            _ => Inside::Value,
        };
        Some(Part::Kept { name: name.to_owned(), written: written.name().to_owned(), is_map, inside })
    }
}

/// The values of a map.
fn entry(field: &FieldDescriptor) -> Option<Kind> {
    let Kind::Message(message) = field.kind() else { return None };
    field.is_map().then(|| message.map_entry_value_field().kind())
}

impl Evolution {
    fn message(&self, step: StepId, latest: &str, written: &str, out: &mut Vec<u8>) {
        let (Some(mine), Some(theirs)) = (Members::of(latest), Members::of(written)) else {
            out.extend_from_slice(latest.as_bytes());
            return;
        };
        let step = &self.steps[step];
        let mut separator = b'{';
        let mut member = |out: &mut Vec<u8>, name: &str| {
            out.push(std::mem::replace(&mut separator, b','));
            push_json_text(out, name);
            out.push(b':');
        };
        for (name, value) in &mine.0 {
            match step.fields.get(name.as_ref()) {
                Some(Part::New(false)) => {}
                Some(Part::Kept { name, written, is_map, inside }) => {
                    member(out, name);
                    match theirs.get(written) {
                        Some(written) if *is_map => self.map(*inside, value.get(), written, out),
                        Some(written) => self.value(*inside, value.get(), written, out),
                        None => out.extend_from_slice(value.get().as_bytes()),
                    }
                }
                Some(Part::New(true)) | None => {
                    member(out, name);
                    out.extend_from_slice(value.get().as_bytes());
                }
            }
        }
        for (name, value) in theirs.0.iter().filter(|(name, _)| step.gone.contains(name.as_ref())) {
            member(out, name);
            out.extend_from_slice(value.get().as_bytes());
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }

    fn map(&self, inside: Inside, latest: &str, written: &str, out: &mut Vec<u8>) {
        let (false, Some(mine), Some(theirs)) =
            (matches!(inside, Inside::Value), Members::of(latest), Members::of(written))
        else {
            out.extend_from_slice(latest.as_bytes());
            return;
        };
        let theirs: HashMap<&str, &str> =
            theirs.0.iter().map(|(key, value)| (key.as_ref(), value.get())).collect();
        let mut separator = b'{';
        for (key, value) in &mine.0 {
            out.push(std::mem::replace(&mut separator, b','));
            push_json_text(out, key);
            out.push(b':');
            let written = theirs.get(key.as_ref()).copied().unwrap_or_else(|| value.get());
            self.value(inside, value.get(), written, out);
        }
        if separator == b'{' {
            out.push(b'{');
        }
        out.push(b'}');
    }

    fn value(&self, inside: Inside, latest: &str, written: &str, out: &mut Vec<u8>) {
        if let (false, Some(mine), Some(theirs)) =
            (matches!(inside, Inside::Value), items(latest), items(written))
        {
            let mut separator = b'[';
            for (mine, theirs) in mine.iter().zip(&theirs) {
                out.push(std::mem::replace(&mut separator, b','));
                self.value(inside, mine.get(), theirs.get(), out);
            }
            if separator == b'[' {
                out.push(b'[');
            }
            out.push(b']');
            return;
        }
        match inside {
            Inside::Message(step) => self.message(step, latest, written, out),
            // A number is a word that is not known.
            Inside::Enum if !latest.starts_with('"') && written.starts_with('"') => {
                out.extend_from_slice(written.as_bytes());
            }
            Inside::Enum | Inside::Value => out.extend_from_slice(latest.as_bytes()),
        }
    }
}
