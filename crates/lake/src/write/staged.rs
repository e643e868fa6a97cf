//! Files that wait for their commit.

use arrow::datatypes::SchemaRef;

use crate::{FileRef, TableId};

/// Files that are written and wait for the commit that makes their rows visible. Dropped without a commit they stay
/// behind until `vacuum` takes them.
#[derive(Debug, Clone, Default)]
pub struct StagedFiles {
    pub(crate) files: Vec<FileRef>,
    /// The table that they were written for, and its columns then.
    pub(crate) target: Option<(TableId, SchemaRef)>,
}

impl StagedFiles {
    /// No rows.
    pub fn none() -> Self {
        Self::default()
    }

    /// The files.
    pub fn files(&self) -> &[FileRef] {
        &self.files
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.files.iter().filter_map(|file| file.rows).sum()
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Adds the files of another writer of the same table.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.target = self.target.take().or(other.target);
    }
}
