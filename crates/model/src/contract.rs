//! Contracts: what a dataset promises to those who read it and asks of those who write it, version by version.
//!
//! Owns: which parts of a dataset are its contract, and the record of a version. Does not own: what a change of it
//! breaks (`flowline-contract`), how records are held against it (`flowline-land`, `flowline-quality`).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{Check, Column, Dataset, DatasetName, Slo};

/// What a dataset promises to those who read it and asks of those who write it. Personal data (`pii`) and the rules of
/// single columns stand with the columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Contract {
    /// The columns in order, as declared or, of a query, as it gives them.
    pub columns: Vec<Column>,
    /// The columns that identify a record.
    #[serde(default)]
    pub key: Vec<String>,
    /// The rule that changes must follow, as written (`backward` …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compatibility: Option<String>,
    /// What readers may rely on over time.
    #[serde(default)]
    pub slo: Slo,
    /// The rules about its data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

impl Contract {
    /// The contract of a dataset whose table has these columns.
    pub fn of(dataset: &Dataset, columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            key: dataset.key.clone(),
            compatibility: dataset.compatibility.clone(),
            slo: dataset.slo.clone(),
            checks: dataset.checks.clone(),
        }
    }

    /// The column of this name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }
}

/// A version of a contract, as a deployment brought it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContractVersion {
    /// The dataset.
    pub dataset: DatasetName,
    /// From 1, one more for each deployment that changed the contract.
    pub version: u32,
    /// The contract.
    pub contract: Contract,
    /// The version of the project that brought it ([`crate::Plan::version`]).
    pub deployment: String,
    /// When it was deployed first.
    pub recorded_at: DateTime<Utc>,
}

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnRef {
    /// The dataset.
    pub dataset: DatasetName,
    /// The column.
    pub column: String,
}

/// What one column of a dataset is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnLineage {
    /// The column; none for what decides which rows there are: conditions, join keys, limits.
    pub column: Option<String>,
    /// The columns of the inputs that it is made from, sorted.
    pub from: Vec<ColumnRef>,
}
