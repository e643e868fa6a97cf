//! Connectors: how records enter.
//!
//! Owns: splitting what arrives over HTTP ([`http`]), lies in a folder (`files`) or in a topic (`kafka`) into records,
//! without judging them, and asking the registries that others keep for their schemas (`registry`). The only crate that talks to outside systems of record.
//! Does not own: what a record must look like (`flowline-land` decodes and judges), where it is kept until then
//! (`flowline-log`), the HTTP server itself (`flowline-serve`).

pub mod arrow_ipc;
#[cfg(feature = "files")]
pub mod files;
pub mod http;
pub mod json;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod number;
#[cfg(feature = "registry")]
pub mod registry;
pub mod split;
