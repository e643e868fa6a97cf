//! The one mechanism behind every system table: conditions in, pages of rows out, columns picked by DataFusion.

use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::prelude::col;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt};

use crate::ViewError;
use crate::request::Request;
use crate::row::{SystemRow, batch};
use crate::schema::Sources;

/// Rows as they are read, some at a time.
pub(crate) type Pages<R> = BoxStream<'static, Result<Vec<R>, ViewError>>;

/// How the rows of a table are read.
pub(crate) trait SystemTable: Debug + Send + Sync + 'static {
    type Row: SystemRow;

    /// The column by which the rows come, the greatest first; none where they come in no order.
    const NEWEST_FIRST_BY: Option<&'static str> = None;

    /// The rows that meet the request, at least; others are dropped afterwards.
    fn read(sources: Sources, request: Request) -> Pages<Self::Row>;
}

/// Rows that are read in one go.
pub(crate) fn page<R: Send + 'static>(rows: BoxFuture<'static, Result<Vec<R>, ViewError>>) -> Pages<R> {
    stream::once(rows).boxed()
}

/// A system table as DataFusion sees it.
pub(crate) struct Provider<T> {
    sources: Sources,
    table: PhantomData<T>,
}

impl<T: SystemTable> Provider<T> {
    pub(crate) fn shared(sources: &Sources) -> Arc<dyn TableProvider> {
        Arc::new(Self { sources: sources.clone(), table: PhantomData })
    }
}

impl<T: SystemTable> Debug for Provider<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Provider").field(&T::Row::TABLE).finish()
    }
}

#[async_trait]
impl<T: SystemTable> TableProvider for Provider<T> {
    fn schema(&self) -> SchemaRef {
        T::Row::schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(filters
            .iter()
            .map(|filter| match Request::understands(filter) {
                true => TableProviderFilterPushDown::Inexact,
                false => TableProviderFilterPushDown::Unsupported,
            })
            .collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let scan = Scan::<T> {
            schema: T::Row::schema(),
            sources: self.sources.clone(),
            request: Request::of(filters, limit),
            table: PhantomData,
        };
        let order = T::NEWEST_FIRST_BY.map(|column| col(column).sort(false, true));
        let streaming = StreamingTable::try_new(T::Row::schema(), vec![Arc::new(scan)])?
            .with_sort_order(order.into_iter().collect());
        streaming.scan(state, projection, &[], limit).await
    }
}

/// One reading of a table; starts when the query runs, not when it is planned.
struct Scan<T> {
    schema: SchemaRef,
    sources: Sources,
    request: Request,
    table: PhantomData<T>,
}

impl<T: SystemTable> Debug for Scan<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(T::Row::TABLE).field("request", &self.request).finish_non_exhaustive()
    }
}

impl<T: SystemTable> PartitionStream for Scan<T> {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let pages = match self.request.nothing {
            true => stream::empty().boxed(),
            false => T::read(self.sources.clone(), self.request.clone()),
        };
        let batches = pages.map(|page| page.and_then(|rows| batch(&rows)).map_err(external));
        Box::pin(RecordBatchStreamAdapter::new(self.schema.clone(), batches))
    }
}

fn external(error: ViewError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
