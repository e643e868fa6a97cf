//! A set of a table's files as a table of DataFusion.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use chrono::DateTime;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Result, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::union::UnionExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::SessionConfig;
use object_store::ObjectMeta;

use super::prune::prune;
use super::reader::Readers;
use crate::store::Store;
use crate::{FileRef, OffsetRange, RowsElsewhere, elsewhere};

/// Some files of a table, read as its columns are at one version. Whole files that cannot hold what a filter asks for
/// are left out by what the log says of them; within files Parquet's own statistics do the same.
#[derive(Debug, Clone)]
pub(crate) struct FilesTable {
    pub(crate) store: Store,
    /// What the session knows the object store by.
    pub(crate) url: ObjectStoreUrl,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_columns: Vec<String>,
    pub(crate) files: Vec<Arc<FileRef>>,
    /// For messages.
    pub(crate) table: Arc<str>,
    /// Where the rows lie of entries that are no files.
    pub(crate) elsewhere: Option<Arc<dyn RowsElsewhere>>,
}

#[async_trait]
impl TableProvider for FilesTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let (rows, bytes) = totals(&self.files);
        Some(Statistics {
            num_rows: rows,
            total_byte_size: Precision::Inexact(bytes),
            column_statistics: vec![ColumnStatistics::new_unknown(); self.schema.fields().len()],
        })
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // Files are left out, rows are not: the filter stays above the scan, or moves into Parquet's own reading.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let files = match conjunction(filters.to_vec()) {
            Some(filter) => {
                let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
                prune(self.files.clone(), state.create_physical_expr(filter, &columns)?, &self.schema)?
            }
            None => self.files.clone(),
        };
        self.plan(state, projection, limit, &files)
    }
}

impl FilesTable {
    /// The rows of all files, one file after the other, in their order; only these columns when some are named.
    pub(crate) fn stream(&self, columns: Option<&[String]>) -> Result<SendableRecordBatchStream> {
        let state = reading_session();
        let projection = match columns {
            Some(names) => {
                Some(names.iter().map(|name| Ok(self.schema.index_of(name)?)).collect::<Result<Vec<_>>>()?)
            }
            None => None,
        };
        let plan = self.plan(state, projection.as_ref(), None, &self.files)?;
        execute_stream(plan, state.task_ctx())
    }

    /// The same files but those that cannot hold rows for which the filter is true.
    pub(crate) fn pruned(&self, filter: Expr) -> Result<Self> {
        let columns = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = reading_session().create_physical_expr(filter, &columns)?;
        Ok(Self { files: prune(self.files.clone(), predicate, &self.schema)?, ..self.clone() })
    }

    fn plan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        limit: Option<usize>,
        files: &[Arc<FileRef>],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        if files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(Arc::new(self.schema.project(&wanted)?))));
        }
        let (ranges, files): (Vec<_>, Vec<_>) =
            files.iter().cloned().partition(|file| file.elsewhere.is_some());
        if ranges.is_empty() {
            return self.plan_files(state, &wanted, limit, &files);
        }
        let ranges: Vec<Arc<OffsetRange>> =
            ranges.iter().filter_map(|range| range.elsewhere.clone()).collect();
        let schema = Arc::new(self.schema.project(&wanted)?);
        let source = self
            .elsewhere
            .as_ref()
            .ok_or_else(|| DataFusionError::External(Box::new(elsewhere::out_of_reach(&self.table))))?;
        let parts = state.config().target_partitions();
        let elsewhere = elsewhere::plan(source, &self.table, &schema, ranges, parts)?;
        match files.is_empty() {
            true => Ok(elsewhere),
            false => UnionExec::try_new(vec![self.plan_files(state, &wanted, limit, &files)?, elsewhere]),
        }
    }

    fn plan_files(
        &self,
        state: &dyn Session,
        wanted: &[usize],
        limit: Option<usize>,
        files: &[Arc<FileRef>],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = self.table_schema()?;
        let positions: Vec<usize> = wanted
            .iter()
            .map(|&index| Ok(columns.table_schema().index_of(self.schema.field(index).name())?))
            .collect::<Result<_>>()?;
        let runtime = state.runtime_env();
        runtime.register_object_store(self.url.as_ref(), Arc::clone(self.store.objects()));
        let readers = Readers::new(self.store.clone(), runtime.cache_manager.get_file_metadata_cache());
        let mut options = state.default_table_options().parquet;
        options.global = state.config_options().execution.parquet.clone();
        let source = ParquetSource::new(columns.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(readers));
        let entries =
            files.iter().map(|file| self.entry(file, columns.table_schema().fields().len())).collect();
        let groups = FileGroup::new(entries).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.plan_statistics(files, columns.table_schema().fields().len()))
            .with_projection_indices(Some(positions))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The columns as a scan has them: those of the files, then those of the partitions.
    fn table_schema(&self) -> Result<TableSchema> {
        let partitioned = |field: &&Arc<Field>| self.partition_columns.contains(field.name());
        let in_files: Vec<Arc<Field>> =
            self.schema.fields().iter().filter(|field| !partitioned(field)).cloned().collect();
        let partitions = self
            .partition_columns
            .iter()
            .map(|name| Ok(Arc::new(self.schema.field_with_name(name)?.clone())));
        let partitions = partitions.collect::<Result<Vec<_>>>()?;
        Ok(TableSchema::builder(Arc::new(Schema::new(in_files)))
            .with_table_partition_cols(partitions)
            .build())
    }

    fn entry(&self, file: &FileRef, columns: usize) -> PartitionedFile {
        let mut entry = PartitionedFile::new_from_meta(ObjectMeta {
            location: self.store.at(&file.path),
            last_modified: DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(),
            size: file.bytes,
            e_tag: None,
            version: None,
        });
        entry.partition_values = file.partition.0.iter().map(|(_, value)| value.clone()).collect();
        // Set directly: the setter takes partition values for never null.
        entry.statistics =
            Some(Arc::new(self.plan_statistics(std::slice::from_ref(&Arc::new(file.clone())), columns)));
        entry
    }

    fn plan_statistics(&self, files: &[Arc<FileRef>], columns: usize) -> Statistics {
        let (rows, bytes) = totals(files);
        Statistics {
            num_rows: rows,
            total_byte_size: Precision::Inexact(bytes),
            column_statistics: vec![ColumnStatistics::new_unknown(); columns],
        }
    }
}

fn totals(files: &[Arc<FileRef>]) -> (Precision<usize>, usize) {
    let rows: Option<u64> = files.iter().map(|file| file.rows).sum();
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    let rows = rows.and_then(|rows| usize::try_from(rows).ok()).map_or(Precision::Absent, Precision::Exact);
    (rows, usize::try_from(bytes).unwrap_or(usize::MAX))
}

/// A session that reads files one after the other. Made once: it knows every function there is.
fn reading_session() -> &'static SessionState {
    static SESSION: LazyLock<SessionState> = LazyLock::new(|| {
        let config = SessionConfig::new().with_target_partitions(1);
        SessionStateBuilder::new().with_config(config).with_default_features().build()
    });
    &SESSION
}
