//! Custom options that nothing declares. Registries of Confluent's kind take them, since the file that declares them is
//! often one of a code generator and never registered; the compiler does not. They say nothing about records, so they
//! are left out of what is compiled, and the schema is known by its text as it came.

use std::collections::BTreeSet;

use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption,
};
use protox::file::{File, FileResolver};

use super::bundled::Bundled;

/// Takes what is not declared out of these files, each of which sees what all declare; whether the first had some.
pub(super) fn leave_out(files: &mut [(String, File)]) -> bool {
    let declared = Declared::of(files);
    let mut found = false;
    for (index, (_, file)) in files.iter_mut().enumerate() {
        let mut descriptor = file.file_descriptor_proto().clone();
        if declared.sift_file(&mut descriptor) {
            found |= index == 0;
            *file = File::from_file_descriptor_proto(descriptor);
        }
    }
    found
}

/// The full names of all extensions.
struct Declared(BTreeSet<String>);

impl Declared {
    fn of(files: &[(String, File)]) -> Self {
        let mut names = BTreeSet::new();
        for (_, file) in files {
            let descriptor = file.file_descriptor_proto();
            collect(descriptor, &mut names);
            let bundled = descriptor.dependency.iter().filter_map(|path| Bundled.open_file(path).ok());
            bundled.for_each(|file| collect(file.file_descriptor_proto(), &mut names));
        }
        Self(names)
    }

    /// Whether an option's name, written within `scope`, leads to an extension: looked up from the inside out.
    fn has(&self, name: &str, scope: &str) -> bool {
        if let Some(full) = name.strip_prefix('.') {
            return self.0.contains(full);
        }
        let mut scope = Some(scope);
        while let Some(outer) = scope {
            if self.0.contains(&joined(outer, name)) {
                return true;
            }
            scope = match outer {
                "" => None,
                outer => Some(outer.rsplit_once('.').map_or("", |(outer, _)| outer)),
            };
        }
        false
    }

    fn sift(&self, options: Option<&mut Vec<UninterpretedOption>>, scope: &str) -> bool {
        let Some(options) = options else { return false };
        let before = options.len();
        options.retain(|option| match option.name.first() {
            Some(part) if part.is_extension => self.has(&part.name_part, scope),
            _ => true,
        });
        options.len() < before
    }

    fn sift_file(&self, file: &mut FileDescriptorProto) -> bool {
        let scope = file.package().to_owned();
        let mut found = self.sift(file.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
        for message in &mut file.message_type {
            found |= self.sift_message(message, &scope);
        }
        for declared in &mut file.enum_type {
            found |= self.sift_enum(declared, &scope);
        }
        found |= self.sift_fields(&mut file.extension, &scope);
        for service in &mut file.service {
            found |= self.sift(service.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
            for method in &mut service.method {
                found |= self.sift(method.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
            }
        }
        found
    }

    fn sift_message(&self, message: &mut DescriptorProto, outer: &str) -> bool {
        let scope = joined(outer, message.name());
        let mut found = self.sift(message.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
        found |= self.sift_fields(&mut message.field, &scope);
        found |= self.sift_fields(&mut message.extension, &scope);
        for oneof in &mut message.oneof_decl {
            found |= self.sift(oneof.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
        }
        for range in &mut message.extension_range {
            found |= self.sift(range.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
        }
        for declared in &mut message.enum_type {
            found |= self.sift_enum(declared, &scope);
        }
        for inner in &mut message.nested_type {
            found |= self.sift_message(inner, &scope);
        }
        found
    }

    fn sift_fields(&self, fields: &mut [FieldDescriptorProto], scope: &str) -> bool {
        fields.iter_mut().fold(false, |found, field| {
            found | self.sift(field.options.as_mut().map(|one| &mut one.uninterpreted_option), scope)
        })
    }

    fn sift_enum(&self, declared: &mut EnumDescriptorProto, outer: &str) -> bool {
        let scope = joined(outer, declared.name());
        let mut found = self.sift(declared.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
        for value in &mut declared.value {
            found |= self.sift(value.options.as_mut().map(|one| &mut one.uninterpreted_option), &scope);
        }
        found
    }
}

fn collect(file: &FileDescriptorProto, names: &mut BTreeSet<String>) {
    fn nested(message: &DescriptorProto, outer: &str, names: &mut BTreeSet<String>) {
        let scope = joined(outer, message.name());
        names.extend(message.extension.iter().map(|extension| joined(&scope, extension.name())));
        message.nested_type.iter().for_each(|inner| nested(inner, &scope, names));
    }
    let package = file.package();
    names.extend(file.extension.iter().map(|extension| joined(package, extension.name())));
    file.message_type.iter().for_each(|message| nested(message, package, names));
}

fn joined(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}
