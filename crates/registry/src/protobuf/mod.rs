//! Protocol Buffers.
//!
//! Owns: one form for a schema whether it came as a `.proto` text or as a descriptor in base64, which some clients send;
//! its comparison with another; records as JSON. Does not own: the compiler, which is `protox`.

mod bundled;
mod compare;
mod cost;
mod evolve;
mod options;
mod print;
mod undeclared;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use prost_reflect::{FileDescriptor, MessageDescriptor, SerializeOptions};
use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorProto};
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::difference::Difference;
use crate::schema::ResolvedReference;
use crate::wire::MessagePath;
use crate::writer::BoundedText;

pub(crate) use evolve::Evolution;

/// What the schema itself is called among its imports.
const MAIN: &str = "flowline/registered.proto";

/// How deep messages may be declared in each other.
const DEPTH_MAX: usize = 32;

/// A schema with everything that it imports.
#[derive(Debug)]
pub(crate) struct ProtobufSchema {
    file: FileDescriptor,
    /// The text as it came, where it cannot be made from the descriptor.
    verbatim: Option<String>,
    costs: cost::Costs,
}

impl ProtobufSchema {
    /// Parses a schema; `references` are its imports by their paths.
    pub(crate) fn parse(text: &str, references: &[ResolvedReference]) -> Result<Self, String> {
        let mut files = vec![(MAIN.to_owned(), file(MAIN, text)?)];
        for reference in references {
            files.push((reference.name.clone(), file(&reference.name, &reference.text)?));
        }
        let unprintable = undeclared::leave_out(&mut files) || has_groups(files[0].1.file_descriptor_proto());
        let verbatim = unprintable.then(|| text.trim().to_owned());
        let mut resolver = ChainFileResolver::new();
        resolver.add(Given { files });
        resolver.add(GoogleFileResolver::new());
        resolver.add(bundled::Bundled);
        let mut compiler = protox::Compiler::with_file_resolver(resolver);
        compiler.include_imports(true);
        compiler.open_file(MAIN).map_err(|error| error.to_string())?;
        let file = compiler.descriptor_pool().get_file_by_name(MAIN);
        let file = file.ok_or("the schema was not compiled")?;
        Ok(Self { costs: cost::Costs::of(file.parent_pool()), file, verbatim })
    }

    /// The text that the schema is known by.
    pub(crate) fn canonical(&self, normalize: bool) -> String {
        match &self.verbatim {
            Some(text) => text.clone(),
            None => print::print(&self.file, normalize),
        }
    }

    /// The descriptor in base64, for clients that ask for it.
    pub(crate) fn serialized(&self) -> String {
        STANDARD.encode(self.file.file_descriptor_proto().encode_to_vec())
    }

    pub(crate) fn name(&self) -> Option<String> {
        self.file.messages().next().map(|message| message.full_name().to_owned())
    }

    /// What keeps this schema from reading what `writer` has written.
    pub(crate) fn cannot_read(&self, writer: &ProtobufSchema) -> Vec<Difference> {
        compare::differences(&writer.file, &self.file)
    }

    /// Appends the message in these bytes as JSON: field names as declared, values without presence always, the others
    /// when they are set. What it takes stays within the bounds of `cost`, and the text within `TEXT_BYTES_MAX`.
    pub(crate) fn write_message(
        &self,
        message: MessageDescriptor,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let record = self.costs.decode(message, bytes)?;
        let options = SerializeOptions::new()
            .use_proto_field_name(true)
            .skip_default_fields(false)
            .stringify_64_bit_integers(false);
        let mut serializer = serde_json::Serializer::new(BoundedText::new(out));
        record.serialize_with_options(&mut serializer, &options).map_err(|error| error.to_string())
    }

    /// The message that the indexes in front of a record lead to.
    pub(crate) fn message(&self, path: &MessagePath) -> Result<MessageDescriptor, String> {
        let missing = || format!("the schema has no message at {path}");
        let (first, rest) = path.indexes().split_first().ok_or_else(missing)?;
        let mut message = self.file.messages().nth(*first).ok_or_else(missing)?;
        for index in rest {
            let child = message.child_messages().nth(*index);
            // The entries of maps have numbers among the messages, and are none that anyone sends.
            message = child.filter(|child| !child.is_map_entry()).ok_or_else(missing)?;
        }
        Ok(message)
    }
}

/// The file of this text, whichever of the two forms it has.
fn file(name: &str, text: &str) -> Result<File, String> {
    let compact: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let descriptor = STANDARD.decode(compact).ok().filter(|bytes| !bytes.is_empty());
    if let Some(bytes) = descriptor
        && let Ok(mut descriptor) = FileDescriptorProto::decode(bytes.as_slice())
    {
        descriptor.name = Some(name.to_owned());
        descriptor.source_code_info = None;
        if depth(&descriptor.message_type) > DEPTH_MAX {
            return Err(too_deep());
        }
        return Ok(File::from_file_descriptor_proto(descriptor));
    }
    // What is parsed is as deep as it has braces open at once; nothing else holds the parser back.
    let mut open = 0usize;
    for byte in text.bytes() {
        match byte {
            b'{' | b'[' | b'<' | b'(' => open += 1,
            b'}' | b']' | b'>' | b')' => open = open.saturating_sub(1),
            _ => {}
        }
        if open > DEPTH_MAX {
            return Err(too_deep());
        }
    }
    File::from_source(name, text).map_err(|error| error.to_string())
}

fn too_deep() -> String {
    format!("messages are declared in each other deeper than {DEPTH_MAX} levels")
}

fn depth(messages: &[DescriptorProto]) -> usize {
    messages.iter().map(|message| 1 + depth(&message.nested_type)).max().unwrap_or(0)
}

/// Whether something is declared that cannot be printed again: groups, and what editions have instead of a syntax.
fn has_groups(file: &FileDescriptorProto) -> bool {
    fn any(messages: &[DescriptorProto]) -> bool {
        messages.iter().any(|message| {
            let group =
                message.field.iter().chain(&message.extension).any(|field| field.r#type() == Type::Group);
            group || any(&message.nested_type)
        })
    }
    let group = file.extension.iter().any(|field| field.r#type() == Type::Group);
    group || any(&file.message_type) || !matches!(file.syntax(), "" | "proto2" | "proto3")
}

/// The schema and its references.
struct Given {
    files: Vec<(String, File)>,
}

impl FileResolver for Given {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let found = self.files.iter().find(|(known, _)| known == name);
        found.map(|(_, file)| file.clone()).ok_or_else(|| protox::Error::file_not_found(name))
    }
}
