//! The states of a project that are compared: its files, those of a commit, a version in the ledger.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use flowline_contract::{Flow, State};
use flowline_model::{Contract, DatasetName, Plan};
use flowline_view::ContractRow;

use crate::git;

/// The contracts of a plan.
pub async fn of_plan(name: &str, plan: &Plan) -> State {
    let columns = flowline_process::columns_of(plan).await;
    let contract = |dataset: &flowline_model::Dataset| {
        let columns = columns.get(&dataset.name).unwrap_or(&dataset.columns);
        (dataset.name.clone(), Contract::of(dataset, columns))
    };
    State { name: name.to_owned(), contracts: plan.datasets.iter().map(contract).collect() }
}

/// The contracts of a project as it stands in a commit; none at all when there was no project then.
pub async fn of_commit(project: &Path, environment: Option<&str>, reference: &str) -> anyhow::Result<State> {
    let Some(checkout) = git::checkout(project, reference)? else {
        return Ok(State { name: reference.to_owned(), contracts: BTreeMap::new() });
    };
    let reading = flowline_project::read(&checkout.folder(), environment);
    // What cannot be read cannot be compared, and a comparison that was not made must not look like one that went well.
    let errors: Vec<_> = reading.diagnostics.into_iter().filter(|problem| problem.is_error()).collect();
    if !errors.is_empty() {
        bail!(
            "the project has errors in `{reference}` ({}), so nothing can be compared with it:\n{}",
            checkout.commit,
            flowline_project::render(&errors, false)
        );
    }
    Ok(of_plan(reference, &reading.plan).await)
}

/// One version of a contract, from the ledger.
pub fn of_version(versions: &[ContractRow], dataset: &DatasetName, version: u32) -> anyhow::Result<State> {
    let found = versions.iter().find(|row| row.version == version);
    let Some(found) = found else {
        match (versions.last(), versions.first()) {
            (Some(first), Some(last)) => bail!(
                "the contract of `{dataset}` has no version {version}: it has {} to {}",
                first.version,
                last.version
            ),
            _ => bail!(
                "the contract of `{dataset}` was never deployed: run the project, or compare with `--git`"
            ),
        }
    };
    let contract: Contract = serde_json::from_str(&found.contract)
        .with_context(|| format!("reading version {version} of the contract of `{dataset}`"))?;
    let contracts = BTreeMap::from([(dataset.clone(), contract)]);
    Ok(State { name: format!("version {version}"), contracts })
}

/// What is made from what in a plan, and who reads it.
pub async fn flow_of(plan: &Plan) -> Flow {
    Flow {
        lineage: flowline_process::lineage(plan).await,
        consumers: plan.consumers.clone(),
        owners: plan.datasets.iter().map(|dataset| (dataset.name.clone(), dataset.owner.clone())).collect(),
    }
}

/// What the producers of each landed dataset are called.
pub fn origins_of(plan: &Plan) -> BTreeMap<DatasetName, String> {
    let landed = plan.datasets.iter().filter(|dataset| dataset.landed());
    landed.map(|dataset| (dataset.name.clone(), dataset.origin.kind().to_owned())).collect()
}
