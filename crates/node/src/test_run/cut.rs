//! The part of a plan that a test needs, with what it gives as sources.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use flowline_model::{
    Dataset, DatasetName, Environment, HttpOrigin, LandingSettings, LogSettings, Origin, Plan, Validation,
};
use flowline_project::TestCase;

/// Every step is landed at once: nobody else sends.
const FLUSH_AFTER: Duration = Duration::from_millis(10);

/// The datasets that are expected, and what they are made of, down to what is given. Everything that is not made by
/// SQL becomes a source of one partition that is empty but for what the test gives.
pub async fn plan(plan: &Plan, case: &TestCase, folder: &Path) -> anyhow::Result<Plan> {
    let given: BTreeSet<&DatasetName> = case.steps.iter().flatten().map(|given| &given.dataset).collect();
    let needed = needed(plan, case, &given)?;
    let mut columns = flowline_process::columns_of(plan).await;
    let mut datasets = Vec::new();
    for dataset in plan.datasets.iter().filter(|dataset| needed.contains(&dataset.name)) {
        let mut dataset = dataset.clone();
        dataset.landing = LandingSettings { flush_after: FLUSH_AFTER, ..LandingSettings::default() };
        if given.contains(&dataset.name) && !dataset.landed() {
            let of_sql = columns.remove(&dataset.name);
            dataset.columns =
                of_sql.with_context(|| format!("the columns of `{}` are not known", dataset.name))?;
            // Of a query it says which row is replaced; records that are given are all of them meant.
            dataset.key = Vec::new();
            dataset = source(dataset);
        } else if dataset.landed() {
            dataset = source(dataset);
        } else if let Origin::Sql(sql) = &mut dataset.origin {
            // There is one node, and one partition.
            sql.divided = false;
        }
        datasets.push(dataset);
    }
    Ok(Plan { environment: environment(&plan.environment, folder)?, datasets, ..plan.clone() })
}

/// What is expected or given, and everything that the expected is made of.
fn needed(
    plan: &Plan,
    case: &TestCase,
    given: &BTreeSet<&DatasetName>,
) -> anyhow::Result<BTreeSet<DatasetName>> {
    let graph = flowline_process::graph(plan).map_err(|problems| {
        anyhow::anyhow!("the SQL of the project has {} errors, see `flowline check`", problems.len())
    })?;
    let mut open: Vec<DatasetName> = case.expected.iter().map(|expected| expected.dataset.clone()).collect();
    let mut needed: BTreeSet<DatasetName> = given.iter().map(|name| (*name).clone()).collect();
    while let Some(name) = open.pop() {
        if needed.insert(name.clone()) {
            open.extend(graph.inputs(&name).named.iter().cloned());
        }
    }
    Ok(needed)
}

fn source(dataset: Dataset) -> Dataset {
    let origin = Origin::Http(HttpOrigin {
        partitions: 1,
        partition_key: Vec::new(),
        validation: Validation::AtLanding,
    });
    Dataset { origin, ..dataset }
}

/// Everything in a folder of its own, on loopback, with no one else let in.
fn environment(environment: &Environment, folder: &Path) -> anyhow::Result<Environment> {
    let folder = folder.canonicalize().context("finding the temporary folder")?;
    Ok(Environment {
        name: "test".to_owned(),
        lake: format!("file://{}", folder.join("lake").display()),
        ledger: format!("sqlite://{}", folder.join("ledger.db").display()),
        data_dir: folder,
        storage_options: Default::default(),
        log: LogSettings::default(),
        kafka: None,
        http: ([127, 0, 0, 1], 0).into(),
        postgres: None,
        tokens: Vec::new(),
        body_bytes_max: environment.body_bytes_max,
        concurrency: environment.concurrency,
        query_memory_bytes: environment.query_memory_bytes,
    })
}
