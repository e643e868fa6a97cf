//! The Delta log as Flowline reads and writes it: actions, the state that they add up to, statistics, values.
//!
//! The log is read and written here and not through `deltalake_core`'s commit builder, because that one lists the log
//! folder twice and replays the active files for every commit, so that a commit's cost grows with the table's history,
//! and because it takes a write that failed after it was done for a failure. Its checkpoints, its log cleanup and its
//! schema types are used as they are.

pub(crate) mod actions;
pub(crate) mod load;
pub(crate) mod protocol;
pub(crate) mod schema;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod values;
