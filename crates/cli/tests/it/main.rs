//! The real binary, used and abused from outside: over HTTP, over the Postgres wire, by signals.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that unwraps fails as it should")]

mod auction;
mod clients;
mod commands;
mod contracts;
mod crash;
mod election;
mod kafka;
mod kept;
mod object_stores;
mod project;
mod quality;
mod real_data;
mod registry;
mod stream;
mod testing;
