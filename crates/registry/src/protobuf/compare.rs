//! What a Protobuf schema does to records written with another one. Fields are told apart by their numbers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use prost_reflect::{FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use prost_types::field_descriptor_proto::Label;

use crate::difference::Difference;

/// How often messages are compared at most: those of other files are compared wherever they are fields.
const STEPS_MAX: usize = 100_000;

/// Differences after which records of the old schema can be read.
const HARMLESS: &[&str] = &[
    "MESSAGE_ADDED",
    "MESSAGE_MOVED",
    "ENUM_ADDED",
    "ENUM_REMOVED",
    "ENUM_CONST_ADDED",
    "ENUM_CONST_CHANGED",
    "ENUM_CONST_REMOVED",
    "FIELD_ADDED",
    "FIELD_REMOVED",
    "FIELD_NAME_CHANGED",
    "FIELD_STRING_OR_BYTES_LABEL_CHANGED",
    "ONEOF_ADDED",
    "ONEOF_REMOVED",
    "ONEOF_FIELD_ADDED",
    "ONEOF_FIELD_MOVED_TO_TOP_LEVEL",
];

/// What keeps `update` from reading what `original` has written; one difference alone when that takes more than `STEPS_MAX`
/// steps.
pub(super) fn differences(original: &FileDescriptor, update: &FileDescriptor) -> Vec<Difference> {
    let mut compare =
        Compare { path: "#".to_owned(), found: Vec::new(), under_way: HashSet::new(), steps: 0 };
    if original.package_name() != update.package_name() {
        compare.add("PACKAGE_CHANGED");
    }
    compare.messages(original.messages().collect(), update.messages().collect());
    if compare.given_up() {
        return vec![Difference::given_up(STEPS_MAX)];
    }
    let harmful = compare.found.into_iter().filter(|(kind, _)| !HARMLESS.contains(kind));
    harmful
        .map(|(kind, path)| {
            let text = format!("{{errorType:\"{kind}\", description:\"{}\"}}", sentence(kind, &path));
            Difference { kind, path, text }
        })
        .collect()
}

struct Compare {
    path: String,
    found: Vec<(&'static str, String)>,
    under_way: HashSet<(String, String)>,
    steps: usize,
}

impl Compare {
    /// Whether the comparison took too long: nothing more is compared then, and what was found is worth nothing.
    fn given_up(&self) -> bool {
        self.steps > STEPS_MAX
    }

    fn add(&mut self, kind: &'static str) {
        self.found.push((kind, self.path.clone()));
    }

    fn at(&mut self, part: impl std::fmt::Display, look: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push('/');
        self.path.push_str(&part.to_string());
        look(self);
        self.path.truncate(length);
    }

    fn messages(&mut self, original: Vec<MessageDescriptor>, update: Vec<MessageDescriptor>) {
        let by_name: HashMap<&str, &MessageDescriptor> =
            update.iter().map(|message| (message.name(), message)).collect();
        for before in original.iter().filter(|message| !message.is_map_entry()) {
            self.at(before.name(), |compare| match by_name.get(before.name()) {
                None => compare.add("MESSAGE_REMOVED"),
                Some(after) => compare.message(before, after),
            });
        }
    }

    fn message(&mut self, original: &MessageDescriptor, update: &MessageDescriptor) {
        let pair = (original.full_name().to_owned(), update.full_name().to_owned());
        self.steps += 1;
        if self.given_up() || !self.under_way.insert(pair.clone()) {
            return;
        }
        let (before, after) = (by_number(original), by_number(update));
        self.oneofs(&before, update);
        let deleted = deleted_oneofs(original, update, &after);
        for number in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
            if self.given_up() {
                return;
            }
            match (before.get(number), after.get(number)) {
                (Some(field), None) => self.removed(*number, field, &deleted),
                (None, Some(field)) => {
                    let required = field.field_descriptor_proto().label() == Label::Required;
                    if required {
                        self.at(number, |compare| compare.add("REQUIRED_FIELD_ADDED"));
                    }
                }
                (Some(original), Some(update)) => match oneof_of(update) {
                    Some(oneof) => {
                        self.at(oneof, |compare| {
                            compare.at(number, |compare| compare.field(original, update))
                        });
                    }
                    None => self.at(number, |compare| compare.field(original, update)),
                },
                (None, None) => {}
            }
        }
        self.messages(original.child_messages().collect(), update.child_messages().collect());
        self.under_way.remove(&pair);
    }

