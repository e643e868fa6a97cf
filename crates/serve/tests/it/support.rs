//! A node of this crate alone: both servers on free ports over a shop in a temporary folder.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use flowline_base::{ErrorKind, RunId, SharedClock, system_clock};
use flowline_lake::{Lake, LakeSettings, TableId, arrow_types};
use flowline_land::{Discard, ReplaySelection};
use flowline_ledger::{CatalogDataset, Ledger};
use flowline_log::{EventLog, SegmentLog, SegmentLogOptions, StdDisk};
use flowline_model::{
    Check, CheckResult, CheckRule, CheckSeverity, Column, Counts, Dataset, DatasetName, Deployment,
    Environment, FilesOrigin, HttpOrigin, InputRange, LandingSettings, LogSettings, Materialization, Origin,
    Outcome, Plan, Run, RunKind, Slo, SqlOrigin, Token, Validation, Verdict, Zone,
};
use flowline_process::QueryEngine;
use flowline_serve::{
    Limits, Readiness, Replay, ReplayError, ServeContext, ServeError, Tokens, serve_http, serve_postgres,
};
use flowline_view::{OfflineStatus, system_schema};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What a test may change before the node starts.
pub struct Setup {
    pub limits: Limits,
    pub tokens: Vec<Token>,
    pub body_bytes_max: u64,
    pub log: LogSettings,
    /// A log in place of the one on disk.
    pub other_log: Option<Arc<dyn EventLog>>,
    pub takes_records: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            limits: Limits { shutdown_grace: Duration::from_secs(5), ..Limits::default() },
            tokens: Vec::new(),
            body_bytes_max: 8 << 20,
            log: LogSettings::default(),
            other_log: None,
            takes_records: true,
        }
    }
}

/// A node that runs.
pub struct Node {
    pub http: SocketAddr,
    pub postgres: SocketAddr,
    pub log: Arc<dyn EventLog>,
    pub readiness: Readiness,
    pub client: reqwest::Client,
    pub shutdown: CancellationToken,
    servers: Vec<JoinHandle<Result<(), ServeError>>>,
    folder: Option<TempDir>,
}

