//! The plan: a project, validated and resolved against one environment.

use serde::{Deserialize, Serialize};

use crate::{Consumer, Dataset, DatasetName, Environment};

/// A team that owns datasets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Team {
    /// The name that `owner:` refers to.
    pub name: String,
    /// For people.
    pub description: String,
    /// Where the team is reached: an address, a channel, a page.
    #[serde(default)]
    pub contact: String,
}

/// A project, validated and resolved against one environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The name of the project.
    pub project: String,
    /// SHA-256 over the project's files, hexadecimal, first 12 characters: what was deployed.
    pub version: String,
    /// Where it runs.
    pub environment: Environment,
    /// The teams.
    pub teams: Vec<Team>,
    /// The datasets, sorted by name.
    pub datasets: Vec<Dataset>,
    /// Who reads them at the end, sorted by name.
    #[serde(default)]
    pub consumers: Vec<Consumer>,
}

impl Plan {
    /// The dataset of this name.
    pub fn dataset(&self, name: &DatasetName) -> Option<&Dataset> {
        self.datasets
            .binary_search_by(|dataset| dataset.name.cmp(name))
            .ok()
            .map(|index| &self.datasets[index])
    }
}
