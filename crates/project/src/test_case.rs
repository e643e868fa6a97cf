//! Tests of datasets, as a project declares them.

use std::path::PathBuf;

use flowline_model::DatasetName;
use serde_json::{Map, Value};

/// Rows that are given, and the rows that must come of them.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// What holds when it passes.
    pub name: String,
    /// The file that declares it, relative to the project.
    pub declared_in: String,
    /// The line of the file.
    pub line: u32,
    /// What arrives, step by step; each step is landed and transformed before the next.
    pub steps: Vec<Vec<Given>>,
    /// What must be there in the end.
    pub expected: Vec<Expected>,
}

/// Records of one dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Which.
    pub dataset: DatasetName,
    /// What arrives.
    pub records: Records,
}

/// Records as a producer would send them.
#[derive(Debug, Clone, PartialEq)]
pub enum Records {
    /// Written in the test itself.
    Rows(Vec<Map<String, Value>>),
    /// The contents of a file.
    File {
        /// The file, absolute.
        path: PathBuf,
        /// How it is written, as a media type.
        content_type: &'static str,
    },
}

/// What must be in one dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// Which.
    pub dataset: DatasetName,
    /// All its rows, in any order; columns that none of them names are not compared.
    pub rows: Option<Vec<Map<String, Value>>>,
    /// How many rows it has.
    pub count: Option<u64>,
    /// How many records are in quarantine.
    pub quarantined: Option<u64>,
    /// How many records were duplicates.
    pub duplicates: Option<u64>,
}
