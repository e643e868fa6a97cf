//! Commits that read what they replace: delete, merge, compaction.

mod compact;
mod delete;
mod merge;
mod pass;

pub(crate) use compact::{compact, joinable};
pub(crate) use delete::delete_where;
pub use merge::StagedMerge;
pub(crate) use merge::{commit_merge, stage_merge};
