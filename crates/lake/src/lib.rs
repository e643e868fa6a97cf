//! Delta tables on object storage: append, merge, replace, read, compact, retain, travel in time.
//!
//! Owns: how rows become Parquet files and commits ([`Table`], [`StagedWriter`]), where tables lie ([`TableId`]), what
//! contract columns are in Arrow ([`arrow_types`]), every access to object storage ([`FileStore`] for the files of
//! sources), leases of what only one may do ([`Lease`]), rows as JSON ([`json_rows`]), and the faults that tests inject
//! there ([`faults`]). The only crate that knows Delta and object storage.
//! Does not own: which rows are written or when (`flowline-land`, `flowline-process`), what a query means.

mod error;
mod id;
mod types;

pub mod arrow_types;
mod lake;
mod lease;
mod table;

mod commit;
mod delta;
mod elsewhere;
mod history;
mod read;
mod rewrite;
mod upkeep;
mod write;

pub mod faults;
mod files;
mod json_rows;
mod store;

pub use elsewhere::{Kept, OffsetRange, RowsElsewhere};
pub use error::LakeError;
pub use files::{FileEntry, FileStore};
pub use id::{TableId, TableKind};
pub use json_rows::json_rows;
pub use lake::{Lake, LakeSettings};
pub use lease::{LEASE_BEAT_EVERY, LEASE_EXPIRES, Lease, LeaseHolder, LeaseStanding};
pub use rewrite::StagedMerge;
pub use table::Table;
pub use types::{
    Changes, CommitMode, Committed, CompactOptions, FileRef, HistoryEntry, PartitionValues, ReadAt,
    TableCommit, TableRead, TableSpec, TableStats, WritePurpose, WriterOptions,
};
pub use write::{StagedFiles, StagedWriter, extremes};

/// The column of [`Table::provider_of_versions`] that says since when a row was there; the smallest time there is when
/// that is before what is kept.
pub const VALID_FROM: &str = "_valid_from";
/// The column of [`Table::provider_of_versions`] that says from when on a row was no longer there; the greatest time there
/// is for one that is.
pub const VALID_TO: &str = "_valid_to";

/// How long `vacuum` keeps files that no version needs: long enough for time travel over a week, and for any writer
/// to commit what it has staged.
pub const VACUUM_KEEP: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);
