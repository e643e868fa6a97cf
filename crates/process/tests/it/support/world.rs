//! A lake, a ledger and an engine in a folder that is gone afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use chrono::{DateTime, Utc};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::SessionContext;
use flowline_base::{Clock, ManualClock, SharedClock};
use flowline_lake::faults::FaultInjector;
use flowline_lake::{
    Committed, Lake, LakeSettings, OffsetRange, StagedFiles, Table, TableCommit, TableId, TableSpec,
    WriterOptions, arrow_types,
};
use flowline_ledger::Ledger;
use flowline_model::{Dataset, DatasetName, Plan, Run};
use flowline_process::{AsOf, ProcessError, QueryEngine, QueryOptions, Transformer};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::kept_log::KeptLog;

/// Everything that a node has, without the node.
pub struct World {
    pub folder: TempDir,
    pub clock: Arc<ManualClock>,
    pub lake: Lake,
    pub ledger: Arc<dyn Ledger>,
    pub plan: Arc<Plan>,
    pub engine: QueryEngine,
    pub transformer: Transformer,
    offset: AtomicI64,
}

impl World {
    pub async fn new(datasets: impl IntoIterator<Item = Dataset>) -> Self {
        Self::with_faults(datasets, None).await
    }

    pub async fn with_faults(
        datasets: impl IntoIterator<Item = Dataset>,
        faults: Option<Arc<dyn FaultInjector>>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let start = DateTime::from_timestamp(1_760_000_000, 0).unwrap();
        let clock = Arc::new(ManualClock::new(start));
        let plan = Arc::new(super::plan_in(folder.path(), datasets));
        let ledger = flowline_ledger::connect(&plan.environment.ledger).await.unwrap();
        Self::open(folder, clock, plan, ledger, faults, 0).await
    }

    async fn open(
        folder: TempDir,
        clock: Arc<ManualClock>,
        plan: Arc<Plan>,
        ledger: Arc<dyn Ledger>,
        faults: Option<Arc<dyn FaultInjector>>,
        offset: i64,
    ) -> Self {
        let shared: SharedClock = Arc::<ManualClock>::clone(&clock);
        let settings = LakeSettings {
            url: plan.environment.lake.clone(),
            storage_options: Default::default(),
            clock: Arc::clone(&shared),
            faults,
        };
        let lake = Lake::open(settings).await.unwrap();
        let engine = QueryEngine::new(Arc::clone(&plan), lake.clone(), Arc::clone(&shared)).unwrap();
        let transformer = Transformer::new(engine.clone(), lake.clone(), Arc::clone(&ledger), shared);
        Self { folder, clock, lake, ledger, plan, engine, transformer, offset: AtomicI64::new(offset) }
    }

    /// The same folder after the process ended and began again, with other datasets when some are given.
    pub async fn restarted(self, datasets: Option<Vec<Dataset>>) -> Self {
        self.restarted_with(datasets, None).await
    }

    /// The same, over a store with faults.
    pub async fn restarted_with(
        self,
        datasets: Option<Vec<Dataset>>,
        faults: Option<Arc<dyn FaultInjector>>,
    ) -> Self {
        let plan = match datasets {
            Some(datasets) => Arc::new(super::plan_in(self.folder.path(), datasets)),
            None => Arc::clone(&self.plan),
        };
        let offset = self.offset.load(Ordering::Relaxed);
        Self::open(self.folder, self.clock, plan, self.ledger, faults, offset).await
    }

    /// The same folder with another ledger that knows nothing.
    pub async fn with_new_ledger(self) -> Self {
        let path = self.folder.path().join("other.db");
        let ledger = flowline_ledger::connect(&format!("sqlite://{}", path.display())).await.unwrap();
        let offset = self.offset.load(Ordering::Relaxed);
        Self::open(self.folder, self.clock, self.plan, ledger, None, offset).await
    }

    pub fn dataset(&self, name: &str) -> &Dataset {
        self.plan.dataset(&name.parse().unwrap()).unwrap()
    }

    pub fn table(&self, name: &str) -> Table {
        self.lake.table(TableId::of(self.dataset(name)))
    }

    /// Lands rows, given as the rows of a SQL VALUES, one second after what was landed before.
    pub async fn land(&self, name: &str, values: &str) -> Committed {
        self.land_in(name, 0, values).await
    }

    /// The same, into a partition of the log.
    pub async fn land_in(&self, name: &str, partition: i32, values: &str) -> Committed {
        self.land_batch(name, partition, self.batch(name, values).await).await
    }

