//! The registry from outside: against a ledger in memory, and in the words of its clients.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test that unwraps fails as it should")]

mod avro_oracle;
mod compatibility;
mod evolution;
mod hostile;
mod lifecycle;
mod records;
mod support;
