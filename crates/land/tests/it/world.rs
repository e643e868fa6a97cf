//! A log, a lake and a ledger in a temporary folder.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::prelude::SessionContext;
use flowline_base::ManualClock;
use flowline_lake::faults::ScriptedFaults;
use flowline_lake::{Lake, LakeSettings, ReadAt, TableId};
use flowline_land::{LandContext, LogLander};
use flowline_ledger::connect;
use flowline_log::{EventLog, PartitionId, SegmentLog, SegmentLogOptions, StdDisk};
use flowline_model::{Counts, Dataset, LogSettings, Origin, Run};
use flowline_source::http::{HttpBody, Limits, receive};
use flowline_testkit::http_dataset;

pub struct World {
    pub folder: tempfile::TempDir,
    pub clock: Arc<ManualClock>,
    pub context: LandContext,
    pub dataset: Arc<Dataset>,
}

/// `shop.orders` with these columns.
pub fn orders() -> Dataset {
    http_dataset("shop.orders", &[("id!", "string"), ("amount", "decimal(8,2)"), ("ts", "timestamp")])
}

impl World {
    pub async fn new(dataset: Dataset) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new("2026-01-05T08:00:00Z".parse().unwrap()));
        let context = open(folder.path(), &clock, None).await;
        Self { folder, clock, context, dataset: Arc::new(dataset) }
    }

    /// Everything is opened anew, as after a crash: what was not durable is gone.
    pub async fn restart(&mut self, faults: Option<&str>) {
        self.context.log.close().await.unwrap();
        self.context = open(self.folder.path(), &self.clock, faults).await;
    }

    pub async fn lander(&self) -> LogLander {
        LogLander::open(self.context.clone(), Arc::clone(&self.dataset)).await.unwrap()
    }

    /// Posts a body as the gateway would.
    pub async fn post(&self, content_type: &str, body: impl Into<bytes::Bytes>) {
        let body =
            HttpBody { content_type: Some(content_type.into()), ce_headers: vec![], bytes: body.into() };
        let received = receive(body, &Limits::default()).unwrap();
        let Origin::Http(origin) = &self.dataset.origin else { panic!("not posted to") };
        for (partition, received) in received.partition(&self.dataset, origin.partitions, None, &|_| None) {
            let partition = PartitionId::new(self.dataset.name.clone(), partition);
            let batch = received.into_batch(None, self.context.clock.now_micros(), None);
            self.context.log.append(&partition, batch).await.unwrap();
        }
    }

    pub async fn post_lines(&self, lines: &[&str]) {
        self.post("application/x-ndjson", lines.join("\n")).await;
    }

    pub async fn land(&self) -> Vec<Run> {
        self.lander().await.land_available().await.unwrap()
    }

    /// The rows of a query over `t`, the data table, and `q`, the quarantine (when there is one), joined by `|`.
    pub async fn query(&self, sql: &str) -> Vec<String> {
        let session = SessionContext::new();
        for (name, id) in
            [("t", TableId::of(&self.dataset)), ("q", TableId::quarantine(self.dataset.name.clone()))]
        {
            let table = self.context.lake.table(id);
            if table.exists().await.unwrap() {
                session.register_table(name, table.provider(ReadAt::Latest).await.unwrap()).unwrap();
            }
        }
        let batches = session.sql(sql).await.unwrap().collect().await.unwrap();
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|row| line(batch, row)).collect::<Vec<_>>())
            .collect()
    }

    /// What the ledger has counted.
    pub async fn totals(&self) -> Counts {
        let totals = self.context.ledger.totals().await.unwrap();
        totals
            .into_iter()
            .find(|totals| totals.hop == self.dataset.name)
            .map(|t| t.counts)
            .unwrap_or_default()
    }

    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }
}

async fn open(folder: &std::path::Path, clock: &Arc<ManualClock>, faults: Option<&str>) -> LandContext {
    let faults = faults.map(|text| Arc::new(ScriptedFaults::parse(text).unwrap()) as _);
    let lake = Lake::open(LakeSettings {
        url: folder.join("lake").display().to_string(),
        storage_options: Default::default(),
        clock: Arc::clone(clock) as _,
        faults,
    });
    let log = open_log(folder, clock).await;
    let ledger = connect(&flowline_ledger::sqlite_url(&folder.join("ledger.db"))).await.unwrap();
    LandContext {
        log,
        lake: lake.await.unwrap(),
        ledger,
        clock: Arc::clone(clock) as _,
        node: None,
        brake: flowline_land::Brake::default(),
        kept: flowline_land::KeptRows::default(),
    }
}

async fn open_log(folder: &std::path::Path, clock: &Arc<ManualClock>) -> Arc<dyn EventLog> {
    let options = SegmentLogOptions {
        dir: folder.join("log"),
        settings: LogSettings { segment_bytes: 1 << 20, ..LogSettings::default() },
        clock: Arc::clone(clock) as _,
        disk: Arc::new(StdDisk),
    };
    SegmentLog::open(options).unwrap()
}

fn line(batch: &RecordBatch, row: usize) -> String {
    let options = FormatOptions::default();
    let values = batch.columns().iter().map(|column| match column.is_null(row) {
        true => "-".to_owned(),
        false => ArrayFormatter::try_new(column.as_ref(), &options).unwrap().value(row).to_string(),
    });
    values.collect::<Vec<_>>().join("|")
}
