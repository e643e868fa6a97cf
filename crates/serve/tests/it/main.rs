//! The servers as their clients meet them: over sockets, above a log, a lake and a ledger that are real.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod access;
mod catalog;
mod flow;
mod ingest;
mod limits;
mod page;
mod postgres;
mod psql;
mod query;
mod registry;
mod routes;
mod support;
mod wire;
