//! The files that were landed.

use flowline_model::DatasetName;
use sqlx::AnyConnection;

use crate::LandedFile;
use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, micros, stored, text};

const INSERT: &str = "INSERT INTO landed_files (dataset, path, etag, bytes, records, run_id, landed_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (dataset, path, etag) DO NOTHING";

/// Stores landed files; those that are known stay as they are.
pub(crate) async fn insert(connection: &mut AnyConnection, files: &[LandedFile]) -> Result<(), Fault> {
    for file in files {
        sqlx::query(INSERT)
            .bind(file.dataset.to_string())
            .bind(text(&file.path))
            .bind(text(&file.etag))
            .bind(stored(file.bytes))
            .bind(stored(file.records))
            .bind(file.run.to_string())
            .bind(micros(file.landed_at))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// The files that were landed into a dataset, by path.
pub(crate) async fn list(database: &Database, dataset: &DatasetName) -> Result<Vec<LandedFile>, Fault> {
    let rows = sqlx::query("SELECT * FROM landed_files WHERE dataset = $1 ORDER BY path, etag")
        .bind(dataset.to_string())
        .fetch_all(&database.readers)
        .await?;
    rows.iter()
        .map(|row| {
            let fields = Fields::new(row, "landed file");
            Ok(LandedFile {
                dataset: fields.parsed("dataset")?,
                path: fields.text("path")?,
                etag: fields.text("etag")?,
                bytes: fields.count("bytes")?,
                records: fields.count("records")?,
                run: fields.parsed("run_id")?,
                landed_at: fields.time("landed_at")?,
            })
        })
        .collect()
}