    /// Fields that could be set together before and cannot any more.
    fn oneofs(&mut self, before: &BTreeMap<u32, FieldDescriptor>, update: &MessageDescriptor) {
        for oneof in update.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let (mut groups, mut moved) = (BTreeSet::new(), 0);
            for field in oneof.fields() {
                let Some(original) = before.get(&field.number()) else { continue };
                match oneof_of(original) {
                    Some(name) => groups.insert(name),
                    None => {
                        moved += 1;
                        groups.insert(format!("#{}", field.number()))
                    }
                };
            }
            if groups.len() > 1 {
                let kind = if moved > 1 {
                    "MULTIPLE_FIELDS_MOVED_TO_ONEOF"
                } else {
                    "FIELD_MOVED_TO_EXISTING_ONEOF"
                };
                self.at(oneof.name(), |compare| compare.add(kind));
            }
        }
    }

    fn removed(&mut self, number: u32, field: &FieldDescriptor, deleted: &[String]) {
        match oneof_of(field) {
            Some(oneof) if deleted.contains(&oneof) => {}
            Some(oneof) => {
                self.at(oneof, |compare| compare.at(number, |compare| compare.add("ONEOF_FIELD_REMOVED")));
            }
            None if field.field_descriptor_proto().label() == Label::Required => {
                self.at(number, |compare| compare.add("REQUIRED_FIELD_REMOVED"));
            }
            None => {}
        }
    }

    fn field(&mut self, original: &FieldDescriptor, update: &FieldDescriptor) {
        match (original.is_map(), update.is_map()) {
            (true, true) => {
                for number in [1, 2] {
                    let part = |field: &FieldDescriptor| match field.kind() {
                        Kind::Message(entry) => entry.get_field(number),
                        _ => None,
                    };
                    if let (Some(original), Some(update)) = (part(original), part(update)) {
                        self.types(&original, &update, false);
                    }
                }
            }
            (false, false) => self.types(original, update, true),
            _ => self.add("FIELD_KIND_CHANGED"),
        }
    }

    fn types(&mut self, original: &FieldDescriptor, update: &FieldDescriptor, labels: bool) {
        match (original.kind(), update.kind()) {
            (Kind::Message(before), Kind::Message(after)) => self.named(&before, &after),
            (Kind::Message(_), _) | (_, Kind::Message(_)) => self.add("FIELD_KIND_CHANGED"),
            (before, after) if group(&before) != group(&after) => self.add("FIELD_SCALAR_KIND_CHANGED"),
            (before, _) => {
                let changed = match (label(original), label(update)) {
                    (Some(original), Some(update)) => labels && original != update,
                    _ => false,
                };
                if changed && group(&before) != "text" {
                    self.add("FIELD_NUMERIC_LABEL_CHANGED");
                }
            }
        }
    }

    /// Messages that are fields: of the same file they are compared where they are declared.
    fn named(&mut self, original: &MessageDescriptor, update: &MessageDescriptor) {
        if local_name(original) != local_name(update) {
            return self.add("FIELD_NAMED_TYPE_CHANGED");
        }
        let imported = |message: &MessageDescriptor| message.parent_file().name() != super::MAIN;
        if (imported(original) || imported(update))
            && original.descriptor_proto() != update.descriptor_proto()
        {
            let before = std::mem::take(&mut self.found);
            self.message(original, update);
            let found = std::mem::replace(&mut self.found, before);
            if found.iter().any(|(kind, _)| !HARMLESS.contains(kind)) {
                self.found.extend(found);
                self.add("FIELD_NAMED_TYPE_CHANGED");
            }
        }
    }
}

