//! `POST /v1/query`: one SQL query that reads, answered as a stream.

use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::array::RecordBatch;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use flowline_base::{Classify, Clock, ErrorKind, chain};
use futures::{Stream, StreamExt};
use http_body::Frame;
use http_body_util::StreamBody;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use super::body::read_body;
use super::encode::{Encoder, Format, type_name};
use super::negotiate::negotiate;
use super::problem::Problem;
use super::{Api, openapi};
use crate::detached::detached;
use flowline_process::{AsOf, ProcessError, QueryAnswer, QueryOptions, ReadVersion};

/// Bytes of a request to query; SQL is never longer.
const BODY_BYTES_MAX: u64 = 1 << 20;

static READS: HeaderName = HeaderName::from_static("flowline-reads");
static ROWS_MAX: HeaderName = HeaderName::from_static("flowline-rows-max");
static TRUNCATED: HeaderName = HeaderName::from_static("flowline-truncated");

/// A query.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"sql": "select 1 as one", "rows_max": 100, "timeout": "10s"}))]
pub(crate) struct QueryRequest {
    /// One statement that reads: SELECT, VALUES, EXPLAIN, SHOW or DESCRIBE, in DataFusion's dialect.
    #[schema(min_length = 1, max_length = 100000, example = "select 1 as one")]
    sql: String,
    /// Read all tables as they were: a version of the table (for a query of one table) or a time (RFC 3339).
    #[serde(default)]
    as_of: Option<AsOfRequest>,
    /// Rows after which the answer is cut off, and says so.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 10000000, default = 10000)]
    rows_max: Option<u64>,
    /// Time for the query and its answer: a number with `ms`, `s` or `m`.
    #[serde(default)]
    #[schema(pattern = "^[1-9][0-9]{0,5}(ms|s|m)$", example = "30s", default = "60s")]
    timeout: Option<String>,
}

/// A version or a time.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum AsOfRequest {
    /// A version of the table, from 0.
    Version(u64),
    /// A time.
    Time(DateTime<Utc>),
}

impl PartialSchema for AsOfRequest {
    fn schema() -> RefOr<Schema> {
        let version = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(0))
            .maximum(Some(i64::MAX))
            .description(Some("A version of the table."));
        let time = ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A time (RFC 3339)."));
        OneOfBuilder::new().item(version).item(time).into()
    }
}

impl ToSchema for AsOfRequest {}

/// A column of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ColumnAnswer {
    /// Its name; names that repeat are told apart by a number.
    name: String,
    /// Its type, in the words of a contract where there is one.
    #[serde(rename = "type")]
    data_type: String,
    /// Whether it may hold nulls.
    nullable: bool,
}

/// A table version that an answer was read from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadAnswer {
    /// The dataset.
    dataset: String,
    /// The version of its table; null where there is none yet.
    version: Option<i64>,
    /// When that version was committed.
    committed_at: Option<DateTime<Utc>>,
    /// How long that was before the answer, seconds.
    freshness_seconds: Option<f64>,
}

/// The answer to a query, as JSON.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "columns": [{"name": "one", "type": "int64", "nullable": false}],
    "reads": [{"dataset": "shop.orders", "version": 7, "committed_at": "2026-01-05T08:00:00Z", "freshness_seconds": 1.5}],
    "rows": [{"one": 1}], "row_count": 1, "truncated": false
}))]
#[allow(dead_code, reason = "the body is streamed; this describes it")]
pub(crate) struct QueryBody {
    /// The columns in order.
    columns: Vec<ColumnAnswer>,
    /// What the answer was read from, and how old that was.
    reads: Vec<ReadAnswer>,
    /// The rows, each an object by column name.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<serde_json::Value>,
    /// How many.
    row_count: u64,
    /// More rows were there than `rows_max`.
    truncated: bool,
}

