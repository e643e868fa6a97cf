//! `system.contracts`: the versions of contracts, and what each changed.

use chrono::{DateTime, Utc};
use flowline_contract::{Compatibility, diff};
use flowline_model::ContractVersion;
use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One version of the contract of one dataset.
    "contracts" => ContractRow {
        /// The dataset.
        dataset: String,
        /// From 1, one more for each deployment that changed the contract.
        version: u32,
        /// The version of the project that brought it.
        deployment: String,
        /// When it was deployed first.
        recorded_at: DateTime<Utc>,
        /// The rule that changes must follow.
        rule: Option<String>,
        /// In which directions it is compatible with the version before: `full`, `backward`, `forward`, `breaking`.
        compatibility: Option<String>,
        /// What it changed of the version before, in sentences.
        changes: Vec<String>,
        /// The contract as JSON.
        contract: String,
    }
}

/// `system.contracts`.
#[derive(Debug)]
pub(crate) struct Contracts;

impl SystemTable for Contracts {
    type Row = ContractRow;

    fn read(sources: Sources, request: Request) -> Pages<ContractRow> {
        page(async move { read(&sources, &request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: &Request) -> Result<Vec<ContractRow>, ViewError> {
    let versions = sources.ledger.contracts(request.dataset.as_ref()).await?;
    // The newest of a dataset come first, so that the version before is the one behind.
    let before = |index: usize| {
        versions.get(index + 1).filter(|before: &&ContractVersion| before.dataset == versions[index].dataset)
    };
    (0..versions.len()).map(|index| row(&versions[index], before(index))).collect()
}

fn row(version: &ContractVersion, before: Option<&ContractVersion>) -> Result<ContractRow, ViewError> {
    let changes = before.map(|before| diff(&before.contract, &version.contract));
    let compatibility = changes.as_ref().map(|changes| {
        let backward = changes.iter().all(|change| change.backward);
        let forward = changes.iter().all(|change| change.forward);
        Compatibility::of(backward, forward).as_str().to_owned()
    });
    Ok(ContractRow {
        dataset: version.dataset.to_string(),
        version: version.version,
        deployment: version.deployment.clone(),
        recorded_at: version.recorded_at,
        rule: version.contract.compatibility.clone(),
        compatibility,
        changes: changes.into_iter().flatten().map(|change| change.message).collect(),
        contract: serde_json::to_string(&version.contract).map_err(ViewError::rows)?,
    })
}