fn by_number(message: &MessageDescriptor) -> BTreeMap<u32, FieldDescriptor> {
    message.fields().map(|field| (field.number(), field)).collect()
}

fn oneof_of(field: &FieldDescriptor) -> Option<String> {
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    oneof.map(|oneof| oneof.name().to_owned())
}

/// The oneofs that are gone with all their fields.
fn deleted_oneofs(
    original: &MessageDescriptor,
    update: &MessageDescriptor,
    after: &BTreeMap<u32, FieldDescriptor>,
) -> Vec<String> {
    let kept = |name: &str| update.oneofs().any(|oneof| !oneof.is_synthetic() && oneof.name() == name);
    let gone = original.oneofs().filter(|oneof| {
        !oneof.is_synthetic()
            && !kept(oneof.name())
            && oneof.fields().all(|field| !after.contains_key(&field.number()))
    });
    gone.map(|oneof| oneof.name().to_owned()).collect()
}

/// The label as it stands in the text; proto3 has none for most fields.
fn label(field: &FieldDescriptor) -> Option<Label> {
    let descriptor = field.field_descriptor_proto();
    let implicit = field.parent_file().file_descriptor_proto().syntax() == "proto3"
        && descriptor.label() == Label::Optional
        && !descriptor.proto3_optional();
    (!implicit && oneof_of(field).is_none()).then(|| descriptor.label())
}

fn local_name(message: &MessageDescriptor) -> String {
    let name = message.full_name();
    let package = message.package_name();
    let local = name.strip_prefix(package).map(|name| name.trim_start_matches('.'));
    local.filter(|_| !package.is_empty()).unwrap_or(name).to_owned()
}

/// Types within a group have the same encoding.
fn group(kind: &Kind) -> &'static str {
    match kind {
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => "number",
        Kind::Sint32 | Kind::Sint64 => "signed",
        Kind::String | Kind::Bytes => "text",
        Kind::Fixed32 | Kind::Sfixed32 => "fixed32",
        Kind::Fixed64 | Kind::Sfixed64 => "fixed64",
        Kind::Float => "float",
        Kind::Double => "double",
        Kind::Message(_) => "message",
    }
}

fn sentence(kind: &str, path: &str) -> String {
    match kind {
        "PACKAGE_CHANGED" => {
            format!("The package at '{path}' in the %s schema does not match the package in the %s schema")
        }
        "MESSAGE_REMOVED" => {
            format!("The %s schema is missing a MESSAGE type at path '{path}' in the %s schema")
        }
        "FIELD_KIND_CHANGED" => {
            format!("The type of a field at path '{path}' in the %s schema does not match the %s schema")
        }
        "FIELD_SCALAR_KIND_CHANGED" => format!(
            "The kind of a SCALAR field at path '{path}' in the %s schema does not match its kind in the %s schema"
        ),
        "FIELD_NAMED_TYPE_CHANGED" => format!(
            "The type of a MESSAGE field at path '{path}' in the %s schema does not match its type in the %s schema"
        ),
        "FIELD_NUMERIC_LABEL_CHANGED" => format!(
            "The label for a NUMERIC field at path '{path}' in the %s schema does not match its label in the %s schema"
        ),
        "REQUIRED_FIELD_ADDED" => {
            format!("A required field  at path '{path}' in the %s schema is missing in the %s schema")
        }
        "REQUIRED_FIELD_REMOVED" => {
            format!("The %s schema is missing a required field at path: '{path}' in the %s schema")
        }
        "ONEOF_FIELD_REMOVED" => {
            format!("The %s schema is missing a oneof field at path '{path}' in the %s schema")
        }
        "MULTIPLE_FIELDS_MOVED_TO_ONEOF" => format!(
            "Multiple fields in the oneof at path '{path}' in the %s schema are outside a oneof in the %s schema"
        ),
        _ => format!(
            "A field in the oneof at path '{path}' in the %s schema is outside an existing oneof in the %s schema"
        ),
    }
}
