//! Rows of the quarantine become the records that they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow::error::ArrowError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use flowline_lake::arrow_types;
use flowline_log::{Batch, RecordFormat};
use flowline_model::{Dataset, FindingKind};
use flowline_quality::Mending;
use futures::stream::{BoxStream, StreamExt as _};

use super::ReplaySelection;
use crate::LandError;
use crate::parcel::{Parcel, Piece, Records};
use crate::quarantine::format_of;
use crate::schemas::FoundSchemas;

/// Records that are replayed in one run at most: what a commit's note of them may hold.
const RECORDS_MAX: usize = 20_000;

/// Groups of them: each is a part of the condition by which they leave the quarantine.
const GROUPS_MAX: usize = 500;

/// Records of one run, by the run that quarantined them.
#[derive(Debug, Default)]
pub(super) struct Selected {
    pub(super) parcels: Vec<(String, Parcel)>,
}

impl Selected {
    pub(super) fn count(&self) -> u64 {
        self.parcels.iter().map(|(_, parcel)| parcel.count()).sum()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.parcels.iter().map(|(_, parcel)| parcel.bytes()).sum()
    }
}

impl ReplaySelection {
    /// What is mended in records, which may have the fields of the contract and others.
    pub(super) fn mending(&self, dataset: &Dataset) -> Result<Mending, LandError> {
        let fields = dataset.columns.iter().map(|column| column.field_name().to_owned());
        let mending = Mending::new(self.set.clone().into_iter().collect(), fields);
        mending.map_err(|error| LandError::Selection { reason: error.to_string() })
    }

    /// Why nothing was selected, when that is for a column that neither the contract nor a record has.
    pub(super) fn unknown_column(&self, dataset: &Dataset) -> Option<LandError> {
        let column = self.column.as_ref().filter(|column| dataset.column(column).is_none())?;
        let reason = format!(
            "`{}` has no column `{column}`, and no record in its quarantine is there for a field of that name; see `flowline quarantine list {0}`",
            dataset.name
        );
        Some(LandError::Selection { reason })
    }

    /// The condition on rows of the quarantine.
    pub(crate) fn condition(&self) -> Result<Option<Expr>, LandError> {
        if let Some(word) = &self.reason {
            FindingKind::reason(word).map_err(|reason| LandError::Selection { reason })?;
        }
        let is = |name: &str, value: &Option<String>| value.clone().map(|value| col(name).eq(lit(value)));
        Ok(is("_reason", &self.reason).into_iter().chain(is("_column", &self.column)).reduce(Expr::and))
    }
}

/// The selected records in parts, in the order in which they lie in the table.
pub(super) async fn select(
    provider: Arc<dyn TableProvider>,
    condition: Option<Expr>,
) -> Result<BoxStream<'static, Result<Selected, LandError>>, LandError> {
    let failed =
        |error: DataFusionError| LandError::Internal { reason: format!("reading the quarantine: {error}") };
    let session = SessionContext::new_with_config(SessionConfig::new().with_batch_size(RECORDS_MAX));
    let mut frame = session.read_table(provider).map_err(failed)?;
    if let Some(condition) = condition {
        frame = frame.filter(condition).map_err(failed)?;
    }
    let batches = frame.execute_stream().await.map_err(failed)?;
    Ok(batches
        .filter(|batch| std::future::ready(!batch.as_ref().is_ok_and(|batch| batch.num_rows() == 0)))
        .flat_map(move |batch| {
            let parts = batch.and_then(|batch| Ok(selected(&batch)?)).map_err(failed);
            let parts =
                parts.map_or_else(|error| vec![Err(error)], |parts| parts.into_iter().map(Ok).collect());
            futures::stream::iter(parts)
        })
        .boxed())
}

fn selected(batch: &RecordBatch) -> Result<Vec<Selected>, ArrowError> {
    let columns = Columns::of(batch)?;
    let mut parcels: BTreeMap<(String, String, i32), Vec<Piece>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let key = (
            columns.batch.value(row).to_owned(),
            columns.source.value(row).to_owned(),
            columns.partition[row],
        );
        parcels.entry(key).or_default().push(columns.piece(row));
    }
    let parcel = |((batch, source, partition), mut pieces): ((String, String, i32), Vec<Piece>)| {
        pieces.sort_by_key(|piece| piece.first_offset);
        let source: Arc<str> = Arc::from(source);
        (
            batch,
            Parcel {
                input: Arc::clone(&source),
                source,
                partition,
                tombstones: 0,
                pieces,
                schemas: FoundSchemas::default(),
            },
        )
    };
    let parcels: Vec<(String, Parcel)> = parcels.into_iter().map(parcel).collect();
    Ok(parcels.chunks(GROUPS_MAX).map(|parcels| Selected { parcels: parcels.to_vec() }).collect())
}

/// The columns of the quarantine that a record is made of.
struct Columns {
    record: StringArray,
    base64: StringArray,
    format: StringArray,
    schema: StringArray,
    source: StringArray,
    batch: StringArray,
    trace: StringArray,
    partition: Vec<i32>,
    offset: Vec<i64>,
    received_at: Vec<i64>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let column = |name: &str, data_type: &DataType| {
            let column = batch.column_by_name(name);
            let column =
                column.ok_or_else(|| ArrowError::SchemaError(format!("the quarantine has no `{name}`")))?;
            cast(column, data_type)
        };
        let text =
            |name: &str| Ok::<_, ArrowError>(column(name, &DataType::Utf8)?.as_string::<i32>().clone());
        let received_at = column(arrow_types::RECEIVED_AT, &arrow_types::timestamp())?;
        Ok(Self {
            record: text("_record")?,
            base64: text("_record_base64")?,
            format: text("_format")?,
            schema: text("_schema")?,
            source: text(arrow_types::SOURCE)?,
            batch: text(arrow_types::BATCH)?,
            trace: text(arrow_types::TRACE)?,
            partition: column(arrow_types::PARTITION, &DataType::Int32)?
                .as_primitive::<Int32Type>()
                .values()
                .to_vec(),
            offset: column(arrow_types::OFFSET, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .values()
                .to_vec(),
            received_at: received_at.as_primitive::<TimestampMicrosecondType>().values().to_vec(),
        })
    }

    /// The record of a row, as a batch of its own.
    fn piece(&self, row: usize) -> Piece {
        let optional = |array: &StringArray| array.is_valid(row).then(|| array.value(row).to_owned());
        let payload = optional(&self.base64).and_then(|text| STANDARD.decode(text).ok());
        let payload = payload.unwrap_or_else(|| self.record.value(row).as_bytes().to_vec());
        let format = format_of(self.format.value(row)).unwrap_or(RecordFormat::Json);
        let spans = match format {
            RecordFormat::ArrowStream => Vec::new(),
            // A record is part of a body, and no body is larger than 32 bits count.
            _ => vec![(0, payload.len() as u32)],
        };
        let trace = optional(&self.trace).and_then(|text| text.parse().ok());
        let batch = Batch {
            format,
            schema: optional(&self.schema).unwrap_or_default().into(),
            payload: payload.into(),
            spans,
            records: 1,
            idempotency_key: None,
            received_at: self.received_at[row],
            trace_id: trace,
        };
        Piece {
            first_offset: u64::try_from(self.offset[row]).unwrap_or(0),
            received_at: self.received_at[row],
            trace,
            records: Records::Batch { batch, skip: 0 },
        }
    }
}