/// Answers one SQL query. Nothing can be written by it.
///
/// The answer is streamed; an error after its first rows breaks the connection off, so that a cut-off answer is never
/// taken for a whole one. Answers other than JSON carry what they were read from in `flowline-reads`, the limit in
/// `flowline-rows-max`, and, for clients that take trailers, `flowline-truncated`.
#[utoipa::path(
    post,
    path = "/v1/query",
    tag = "query",
    operation_id = "query",
    request_body(content = QueryRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "The rows.", content(
            (QueryBody = "application/json"),
            (String = "application/x-ndjson"),
            (String = "text/csv"),
            (Vec<u8> = "application/vnd.apache.arrow.stream"),
        ), headers(
            ("flowline-reads" = String, description = "A list (RFC 8941) of the table versions read."),
            ("flowline-rows-max" = u64, description = "Rows after which the answer is cut off."),
        )),
        (status = 406, response = openapi::NotAcceptable),
        (status = 408, response = openapi::TimedOut),
        (status = 413, response = openapi::TooLarge),
        (status = 415, response = openapi::UnsupportedMediaType),
        (status = 429, response = openapi::TooMany),
        (status = 503, response = openapi::Unavailable),
    )
)]
pub(crate) async fn query(State(api): State<Api>, request: Request) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let format = Format::of(negotiate(&parts.headers, &Format::MEDIA_TYPES)?);
    let request: QueryRequest = read_json(&api, &parts.headers, body).await?;
    let options = options_of(&request, &api)?;
    let permit = api.queries.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{} queries are being answered already", api.context.limits.queries_max);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", detail).retry_after(1)
    })?;
    let timeout = options.timeout.unwrap_or(api.context.limits.query_timeout_max);
    let mut deadline = Box::pin(tokio::time::sleep(timeout));
    let answer = api.context.engine.query(&request.sql, &options).await;
    let mut answer = answer.map_err(|error| query_problem(&error))?;
    answer.stream = detached(answer.stream);
    // Most that goes wrong goes wrong before the first rows: wait for them, to be able to say so in the status.
    let first = next(&mut answer, &mut deadline, timeout).await.map_err(|error| query_problem(&error))?;

    let encoder =
        Encoder::new(&answer.schema, format).map_err(|error| Problem::bad_request(error.to_string()))?;
    let reads = reads_of(&answer.reads, api.context.clock.as_ref());
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), format, &reads, options.rows_max);
    let frames = Rows { answer, encoder, permit, format, deadline, timeout }.frames(first, reads)?;
    *response.body_mut() = Body::new(StreamBody::new(frames));
    Ok(response)
}

/// A body of JSON, no longer than any SQL.
pub(crate) async fn read_json<T: for<'a> Deserialize<'a>>(
    api: &Api,
    headers: &HeaderMap,
    body: Body,
) -> Result<T, Problem> {
    let media_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let detail = format!("the body is `{essence}`, and JSON is read here");
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", detail)
            .with("supported", vec!["application/json"]));
    }
    let mut limits = api.body.clone();
    limits.bytes_max = limits.bytes_max.min(BODY_BYTES_MAX);
    let received = read_body(headers, body, &limits).await?;
    serde_json::from_slice(&received.bytes).map_err(|error| {
        let detail = match error.classify() {
            serde_json::error::Category::Data => {
                format!("the body is JSON, but not what is read here: {error}")
            }
            _ => format!("the body is not JSON: {error}"),
        };
        Problem::bad_request(detail).hint("see /openapi.json for what is read here, with an example")
    })
}

fn options_of(request: &QueryRequest, api: &Api) -> Result<QueryOptions, Problem> {
    let limits = &api.context.limits;
    let rows_max = request.rows_max.unwrap_or(limits.query_rows_default);
    if rows_max == 0 || rows_max > limits.query_rows_max {
        return Err(Problem::bad_request(format!("`rows_max` is from 1 to {}", limits.query_rows_max)));
    }
    let timeout = match &request.timeout {
        None => limits.query_timeout_default,
        Some(text) => parse_timeout(text).filter(|timeout| !timeout.is_zero()).ok_or_else(|| {
            Problem::bad_request(format!("`timeout` is not a number with `ms`, `s` or `m`: `{text}`"))
        })?,
    };
    let as_of = match &request.as_of {
        None => None,
        Some(AsOfRequest::Time(time)) => Some(AsOf::Time(*time)),
        Some(AsOfRequest::Version(version)) => Some(AsOf::Version(
            i64::try_from(*version).map_err(|_| Problem::bad_request("no table has a version that high"))?,
        )),
    };
    Ok(QueryOptions { as_of, rows_max: Some(rows_max), timeout: Some(timeout.min(limits.query_timeout_max)) })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number.checked_mul(60)?)),
        _ => None,
    }
}