impl Node {
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub async fn start_with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::start_in(folder, setup).await
    }

    /// Starts over what an earlier node has left in the folder.
    pub async fn start_in(folder: TempDir, setup: Setup) -> Self {
        let clock = system_clock();
        let plan = Arc::new(plan(folder.path(), &setup));
        let log = match setup.other_log {
            Some(log) => log,
            None => open_log(folder.path(), &setup.log, &clock),
        };
        let settings = LakeSettings {
            url: plan.environment.lake.clone(),
            storage_options: Default::default(),
            clock: clock.clone(),
            faults: None,
        };
        let lake = Lake::open(settings).await.unwrap();
        let ledger = flowline_ledger::connect("sqlite::memory:").await.unwrap();
        record(&ledger, &plan, &clock).await;
        ledger.record_checks(&verdicts(&clock)).await.unwrap();
        let engine = QueryEngine::new(plan.clone(), lake.clone(), clock.clone()).unwrap();
        engine
            .register_schema("system", system_schema(ledger.clone(), Arc::new(OfflineStatus), clock.clone()));
        engine.register_schema("quarantine", quarantine(&plan, lake));
        let readiness = Readiness::new();
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let context = ServeContext {
            tokens: Tokens::new(&setup.tokens).unwrap(),
            plan,
            log: log.clone(),
            takes_records: setup.takes_records,
            engine,
            registry: flowline_registry::Registry::new(ledger, clock.clone()),
            replay: Arc::new(NoReplay),
            readiness: readiness.clone(),
            metrics: recorder.handle(),
            clock,
            limits: setup.limits,
        };
        let shutdown = CancellationToken::new();
        let (http, http_address) = listen().await;
        let (postgres, postgres_address) = listen().await;
        let servers = vec![
            tokio::spawn(serve_http(http, context.clone(), shutdown.clone())),
            tokio::spawn(serve_postgres(postgres, context, shutdown.clone())),
        ];
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self {
            http: http_address,
            postgres: postgres_address,
            log,

            readiness,
            client,
            shutdown,
            servers,
            folder: Some(folder),
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    pub fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.get(self.url(path))
    }

    pub fn post(&self, path: &str) -> reqwest::RequestBuilder {
        self.client.post(self.url(path))
    }

    /// Posts records to a source.
    pub fn send(
        &self,
        source: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::RequestBuilder {
        self.post(&format!("/v1/sources/{source}/records")).header("content-type", content_type).body(body)
    }

    /// A connection to the Postgres wire, as the user `me`.
    pub async fn connect(&self) -> tokio_postgres::Client {
        self.try_connect("").await.unwrap()
    }

    pub async fn try_connect(&self, options: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
        let config = format!("host=127.0.0.1 port={} user=me dbname=shop {options}", self.postgres.port());
        let (client, connection) = tokio_postgres::connect(&config, tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// Ends the servers and the log; what they kept stays in the folder.
    pub async fn stop(mut self) -> TempDir {
        self.shutdown.cancel();
        for server in self.servers.drain(..) {
            server.await.unwrap().unwrap();
        }
        self.log.close().await.unwrap();
        self.folder.take().unwrap()
    }
}

/// The status of an answer and its body as JSON.
pub async fn answer(request: reqwest::RequestBuilder) -> (u16, serde_json::Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (
        status,
        serde_json::from_str(&text)
            .unwrap_or_else(|_| panic!("{status} with a body that is no JSON: {text}")),
    )
}

/// The status of a problem and its code.
pub async fn problem(request: reqwest::RequestBuilder) -> (u16, String) {
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert!(response.headers().contains_key("traceparent"), "a problem without a trace");
    let status = response.status().as_u16();
    let document: serde_json::Value = response.json().await.unwrap();
    assert_eq!(document["status"], status);
    assert!(document["title"].is_string() && document["detail"].is_string(), "{document}");
    let code = document["type"].as_str().unwrap().strip_prefix("urn:flowline:problem:").unwrap().to_owned();
    (status, code)
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn open_log(folder: &Path, settings: &LogSettings, clock: &SharedClock) -> Arc<dyn EventLog> {
    let options = SegmentLogOptions {
        dir: folder.join("log"),
        settings: settings.clone(),
        clock: clock.clone(),
        disk: Arc::new(StdDisk),
    };
    SegmentLog::open(options).unwrap()
}

/// The checks of orders, for which one of each verdict is recorded, and one of products, for which nothing is.
fn checks_of(dataset: &str) -> Vec<Check> {
    let rows = || CheckRule::RowCount { min: Some(1), max: None };
    let check = |name: &str, severity| Check {
        name: name.to_owned(),
        description: None,
        owner: "team-checks".to_owned(),
        severity,
        tolerance: 0.0,
        rule: rows(),
    };
    match dataset {
        "shop.orders" => vec![
            check("holds", CheckSeverity::Warn),
            check("fails", CheckSeverity::Block),
            check("breaks", CheckSeverity::QuarantineRows),
        ],
        "shop.products" => vec![check("later", CheckSeverity::Warn)],
        _ => Vec::new(),
    }
}

/// What the checks of orders say.
pub fn verdicts(clock: &SharedClock) -> Vec<CheckResult> {
    let result = |name: &str, verdict, message: &str| CheckResult {
        dataset: "shop.orders".parse().unwrap(),
        check: name.to_owned(),
        kind: "row_count".to_owned(),
        dimension: String::new(),
        verdict,
        message: message.to_owned(),
        severity: CheckSeverity::Warn,
        owner: "team-checks".to_owned(),
        metric: None,
        lower: None,
        upper: None,
        rows_checked: 3,
        new_rows: false,
        rows_failed: 0,
        examples: vec!["<i>x</i>".to_owned()],
        version: None,
        run: None,
        evaluated_at: clock.now(),
        duration_us: 1,
    };
    vec![
        result("holds", Verdict::Passed, "there are 3 rows"),
        result("fails", Verdict::Failed, "there are too few rows"),
        result("breaks", Verdict::NotEvaluated, "there is no column `nope` here"),
    ]
}

/// A shop: `orders` land over HTTP, `events` in two partitions by key, `strict` is validated at the gateway, `products`
/// come as files, `numbers` and `letters` are views that need no table, `totals` is a table of SQL that sets rows aside.
pub fn plan(folder: &Path, setup: &Setup) -> Plan {
    let http = |partitions, validation| {
        Origin::Http(HttpOrigin { partitions, partition_key: Vec::new(), validation })
    };
    let mut datasets = vec![
        dataset("shop.orders", Zone::Raw, http(1, Validation::AtLanding)),
        dataset("shop.events", Zone::Raw, http(2, Validation::AtLanding)),
        dataset("shop.strict", Zone::Raw, http(1, Validation::AtGateway)),
        dataset("shop.products", Zone::Raw, files()),
        dataset(
            "shop.numbers",
            Zone::Trusted,
            view("select value as number from generate_series(1, 100000)"),
        ),
        dataset(
            "shop.letters",
            Zone::Clean,
            view(
                "select * from (values (1, 'a', 1.5), (2, 'b', null), (3, 'ü', -0.25)) as t (id, letter, ratio)",
            ),
        ),
    ];
    datasets.push(totals());
    for dataset in datasets.iter_mut().filter(|dataset| dataset.landed()) {
        dataset.columns = vec![
            Column::new("order_id", "string".parse().unwrap()).required(),
            Column::new("amount", "decimal(12,2)".parse().unwrap()),
            Column::new("ts", "timestamp".parse().unwrap()),
        ];
        dataset.key = vec!["order_id".to_owned()];
    }
    datasets.sort_by(|left, right| left.name.cmp(&right.name));
    Plan {
        project: "shop".to_owned(),
        version: "0a1b2c3d4e5f".to_owned(),
        environment: environment(folder, setup),
        teams: Vec::new(),
        datasets,
        consumers: Vec::new(),
    }
}

fn environment(folder: &Path, setup: &Setup) -> Environment {
    Environment {
        name: "test".to_owned(),
        data_dir: folder.to_owned(),
        lake: format!("file://{}", folder.join("lake").display()),
        storage_options: Default::default(),
        ledger: "sqlite::memory:".to_owned(),
        kafka: None,
        log: setup.log.clone(),
        http: ([127, 0, 0, 1], 0).into(),
        postgres: None,
        tokens: setup.tokens.clone(),
        body_bytes_max: setup.body_bytes_max,
        concurrency: 1,
        query_memory_bytes: 64 << 20,
    }
}

fn dataset(name: &str, zone: Zone, origin: Origin) -> Dataset {
    Dataset {
        name: name.parse().unwrap(),
        description: format!("The {name} of the shop."),
        owner: "team-shop".to_owned(),
        zone,
        origin,
        columns: Vec::new(),
        key: Vec::new(),
        dedupe_horizon: Duration::ZERO,
        event_time: None,
        partition_by: Vec::new(),
        compatibility: None,
        checks: checks_of(name),
        slo: Slo::default(),
        runbook: None,
        on_drift: Default::default(),
        landing: LandingSettings::default(),
        declared_in: format!("datasets/{}.yaml", name.replace('.', "/")),
    }
}

fn files() -> Origin {
    Origin::Files(FilesOrigin {
        location: "file:///nowhere".to_owned(),
        pattern: "**/*.csv".to_owned(),
        format: None,
        poll_every: Duration::from_secs(60),
        follow_links: false,
    })
}

fn totals() -> Dataset {
    let Origin::Sql(sql) = view("select sum(amount) as amount from shop.orders") else {
        unreachable!("it is SQL")
    };
    let origin = Origin::Sql(SqlOrigin { materialization: Materialization::Full, ..sql });
    let mut amount = Column::new("amount", "decimal(22,2)".parse().unwrap());
    amount.check = Some("amount >= 0".to_owned());
    Dataset { columns: vec![amount], ..dataset("shop.totals", Zone::Trusted, origin) }
}

fn view(text: &str) -> Origin {
    Origin::Sql(SqlOrigin {
        text: text.to_owned(),
        file: "inline.sql".to_owned(),
        line: 1,
        indent: 0,
        materialization: Materialization::View,
        emit: Default::default(),
        state_limit: None,
        divided: false,
        timeout: Duration::from_secs(60),
        attempts_max: 1,
        lag_rows_max: None,
    })
}

/// The deployment, and one landing of orders: ten read, nine written, one quarantined.
async fn record(ledger: &Arc<dyn Ledger>, plan: &Plan, clock: &SharedClock) {
    let now = clock.now();
    let deployment = Deployment {
        version: plan.version.clone(),
        environment: plan.environment.name.clone(),
        deployed_at: now,
    };
    let catalog: Vec<CatalogDataset> = plan
        .datasets
        .iter()
        .map(|dataset| CatalogDataset {
            inputs: if dataset.name.name() == "letters" {
                vec!["shop.orders".parse().unwrap()]
            } else {
                Vec::new()
            },
            columns: dataset.columns.clone(),
            lineage: Vec::new(),
            dataset: dataset.clone(),
        })
        .collect();
    ledger.record_deployment(&deployment, &catalog).await.unwrap();
    let run = Run {
        id: RunId::generate(),
        hop: "shop.orders".parse().unwrap(),
        kind: RunKind::Land,
        outcome: Outcome::Succeeded,
        trigger: "new-records".to_owned(),
        inputs: vec![InputRange { input: "log/0".to_owned(), from: 0, to: 10 }],
        counts: Counts { read: 10, written: 9, quarantined: 1, ..Counts::default() },
        started_at: now,
        finished_at: Some(now),
        attempts: 1,
        commit: None,
        error: None,
        trace_id: None,
    };
    ledger.record_run(&run, &[], &[]).await.unwrap();
}

/// The schema `quarantine`, as a node registers it; the tables are empty here.
fn quarantine(plan: &Plan, lake: Lake) -> Arc<dyn datafusion::catalog::SchemaProvider> {
    use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
    let schema = MemorySchemaProvider::new();
    for dataset in plan.datasets.iter().filter(|dataset| dataset.sets_aside()) {
        let _ = lake.table(TableId::quarantine(dataset.name.clone()));
        let empty = MemTable::try_new(arrow_types::quarantine_schema(), vec![vec![]]).unwrap();
        schema.register_table(dataset.name.to_string(), Arc::new(empty)).unwrap();
    }
    Arc::new(schema)
}

/// A replay that finds one record, or fails when asked for one of a column.
struct NoReplay;

#[async_trait]
impl Replay for NoReplay {
    async fn replay(&self, dataset: &DatasetName, selection: &ReplaySelection) -> Result<Run, ReplayError> {
        if selection.column.is_some() {
            let message = "the lander has the table".to_owned();
            return Err(ReplayError { kind: ErrorKind::Transient, message });
        }
        Ok(replayed(dataset))
    }

    async fn discard(&self, dataset: &DatasetName, _discard: &Discard) -> Result<Run, ReplayError> {
        let inputs = vec![InputRange { input: "quarantine".to_owned(), from: 0, to: 3 }];
        Ok(Run { kind: RunKind::Discard, inputs, ..replayed(dataset) })
    }

    async fn replay_stream(&self, dataset: &DatasetName, _from: DateTime<Utc>) -> Result<Run, ReplayError> {
        Ok(replayed(dataset))
    }
}

fn replayed(dataset: &DatasetName) -> Run {
    let now = system_clock().now();
    Run {
        id: RunId::generate(),
        hop: dataset.clone(),
        kind: RunKind::Replay,
        outcome: Outcome::Succeeded,
        trigger: "replay".to_owned(),
        inputs: Vec::new(),
        counts: Counts { read: 3, written: 2, quarantined: 1, ..Counts::default() },
        started_at: now,
        finished_at: Some(now),
        attempts: 1,
        commit: None,
        error: None,
        trace_id: None,
    }
}
