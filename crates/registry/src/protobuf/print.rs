//! A descriptor as a `.proto` text: the one by which a Protobuf schema is known.

use std::fmt::Write as _;

use prost_reflect::{
    DynamicMessage, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor,
    OneofDescriptor,
};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};

use super::options::{options, quoted};

/// The text of a file; normalized, the order in which things were declared makes no difference where it means nothing.
pub(super) fn print(file: &FileDescriptor, normalize: bool) -> String {
    let descriptor = file.file_descriptor_proto();
    let mut printer = Printer {
        out: String::new(),
        indent: 0,
        normalize,
        proto3: descriptor.syntax() == "proto3",
        hidden: hidden(file),
    };
    printer.line(format_args!("syntax = \"{}\";", if printer.proto3 { "proto3" } else { "proto2" }));
    if !descriptor.package().is_empty() {
        printer.line(format_args!("package {};", descriptor.package()));
    }
    printer.imports(descriptor);
    let declared = options(&file.options());
    if !declared.is_empty() {
        printer.blank();
        printer.options(&declared);
    }
    let mut messages: Vec<MessageDescriptor> = file.messages().collect();
    let mut enums: Vec<EnumDescriptor> = file.enums().collect();
    let mut extensions: Vec<ExtensionDescriptor> = file.extensions().collect();
    if normalize {
        enums.sort_by(|a, b| a.name().cmp(b.name()));
        extensions.sort_by_key(|extension| {
            (extension.containing_message().full_name().to_owned(), extension.number())
        });
    }
    for message in messages.drain(..) {
        printer.blank();
        printer.message(&message);
    }
    for declared in &enums {
        printer.blank();
        printer.enumeration(declared);
    }
    for extension in &extensions {
        printer.blank();
        printer.extension(extension);
    }
    for service in file.services() {
        printer.blank();
        printer.line(format_args!("service {} {{", service.name()));
        printer.indent += 1;
        printer.options(&options(&service.options()));
        for method in service.methods() {
            let stream = |streams| if streams { "stream " } else { "" };
            let (from, to) = (stream(method.is_client_streaming()), stream(method.is_server_streaming()));
            let input = printer.reference(method.input().full_name());
            let output = printer.reference(method.output().full_name());
            let text = format!("rpc {} ({from}{input}) returns ({to}{output})", method.name());
            let declared = options(&method.options());
            if declared.is_empty() {
                printer.line(format_args!("{text};"));
            } else {
                printer.line(format_args!("{text} {{"));
                printer.indent += 1;
                printer.options(&declared);
                printer.close();
            }
        }
        printer.close();
    }
    printer.out
}

/// First parts of names that would be looked up nearer by, were they not marked as full.
fn hidden(file: &FileDescriptor) -> Vec<String> {
    fn nested(message: &DescriptorProto, hidden: &mut Vec<String>) {
        for inner in &message.nested_type {
            hidden.push(inner.name().to_owned());
            nested(inner, hidden);
        }
        hidden.extend(message.enum_type.iter().map(|inner| inner.name().to_owned()));
    }
    let descriptor = file.file_descriptor_proto();
    let mut hidden: Vec<String> = descriptor.package().split('.').skip(1).map(str::to_owned).collect();
    descriptor.message_type.iter().for_each(|message| nested(message, &mut hidden));
    if !descriptor.package().is_empty() {
        let top = descriptor.message_type.iter().map(|message| message.name().to_owned());
        hidden.extend(top.chain(descriptor.enum_type.iter().map(|one| one.name().to_owned())));
    }
    hidden
}

struct Printer {
    out: String,
    indent: usize,
    normalize: bool,
    proto3: bool,
    hidden: Vec<String>,
}

impl Printer {
    fn line(&mut self, text: std::fmt::Arguments<'_>) {
        for _ in 0..self.indent {
            self.out.push_str("  ");
        }
        // Writing to a text cannot fail.
        let _ = self.out.write_fmt(text);
        self.out.push('\n');
    }

    fn blank(&mut self) {
        self.out.push('\n');
    }

    fn close(&mut self) {
        self.indent -= 1;
        self.line(format_args!("}}"));
    }

