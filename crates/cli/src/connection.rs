//! Where a command reads: from the running node, or straight from the lake and ledger when none runs.
//!
//! Both answer the same SQL with the same tables, so a command does not know which it was.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use arrow::array::{AsArray, RecordBatch};
use arrow::ipc::reader::StreamReader;
use chrono::DateTime;
use flowline_base::system_clock;
use flowline_model::Plan;
use flowline_node::{NodeFile, Offline};
use flowline_process::{AsOf, ProcessError, nearest};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

use crate::args::ProjectArguments;

/// The bearer token for a node that wants one.
const TOKEN: &str = "FLOWLINE_TOKEN";

/// A query as the command line has it.
#[derive(Debug, Clone, Default)]
pub struct QueryRequest {
    pub sql: String,
    pub as_of: Option<String>,
    pub rows_max: Option<u64>,
    pub timeout: Option<Duration>,
}

/// Rows and what they were read from.
#[derive(Debug)]
pub struct Answer {
    pub batches: Vec<RecordBatch>,
    /// `shop.orders version 12 of 2026-01-05T08:00:00Z`, one line a table.
    pub reads: Vec<String>,
    pub truncated: bool,
}

/// Where a command reads.
#[derive(Debug)]
pub enum Connection {
    /// A node runs the project.
    Node(NodeClient),
    /// None does.
    Lake(Box<Offline>),
}

/// The project's plan.
fn plan_of(project: &ProjectArguments) -> anyhow::Result<Plan> {
    match flowline_project::load(&project.project, project.environment.as_deref()) {
        Ok(loaded) => Ok(loaded.plan),
        Err(problems) => bail!(
            "the project in `{}` has errors, see `flowline check`:\n{}",
            project.project.display(),
            flowline_project::render(&problems, false)
        ),
    }
}

/// Lake and ledger of a project, whether or not a node runs it.
pub async fn offline(project: &ProjectArguments) -> anyhow::Result<Offline> {
    Offline::open(plan_of(project)?, system_clock()).await
}

impl Connection {
    /// The running node of the project when there is one that answers, else its lake and ledger.
    pub async fn open(project: &ProjectArguments) -> anyhow::Result<Self> {
        let plan = plan_of(project)?;
        if let Some(node) = NodeFile::read(&plan.environment.data_dir)? {
            let client = NodeClient::new(&node)?;
            if client.answers().await {
                return Ok(Self::Node(client));
            }
        }
        Ok(Self::Lake(Box::new(Offline::open(plan, system_clock()).await?)))
    }

    /// Runs a read-only query.
    pub async fn query(&self, request: &QueryRequest) -> anyhow::Result<Answer> {
        match self {
            Self::Node(client) => client.query(request).await,
            Self::Lake(offline) => query_offline(offline, request).await,
        }
    }

    /// Says so when there is no dataset of this name, with the nearest one.
    pub async fn must_know(&self, dataset: &str) -> anyhow::Result<()> {
        let batches = self.rows("SELECT dataset FROM system.datasets").await?;
        let names = batches.iter().filter_map(|batch| batch.column(0).as_string_opt::<i32>());
        let names: Vec<&str> = names.flat_map(|names| names.iter().flatten()).collect();
        if names.contains(&dataset) {
            return Ok(());
        }
        match nearest(dataset, names.iter().copied()) {
            Some(meant) => bail!("there is no dataset `{dataset}`; did you mean `{meant}`?"),
            None => bail!("there is no dataset `{dataset}`; there are `{}`", names.join("`, `")),
        }
    }

    /// Runs a query without limits and returns its rows.
    pub async fn rows(&self, sql: impl Into<String>) -> anyhow::Result<Vec<RecordBatch>> {
        let request = QueryRequest { sql: sql.into(), ..QueryRequest::default() };
        Ok(self.query(&request).await?.batches)
    }
}

async fn query_offline(offline: &Offline, request: &QueryRequest) -> anyhow::Result<Answer> {
    let as_of = request.as_of.as_deref().map(as_of).transpose()?;
    let answer = offline.query(&request.sql, as_of, request.rows_max, request.timeout).await;
    let answer = answer.map_err(|error| {
        let hint =
            error.chain().find_map(|cause| cause.downcast_ref::<ProcessError>()?.hint().map(str::to_owned));
        match hint {
            Some(hint) => anyhow!("{}; {hint}", flowline_base::chain(error.as_ref())),
            None => error,
        }
    })?;
    let reads = answer.reads.iter().map(ToString::to_string).collect();
    Ok(Answer { batches: answer.batches, reads, truncated: answer.truncated })
}

