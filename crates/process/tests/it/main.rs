//! How the SQL of projects is understood, run and kept up.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod adding;
mod audit;
mod candidate;
mod cases;
mod changed_checks;
mod check;
mod differential;
mod exactly_once;
mod in_log;
mod keys;
mod lineage;
mod queries;
mod removed;
mod slt;
mod stream;
mod support;
mod transforms;
mod upkeep;
mod windows;
