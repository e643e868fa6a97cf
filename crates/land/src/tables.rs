//! The two tables of a landed dataset, and where landing stands in them.

use std::sync::Arc;

use datafusion::logical_expr::Expr;
use flowline_base::RunId;
use flowline_lake::{
    StagedFiles, StagedWriter, Table, TableCommit, TableId, TableSpec, WriterOptions, arrow_types,
};
use flowline_model::Dataset;
use serde_json::json;

use crate::audit::Unrecorded;
use crate::{KeptInLog, LandContext, LandError};

/// The data table and the quarantine table of a dataset.
#[derive(Debug, Clone)]
pub(crate) struct Tables {
    pub(crate) dataset: Arc<Dataset>,
    pub(crate) data: Table,
    pub(crate) quarantine: Table,
    pub(crate) unrecorded: Unrecorded,
    /// Where rows go that are not written into files.
    pub(crate) kept: Option<Arc<KeptInLog>>,
}

/// The position of one application id in each of the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) app_id: String,
    pub(crate) data: Option<i64>,
    pub(crate) quarantine: Option<i64>,
}

/// Rows of one table that are written in the flush under way share this much memory while they are encoded.
const WRITER_MEMORY_BYTES: usize = 64 << 20;

impl Tables {
    pub(crate) fn new(context: &LandContext, dataset: Arc<Dataset>) -> Self {
        Self {
            data: context.lake.table(TableId::of(&dataset)),
            quarantine: context.lake.table(TableId::quarantine(dataset.name.clone())),
            unrecorded: Unrecorded::default(),
            kept: None,
            dataset,
        }
    }

    /// Creates the data table or fits it to the contract. The quarantine table is created when it is first needed.
    pub(crate) async fn ensure_data(&self) -> Result<(), LandError> {
        let spec = TableSpec {
            schema: arrow_types::landed_schema(&self.dataset),
            partition_columns: arrow_types::partition_columns(&self.dataset),
            description: self.dataset.description.clone(),
        };
        Ok(self.data.ensure(&spec).await?)
    }

    /// Starts writing rows.
    pub(crate) async fn data_writer(&self) -> Result<StagedWriter, LandError> {
        let options = WriterOptions { memory_bytes_max: WRITER_MEMORY_BYTES, ..WriterOptions::default() };
        Ok(self.data.writer(options).await?)
    }

    /// Starts writing rejected records, creating their table when there is none.
    pub(crate) async fn quarantine_writer(&self) -> Result<StagedWriter, LandError> {
        let spec = TableSpec {
            schema: arrow_types::quarantine_schema(),
            partition_columns: Vec::new(),
            description: format!("records that do not fit the contract of {}", self.dataset.name),
        };
        self.quarantine.ensure(&spec).await?;
        let options = WriterOptions { memory_bytes_max: WRITER_MEMORY_BYTES / 4, ..WriterOptions::default() };
        Ok(self.quarantine.writer(options).await?)
    }

    /// Where an application id stands.
    pub(crate) async fn place(&self, app_id: String) -> Result<Place, LandError> {
        Ok(Place {
            data: self.data.transaction_version(&app_id).await?,
            quarantine: self.quarantine.transaction_version(&app_id).await?,
            app_id,
        })
    }

    /// Brings the quarantine back to where the data table stands, by removing the rows for which `ahead` is true. A
    /// crash between the two commits leaves it ahead, and what lands next may judge the same records otherwise (the
    /// contract may be another by then): so what was not committed with its rows is not kept.
    pub(crate) async fn rewind_quarantine(
        &self,
        place: &mut Place,
        to: i64,
        ahead: Expr,
    ) -> Result<(), LandError> {
        tracing::warn!(dataset = %self.dataset.name, app_id = place.app_id, to, "the quarantine is ahead of its table and is brought back");
        let commit = TableCommit {
            transaction: Some((place.app_id.clone(), to)),
            expected_transaction: Some(place.quarantine),
            operation: "DELETE",
            info: json!({ "id": RunId::generate() }),
            ..TableCommit::append(StagedFiles::none())
        };
        self.quarantine.delete_where(ahead, commit).await?;
        place.quarantine = Some(to);
        Ok(())
    }
}