/// A version number or a time.
fn as_of(text: &str) -> anyhow::Result<AsOf> {
    if let Ok(version) = text.parse() {
        return Ok(AsOf::Version(version));
    }
    let time = DateTime::parse_from_rfc3339(text);
    let time =
        time.with_context(|| format!("`{text}` is neither a version nor a time like 2026-01-05T08:00:00Z"))?;
    Ok(AsOf::Time(time.to_utc()))
}

/// Speaks to a running node over HTTP.
#[derive(Debug)]
pub struct NodeClient {
    http: String,
    client: Client,
    token: Option<String>,
}

impl NodeClient {
    fn new(node: &NodeFile) -> anyhow::Result<Self> {
        let client = Client::builder().connect_timeout(Duration::from_millis(500)).build()?;
        Ok(Self { http: format!("http://{}", node.http), client, token: std::env::var(TOKEN).ok() })
    }

    async fn answers(&self) -> bool {
        let request = self.client.get(format!("{}/healthz", self.http)).timeout(Duration::from_secs(2));
        request.send().await.is_ok_and(|response| response.status().is_success())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.http));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Asks for what is answered as JSON, and turns a problem into an error.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.answer(self.request(Method::GET, path)).await
    }

    /// Sends a request whose answer is JSON, and turns a problem into an error.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    async fn answer(&self, request: RequestBuilder) -> anyhow::Result<Value> {
        let response = request.send().await?;
        let status = response.status();
        let answer: Value = response.json().await.context("the node's answer is not JSON")?;
        if !status.is_success() {
            bail!("{}", problem(&answer, status.as_u16()));
        }
        Ok(answer)
    }

    async fn query(&self, query: &QueryRequest) -> anyhow::Result<Answer> {
        let mut body = json!({ "sql": query.sql });
        // A version is a number there, a time a text.
        match query.as_of.as_deref().map(as_of).transpose()? {
            Some(AsOf::Version(version)) => body["as_of"] = json!(version),
            Some(AsOf::Time(time)) => body["as_of"] = json!(time),
            None => {}
        }
        if let Some(rows_max) = query.rows_max {
            body["rows_max"] = json!(rows_max);
        }
        if let Some(timeout) = query.timeout {
            body["timeout"] = json!(format!("{}ms", timeout.as_millis().clamp(1, 600_000)));
        }
        let request =
            self.request(Method::POST, "/v1/query").header("accept", "application/vnd.apache.arrow.stream");
        let response = request.json(&body).send().await?;
        let status = response.status();
        if !status.is_success() {
            let answer: Value = response.json().await.unwrap_or_default();
            if status.as_u16() == 401 {
                match self.token {
                    Some(_) => bail!("the node does not know the token in {TOKEN}"),
                    None => bail!("the node wants a token: set {TOKEN}"),
                }
            }
            bail!("{}", problem(&answer, status.as_u16()));
        }
        let reads = response
            .headers()
            .get("flowline-reads")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let reads = reads.split(", ").filter(|read| !read.is_empty()).map(read_as_told).collect();
        let reader = StreamReader::try_new(std::io::Cursor::new(response.bytes().await?), None)?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        // The node sends no trailer for it: as many rows as were allowed is taken to be a cut.
        let truncated = query.rows_max.is_some_and(|rows_max| rows as u64 == rows_max);
        Ok(Answer { batches, reads, truncated })
    }
}

/// `shop.orders;version=12;committed_at="…"` as `shop.orders version 12 of …`.
fn read_as_told(item: &str) -> String {
    let mut parts = item.split(';');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once('=') {
            Some(("version", version)) => text.push_str(&format!(" version {version}")),
            Some(("committed_at", at)) => text.push_str(&format!(" of {}", at.trim_matches('"'))),
            _ => {}
        }
    }
    text
}

/// The sentence of an RFC 9457 problem.
fn problem(answer: &Value, status: u16) -> String {
    let text = |name: &str| answer[name].as_str().filter(|text| !text.is_empty());
    let told = match (text("title"), text("detail")) {
        // The schema registry has words of its own.
        (None, None) if text("message").is_some() => text("message").unwrap_or_default().to_owned(),
        (_, Some(detail)) => detail.to_owned(),
        (Some(title), None) => title.to_owned(),
        (None, None) => format!("the node answered {status}"),
    };
    match text("hint") {
        Some(hint) => format!("{told}; {hint}"),
        None => told,
    }
}
