//! A lake in a folder that goes away, and rows to put into it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::pretty::pretty_format_batches;
use chrono::{DateTime, Utc};
use datafusion::catalog::TableProvider;
use datafusion::prelude::SessionContext;
use flowline_base::{Backoff, ManualClock};
use flowline_lake::faults::FaultInjector;
use flowline_lake::{
    Committed, Lake, LakeError, LakeSettings, ReadAt, StagedFiles, Table, TableCommit, TableId, TableSpec,
    WriterOptions, arrow_types,
};
use flowline_model::Zone;
use tempfile::TempDir;

/// 2026-01-05 00:00:00 UTC.
pub const START: i64 = 1_767_571_200;

/// The time of the machine, which the times of files follow.
pub fn machine_time() -> SystemTime {
    flowline_base::system_clock().now().into()
}

pub struct Place {
    pub dir: TempDir,
    pub clock: Arc<ManualClock>,
    pub lake: Lake,
}

pub fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(START + seconds, 0).unwrap()
}

impl Place {
    pub async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(time(0)));
        let lake = open(&dir, &clock, None).await;
        Self { dir, clock, lake }
    }

    /// The same folder, opened again as another process would, maybe with faults.
    pub async fn again(&self, faults: Option<Arc<dyn FaultInjector>>) -> Lake {
        open(&self.dir, &self.clock, faults).await
    }

    pub fn path(&self, table: &Table) -> std::path::PathBuf {
        self.dir.path().join(table.id().folder())
    }
}

async fn open(dir: &TempDir, clock: &Arc<ManualClock>, faults: Option<Arc<dyn FaultInjector>>) -> Lake {
    let settings = LakeSettings::new(dir.path().to_str().unwrap());
    let retry = Backoff {
        attempts_max: 4,
        delay_first: Duration::from_micros(100),
        delay_max: Duration::from_millis(1),
    };
    Lake::open_with(LakeSettings { clock: clock.clone(), faults, ..settings }, retry).await.unwrap()
}

pub fn orders(lake: &Lake) -> Table {
    lake.table(TableId::data("shop.orders".parse().unwrap(), Zone::Raw))
}

pub fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("country", DataType::Utf8, true),
        Field::new("amount", DataType::Decimal128(12, 2), true),
        Field::new("ts", arrow_types::timestamp(), true),
        Field::new("ts_day", DataType::Date32, true),
    ]))
}

pub fn spec(partition_columns: &[&str]) -> TableSpec {
    let partition_columns = partition_columns.iter().map(|&name| name.to_owned()).collect();
    TableSpec { schema: schema(), partition_columns, description: "orders of the shop".into() }
}

/// Rows with these ids, an hour apart, in one of three countries.
pub fn rows(ids: std::ops::Range<i64>) -> RecordBatch {
    let ids: Vec<i64> = ids.collect();
    let hour = |id: &i64| (START + id * 3600) * 1_000_000 + 123_456;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(ids.clone())),
        Arc::new(
            ids.iter().map(|id| ["de", "fr", "it"].get((id % 4) as usize).copied()).collect::<StringArray>(),
        ),
        Arc::new(
            Decimal128Array::from_iter_values(ids.iter().map(|id| i128::from(*id) * 101))
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Arc::new(TimestampMicrosecondArray::from_iter_values(ids.iter().map(hour)).with_timezone("UTC")),
        Arc::new(Date32Array::from_iter_values(ids.iter().map(|id| (hour(id) / 86_400_000_000) as i32))),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub async fn stage(table: &Table, batch: &RecordBatch) -> Result<StagedFiles, LakeError> {
    let mut writer = table.writer(WriterOptions::default()).await?;
    writer.write(batch).await?;
    writer.finish().await
}

pub async fn append(table: &Table, ids: std::ops::Range<i64>) -> Committed {
    let staged = stage(table, &rows(ids)).await.unwrap();
    table.commit(TableCommit::append(staged)).await.unwrap()
}

/// An append that moves a position, from what the writer believes to what it reaches.
pub fn moving(staged: StagedFiles, app_id: &str, from: Option<i64>, to: i64, run: &str) -> TableCommit {
    TableCommit {
        transaction: Some((app_id.to_owned(), to)),
        expected_transaction: Some(from),
        info: serde_json::json!({ "id": run }),
        ..TableCommit::append(staged)
    }
}

pub async fn query(provider: Arc<dyn TableProvider>, sql: &str) -> String {
    let context = SessionContext::new();
    context.register_table("t", provider).unwrap();
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&batches).unwrap().to_string()
}

/// What a query over the table `t` answers, each row as its values joined by `|`.
pub async fn select(table: &Table, at: ReadAt, sql: &str) -> Vec<String> {
    lines(&query(table.provider(at).await.unwrap(), sql).await)
}

pub fn lines(pretty: &str) -> Vec<String> {
    let cells = |line: &str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>().join("|");
    pretty.lines().filter(|line| line.starts_with('|')).skip(1).map(cells).collect()
}

pub async fn ids(table: &Table) -> Vec<i64> {
    let found = select(table, ReadAt::Latest, "select id from t order by id").await;
    found.iter().map(|id| id.parse().unwrap()).collect()
}

/// The lines of a commit.
pub fn commit_lines(place: &Place, table: &Table, version: i64) -> Vec<serde_json::Value> {
    let path = place.path(table).join(format!("_delta_log/{version:020}.json"));
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
