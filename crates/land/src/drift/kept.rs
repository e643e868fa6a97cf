//! What moves slowly, kept beside the table: it is seen over days, and a process may end before.
//!
//! A file is written when a point of the slow change begins, every two hours, and when landing stops; the next one takes its
//! place. Of several nodes that land partitions of one dataset, each remembers what it lands, and the newest file is where
//! any of them goes on.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flowline_base::{FileId, chain};
use flowline_lake::Table;
use flowline_model::Dataset;
use flowline_quality::drift::{Baseline, Trends};
use serde::{Deserialize, Serialize};

/// The folder beside the table; names that begin with `_` are no rows.
const FOLDER: &str = "_drift";

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// By the name of the column.
    columns: BTreeMap<String, KeptColumn>,
    /// Where the first window of each point begins.
    pub(super) points: BTreeMap<i64, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct KeptColumn {
    /// Of another type, a column is another one.
    kind: String,
    trends: Trends,
}

impl Kept {
    pub(super) fn of(dataset: &Dataset, baseline: &Baseline, points: &BTreeMap<i64, String>) -> Self {
        let columns = dataset.columns.iter().zip(baseline.trends());
        let columns = columns.map(|(column, trends)| {
            let kind = column.data_type.to_string();
            (column.name.clone(), KeptColumn { kind, trends: trends.clone() })
        });
        Self { columns: columns.collect(), points: points.clone() }
    }

    /// Goes on from here with the columns that are still the same.
    pub(super) fn resume(&mut self, dataset: &Dataset, baseline: &mut Baseline) {
        for (index, column) in dataset.columns.iter().enumerate() {
            let kept = self.columns.remove(&column.name);
            let same = kept.filter(|kept| kept.kind == column.data_type.to_string());
            if let Some(kept) = same {
                baseline.resume(index, kept.trends);
            }
        }
    }

    /// What was kept last; none when nothing was, or nothing that can be read.
    pub(super) async fn newest(table: &Table) -> Option<Self> {
        let path = table.list_beside(FOLDER).await.ok()?.into_iter().max()?;
        serde_json::from_slice(&table.read_beside(&path).await.ok()?).ok()
    }

    /// Keeps it in the place of what was kept before. When that fails, a restart forgets more.
    pub(super) async fn keep(&self, table: &Table, at: DateTime<Utc>) {
        let Ok(bytes) = serde_json::to_vec(self) else { return };
        let dataset = &table.id().dataset;
        let old = table.list_beside(FOLDER).await.unwrap_or_default();
        let path = format!("{FOLDER}/{:020}-{}.json", at.timestamp_micros().max(0), FileId::generate());
        if let Err(error) = table.put_beside(&path, bytes.into()).await {
            tracing::debug!(%dataset, error = chain(&error), "what moves slowly is not kept");
            return;
        }
        let old: Vec<String> = old.into_iter().filter(|file| *file < path).collect();
        if let Err(error) = table.delete_beside(&old).await {
            tracing::debug!(%dataset, error = chain(&error), "what moved slowly is left behind");
        }
    }
}
