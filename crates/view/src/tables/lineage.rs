//! `system.lineage`: which columns each column is made from.

use futures::FutureExt;

use crate::ViewError;
use crate::request::Request;
use crate::row::system_row;
use crate::schema::Sources;
use crate::table::{Pages, SystemTable, page};

system_row! {
    /// One column of an input that a column of a dataset is made from.
    "lineage" => LineageRow {
        /// The dataset.
        dataset: String,
        /// Its column; none for what decides which rows there are: conditions, join keys, grouping.
        column: Option<String>,
        /// The input.
        from_dataset: String,
        /// Its column.
        from_column: String,
    }
}

/// `system.lineage`.
#[derive(Debug)]
pub(crate) struct Lineage;

impl SystemTable for Lineage {
    type Row = LineageRow;

    fn read(sources: Sources, request: Request) -> Pages<LineageRow> {
        page(async move { read(&sources, &request).await }.boxed())
    }
}

async fn read(sources: &Sources, request: &Request) -> Result<Vec<LineageRow>, ViewError> {
    let mut rows = Vec::new();
    for declared in sources.ledger.catalog().await? {
        let name = &declared.dataset.name;
        if request.dataset.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        for line in declared.lineage {
            rows.extend(line.from.into_iter().map(|from| LineageRow {
                dataset: name.to_string(),
                column: line.column.clone(),
                from_dataset: from.dataset.to_string(),
                from_column: from.column,
            }));
        }
    }
    Ok(rows)
}
