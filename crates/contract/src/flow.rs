//! Whom a change hits: those who declare that they read a column, and what is made from it.

use std::collections::{BTreeMap, BTreeSet};

use flowline_model::{ColumnLineage, ColumnRef, Consumer, DatasetName};
use serde::Serialize;

/// What is made from what, and who reads it.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// What each column of each dataset is made from.
    pub lineage: BTreeMap<DatasetName, Vec<ColumnLineage>>,
    /// Who reads at the end.
    pub consumers: Vec<Consumer>,
    /// Who answers for each dataset.
    pub owners: BTreeMap<DatasetName, String>,
}

/// Somebody or something that a change hits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Hit {
    /// What it is.
    pub kind: HitKind,
    /// The consumer, the dataset, or where records come from.
    pub name: String,
    /// The team that answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The column that it reads, or that is made from the changed one; none when it is about the rows as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// For what is further down: the column of which dataset it reads it through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
}

/// What is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HitKind {
    /// A declared consumer.
    Consumer,
    /// A dataset that is made from it.
    Dataset,
    /// Those who send the records.
    Producers,
    /// Rows that are stored already.
    StoredRows,
}

impl Flow {
    /// The consumers that read a column (any of them, when none is named) straight from the dataset.
    pub fn readers(&self, dataset: &DatasetName, column: Option<&str>) -> Vec<Hit> {
        let readers = self.consumers.iter().filter(|consumer| consumer.reads(dataset, column));
        readers.map(|consumer| hit(consumer, column, None)).collect()
    }

    /// Everything that is made from a column, near and far, and the consumers of that; of any column, when none is
    /// named. A dataset whose rows depend on it is named without a column.
    pub fn downstream(&self, dataset: &DatasetName, column: Option<&str>) -> Vec<Hit> {
        let mut hits = BTreeSet::new();
        for (name, column) in self.reach(dataset, column) {
            let owner = self.owners.get(&name).cloned();
            let through = match &column {
                Some(column) => format!("{name}.{column}"),
                None => name.to_string(),
            };
            hits.extend(
                self.consumers
                    .iter()
                    .filter(|consumer| consumer.reads(&name, column.as_deref()))
                    .map(|consumer| hit(consumer, column.as_deref(), Some(through.clone()))),
            );
            hits.insert(Hit { kind: HitKind::Dataset, name: name.to_string(), owner, column, through: None });
        }
        hits.into_iter().collect()
    }

    /// The columns that are made from one, and the datasets whose rows depend on it.
    fn reach(&self, dataset: &DatasetName, column: Option<&str>) -> BTreeSet<(DatasetName, Option<String>)> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![(dataset.clone(), column.map(str::to_owned))];
        while let Some((from, column)) = waiting.pop() {
            let uses = |source: &ColumnRef| {
                source.dataset == from && column.as_ref().is_none_or(|column| *column == source.column)
            };
            for (name, lines) in &self.lineage {
                for line in lines.iter().filter(|line| line.from.iter().any(uses)) {
                    let found = (name.clone(), line.column.clone());
                    if seen.insert(found.clone()) {
                        waiting.push(found);
                    }
                }
            }
        }
        seen
    }
}

fn hit(consumer: &Consumer, column: Option<&str>, through: Option<String>) -> Hit {
    Hit {
        kind: HitKind::Consumer,
        name: consumer.name.clone(),
        owner: Some(consumer.owner.clone()),
        column: column.map(str::to_owned),
        through,
    }
}
