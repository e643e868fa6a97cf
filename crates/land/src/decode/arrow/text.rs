//! Arrow rows as the quarantine keeps them: as JSON to be read, and as Arrow to be replayed exactly.

use arrow::array::RecordBatch;
use arrow::ipc::writer::StreamWriter;

use super::json;
use crate::decode::ArrowOrigin;

/// One row: as JSON, and as an Arrow stream of its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowText {
    pub(crate) json: String,
    pub(crate) stream: Vec<u8>,
}

impl ArrowOrigin {
    /// The row of this record. Cost: some microseconds; only rejected rows pay it.
    pub(crate) fn row_text(&self, record: u32) -> RowText {
        let index = record.saturating_sub(self.first) as usize;
        if index >= self.rows.num_rows() {
            return RowText::default();
        }
        let row = self.rows.slice(index, 1);
        let json = json::objects(&row).ok().and_then(|mut rows| rows.pop());
        RowText {
            json: json.unwrap_or_else(|| "(no text for this arrow row)".to_owned()),
            stream: stream(&row),
        }
    }
}

fn stream(row: &RecordBatch) -> Vec<u8> {
    let written = StreamWriter::try_new(Vec::new(), row.schema_ref()).and_then(|mut writer| {
        writer.write(row)?;
        writer.into_inner()
    });
    written.unwrap_or_default()
}
