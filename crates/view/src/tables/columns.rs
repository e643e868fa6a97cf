//! `system.columns`: the contract of every dataset.

use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One column of one dataset.
    "columns" => ColumnRow {
        /// The dataset.
        dataset: String,
        /// Its place among the columns, from 1.
        ordinal: u32,
        /// The name in SQL.
        name: String,
        /// The type, as in a contract.
        r#type: String,
        /// A record without it goes to quarantine.
        required: bool,
        /// No two rows share a value.
        unique_values: bool,
        /// It is part of the key.
        in_key: bool,
        /// The class of personal data.
        pii: Option<String>,
        /// The check that its values must pass.
        rule: Option<String>,
        /// Its name in the received record, where that differs.
        field: Option<String>,
        /// For people.
        description: Option<String>,
    }
}

/// `system.columns`.
#[derive(Debug)]
pub(crate) struct Columns;

impl SystemTable for Columns {
    type Row = ColumnRow;

    fn read(sources: Sources, request: Request) -> Pages<ColumnRow> {
        page(async move { read(&sources, &request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: &Request) -> Result<Vec<ColumnRow>, ViewError> {
    let mut rows = Vec::new();
    for declared in sources.ledger.catalog().await? {
        let name = &declared.dataset.name;
        if request.dataset.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        rows.extend(declared.columns.iter().zip(1..).map(|(column, ordinal)| ColumnRow {
            dataset: name.to_string(),
            ordinal,
            name: column.name.clone(),
            r#type: column.data_type.to_string(),
            required: column.required,
            unique_values: column.unique,
            in_key: declared.dataset.key.contains(&column.name),
            pii: column.pii.clone(),
            rule: column.check.clone(),
            field: column.field.clone(),
            description: column.description.clone(),
        }));
    }
    Ok(rows)
}
