//! The lake on local folders, and under faults.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]
#![allow(missing_docs, reason = "tests")]

mod append;
mod changes;
mod compact;
mod elsewhere;
mod faults;
mod files;
mod lease;
mod log;
mod merge;
mod partitions;
mod readers;
mod schema;
mod support;
mod time_travel;