    /// The same, from a partition of a topic with this id.
    pub async fn land_topic(&self, name: &str, topic: &str, partition: i32, values: &str) -> Committed {
        let rows = self.batch(name, values).await;
        self.land_from(name, &format!("kafka/{topic}/{partition}"), partition, rows).await
    }

    /// Lands rows that stay in a log.
    pub async fn land_kept(&self, log: &Arc<KeptLog>, name: &str, partition: i32, values: &str) -> Committed {
        let (dataset, table) = self.landed_into(name).await;
        table.rows_lie_in(Arc::clone(log) as _);
        let from = self.offset.load(Ordering::Relaxed);
        let rows = self.stamped(dataset, partition, &self.batch(name, values).await).await;
        let to = self.offset.load(Ordering::Relaxed);
        let (input, count) = (format!("log/{partition}"), Some(rows.num_rows() as u64));
        // The stamps count from one on.
        let (from, to) = (from + 1, to + 1);
        let range = OffsetRange { input, partition, from, to, rows: count, run: Some("run".to_owned()) };
        log.add(range.clone(), rows);
        let transaction = Some((format!("{name}/log/{partition}"), to));
        let elsewhere = vec![range];
        let commit = TableCommit { transaction, elsewhere, ..TableCommit::append(StagedFiles::none()) };
        table.commit(commit).await.unwrap()
    }

    /// A dataset a second later, with its table, which is made when there is none.
    async fn landed_into(&self, name: &str) -> (&Dataset, Table) {
        self.clock.advance(Duration::from_secs(1));
        let (dataset, table) = (self.dataset(name), self.table(name));
        let spec = TableSpec {
            schema: arrow_types::landed_schema(dataset),
            partition_columns: arrow_types::partition_columns(dataset),
            description: String::new(),
        };
        table.ensure(&spec).await.unwrap();
        (dataset, table)
    }

    async fn batch(&self, name: &str, values: &str) -> RecordBatch {
        let dataset = self.dataset(name);
        let names: Vec<String> =
            dataset.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        let sql = format!("select * from (values {values}) as t({})", names.join(", "));
        let rows = SessionContext::new().sql(&sql).await.unwrap().collect().await.unwrap();
        arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap()
    }

    /// Lands these rows into a partition of the log.
    pub async fn land_batch(&self, name: &str, partition: i32, rows: RecordBatch) -> Committed {
        self.land_from(name, &format!("log/{partition}"), partition, rows).await
    }

    /// Lands these rows from a partition that is called so.
    async fn land_from(&self, name: &str, source: &str, partition: i32, rows: RecordBatch) -> Committed {
        let (dataset, table) = self.landed_into(name).await;
        let mut writer = table.writer(WriterOptions::default()).await.unwrap();
        writer.write(&self.stamped(dataset, partition, &rows).await).await.unwrap();
        let next = self.offset.load(Ordering::Relaxed);
        let transaction = Some((format!("{name}/{source}"), next));
        let staged = writer.finish().await.unwrap();
        table.commit(TableCommit { transaction, ..TableCommit::append(staged) }).await.unwrap()
    }

    /// Puts rows, given as the rows of a SQL VALUES, in the place of those with the same key.
    pub async fn merge(&self, name: &str, key: &[&str], values: &str) -> Committed {
        self.clock.advance(Duration::from_secs(1));
        let rows = self.stamped(self.dataset(name), 0, &self.batch(name, values).await).await;
        let stream = RecordBatchStreamAdapter::new(rows.schema(), futures::stream::iter([Ok(rows)]));
        let key: Vec<String> = key.iter().map(|name| (*name).to_owned()).collect();
        let commit = TableCommit::append(StagedFiles::none());
        self.table(name).merge(Box::pin(stream), &key, commit).await.unwrap()
    }

    /// Deletes the rows that meet a condition.
    pub async fn delete(&self, name: &str, condition: Expr) -> Committed {
        let commit = TableCommit::append(StagedFiles::none());
        self.table(name).delete_where(condition, commit).await.unwrap()
    }

