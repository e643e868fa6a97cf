//! Consumers: who reads at the end.

use serde::{Deserialize, Serialize};

use crate::DatasetName;

/// Who reads datasets at the end of the flow. Declared, so that it is known whom a change or an outage hits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// For people; may be empty.
    pub description: String,
    /// The team that answers for it.
    pub owner: String,
    /// What it is.
    pub kind: ConsumerKind,
    /// What it reads, sorted by dataset.
    pub reads: Vec<ConsumerRead>,
    /// Path of the file that declares it, relative to the project.
    pub declared_in: String,
}

impl Consumer {
    /// Whether it reads a column of a dataset, or the dataset at all when no column is given.
    pub fn reads(&self, dataset: &DatasetName, column: Option<&str>) -> bool {
        self.reads.iter().any(|read| {
            let columns = &read.columns;
            read.dataset == *dataset
                && column.is_none_or(|column| columns.is_empty() || columns.iter().any(|name| name == column))
        })
    }
}

/// What a consumer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsumerKind {
    /// People look at it.
    Dashboard,
    /// Programs ask it.
    Api,
    /// It was or is trained on the data, or predicts from it.
    Model,
    /// An assistant that acts on the data.
    Agent,
}

impl ConsumerKind {
    /// The word in files and facts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dashboard => "dashboard",
            Self::Api => "api",
            Self::Model => "model",
            Self::Agent => "agent",
        }
    }
}

/// What a consumer reads of one dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerRead {
    /// The dataset.
    pub dataset: DatasetName,
    /// The columns; all of them when empty.
    pub columns: Vec<String>,
}
