//! Rows become Parquet files that a commit can take up.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::{FileRef, LakeError};

/// Files that are written and wait for the commit that makes their rows visible. Dropped without a commit they stay
/// behind until `vacuum` takes them.
#[derive(Debug, Clone, Default)]
pub struct StagedFiles {
    files: Vec<FileRef>,
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

    /// Adds the files of another.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
    }
}

/// An upsert whose rows are staged.
#[derive(Debug)]
pub struct StagedMerge {
    staged: StagedFiles,
}

impl StagedMerge {
    /// Rows that will be inserted or will replace one of the same key.
    pub fn rows(&self) -> u64 {
        self.staged.rows()
    }

    /// Bytes of their files.
    pub fn bytes(&self) -> u64 {
        self.staged.bytes()
    }
}

/// Writes rows into Parquet files, one or more for each partition that they touch. Its memory is bounded by
/// [`crate::WriterOptions`]; encoding happens beside the async threads.
#[derive(Debug)]
pub struct StagedWriter {}

impl StagedWriter {
    /// The columns that it writes; batches may lack nullable ones, have them in any order, and in any type that casts
    /// to the table's without loss.
    pub fn schema(&self) -> SchemaRef {
        SchemaRef::new(arrow::datatypes::Schema::empty())
    }

    /// Writes a batch.
    ///
    /// # Errors
    /// [`LakeError::Schema`] names the column that does not fit; the writer stays usable then.
    pub async fn write(&mut self, _batch: &RecordBatch) -> Result<(), LakeError> {
        Err(crate::table::unbuilt())
    }

    /// Bytes written so far, what waits in memory included.
    pub fn staged_bytes(&self) -> u64 {
        0
    }

    /// Rows written so far.
    pub fn staged_rows(&self) -> u64 {
        0
    }

    /// Closes the files.
    pub async fn finish(self) -> Result<StagedFiles, LakeError> {
        Err(crate::table::unbuilt())
    }
}
