//! The files that a user writes, one documented struct a kind.
//!
//! Owns: every key, what it takes and what it means to the user; the JSON Schemas and the reference document are
//! derived from here. Does not own: what must hold between keys and between files (`resolve`).

mod dataset;
mod kind;
mod project;
mod tests;

pub(crate) use dataset::{
    ColumnFile, CompatibilityWord, DatasetFile, EmitWord, FormatWord, KafkaFormatWord, LandingFile, LateWord,
    MaterializeWord, ModeWord, Origin, SloFile, StartWord, ValidateWord, ZoneWord,
};
pub(crate) use kind::{DATASET, FileKind, PROJECT, TESTS};
pub(crate) use project::{
    EnvironmentFile, KafkaFile, KafkaLogFile, LimitsFile, LogFile, ProjectFile, SaslFile, SaslWord, TeamFile,
    TlsFile,
};
pub(crate) use tests::{ExpectedFile, GivenFile, TestFile, TestsFile};
