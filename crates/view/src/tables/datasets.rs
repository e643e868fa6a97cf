//! `system.datasets`: what is deployed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use flowline_ledger::{CatalogDataset, Standing};
use flowline_model::{Commit, DatasetName, Origin};
use futures::FutureExt;

use crate::ViewError;
use crate::facts::{newest_commits, newest_version, seconds};
use crate::live::LakeTable;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One dataset of the deployment recorded last.
    "datasets" => DatasetRow {
        /// `domain.name`.
        dataset: String,
        /// The part before the dot.
        domain: String,
        /// The part behind the dot.
        name: String,
        /// `raw`, `clean` or `trusted`.
        zone: String,
        /// The team that answers for it.
        owner: String,
        /// For people.
        description: String,
        /// How its rows come to be: `http`, `files` or `sql`.
        origin: String,
        /// How the table follows its SQL; null unless the origin is `sql`.
        materialization: Option<String>,
        /// The datasets that its SQL reads.
        inputs: Vec<String>,
        /// Columns that identify a record.
        key: Vec<String>,
        /// The columns that split the table into folders.
        partition_columns: Vec<String>,
        /// Number of columns.
        columns: u32,
        /// The age that its service level allows.
        freshness_within_seconds: Option<i64>,
        /// The share of read records that must be written.
        completeness_target: Option<f64>,
        /// Path of the runbook in the project.
        runbook: Option<String>,
        /// The file that declares it.
        declared_in: String,
        /// The newest version of its table.
        version: Option<i64>,
        /// When its rows last changed.
        committed_at: Option<DateTime<Utc>>,
        /// Rows in its table; null where the lake is not at hand.
        rows: Option<u64>,
        /// Files of its table; null where the lake is not at hand.
        files: Option<u64>,
        /// Bytes of those files; null where the lake is not at hand.
        bytes: Option<u64>,
    }
}

/// `system.datasets`.
#[derive(Debug)]
pub(crate) struct Datasets;

impl SystemTable for Datasets {
    type Row = DatasetRow;

    fn read(sources: Sources, _request: Request) -> Pages<DatasetRow> {
        page(async move { read(&sources).await }.boxed())
    }
}

async fn read(sources: &Sources) -> Result<Vec<DatasetRow>, ViewError> {
    let catalog = sources.ledger.catalog().await?;
    let standings = sources.ledger.standings().await?;
    let tables = sources.live.tables().await.unwrap_or_default();
    let tables: HashMap<_, _> = tables.into_iter().map(|table| (table.dataset.clone(), table)).collect();
    let commits = newest_commits(&standings);
    Ok(catalog.iter().map(|declared| row(declared, &standings, &commits, &tables)).collect())
}

fn row(
    declared: &CatalogDataset,
    standings: &[Standing],
    commits: &HashMap<DatasetName, &Commit>,
    tables: &HashMap<DatasetName, LakeTable>,
) -> DatasetRow {
    let dataset = &declared.dataset;
    let table = tables.get(&dataset.name);
    let materialization = match &dataset.origin {
        Origin::Sql(sql) => Some(sql.materialization.as_str().to_owned()),
        _ => None,
    };
    DatasetRow {
        dataset: dataset.name.to_string(),
        domain: dataset.name.domain().to_owned(),
        name: dataset.name.name().to_owned(),
        zone: dataset.zone.as_str().to_owned(),
        owner: dataset.owner.clone(),
        description: dataset.description.clone(),
        origin: dataset.origin.kind().to_owned(),
        materialization,
        inputs: declared.inputs.iter().map(DatasetName::to_string).collect(),
        key: dataset.key.clone(),
        partition_columns: dataset.partition_by.iter().map(|field| field.partition_column()).collect(),
        columns: declared.columns.len() as u32,
        freshness_within_seconds: dataset.slo.freshness_within.map(seconds),
        completeness_target: dataset.slo.completeness_target,
        runbook: dataset.runbook.clone(),
        declared_in: dataset.declared_in.clone(),
        version: table.map(|table| table.version).or_else(|| newest_version(standings, &dataset.name)),
        committed_at: commits.get(&dataset.name).map(|commit| commit.committed_at),
        rows: table.and_then(|table| table.rows),
        files: table.map(|table| table.files),
        bytes: table.map(|table| table.bytes),
    }
}
