//! `consumers/<name>.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::value::{ColumnName, DatasetText, Items, Written};

/// A consumer: who reads datasets at the end of the flow, so that it is known whom a change or an outage hits. It is
/// named after its file: `consumers/revenue_board.yaml` declares `revenue_board`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "consumers/<name>.yaml")]
pub(crate) struct ConsumerFile {
    /// What it is for.
    pub description: Option<String>,
    /// The team that answers for it, one of those under `teams` in flowline.yaml.
    #[schemars(required)]
    pub owner: Option<String>,
    /// What it is.
    #[schemars(required)]
    pub kind: Option<ConsumerWord>,
    /// What it reads.
    #[schemars(required)]
    pub reads: Option<Items<ReadFile>>,
}

/// What a consumer is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ConsumerWord {
    /// People look at it.
    Dashboard,
    /// Programs ask it.
    Api,
    /// It was trained on the data, or predicts from it.
    Model,
    /// An assistant that acts on the data.
    Agent,
}

/// What a consumer reads of one dataset.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// The dataset.
    pub dataset: Written<DatasetText>,
    /// The columns that it needs; all of them when absent.
    #[serde(default)]
    pub columns: Items<Written<ColumnName>>,
}
