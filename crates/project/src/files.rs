//! The files that a user writes, one documented struct a kind.
//!
//! Owns: every key, what it takes and what it means to the user; the JSON Schemas and the reference document are
//! derived from here. Does not own: what must hold between keys and between files (`resolve`).

mod dataset;
mod kind;
mod project;

pub(crate) use dataset::{
    ColumnFile, CompatibilityWord, DatasetFile, EmitWord, FormatWord, LandingFile, LateWord, MaterializeWord,
    ModeWord, Origin, SloFile, ValidateWord, ZoneWord,
};
pub(crate) use kind::{DATASET, FileKind, PROJECT};
pub(crate) use project::{EnvironmentFile, LimitsFile, LogFile, ProjectFile, TeamFile};
