//! The files that a user writes, one documented struct a kind.
//!
//! Owns: every key, what it takes and what it means to the user; the JSON Schemas and the reference document are
//! derived from here. Does not own: what must hold between keys and between files (`resolve`).

mod checks;
mod consumer;
mod dataset;
mod kind;
mod project;
mod tests;

pub(crate) use checks::{CheckFile, MethodWord, MetricWord, SeasonWord, SeverityWord};
pub(crate) use consumer::{ConsumerFile, ConsumerWord};
pub(crate) use dataset::{
    ColumnFile, CompatibilityWord, DatasetFile, EmitWord, FormatWord, KafkaFormatWord, KeepWord, LandingFile,
    LateWord, MaterializeWord, ModeWord, OnDriftWord, Origin, SloFile, StartWord, ValidateWord, ZoneWord,
};
pub(crate) use kind::{CONSUMER, DATASET, FileKind, PROJECT, TESTS};
pub(crate) use project::{
    EnvironmentFile, KafkaFile, KafkaLogFile, LimitsFile, LogFile, ProjectFile, SaslFile, SaslWord, TeamFile,
    TlsFile,
};
pub(crate) use tests::{ExpectedFile, GivenFile, TestFile, TestsFile};
