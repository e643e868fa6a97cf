//! `system.registry_changes`: who changed what in the schema registry.

use chrono::{DateTime, Utc};
use flowline_model::RegistryChange;
use futures::FutureExt;

use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One change of the schema registry.
    "registry_changes" => RegistryChangeRow {
        /// Its place among them, from 1.
        revision: i64,
        /// When.
        changed_at: DateTime<Utc>,
        /// Whose token it was; null where none is asked for.
        actor: Option<String>,
        /// What was done: `registered`, `deleted`, `deleted-permanently`, `configured` or `mode-set`.
        change: String,
        /// The subject it is about; null when all.
        subject: Option<String>,
        /// The change itself, as JSON.
        document: String,
    }
}

/// `system.registry_changes`.
#[derive(Debug)]
pub(crate) struct RegistryChanges;

impl SystemTable for RegistryChanges {
    type Row = RegistryChangeRow;

    fn read(sources: Sources, _request: Request) -> Pages<RegistryChangeRow> {
        page(
            async move {
                let changes = sources.ledger.registry_changes_after(0).await?;
                Ok(changes.into_iter().map(row).collect())
            }
            .boxed(),
        )
    }
}

fn row(change: RegistryChange) -> RegistryChangeRow {
    RegistryChangeRow {
        revision: change.revision,
        changed_at: change.changed_at,
        actor: Some(change.actor).filter(|actor| !actor.is_empty()),
        change: change.kind,
        subject: Some(change.subject).filter(|subject| !subject.is_empty()),
        document: change.document,
    }
}