    fn imports(&mut self, descriptor: &prost_types::FileDescriptorProto) {
        let mut imports: Vec<String> = Vec::new();
        for (index, path) in (0..).zip(&descriptor.dependency) {
            let word = if descriptor.public_dependency.contains(&index) {
                "public "
            } else if descriptor.weak_dependency.contains(&index) {
                "weak "
            } else {
                ""
            };
            imports.push(format!("import {word}{};", quoted(path.as_bytes())));
        }
        if self.normalize {
            imports.sort();
        }
        if !imports.is_empty() {
            self.blank();
        }
        imports.iter().for_each(|import| self.line(format_args!("{import}")));
    }

    fn options(&mut self, options: &[(String, String)]) {
        for (name, value) in options {
            self.line(format_args!("option {name} = {value};"));
        }
    }

    /// A full name as it is written here.
    fn reference(&self, full: &str) -> String {
        let full = full.trim_start_matches('.');
        let first = full.split('.').next().unwrap_or(full);
        if self.hidden.iter().any(|name| name == first) { format!(".{full}") } else { full.to_owned() }
    }

    fn message(&mut self, message: &MessageDescriptor) {
        let descriptor = message.descriptor_proto();
        self.line(format_args!("message {} {{", message.name()));
        self.indent += 1;
        self.options(&options(&message.options()));
        self.reserved(
            descriptor.reserved_range.iter().map(|range| (range.start(), range.end() - 1)),
            &descriptor.reserved_name,
        );
        let mut fields: Vec<FieldDescriptor> = message.fields().collect();
        // `fields()` is in the order of numbers; the declaration has its own.
        if !self.normalize {
            let place =
                |number: u32| descriptor.field.iter().position(|field| field.number() as u32 == number);
            fields.sort_by_key(|field| place(field.number()));
        }
        let mut done: Vec<String> = Vec::new();
        for field in &fields {
            match field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) {
                None => self.field(field.field_descriptor_proto(), &field.options(), message),
                Some(oneof) if done.iter().any(|name| name == oneof.name()) => {}
                Some(oneof) => {
                    done.push(oneof.name().to_owned());
                    self.oneof(&oneof, &fields, message);
                }
            }
        }
        let ranges: Vec<String> =
            descriptor.extension_range.iter().map(|range| span(range.start(), range.end() - 1)).collect();
        if !ranges.is_empty() {
            self.line(format_args!("extensions {};", ranges.join(", ")));
        }
        for inner in message.child_messages().filter(|inner| !inner.is_map_entry()) {
            self.message(&inner);
        }
        for inner in message.child_enums() {
            self.enumeration(&inner);
        }
        for extension in message.child_extensions() {
            self.extension(&extension);
        }
        self.close();
    }

    fn reserved(&mut self, ranges: impl Iterator<Item = (i32, i32)>, names: &[String]) {
        let ranges: Vec<String> = ranges.map(|(from, to)| span(from, to)).collect();
        if !ranges.is_empty() {
            self.line(format_args!("reserved {};", ranges.join(", ")));
        }
        let names: Vec<String> = names.iter().map(|name| quoted(name.as_bytes())).collect();
        if !names.is_empty() {
            self.line(format_args!("reserved {};", names.join(", ")));
        }
    }

    fn oneof(&mut self, oneof: &OneofDescriptor, fields: &[FieldDescriptor], message: &MessageDescriptor) {
        self.line(format_args!("oneof {} {{", oneof.name()));
        self.indent += 1;
        self.options(&options(&oneof.options()));
        for field in fields {
            if field.containing_oneof().is_some_and(|other| other.name() == oneof.name()) {
                let text = self.field_text(field.field_descriptor_proto(), &field.options(), message, true);
                self.line(format_args!("{text}"));
            }
        }
        self.close();
    }

    fn field(&mut self, field: &FieldDescriptorProto, set: &DynamicMessage, message: &MessageDescriptor) {
        let text = self.field_text(field, set, message, false);
        self.line(format_args!("{text}"));
    }

    fn field_text(
        &self,
        field: &FieldDescriptorProto,
        set: &DynamicMessage,
        message: &MessageDescriptor,
        in_oneof: bool,
    ) -> String {
        let entry = message.child_messages().find(|inner| {
            inner.is_map_entry() && field.type_name().trim_start_matches('.') == inner.full_name()
        });
        let head = match entry {
            Some(entry) => {
                let part = |number| {
                    let field = entry.get_field(number);
                    field.map(|field| self.type_name(field.field_descriptor_proto())).unwrap_or_default()
                };
                format!("map<{}, {}>", part(1), part(2))
            }
            None => {
                let label = match field.label() {
                    _ if in_oneof => "",
                    Label::Repeated => "repeated ",
                    Label::Required => "required ",
                    Label::Optional if self.proto3 && !field.proto3_optional() => "",
                    Label::Optional => "optional ",
                };
                format!("{label}{}", self.type_name(field))
            }
        };
        format!("{head} {} = {}{};", field.name(), field.number(), self.field_options(field, set))
    }

    fn field_options(&self, field: &FieldDescriptorProto, set: &DynamicMessage) -> String {
        let mut parts = Vec::new();
        if let Some(default) = &field.default_value {
            let text = match field.r#type() {
                Type::String => quoted(default.as_bytes()),
                // Kept escaped in descriptors.
                Type::Bytes => format!("\"{default}\""),
                _ => default.clone(),
            };
            parts.push(format!("default = {text}"));
        }
        if field.json_name.as_ref().is_some_and(|name| *name != json_name(field.name())) {
            parts.push(format!("json_name = {}", quoted(field.json_name().as_bytes())));
        }
        parts.extend(options(set).into_iter().map(|(name, value)| format!("{name} = {value}")));
        if parts.is_empty() { String::new() } else { format!(" [{}]", parts.join(", ")) }
    }

    fn type_name(&self, field: &FieldDescriptorProto) -> String {
        let word = match field.r#type() {
            Type::Double => "double",
            Type::Float => "float",
            Type::Int64 => "int64",
            Type::Uint64 => "uint64",
            Type::Int32 => "int32",
            Type::Fixed64 => "fixed64",
            Type::Fixed32 => "fixed32",
            Type::Bool => "bool",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Uint32 => "uint32",
            Type::Sfixed32 => "sfixed32",
            Type::Sfixed64 => "sfixed64",
            Type::Sint32 => "sint32",
            Type::Sint64 => "sint64",
            Type::Group | Type::Message | Type::Enum => return self.reference(field.type_name()),
        };
        word.to_owned()
    }

    fn enumeration(&mut self, declared: &EnumDescriptor) {
        let descriptor: &EnumDescriptorProto = declared.enum_descriptor_proto();
        self.line(format_args!("enum {} {{", declared.name()));
        self.indent += 1;
        self.options(&options(&declared.options()));
        // Ranges of enumerations hold their ends.
        self.reserved(
            descriptor.reserved_range.iter().map(|range| (range.start(), range.end())),
            &descriptor.reserved_name,
        );
        // `values()` is in the order of numbers, and says nothing of the order of those that share one.
        for value in &descriptor.value {
            let value = declared.values().find(|known| known.name() == value.name());
            let Some(value) = value else { continue };
            let set = options(&value.options());
            let set: Vec<String> = set.into_iter().map(|(name, value)| format!("{name} = {value}")).collect();
            let set = if set.is_empty() { String::new() } else { format!(" [{}]", set.join(", ")) };
            self.line(format_args!("{} = {}{set};", value.name(), value.number()));
        }
        self.close();
    }

    fn extension(&mut self, extension: &ExtensionDescriptor) {
        let extended = self.reference(extension.containing_message().full_name());
        self.line(format_args!("extend {extended} {{"));
        self.indent += 1;
        let field = extension.field_descriptor_proto();
        let text = self.field_text(field, &extension.options(), &extension.containing_message(), false);
        self.line(format_args!("{text}"));
        self.close();
    }
}

/// A range of numbers as it is written.
fn span(from: i32, to: i32) -> String {
    match to {
        _ if from == to => from.to_string(),
        536_870_911 | i32::MAX => format!("{from} to max"),
        to => format!("{from} to {to}"),
    }
}

/// The name in JSON that a field has when nothing is said.
fn json_name(name: &str) -> String {
    let (mut out, mut upper) = (String::new(), false);
    for character in name.chars() {
        match character {
            '_' => upper = true,
            c if upper => {
                out.push(c.to_ascii_uppercase());
                upper = false;
            }
            c => out.push(c),
        }
    }
    out
}
