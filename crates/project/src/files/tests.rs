//! `tests/*.yaml`.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::value::{FilePath, Items, Written};

/// Tests of datasets: rows that are given, and the rows that must come of them. `flowline test` runs them in a lake of
/// their own.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "tests/*.yaml")]
pub(crate) struct TestsFile {
    /// What they are about.
    #[expect(dead_code, reason = "for whoever reads the file")]
    pub description: Option<String>,
    /// The tests, each with a lake of its own.
    #[schemars(required)]
    pub tests: Option<Items<TestFile>>,
}

/// One test.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestFile {
    /// What holds when it passes, in a few words.
    #[schemars(required, length(min = 1))]
    pub name: Option<String>,
    /// What arrives, step by step; each step is landed and transformed before the next. A dataset that is given is a
    /// source in the test, whatever it is otherwise; one that is needed and not given is empty.
    #[serde(default)]
    pub given: Items<BTreeMap<String, GivenFile>>,
    /// What must be there in the end, by dataset.
    #[schemars(required)]
    pub expect: Option<BTreeMap<String, ExpectedFile>>,
}

/// Records of one dataset.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenFile {
    /// The records, as a producer would send them.
    #[serde(default)]
    pub rows: Items<RowFile>,
    /// A file of records in the project: `.csv`, `.json`, `.ndjson` or `.arrow`.
    pub file: Option<Written<FilePath>>,
}

/// What must be in one dataset.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectedFile {
    /// Its rows, all of them, in any order. Columns that no row names are not compared; one that only some rows name is
    /// null in the others.
    pub rows: Option<Items<RowFile>>,
    /// How many rows it has, where they are not listed.
    pub count: Option<u64>,
    /// How many records of it are in quarantine.
    pub quarantined: Option<u64>,
    /// How many of its records were duplicates.
    pub duplicates: Option<u64>,
}

/// One row: a value a column. Its values are read from the document, where a null is not an absent key.
#[derive(Deserialize)]
pub(crate) struct RowFile {}

impl JsonSchema for RowFile {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "row".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "description": "One row: a value a column." })
    }
}