    async fn stamped(&self, dataset: &Dataset, partition: i32, batch: &RecordBatch) -> RecordBatch {
        let first = self.offset.fetch_add(batch.num_rows() as i64, Ordering::Relaxed);
        let now = self.clock.now().timestamp_micros();
        let mut columns: Vec<String> = dataset
            .columns
            .iter()
            .map(|column| {
                let (name, kind) = (&column.name, arrow_types::data_type(&column.data_type));
                if kind.is_nested() {
                    format!("\"{name}\"")
                } else {
                    format!("arrow_cast(\"{name}\", '{kind}') as \"{name}\"")
                }
            })
            .collect();
        let instant = format!("arrow_cast({now}, 'Timestamp(µs, \"UTC\")')");
        columns.push("cast(null as varchar) as _extra".to_owned());
        columns.push(format!("{instant} as _ingested_at, {instant} as _received_at, 'http' as _source"));
        columns.push(format!("arrow_cast({partition}, 'Int32') as _partition, {first} + arrow_cast(row_number() over (), 'Int64') as _offset"));
        columns.push("'batch' as _batch, cast(null as varchar) as _trace".to_owned());
        for field in &dataset.partition_by {
            if field.partition_column() != field.column {
                columns.push(format!("cast(\"{}\" as date) as {}", field.column, field.partition_column()));
            }
        }
        let context = SessionContext::new();
        context.register_batch("rows", batch.clone()).unwrap();
        let sql = format!("select {} from rows", columns.join(", "));
        let rows = context.sql(&sql).await.unwrap().collect().await.unwrap();
        arrow::compute::concat_batches(&rows[0].schema(), &rows).unwrap()
    }

    /// Runs a transform and expects it to succeed.
    pub async fn run(&self, hop: &str) -> Run {
        let run = self.try_run(hop).await;
        assert_eq!(run.error, None, "{hop}");
        run
    }

    /// Runs a transform.
    pub async fn try_run(&self, hop: &str) -> Run {
        self.clock.advance(Duration::from_secs(1));
        let hop: DatasetName = hop.parse().unwrap();
        self.transformer.run(&hop, "test", &CancellationToken::new()).await.unwrap()
    }

    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, ProcessError> {
        self.query_with(sql, &QueryOptions::default()).await
    }

    pub async fn query_with(
        &self,
        sql: &str,
        options: &QueryOptions,
    ) -> Result<Vec<RecordBatch>, ProcessError> {
        let answer = self.engine.query(sql, options).await?;
        answer.stream.try_collect().await.map_err(ProcessError::from)
    }

    pub async fn query_as_of(&self, sql: &str, as_of: AsOf) -> Result<Vec<RecordBatch>, ProcessError> {
        self.query_with(sql, &QueryOptions { as_of: Some(as_of), ..QueryOptions::default() }).await
    }

    /// The rows of a query as text, one a line, sorted.
    pub async fn rows(&self, sql: &str) -> String {
        lines(&self.query(sql).await.unwrap())
    }

    /// Columns of what lies in the quarantine of a dataset, as text, one row a line, sorted.
    pub async fn quarantined(&self, name: &str, columns: &str) -> String {
        let table = self.lake.table(TableId::quarantine(name.parse().unwrap()));
        let context = SessionContext::new();
        context.register_table("q", table.provider(Default::default()).await.unwrap()).unwrap();
        let rows = context.sql(&format!("select {columns} from q")).await.unwrap();
        lines(&rows.collect().await.unwrap())
    }

    /// How the table of a hop was brought up last: what its newest commit says.
    pub async fn how(&self, name: &str) -> String {
        let history = self.table(name).history(None, 1).await.unwrap();
        let info = history[0].info.clone().unwrap_or_default();
        info["how"].as_str().unwrap_or_default().to_owned()
    }

    /// The time of the world.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

/// Rows as text, one a line, the columns apart by one space, sorted.
pub fn lines(batches: &[RecordBatch]) -> String {
    if batches.iter().all(|batch| batch.num_rows() == 0) {
        return String::new();
    }
    let options = FormatOptions::default().with_null("null");
    let table = pretty_format_batches_with_options(batches, &options).unwrap().to_string();
    let mut lines: Vec<String> = table
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(1)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join(" "))
        .collect();
    lines.sort();
    lines.join("\n")
}

/// One line for a run: where its rows went.
pub fn counted(run: &Run) -> String {
    let counts = &run.counts;
    let reshaped = if counts.reshaped { " reshaped" } else { "" };
    format!(
        "read {} written {} filtered {} duplicate {}{reshaped}, version {}",
        counts.read,
        counts.written,
        counts.filtered,
        counts.duplicate,
        run.commit.as_ref().map_or("-".to_owned(), |commit| commit.version.to_string())
    )
}
