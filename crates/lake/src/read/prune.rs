//! Which files may hold rows that a filter lets through, from what the log says of them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, UInt64Array};
use arrow::datatypes::{Field, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, Result};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::scalar::ScalarValue;

use crate::FileRef;
use crate::delta::stats::FileStats;

/// The files that may hold rows for which the predicate is true, in their order.
pub(super) fn prune(
    files: Vec<Arc<FileRef>>,
    predicate: Arc<dyn PhysicalExpr>,
    schema: &SchemaRef,
) -> Result<Vec<Arc<FileRef>>> {
    // None when nothing can be told from statistics.
    let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
    let Some(predicate) = builder.build(predicate) else { return Ok(files) };
    let stats = files.iter().map(|file| FileStats::parse(file.stats.as_deref().unwrap_or("{}"))).collect();
    let keep = predicate.prune(&Statistics { files: &files, stats, schema })?;
    Ok(files.iter().zip(keep).filter(|(_, keep)| *keep).map(|(file, _)| Arc::clone(file)).collect())
}

struct Statistics<'a> {
    files: &'a [Arc<FileRef>],
    stats: Vec<FileStats<'a>>,
    schema: &'a SchemaRef,
}

impl Statistics<'_> {
    /// One value for each file: that of the partition, or what the statistics say; null where nothing is known.
    fn values(
        &self,
        column: &Column,
        of: impl Fn(&FileStats<'_>, &Field) -> Option<ScalarValue>,
    ) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(&column.name).ok()?;
        let unknown = ScalarValue::try_from(field.data_type()).ok()?;
        let values = self.files.iter().zip(&self.stats).map(|(file, stats)| {
            partition(file, field.name())
                .cloned()
                .or_else(|| of(stats, field))
                .unwrap_or_else(|| unknown.clone())
        });
        ScalarValue::iter_to_array(values).ok()
    }
}

fn partition<'a>(file: &'a FileRef, column: &str) -> Option<&'a ScalarValue> {
    file.partition.0.iter().find(|(name, _)| name == column).map(|(_, value)| value)
}

impl PruningStatistics for Statistics<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |stats, field| stats.min(field))
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.values(column, |stats, field| stats.max(field))
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let counts =
            self.files.iter().zip(&self.stats).map(|(file, stats)| match partition(file, &column.name) {
                Some(value) if value.is_null() => stats.rows(),
                Some(_) => Some(0),
                None => stats.nulls(&column.name),
            });
        Some(Arc::new(counts.collect::<UInt64Array>()))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.stats.iter().map(FileStats::rows).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
