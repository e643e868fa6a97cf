//! Checks of single rows that are new or were changed: each row is held against them when it is written, and those that
//! are in the table already never were. So they are evaluated over the whole table once.
//!
//! Which ones were is said by files beside the table, `_checks/rows/<digest of the check>`: a check that was changed back
//! is new as well.

use std::collections::BTreeSet;

use flowline_lake::{Table, TableId};
use flowline_model::{Check, CheckResult, Dataset, DatasetName, Verdict};
use sha2::{Digest, Sha256};

use super::{Auditor, Scope, Subject};
use crate::ProcessError;
use crate::sql::on_large_stack;

/// The folder with a file for each check that was evaluated over the table.
pub(super) const FOLDER: &str = "_checks/rows";

impl Auditor {
    /// Evaluates those checks of single rows over the newest version of a table that were declared or changed since this
    /// was done last, and records what they say. None while there is no table.
    ///
    /// # Errors
    /// When the dataset is not known, or the table or the ledger cannot be read or written.
    pub async fn run_changed(&self, dataset: &DatasetName) -> Result<Option<Vec<CheckResult>>, ProcessError> {
        let dataset =
            self.engine.project().dataset(dataset).ok_or_else(|| ProcessError::NoDataset(dataset.clone()))?;
        let table = self.engine.lake().table(TableId::of(dataset));
        let failed = || ProcessError::lake(format!("reading `{}`", dataset.name));
        if !dataset.materialized() || table.refresh().await.map_err(failed())?.is_none() {
            return Ok(None);
        }
        let known: BTreeSet<String> =
            table.list_beside(FOLDER).await.map_err(failed())?.into_iter().collect();
        let by_row = dataset.checks.iter().filter(|check| check.rule.by_row());
        let declared: Vec<(&Check, String)> = by_row.map(|check| (check, marker(check, &table))).collect();
        let new: Vec<&Check> =
            declared.iter().filter(|(_, marker)| !known.contains(marker)).map(|(check, _)| *check).collect();
        let results = on_large_stack(self.over_the_table(dataset, &new)).await?;
        self.ledger.record_checks(&results).await?;
        // One that could not be evaluated is tried again.
        let told = |check: &Check| {
            !results
                .iter()
                .any(|result| result.check == check.name && result.verdict == Verdict::NotEvaluated)
        };
        let new = declared.iter().filter(|(check, marker)| !known.contains(marker) && told(check));
        let new: Vec<&String> = new.map(|(_, marker)| marker).collect();
        let old = known.iter().filter(|known| !declared.iter().any(|(_, marker)| marker == *known));
        let old: Vec<String> = old.cloned().collect();
        for marker in new {
            table.put_beside(marker, bytes::Bytes::new()).await.map_err(failed())?;
        }
        table.delete_beside(&old).await.map_err(failed())?;
        Ok(Some(results))
    }

    /// What the checks say of all rows. What is counted is not kept: the next audit counts something else.
    async fn over_the_table(
        &self,
        dataset: &Dataset,
        checks: &[&Check],
    ) -> Result<Vec<CheckResult>, ProcessError> {
        if checks.is_empty() {
            return Ok(Vec::new());
        }
        let Subject { provider, version, rows, .. } = self.subject(dataset).await?;
        let subject = Subject { rows, ..Subject::unversioned(provider) };
        let mut results = self.audit(dataset, Scope::All, checks, &subject).await;
        results.iter_mut().for_each(|result| result.version = version);
        Ok(results)
    }
}

/// The file that says that a check was evaluated over this table.
fn marker(check: &Check, table: &Table) -> String {
    let log_id = table.log_id().unwrap_or_default();
    let Check { name, severity, tolerance, rule, .. } = check;
    let told = format!("{log_id} {name} {severity:?} {tolerance} {rule:?}");
    let digest = Sha256::digest(told.as_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{FOLDER}/{digest}")
}
