//! The versions of contracts: one more whenever a deployment changes what a dataset promises.

use flowline_model::{Contract, ContractVersion, DatasetName, Deployment};
use sqlx::AnyConnection;

use crate::CatalogDataset;
use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, json, micros, text};

const NEWEST: &str =
    "SELECT version, contract FROM contracts WHERE dataset = $1 ORDER BY version DESC LIMIT 1";

/// Two nodes that deploy the same project at once offer the same version.
const INSERT: &str = "INSERT INTO contracts (dataset, version, contract, deployment, recorded_at) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (dataset, version) DO NOTHING";

/// Stores the contract of a dataset where it is another one than its newest version.
pub(crate) async fn record(
    connection: &mut AnyConnection,
    deployment: &Deployment,
    dataset: &CatalogDataset,
) -> Result<(), Fault> {
    let name = dataset.dataset.name.to_string();
    let contract = Contract::of(&dataset.dataset, &dataset.columns);
    let newest = sqlx::query(NEWEST).bind(&name).fetch_optional(&mut *connection).await?;
    let version = match &newest {
        None => 1,
        Some(row) => {
            let fields = Fields::new(row, "contract");
            // Compared as what they mean: how they are written may change with a version of Flowline.
            if fields.json::<Contract>("contract")? == contract {
                return Ok(());
            }
            fields.int("version")? + 1
        }
    };
    sqlx::query(INSERT)
        .bind(name)
        .bind(version)
        .bind(text(&json("contract", &contract)?))
        .bind(text(&deployment.version))
        .bind(micros(deployment.deployed_at))
        .execute(&mut *connection)
        .await?;
    Ok(())
}

/// The versions of one dataset's contract or of all, by dataset, the newest first.
pub(crate) async fn list(
    database: &Database,
    dataset: Option<&DatasetName>,
) -> Result<Vec<ContractVersion>, Fault> {
    let query = match dataset {
        Some(dataset) => sqlx::query("SELECT * FROM contracts WHERE dataset = $1 ORDER BY version DESC")
            .bind(dataset.to_string()),
        None => sqlx::query("SELECT * FROM contracts ORDER BY dataset, version DESC"),
    };
    let rows = query.fetch_all(&database.readers).await?;
    rows.iter().map(|row| read(&Fields::new(row, "contract"))).collect()
}

fn read(fields: &Fields<'_>) -> Result<ContractVersion, Fault> {
    Ok(ContractVersion {
        dataset: fields.parsed("dataset")?,
        version: fields.small_count("version")?,
        contract: fields.json("contract")?,
        deployment: fields.text("deployment")?,
        recorded_at: fields.time("recorded_at")?,
    })
}
