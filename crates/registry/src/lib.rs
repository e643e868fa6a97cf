//! Schemas of records: their languages, versions and compatibility.
//!
//! Owns: what Avro, JSON Schema and Protobuf schemas say, whether one can read what another has written, the registry of
//! them (subjects, versions, identifiers, levels, modes) with the words and error codes that the clients of Confluent's
//! registry know, and the header that ties a record to its schema. The only crate that knows schema languages.
//! Does not own: HTTP (`flowline-serve`), other registries (`flowline-source`), where facts are stored
//! (`flowline-ledger`), what a record becomes in a table (`flowline-land`).

// What a schema is.
mod kind;
mod schema;

// The languages.
mod avro;
mod difference;
mod json;
mod protobuf;

// The registry.
mod change;
mod decide;
mod error;
mod registry;
mod state;
mod subject;

// Records.
mod known;
mod lookup;
mod members;
mod plan;
mod wire;
mod writer;

pub use decide::{
    CompatibilityAnswer, LookupRequest, RegisterRequest, SchemaRequest, SettingsRequest, VersionChoice,
};
pub use error::RegistryError;
pub use kind::{Level, Mode, SchemaKind};
pub use known::KnownFields;
pub use lookup::{FoundSchema, SchemaError, SchemaSource, WriterSchemas};
pub use registry::{Listing, Registry};
pub use schema::Reference;
pub use state::{RegisteredSchema, Settings, StoredSchema};
pub use wire::{Framed, Guid, HEADER_BYTES, MessagePath, SchemaKey};
pub use writer::WriterSchema;
