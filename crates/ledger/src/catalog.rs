//! Deployments and the datasets they declared.

use flowline_model::Deployment;
use sqlx::AnyConnection;

use crate::CatalogDataset;
use crate::contracts;
use crate::database::Database;
use crate::declared::{self, DeclaredChecks};
use crate::fault::Fault;
use crate::row::{Fields, json, micros, text};

const DEPLOYMENT: &str = "INSERT INTO deployments (deployed_at, environment, version) VALUES ($1, $2, $3) \
     ON CONFLICT (deployed_at, environment, version) DO NOTHING";

/// What is not declared again stays retired from then on; what is, is not retired.
const RETIRE: &str = "UPDATE datasets SET retired_at = $1 WHERE retired_at IS NULL";

const DECLARE: &str = "INSERT INTO datasets (name, declaration, deployed_at, retired_at) VALUES ($1, $2, $3, NULL) \
     ON CONFLICT (name) DO UPDATE SET declaration = excluded.declaration, deployed_at = excluded.deployed_at, \
     retired_at = NULL";

/// Stores a deployment with its datasets, and closes the findings of checks that it does not declare.
pub(crate) async fn record(
    database: &Database,
    deployment: &Deployment,
    datasets: &[CatalogDataset],
) -> Result<(), Fault> {
    let deployed_at = micros(deployment.deployed_at);
    let mut transaction = database.begin().await?;
    sqlx::query(DEPLOYMENT)
        .bind(deployed_at)
        .bind(text(&deployment.environment))
        .bind(text(&deployment.version))
        .execute(&mut *transaction)
        .await?;
    sqlx::query(RETIRE).bind(deployed_at).execute(&mut *transaction).await?;
    for dataset in datasets {
        sqlx::query(DECLARE)
            .bind(dataset.dataset.name.to_string())
            .bind(text(&json("dataset", dataset)?))
            .bind(deployed_at)
            .execute(&mut *transaction)
            .await?;
        contracts::record(&mut transaction, deployment, dataset).await?;
    }
    let declared = DeclaredChecks::of(datasets);
    declared::close_others(&mut transaction, &declared, deployment.deployed_at).await?;
    Ok(transaction.commit().await?)
}

/// The deployment recorded last.
pub(crate) async fn deployment(database: &Database) -> Result<Option<Deployment>, Fault> {
    let row = sqlx::query("SELECT * FROM deployments ORDER BY deployed_at DESC LIMIT 1")
        .fetch_optional(&database.readers)
        .await?;
    row.map(|row| {
        let fields = Fields::new(&row, "deployment");
        Ok(Deployment {
            version: fields.text("version")?,
            environment: fields.text("environment")?,
            deployed_at: fields.time("deployed_at")?,
        })
    })
    .transpose()
}

/// The datasets that are not retired, by name.
pub(crate) async fn list(database: &Database) -> Result<Vec<CatalogDataset>, Fault> {
    current(&mut *database.readers.acquire().await?).await
}

/// The same as a transaction sees them.
pub(crate) async fn current(connection: &mut AnyConnection) -> Result<Vec<CatalogDataset>, Fault> {
    let rows = sqlx::query("SELECT declaration FROM datasets WHERE retired_at IS NULL ORDER BY name")
        .fetch_all(connection)
        .await?;
    rows.iter().map(|row| Fields::new(row, "dataset").json("declaration")).collect()
}
