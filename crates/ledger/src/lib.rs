//! The durable record of facts.
//!
//! Owns: the trait [`Ledger`], its implementation over SQLite and PostgreSQL (one set of migrations), pruning. The
//! only crate that writes control-plane state. Does not own: what the facts mean (`flowline-model`), how they are
//! shown (`flowline-view`).

mod connect;
mod error;
mod facts;

pub use connect::connect;
pub use error::LedgerError;
pub use facts::{CatalogDataset, FindingFilter, LandedFile, Ledger, RecordedFinding, RunFilter, Standing};
