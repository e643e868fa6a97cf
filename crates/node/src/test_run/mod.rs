//! Runs the tests of a project: each in a node of its own, on a lake that is thrown away.
//!
//! Owns: which part of the plan a test needs ([`cut`]), feeding it, waiting until everything has come through, and
//! holding what is there against what was expected ([`compare`]). The rows take the way that they take in operation:
//! log, landing, transforms, streams.
//! Does not own: how a test is written (`flowline-project`), how its outcome is shown (the command line).

mod compare;
mod cut;

use std::time::Duration;

use anyhow::{Context, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int64Type, UInt64Type};
use bytes::Bytes;
use flowline_base::SharedClock;
use flowline_log::PartitionId;
use flowline_model::{DatasetName, Plan};
use flowline_project::{Expected, Given, Records, TestCase};
use flowline_source::http::{HttpBody, Limits, receive};
use serde_json::{Map, Value};

use crate::{Node, NodeOptions, Role};

/// How long the rows of one step may take to come through.
const SETTLE: Duration = Duration::from_secs(60);
/// How often it is looked whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs one test. What it returns are the ways in which the rows are not those that were expected, a text of one or
/// more lines each; none when it passes. Costs a node: some tens of milliseconds and a temporary folder.
///
/// # Errors
/// What kept the test from being run at all.
pub async fn run_test(plan: &Plan, case: &TestCase, clock: SharedClock) -> anyhow::Result<Vec<String>> {
    let folder = tempfile::tempdir().context("making a temporary folder")?;
    let plan = cut::plan(plan, case, folder.path()).await?;
    let roles = vec![Role::Lander, Role::Processor];
    let node = Node::start(NodeOptions { plan, roles, clock: clock.clone(), file_progress: None }).await?;
    let outcome = run(&node, case, &clock).await;
    let stopped = node.stop().await;
    let differences = outcome?;
    stopped.context("ending the node of the test")?;
    Ok(differences)
}

async fn run(node: &Node, case: &TestCase, clock: &SharedClock) -> anyhow::Result<Vec<String>> {
    for step in &case.steps {
        for given in step {
            feed(node, given, clock)
                .await
                .with_context(|| format!("giving records to `{}`", given.dataset))?;
        }
        settle(node, clock).await?;
    }
    if case.steps.is_empty() {
        settle(node, clock).await?;
    }
    let mut differences = Vec::new();
    for expected in &case.expected {
        let found = differences_of(node, expected).await;
        differences.extend(found.with_context(|| format!("reading `{}`", expected.dataset))?);
    }
    Ok(differences)
}

async fn feed(node: &Node, given: &Given, clock: &SharedClock) -> anyhow::Result<()> {
    let (bytes, content_type) = match &given.records {
        Records::Rows(rows) => (lines(rows)?, "application/x-ndjson"),
        Records::File { path, content_type } => {
            let bytes = tokio::fs::read(path).await;
            (bytes.with_context(|| format!("reading `{}`", path.display()))?, *content_type)
        }
    };
    let body = HttpBody {
        content_type: Some(content_type.to_owned()),
        ce_headers: Vec::new(),
        bytes: Bytes::from(bytes),
    };
    let received = receive(body, &Limits::default())?;
    if received.records > 0 {
        let batch = received.into_batch(None, clock.now_micros(), None);
        node.log().append(&PartitionId::new(given.dataset.clone(), 0), batch).await?;
    }
    Ok(())
}

fn lines(rows: &[Map<String, Value>]) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut bytes, row)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Waits until everything is landed and every transform has read its inputs.
async fn settle(node: &Node, clock: &SharedClock) -> anyhow::Result<()> {
    let started = clock.instant();
    while started.elapsed() < SETTLE {
        if let Some(failure) = failure(node).await? {
            bail!("{failure}");
        }
        if node.idle().await {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    bail!("the records had not come through after {SETTLE:?}")
}

async fn failure(node: &Node) -> anyhow::Result<Option<String>> {
    let failed = "SELECT dataset || ': ' || last_error AS message FROM system.hops WHERE state = 'failed'";
    let batches = node.rows(failed).await?;
    let message = batches.iter().find(|batch| batch.num_rows() > 0);
    Ok(message.map(|batch| batch.column(0).as_string::<i32>().value(0).to_owned()))
}

async fn differences_of(node: &Node, expected: &Expected) -> anyhow::Result<Vec<String>> {
    let Expected { dataset, rows, count, quarantined, duplicates } = expected;
    let mut differences = Vec::new();
    if let Some(rows) = rows {
        let found = node.rows(&format!("SELECT * FROM {}", quoted(dataset))).await?;
        differences.extend(compare::rows(dataset, rows, &found)?);
    }
    if let Some(wanted) = count {
        let found = number(node, &format!("SELECT count(*) FROM {}", quoted(dataset))).await?;
        differences.extend(compare::number(dataset, "rows", *wanted, found));
    }
    for (column, what, wanted) in
        [("quarantined", "quarantined records", quarantined), ("duplicate", "duplicates", duplicates)]
    {
        let Some(wanted) = wanted else { continue };
        let sql = format!("SELECT sum({column}) FROM system.counts WHERE dataset = '{dataset}'");
        differences.extend(compare::number(dataset, what, *wanted, number(node, &sql).await?));
    }
    Ok(differences)
}

/// The name as SQL takes it, whatever words it is made of.
fn quoted(dataset: &DatasetName) -> String {
    format!("\"{}\".\"{}\"", dataset.domain(), dataset.name())
}

/// The one number that a query answers; a null is 0.
async fn number(node: &Node, sql: &str) -> anyhow::Result<u64> {
    let batches = node.rows(sql).await?;
    let batch: &RecordBatch =
        batches.iter().find(|batch| batch.num_rows() > 0).context("the query gives no row")?;
    let column = batch.column(0);
    if column.is_null(0) {
        return Ok(0);
    }
    if let Some(numbers) = column.as_primitive_opt::<UInt64Type>() {
        return Ok(numbers.value(0));
    }
    let numbers = column.as_primitive_opt::<Int64Type>().context("the query gives no number")?;
    Ok(u64::try_from(numbers.value(0))?)
}
