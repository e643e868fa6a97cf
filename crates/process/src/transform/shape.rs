//! The shape of a table that the parts of a divided stream write together.
//!
//! A table that takes other columns loses its rows, those of all parts. So that no part goes on from rows that are gone, such
//! a change moves the application id of the whole (`<dataset>/sql`), and each commit of a part says under which number of it
//! the part began. Runs of the stream when it is not divided move that number as well.

use flowline_lake::{CommitMode, LakeError, StagedFiles, Table, TableCommit, TableSpec};
use flowline_model::DatasetName;
use serde_json::json;

use super::standing::app_id;

/// How often the shape is looked at again when another part gave it in the same moment.
const ATTEMPTS: u32 = 4;

/// The number of the shape that a table has; none before it was ever given another one.
pub(super) async fn shape(table: &Table, dataset: &DatasetName) -> Result<Option<i64>, LakeError> {
    table.transaction_version(&app_id(dataset, None)).await
}

/// Gives a table this shape, with no rows, unless it has it; the number of its shape then.
pub(super) async fn reshape(
    table: &Table,
    dataset: &DatasetName,
    spec: &TableSpec,
) -> Result<Option<i64>, LakeError> {
    let mut attempt = 1;
    loop {
        let known = shape(table, dataset).await?;
        if table.fits(spec)? {
            return Ok(known);
        }
        let next = known.map_or(0, |known| known + 1);
        let commit = TableCommit {
            staged: StagedFiles::none(),
            elsewhere: Vec::new(),
            mode: CommitMode::OverwriteWith(spec.clone()),
            transaction: Some((app_id(dataset, None), next)),
            expected_transaction: Some(known),
            operation: "WRITE",
            info: json!({ "how": "the table takes another shape, and its parts are computed again" }),
        };
        match table.commit(commit).await {
            Ok(_) => return Ok(Some(next)),
            Err(LakeError::Fenced { .. } | LakeError::Conflict { .. }) if attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}
