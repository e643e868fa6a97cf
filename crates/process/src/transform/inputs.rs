//! What changed in the inputs of a transform since it read them last.

use flowline_lake::{Changes, Table};
use flowline_model::{DatasetName, InputRange};

use super::standing::{Standing, called};
use crate::{ProcessError, QueryEngine};

/// One input of a run.
#[derive(Debug)]
pub(crate) struct Input {
    /// The dataset.
    pub dataset: DatasetName,
    /// Its table.
    pub table: Table,
    /// The version that is in the transform's table; none when nothing of it is.
    pub consumed: Option<i64>,
    /// The version that this run brings the table to; none when there is no table yet.
    pub version: Option<i64>,
    /// What changed between the two; none when nothing could have.
    pub changes: Option<Changes>,
    /// The table is another one than that which was read, or is gone.
    pub replaced: bool,
    /// What it is called in positions: the dataset, and for a part of a divided stream also the partition.
    pub called: String,
}

impl Input {
    /// Whether rows came, went or changed.
    pub fn changed(&self) -> bool {
        self.replaced || self.changes.as_ref().is_some_and(|changes| !changes.is_empty())
    }

    /// Whether all that changed is in the files that were added.
    pub fn only_grew(&self) -> bool {
        !self.replaced && self.changes.as_ref().is_none_or(Changes::append_only)
    }

    /// Whether the files that came and went tell all that changed.
    pub fn told_by_files(&self) -> bool {
        let told = |changes: &Changes| !changes.unknown && !changes.removed_unknown;
        !self.replaced && self.changes.as_ref().is_none_or(told)
    }

    /// What the run reads of it; none when there is no table yet.
    pub fn range(&self) -> Option<InputRange> {
        let to = self.version?;
        Some(InputRange { input: self.called.clone(), from: self.consumed.unwrap_or(-1), to })
    }
}

/// The inputs of a hop as they stand now. Reads one small file for each version that is new.
pub(super) async fn inputs(
    engine: &QueryEngine,
    hop: &DatasetName,
    standing: &Standing,
) -> Result<Vec<Input>, ProcessError> {
    let mut inputs = Vec::new();
    for name in &engine.graph().inputs(hop).tables {
        let Some(dataset) = engine.project().dataset(name) else { continue };
        let table = engine.table(dataset);
        let reading = || format!("reading the changes of `{name}`");
        let version = table.refresh().await.map_err(ProcessError::lake(reading()))?;
        let consumed = standing.consumed.get(name).copied();
        let (mut changes, mut replaced) = (None, false);
        match (consumed, version) {
            (Some(consumed), Some(version)) if version < consumed => replaced = true,
            (Some(_), None) => replaced = true,
            (consumed, Some(version)) if consumed != Some(version) && standing.definition.is_some() => {
                let found = table.changes(consumed, version).await.map_err(ProcessError::lake(reading()))?;
                changes = Some(found);
            }
            _ => {}
        }
        let called = called(name, engine.part());
        inputs.push(Input { dataset: name.clone(), table, consumed, version, changes, replaced, called });
    }
    Ok(inputs)
}
