//! Which checks the deployment recorded last declares, and what is left of others: nothing evaluates those any more, so
//! that no result would ever say that they hold.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use flowline_model::FindingKind;
use sqlx::AnyConnection;

use crate::CatalogDataset;
use crate::catalog;
use crate::fault::Fault;
use crate::row::{Fields, micros, text};

const OPEN: &str = "SELECT dataset, kind, subject FROM findings WHERE closed_at IS NULL AND kind IN ($1, $2)";

const CLOSE: &str = "UPDATE findings SET closed_at = $1 WHERE dataset = $2 AND kind = $3 AND subject = $4";

/// The names of the checks that each dataset declares.
#[derive(Debug, Default)]
pub(crate) struct DeclaredChecks(BTreeMap<String, BTreeSet<String>>);

impl DeclaredChecks {
    /// Those of these datasets.
    pub(crate) fn of(datasets: &[CatalogDataset]) -> Self {
        let named = datasets.iter().map(|catalog| {
            let names = catalog.dataset.checks.iter().map(|check| text(&check.name));
            (catalog.dataset.name.to_string(), names.collect())
        });
        Self(named.collect())
    }

    /// Whether the dataset declares the check.
    pub(crate) fn has(&self, dataset: &str, check: &str) -> bool {
        self.0.get(dataset).is_some_and(|checks| checks.contains(check))
    }
}

/// What is declared now; none before the first deployment. Reads the declarations of all datasets.
pub(crate) async fn now(connection: &mut AnyConnection) -> Result<Option<DeclaredChecks>, Fault> {
    let deployed =
        sqlx::query("SELECT 1 AS one FROM deployments LIMIT 1").fetch_optional(&mut *connection).await?;
    match deployed {
        Some(_) => Ok(Some(DeclaredChecks::of(&catalog::current(connection).await?))),
        None => Ok(None),
    }
}

/// Closes the open findings of checks that are not declared.
pub(crate) async fn close_others(
    connection: &mut AnyConnection,
    declared: &DeclaredChecks,
    at: DateTime<Utc>,
) -> Result<(), Fault> {
    let open = sqlx::query(OPEN)
        .bind(FindingKind::FailedCheck.as_str())
        .bind(FindingKind::CheckFailedToRun.as_str())
        .fetch_all(&mut *connection)
        .await?;
    for row in &open {
        let fields = Fields::new(row, "finding");
        let (dataset, subject) = (fields.text("dataset")?, fields.text("subject")?);
        if declared.has(&dataset, check_of(&subject)) {
            continue;
        }
        sqlx::query(CLOSE)
            .bind(micros(at))
            .bind(dataset)
            .bind(fields.text("kind")?)
            .bind(subject)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The check that a finding's subject names, which goes on with the part of the dataset; names of checks have no `/`.
fn check_of(subject: &str) -> &str {
    subject.split_once('/').map_or(subject, |(check, _)| check)
}
