//! A part of a table: the rows that have one value in one column.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Column;
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, TableProviderFilterPushDown, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;

use super::files_table;
use crate::delta::stats::FileStats;
use crate::store::from_datafusion;
use crate::table::Shared;
use crate::{FileRef, LakeError};

/// The rows as a table of their own: a view would be dissolved where the table is scanned, and whoever looks for the scans
/// of a query would not find it.
#[derive(Debug)]
struct OnlyTable(ViewTable);

#[async_trait]
impl TableProvider for OnlyTable {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        self.0.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.0.scan(state, projection, filters, limit).await
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Only {
    pub(crate) column: String,
    pub(crate) value: ScalarValue,
}

impl Only {
    fn condition(&self) -> Expr {
        Expr::Column(Column::new_unqualified(&self.column)).eq(lit(self.value.clone()))
    }

    /// Only these rows of a table.
    pub(crate) fn rows(
        &self,
        table: &Shared,
        rows: Arc<dyn TableProvider>,
    ) -> std::result::Result<Arc<dyn TableProvider>, LakeError> {
        let plan = LogicalPlanBuilder::scan("part", provider_as_source(rows), None)
            .and_then(|scan| scan.filter(self.condition())?.build());
        let plan = plan.map_err(|error| from_datafusion("reading", table.name.to_string(), &error))?;
        Ok(Arc::new(OnlyTable(ViewTable::new(plan, None))))
    }

    /// The files that may hold such rows. Of one that may hold others as well it is not known how many it has.
    pub(crate) async fn files(
        &self,
        table: &Shared,
        files: Vec<FileRef>,
    ) -> std::result::Result<Vec<FileRef>, LakeError> {
        let snapshot = table.some_version().await?;
        let files = files.into_iter().map(Arc::new).collect();
        let pruned = files_table(table, &snapshot, files).pruned(self.condition());
        let pruned = pruned.map_err(|error| from_datafusion("reading", table.name.to_string(), &error))?;
        let field = snapshot.schema.field_with_name(&self.column).ok();
        let whole = |file: &FileRef| {
            let stats = FileStats::parse(file.stats.as_deref().unwrap_or("{}"));
            let same = |bound: Option<ScalarValue>| bound.as_ref() == Some(&self.value);
            field.is_some_and(|field| same(stats.min(field)) && same(stats.max(field)))
        };
        let counted = pruned.files.iter().map(|file| {
            let rows = file.rows.filter(|_| whole(file));
            FileRef { rows, ..file.as_ref().clone() }
        });
        Ok(counted.collect())
    }
}
