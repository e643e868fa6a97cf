//! Commits: what goes into the log, in which order, and who wins.

mod ensure;
mod info;
mod intent;
mod modes;
mod put;

pub(crate) use ensure::ensure;
pub(crate) use intent::{Change, Intent, run};
pub(crate) use modes::{add, commit, removal, staged_adds};
