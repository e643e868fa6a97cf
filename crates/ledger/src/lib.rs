//! The durable record of facts.
//!
//! Owns: the trait [`Ledger`], its implementation over SQLite and PostgreSQL (one set of migrations), pruning. The
//! only crate that writes control-plane state. Does not own: what the facts mean (`flowline-model`), how they are
//! shown (`flowline-view`).

mod attempts;
mod catalog;
mod connect;
mod database;
mod dialect;
mod error;
mod facts;
mod fault;
mod files;
mod findings;
mod migrations;
mod positions;
mod record;
mod row;
mod runs;
mod sql_ledger;
mod standings;
mod totals;
mod upkeep;

pub use connect::{connect, sqlite_url};
pub use error::LedgerError;
pub use facts::{CatalogDataset, FindingFilter, LandedFile, Ledger, RecordedFinding, RunFilter, Standing};
