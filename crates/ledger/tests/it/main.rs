//! The ledger over real databases.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod crash;
mod growth;
mod interleaving;
mod opening;
mod postgres;
mod sqlite;
