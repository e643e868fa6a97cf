//! The durable record of facts.
//!
//! Owns: the trait [`Ledger`], its implementation over SQLite and PostgreSQL (one set of migrations), pruning. The
//! only crate that writes control-plane state. Does not own: what the facts mean (`flowline-model`), how they are
//! shown (`flowline-view`).

// What is promised, and what holds the promise.
pub mod contract;
mod error;
mod facts;

// One file a kind of fact, all behind `sql_ledger`.
mod attempts;
mod catalog;
mod checks;
mod contracts;
mod declared;
mod files;
mod findings;
mod positions;
mod profiles;
mod record;
mod registry;
mod runs;
mod sql_ledger;
mod standings;
mod totals;
mod upkeep;

// The databases.
mod connect;
mod database;
mod dialect;
mod fault;
mod migrations;
mod row;

#[cfg(test)]
mod plans;

pub use connect::{connect, sqlite_url};
pub use error::LedgerError;
pub use facts::{
    CatalogDataset, CheckFilter, FindingFilter, LandedFile, Ledger, ProfileFilter, ProfilePlace,
    RecordedFinding, RunFilter, Standing,
};
