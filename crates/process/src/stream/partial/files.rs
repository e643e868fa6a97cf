//! The files in which partial results are kept.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use flowline_base::FileId;
use flowline_lake::{LakeError, Table};
use serde::{Deserialize, Serialize};

use crate::ProcessError;

/// The folder of the files, below that of the table.
pub(in crate::stream) const STATE_FOLDER: &str = "_state";
/// Where a file says what wrote it.
const ENGINE_KEY: &str = "flowline.engine";

/// What writes files; one that another wrote is not read, since partial results are no format that is kept to.
fn engine() -> String {
    format!("flowline 1, datafusion {}", datafusion::DATAFUSION_VERSION)
}

/// A file of partial results, as the commit that it goes with names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptFile {
    /// Its path below the folder of the table.
    pub path: String,
    /// Its partial results.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
}

impl KeptFile {
    /// Writes partial results into a new file, which belongs to the transaction of this number.
    pub async fn write(
        table: &Table,
        transaction: i64,
        results: &[RecordBatch],
    ) -> Result<Self, ProcessError> {
        let wrong = |error: arrow::error::ArrowError| {
            ProcessError::Engine(format!("partial results cannot be written: {error}"))
        };
        let metadata = HashMap::from([(ENGINE_KEY.to_owned(), engine())]);
        let fields = results.first().map(|batch| batch.schema().fields().clone()).unwrap_or_default();
        let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
        let mut writer = FileWriter::try_new(Vec::new(), &schema).map_err(wrong)?;
        for batch in results {
            let batch = RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()).map_err(wrong)?;
            writer.write(&batch).map_err(wrong)?;
        }
        let bytes = writer.into_inner().map_err(wrong)?;
        let path = format!("{STATE_FOLDER}/{transaction:020}-{}.arrow", FileId::generate());
        let (rows, size) = (results.iter().map(|batch| batch.num_rows() as u64).sum(), bytes.len() as u64);
        table
            .put_beside(&path, bytes.into())
            .await
            .map_err(ProcessError::lake(format!("writing `{path}`")))?;
        Ok(Self { path, rows, bytes: size })
    }

    /// The partial results; none when they are gone or mean nothing to this version.
    pub async fn read(&self, table: &Table) -> Result<Option<Vec<RecordBatch>>, ProcessError> {
        let bytes = match table.read_beside(&self.path).await {
            Ok(bytes) => bytes,
            Err(LakeError::NotFound { .. }) => return Ok(None),
            Err(source) => {
                return Err(ProcessError::Lake { action: format!("reading `{}`", self.path), source });
            }
        };
        let Ok(reader) = FileReader::try_new(Cursor::new(bytes), None) else { return Ok(None) };
        if reader.schema().metadata().get(ENGINE_KEY).map(String::as_str) != Some(engine().as_str()) {
            return Ok(None);
        }
        Ok(reader.collect::<Result<Vec<_>, _>>().ok())
    }
}
