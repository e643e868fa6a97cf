//! What the rows of a table are like, before the first record is landed.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Schema, TimestampMicrosecondType};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use flowline_lake::{ReadAt, Table, arrow_types};
use flowline_model::{Column, ColumnType, Dataset, OnDrift};
use flowline_quality::drift::Baseline;
use futures::StreamExt as _;

use super::ADOPT_AFTER;
use crate::LandError;

/// Rows that are read back.
const ROWS_MAX: usize = 20_000;
/// How far back they may have been landed, before the newest of them; microseconds.
const AGE_MAX: i64 = 7 * 86_400 * 1_000_000;

/// A memory of the contract's columns that has seen nothing.
pub(super) fn baseline(dataset: &Dataset) -> Baseline {
    let kind = |column: &Column| match column.format.as_deref() {
        // Only numbers since the epoch come in units; a date that is written out is one, or is none.
        Some(format) if format.starts_with("epoch") => arrow_types::data_type(&column.data_type),
        _ if column.data_type == ColumnType::Timestamp => DataType::Null,
        _ => arrow_types::data_type(&column.data_type),
    };
    let types: Vec<DataType> = dataset.columns.iter().map(kind).collect();
    // What is never landed must not become normal.
    let adopt_after = (dataset.on_drift == OnDrift::AcceptNewFields).then_some(ADOPT_AFTER);
    Baseline::new(&types, adopt_after)
}

/// Some of the newest rows of a table, the contract's columns only; none where there are none. Reads files that were
/// landed in the week before the newest row, and of those no more than are needed.
pub(super) async fn newest_rows(dataset: &Dataset, table: &Table) -> Result<Option<RecordBatch>, LandError> {
    if dataset.columns.is_empty() || !table.exists().await? {
        return Ok(None);
    }
    let provider = table.provider(ReadAt::Latest).await?;
    let failed = |error: DataFusionError| LandError::Internal {
        reason: format!("reading back what the rows were like: {error}"),
    };
    // The order of the table, so that windows are as they were landed.
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(1));
    let newest = session.read_table(Arc::clone(&provider)).map_err(failed)?;
    let newest = newest.aggregate(Vec::new(), vec![max(col(arrow_types::INGESTED_AT)).alias("newest")]);
    let newest = newest.map_err(failed)?.collect().await.map_err(failed)?;
    let Some(newest) = newest.first().filter(|batch| batch.num_rows() == 1) else { return Ok(None) };
    let newest = cast(newest.column(0), &arrow_types::timestamp()).map_err(|error| failed(error.into()))?;
    let Some(newest) = newest.as_primitive::<TimestampMicrosecondType>().iter().next().flatten() else {
        return Ok(None);
    };
    let since = ScalarValue::TimestampMicrosecond(Some(newest - AGE_MAX), Some(Arc::from("UTC")));
    let names: Vec<&str> = dataset.columns.iter().map(|column| column.name.as_str()).collect();
    let frame = session.read_table(provider).map_err(failed)?;
    let frame = frame
        .filter(col(arrow_types::INGESTED_AT).gt_eq(lit(since)))
        .and_then(|frame| frame.select_columns(&names))
        .and_then(|frame| frame.limit(0, Some(ROWS_MAX)))
        .map_err(failed)?;
    let mut stream = frame.execute_stream().await.map_err(failed)?;
    let fields: Vec<_> =
        dataset.columns.iter().map(|column| arrow_types::field(column).with_nullable(true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(failed)?;
        // Readers may return views of text.
        let columns: Result<Vec<_>, _> = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| cast(column, field.data_type()))
            .collect();
        let columns = columns.map_err(|error| failed(error.into()))?;
        let rows =
            RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| failed(error.into()))?;
        batches.push(rows);
    }
    let rows = concat_batches(&schema, &batches).map_err(|error| failed(error.into()))?;
    Ok((rows.num_rows() > 0).then_some(rows))
}
