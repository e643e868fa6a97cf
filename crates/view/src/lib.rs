//! System tables over the ledger.
//!
//! Owns: the schema `system`, the rows of its tables as structs, the state of a hop. The only crate that turns facts
//! into Arrow. Does not own: the facts (`flowline-ledger`), what a running node knows beyond them ([`LiveStatus`] is
//! told), how any of it is drawn.

// What is shown.
mod tables;

// What it is worked out from.
mod facts;
mod flow;
mod live;
mod state;

// How it becomes a table.
mod error;
mod request;
mod row;
mod schema;
mod table;

pub use error::ViewError;
pub use live::{LakeTable, LiveStatus, LogPartition, OfflineStatus, QuarantinedRows};
pub use row::{SystemRow, rows};
pub use schema::system_schema;
pub use state::{HopFacts, HopState, WAITING_AFTER_SECONDS, hop_state};
pub use tables::attempts::AttemptRow;
pub use tables::checks::CheckRow;
pub use tables::columns::ColumnRow;
pub use tables::commits::CommitRow;
pub use tables::contracts::ContractRow;
pub use tables::counts::CountRow;
pub use tables::datasets::DatasetRow;
pub use tables::findings::FindingRow;
pub use tables::hops::HopRow;
pub use tables::lineage::LineageRow;
pub use tables::positions::PositionRow;
pub use tables::profiles::ProfileRow;
pub use tables::quarantine::QuarantineRow;
pub use tables::registry_changes::RegistryChangeRow;
pub use tables::runs::RunRow;
pub use tables::state::StateRow;
pub use tables::streams::StreamRow;
