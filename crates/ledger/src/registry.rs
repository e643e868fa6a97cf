//! Changes of the schema registry, each under its own revision.

use flowline_model::RegistryChange;

use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, micros, text};

const INSERT: &str = "INSERT INTO registry_changes (revision, id, changed_at, actor, subject, kind, document) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (revision) DO NOTHING";

/// Stores a change unless another one has its revision; whether it is stored now.
pub(crate) async fn append(database: &Database, change: &RegistryChange) -> Result<bool, Fault> {
    let mut transaction = database.begin().await?;
    sqlx::query(INSERT)
        .bind(change.revision)
        .bind(change.id.to_string())
        .bind(micros(change.changed_at))
        .bind(text(&change.actor))
        .bind(text(&change.subject))
        .bind(text(&change.kind))
        .bind(text(&change.document))
        .execute(&mut *transaction)
        .await?;
    // The answer to an earlier try may have been lost.
    let row = sqlx::query("SELECT id FROM registry_changes WHERE revision = $1")
        .bind(change.revision)
        .fetch_one(&mut *transaction)
        .await?;
    let stored = Fields::new(&row, "registry change").text("id")? == change.id.to_string();
    transaction.commit().await?;
    Ok(stored)
}

/// The changes behind a revision, in order.
pub(crate) async fn after(database: &Database, revision: i64) -> Result<Vec<RegistryChange>, Fault> {
    let rows = sqlx::query("SELECT * FROM registry_changes WHERE revision > $1 ORDER BY revision")
        .bind(revision)
        .fetch_all(&database.readers)
        .await?;
    rows.iter()
        .map(|row| {
            let fields = Fields::new(row, "registry change");
            Ok(RegistryChange {
                revision: fields.int("revision")?,
                id: fields.parsed("id")?,
                changed_at: fields.time("changed_at")?,
                actor: fields.text("actor")?,
                subject: fields.text("subject")?,
                kind: fields.text("kind")?,
                document: fields.text("document")?,
            })
        })
        .collect()
}
