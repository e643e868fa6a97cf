//! A file beside a table that says what was counted of a version, and takes the place of others.

use flowline_base::chain;
use flowline_lake::Table;
use serde::Serialize;

/// What was counted, before it is kept.
pub(crate) struct Note {
    path: String,
    bytes: Vec<u8>,
    /// The files whose place it takes.
    old: Vec<String>,
    /// The folder of files that it names, and what their names begin with; they are of no use without it.
    parts: Option<(String, String)>,
}

impl Note {
    /// A note under this path; none when it cannot be written down.
    pub fn new(path: String, counted: &impl Serialize, old: Vec<String>) -> Option<Self> {
        Some(Self { path, bytes: serde_json::to_vec(counted).ok()?, old, parts: None })
    }

    /// The same, which names files in a folder whose paths begin so.
    pub fn with_parts(self, folder: &str, prefix: &str) -> Self {
        Self { parts: Some((folder.to_owned(), prefix.to_owned())), ..self }
    }

    /// Keeps it, and lets go of those before it. When that fails, the next audit reads more.
    pub async fn keep(self, table: &Table) {
        let dataset = &table.id().dataset;
        if let Err(error) = table.put_beside(&self.path, self.bytes.into()).await {
            // Another process may keep the same.
            tracing::debug!(%dataset, error = chain(&error), "what was counted is not kept");
            return;
        }
        let old: Vec<String> = self.old.into_iter().filter(|file| *file != self.path).collect();
        if let Err(error) = table.delete_beside(&old).await {
            tracing::debug!(%dataset, error = chain(&error), "old counts are left behind");
        }
    }

    /// Deletes the files that it names.
    pub async fn discard(self, table: &Table) {
        let Some((folder, prefix)) = self.parts else { return };
        let Ok(mut files) = table.list_beside(&folder).await else { return };
        files.retain(|file| file.starts_with(&prefix));
        if let Err(error) = table.delete_beside(&files).await {
            tracing::debug!(dataset = %table.id().dataset, error = chain(&error), "counts of rows that were not committed are left behind");
        }
    }
}
