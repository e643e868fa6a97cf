//! The system tables, one file each: the row, and how it is read from the ledger.

pub(crate) mod attempts;
pub(crate) mod checks;
pub(crate) mod columns;
pub(crate) mod commits;
pub(crate) mod contracts;
pub(crate) mod counts;
pub(crate) mod datasets;
pub(crate) mod findings;
pub(crate) mod hops;
pub(crate) mod lineage;
pub(crate) mod positions;
pub(crate) mod profiles;
pub(crate) mod quarantine;
pub(crate) mod registry_changes;
pub(crate) mod runs;
pub(crate) mod state;
pub(crate) mod streams;
