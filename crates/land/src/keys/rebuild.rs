//! The keys that a table holds, read back when a lander opens.

use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{Schema, TimestampMicrosecondType};
use chrono::{DateTime, Utc};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use flowline_lake::{ReadAt, Table, arrow_types};
use flowline_model::Dataset;
use futures::StreamExt as _;

use super::{Keys, hashes};
use crate::LandError;

impl Keys {
    /// Remembers the keys of the rows that were landed within the horizon before `now`. Reads only the columns of
    /// keys, and only files that may hold such rows.
    pub(crate) async fn rebuild(
        &mut self,
        dataset: &Dataset,
        table: &Table,
        now: DateTime<Utc>,
    ) -> Result<(), LandError> {
        if self.is_empty() || !table.exists().await? {
            return Ok(());
        }
        let provider = table.provider(ReadAt::Latest).await?;
        let horizon = chrono::Duration::from_std(dataset.dedupe_horizon).unwrap_or(chrono::Duration::MAX);
        let since = now.checked_sub_signed(horizon).unwrap_or(DateTime::<Utc>::MIN_UTC).timestamp_micros();
        let since = ScalarValue::TimestampMicrosecond(Some(since), Some(Arc::from("UTC")));
        let mut places: Vec<usize> =
            self.constraints().flat_map(|constraint| constraint.columns.clone()).collect();
        places.sort_unstable();
        places.dedup();
        let mut names: Vec<&str> = places.iter().map(|place| dataset.columns[*place].name.as_str()).collect();
        names.push(arrow_types::INGESTED_AT);
        let failed =
            |error: DataFusionError| LandError::Internal { reason: format!("reading keys back: {error}") };
        let frame = SessionContext::new().read_table(provider).map_err(failed)?;
        let frame = frame
            .filter(col(arrow_types::INGESTED_AT).gt_eq(lit(since)))
            .and_then(|frame| frame.select_columns(&names))
            .map_err(failed)?;
        let mut batches = frame.execute_stream().await.map_err(failed)?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            self.remember(dataset, &places, &batch).map_err(|error| failed(error.into()))?;
            for (constraint, keys) in self.tidy(u32::try_from(now.timestamp()).unwrap_or(0)) {
                tracing::warn!(dataset = %dataset.name, constraint, keys, "there are more keys within the horizon than are remembered");
            }
        }
        Ok(())
    }

    fn remember(
        &mut self,
        dataset: &Dataset,
        places: &[usize],
        batch: &RecordBatch,
    ) -> Result<(), arrow::error::ArrowError> {
        // Readers may return views of text; the hash is of the contract's own type.
        let fields: Vec<_> = places
            .iter()
            .map(|place| arrow_types::field(&dataset.columns[*place]).with_nullable(true))
            .collect();
        let columns = fields
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| cast(column, field.data_type()))
            .collect::<Result<Vec<_>, _>>()?;
        let keys = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let seen = cast(batch.column(places.len()), &arrow_types::timestamp())?;
        let seen = seen.as_primitive::<TimestampMicrosecondType>();
        for constraint in self.constraints_mut() {
            let columns: Vec<usize> = constraint
                .columns
                .iter()
                .filter_map(|column| places.iter().position(|place| place == column))
                .collect();
            for (row, hash) in hashes::of(&keys, &columns)?.into_iter().enumerate() {
                if let Some(hash) = hash {
                    constraint.memory.add(hash, u32::try_from(seen.value(row) / 1_000_000).unwrap_or(0));
                }
            }
        }
        Ok(())
    }
}