/// A failed query, with the place in its text where that is known.
pub(crate) fn query_problem(error: &ProcessError) -> Problem {
    let message = chain(error);
    let mut problem = match error {
        ProcessError::Timeout(_) => Problem::new(StatusCode::REQUEST_TIMEOUT, "query-timeout", message),
        ProcessError::NotReadOnly(_) => Problem::new(StatusCode::BAD_REQUEST, "not-read-only", message),
        _ => match error.kind() {
            ErrorKind::Input | ErrorKind::NotFound => {
                Problem::new(StatusCode::BAD_REQUEST, "invalid-query", message)
            }
            kind => Problem::of_kind(kind, message),
        },
    };
    if let Some((line, column)) = error.position() {
        problem = problem.with("line", line).with("column", column);
    }
    match error.hint() {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

fn reads_of(reads: &[ReadVersion], clock: &dyn Clock) -> Vec<ReadAnswer> {
    reads
        .iter()
        .map(|read| ReadAnswer {
            dataset: read.dataset.to_string(),
            version: read.version,
            committed_at: read.committed_at,
            freshness_seconds: read.committed_at.map(|at| clock.since(at).as_secs_f64()),
        })
        .collect()
}

fn describe(headers: &mut HeaderMap, format: Format, reads: &[ReadAnswer], rows_max: Option<u64>) {
    let media_type = Format::MEDIA_TYPES.into_iter().find(|media_type| Format::of(media_type) == format);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type.unwrap_or("application/json")));
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let list: Vec<String> = reads
        .iter()
        .map(|read| {
            let version = read.version.map_or(String::new(), |version| format!(";version={version}"));
            let at = read
                .committed_at
                .map_or(String::new(), |at| format!(";committed_at=\"{}\"", at.to_rfc3339()));
            let fresh =
                read.freshness_seconds.map_or(String::new(), |age| format!(";freshness_seconds={age:.3}"));
            format!("{}{version}{at}{fresh}", read.dataset)
        })
        .collect();
    if let Ok(value) = HeaderValue::try_from(list.join(", ")) {
        headers.insert(READS.clone(), value);
    }
    if let Some(rows_max) = rows_max {
        headers.insert(ROWS_MAX.clone(), HeaderValue::from(rows_max));
    }
}

/// The next batch, unless the time for the whole answer is over.
async fn next(
    answer: &mut QueryAnswer,
    deadline: &mut Pin<Box<Sleep>>,
    timeout: Duration,
) -> Result<Option<RecordBatch>, ProcessError> {
    tokio::select! {
        batch = answer.stream.next() => batch.transpose().map_err(ProcessError::from),
        () = deadline.as_mut() => Err(ProcessError::Timeout(timeout)),
    }
}

/// An answer on its way out. Holds its place among the queries until it is sent or the client is gone.
struct Rows {
    answer: QueryAnswer,
    encoder: Encoder,
    permit: OwnedSemaphorePermit,
    format: Format,
    deadline: Pin<Box<Sleep>>,
    timeout: Duration,
}

type RowFrame = Result<Frame<Bytes>, Box<dyn std::error::Error + Send + Sync>>;

impl Rows {
    /// The body: what stands before the rows, the rows as they come, what stands behind them.
    fn frames(
        self,
        first: Option<RecordBatch>,
        reads: Vec<ReadAnswer>,
    ) -> Result<impl Stream<Item = RowFrame> + Send + 'static, Problem> {
        let head = self.head(&reads).map_err(|error| Problem::internal(error.to_string()))?;
        Ok(async_stream::try_stream! {
            let Self { mut answer, mut encoder, permit, format, mut deadline, timeout } = self;
            yield Frame::data(Bytes::from(head));
            let mut batch = first;
            let mut rows = 0u64;
            while let Some(full) = batch {
                rows += full.num_rows() as u64;
                let bytes = encoder.batch(&full)?;
                if !bytes.is_empty() {
                    yield Frame::data(Bytes::from(bytes));
                }
                batch = next(&mut answer, &mut deadline, timeout).await?;
            }
            let truncated = answer.truncated.load(Ordering::Relaxed);
            let mut tail = encoder.finish()?;
            if format == Format::Json {
                tail.extend_from_slice(format!("],\"row_count\":{rows},\"truncated\":{truncated}}}").as_bytes());
            }
            if !tail.is_empty() {
                yield Frame::data(Bytes::from(tail));
            }
            let value = HeaderValue::from_static(if truncated { "true" } else { "false" });
            yield Frame::trailers(HeaderMap::from_iter([(TRUNCATED.clone(), value)]));
            drop(permit);
        })
    }

    fn head(&self, reads: &[ReadAnswer]) -> serde_json::Result<Vec<u8>> {
        if self.format != Format::Json {
            return Ok(Vec::new());
        }
        let columns: Vec<ColumnAnswer> = self
            .encoder
            .schema()
            .fields()
            .iter()
            .map(|field| ColumnAnswer {
                name: field.name().clone(),
                data_type: type_name(field.data_type()),
                nullable: field.is_nullable(),
            })
            .collect();
        let (columns, reads) = (serde_json::to_string(&columns)?, serde_json::to_string(reads)?);
        Ok(format!("{{\"columns\":{columns},\"reads\":{reads},\"rows\":[").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_numbers_with_a_unit() {
        assert_eq!(parse_timeout("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(parse_timeout("30s"), Some(Duration::from_secs(30)));
        assert_eq!(parse_timeout("2m"), Some(Duration::from_secs(120)));
        for wrong in
            ["", "s", "10", "10 s", "-1s", "1h", "99999999999999999999s", "18446744073709551615m", "é"]
        {
            assert_eq!(parse_timeout(wrong), None, "{wrong}");
        }
    }
}
