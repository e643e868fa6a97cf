//! What checks left beside a table that no check asks for any more.

use std::collections::BTreeSet;

use flowline_lake::{Lake, TableId};
use flowline_model::{CheckRule, Dataset};

use super::changed;
use super::keys::folder_of;
use super::queries::folder_of_sum;
use super::scan::answers;
use super::state::{FOLDER, ROWS_FOLDER};
use crate::ProcessError;

/// Deletes what was counted for checks that the dataset declares no more. Returns how many files. Lists one folder.
pub async fn sweep_check_state(lake: &Lake, dataset: &Dataset) -> Result<u64, ProcessError> {
    let table = lake.table(TableId::of(dataset));
    let failed = || format!("tidying what checks of `{}` counted", dataset.name);
    let mut files = table.list_beside(FOLDER).await.map_err(ProcessError::lake(failed()))?;
    let wanted = folders(dataset);
    let folder = |file: &str| file.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    files.retain(|file| !wanted.contains(&folder(file)));
    table.delete_beside(&files).await.map_err(ProcessError::lake(failed()))?;
    Ok(files.len() as u64)
}

/// The folders in which checks of the dataset keep what they count.
fn folders(dataset: &Dataset) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for check in &dataset.checks {
        if check.rule.by_row() {
            folders.extend([ROWS_FOLDER.to_owned(), changed::FOLDER.to_owned()]);
        } else if answers(&check.rule) {
            folders.insert(FOLDER.to_owned());
        }
        if let CheckRule::Reconcile { column: Some(column), with, with_column } = &check.rule {
            folders.insert(folder_of_sum(with, with_column.as_ref().unwrap_or(column)));
        }
        folders.extend(folder_of(check));
    }
    folders
}
