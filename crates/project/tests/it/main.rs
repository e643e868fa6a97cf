//! Projects as their users write them, right and wrong.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod any_bytes;
mod checks;
mod columns;
mod consumers;
mod dataset;
mod environment;
mod folder;
mod in_log;
mod kafka;
mod reference;
mod support;
mod template;
mod whole;
mod write;
