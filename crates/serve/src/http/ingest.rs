//! `POST /v1/sources/{source}/records`: records in, acknowledged once they are on stable storage.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flowline_base::{Classify, ErrorKind};
use flowline_land::registered_json;
use flowline_log::{Appended, Batch, LogError, PartitionId};
use flowline_model::{Dataset, Validation};
use flowline_source::http::{HttpBody, Limits as SplitLimits, ReceiveError, Received, receive};
use futures::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::read_body;
use super::names::http_source;
use super::problem::Problem;
use super::trace::RequestTrace;
use super::{Api, openapi};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Bytes of an idempotency key, as the log keeps it.
const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bodies larger than this are split on a thread of their own, so that other requests are not kept waiting.
const SPLIT_INLINE_BYTES_MAX: usize = 1 << 20;
/// Records of one request; each takes eight bytes while the request is under way.
const RECORDS_MAX: u32 = 4_000_000;

/// Where the records of one partition lie.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PositionAnswer {
    /// The partition.
    partition: u32,
    /// Offset of the first record.
    first: u64,
    /// Offset of the last record.
    last: u64,
}

/// The records are on stable storage.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"accepted": 2, "positions": [{"partition": 0, "first": 40, "last": 41}]}))]
pub(crate) struct AppendAnswer {
    /// How many records were accepted. Those that do not fit the contract are among them: landing quarantines them.
    accepted: u64,
    /// Where they lie; one entry for each partition that got some.
    positions: Vec<PositionAnswer>,
}

/// Appends records to a source, and answers once they are on stable storage.
///
/// The body is JSON (one record, or an array of them), NDJSON, CSV with a header line, an Arrow IPC stream, or
/// CloudEvents 1.0 (structured, batched, or binary by `ce-` headers); plain or compressed with gzip or zstd. A record
/// that does not fit the contract refuses none of the others: it is kept as received and quarantined at landing with
/// its reason, unless the source validates at the gateway, which answers 422 and appends nothing.
///
/// With an `Idempotency-Key`, the same key again within the log's retention returns the first answer and appends
/// nothing, also after a restart. With another body it is refused, by each partition that it reaches.
#[utoipa::path(
    post,
    path = "/v1/sources/{source}/records",
    tag = "records",
    operation_id = "append",
    params(
        ("source" = String, Path, description = "A dataset that records are posted to, `domain.name`."),
        ("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255, pattern = "^[!-~]{1,255}$",
         description = "Chosen by the producer, one for each batch; the same for each try of it."),
    ),
    request_body(description = "The records.", content(
        (serde_json::Value = "application/json", example = json!([{"order_id": "o-1", "amount": "12.50"}])),
        ("application/x-ndjson", example = "{\"order_id\":\"o-1\"}\n{\"order_id\":\"o-2\"}\n"),
        ("text/csv", example = "order_id,amount\no-1,12.50\n"),
        ("application/vnd.apache.arrow.stream"),
        (serde_json::Value = "application/cloudevents+json", example = json!({
            "specversion": "1.0", "id": "1", "source": "/shop", "type": "org.example.order", "data": {"order_id": "o-1"}
        })),
        (serde_json::Value = "application/cloudevents-batch+json", example = json!([{
            "specversion": "1.0", "id": "1", "source": "/shop", "type": "org.example.order", "data": {"order_id": "o-1"}
        }])),
    )),
    responses(
        (status = 200, description = "On stable storage.", body = AppendAnswer),
        (status = 404, response = openapi::NotFound),
        (status = 408, response = openapi::TimedOut),
        (status = 413, response = openapi::TooLarge),
        (status = 415, response = openapi::UnsupportedMediaType),
        (status = 422, response = openapi::InvalidRecords),
        (status = 429, response = openapi::TooMany),
        (status = 503, response = openapi::Unavailable),
        (status = 507, response = openapi::StorageFull),
    )
)]
pub(crate) async fn append(
    State(api): State<Api>,
    source: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Problem> {
    let context = &api.context;
    if !context.takes_records {
        return Err(elsewhere());
    }
    let (dataset, origin) = http_source(&context.plan, source)?;
    let trace = request.extensions().get::<RequestTrace>().map(|trace| trace.0);
    let (parts, body) = request.into_parts();
    let idempotency_key = idempotency_key(&parts.headers)?;
    let body = read_body(&parts.headers, body, &api.body).await?;
    let received_at = context.clock.now_micros();
    let bytes = body.bytes.len() as u64;
    let request_body = HttpBody {
        content_type: header_text(&parts.headers, header::CONTENT_TYPE.as_str())?,
        ce_headers: ce_headers(&parts.headers)?,
        bytes: body.bytes.clone(),
    };
    if request_body.ce_headers.is_empty() && lacks_json(&request_body) {
        return Err(Problem::bad_request(
            "the body is empty, and that is not JSON; an empty list of records is `[]`",
        ));
    }
    let received = split(request_body, context.plan.environment.body_bytes_max).await?;
    let schemas = api.gateways.schemas(dataset, &received).await?;
    if origin.validation == Validation::AtGateway {
        api.gateways.check(dataset, &received, &schemas).await?;
    }
    let records = if received.records == 0 {
        Vec::new()
    } else {
        let registered = |record: &[u8]| registered_json(record, &schemas);
        received.partition(dataset, origin.partitions, idempotency_key.as_deref(), &registered)
    };
    let batches = records.into_iter().map(|(partition, received)| {
        (partition, received.into_batch(idempotency_key.clone(), received_at, trace))
    });
    let answer = append_all(&api, dataset, batches).await?;
    let labels = [("dataset", dataset.name.to_string())];
    metrics::counter!("flowline_serve_received_records_total", &labels).increment(answer.accepted);
    metrics::counter!("flowline_serve_received_bytes_total", &labels).increment(bytes);
    Ok(Json(answer).into_response())
}

fn elsewhere() -> Problem {
    Problem::of_kind(ErrorKind::Transient, "this node takes no records in")
        .hint("post them to a node with the role `gateway` (`flowline up --roles gateway,…`)")
}

/// Says that it is JSON, and is nothing. (Of the other media types nothing is a list of no records.)
fn lacks_json(body: &HttpBody) -> bool {
    let media_type = body.content_type.as_deref().unwrap_or_default().to_ascii_lowercase();
    media_type.starts_with("application/json") && body.bytes.trim_ascii().is_empty()
}

async fn split(body: HttpBody, bytes_max: u64) -> Result<Received, Problem> {
    let limits = SplitLimits { records_max: RECORDS_MAX, unpacked_bytes_max: bytes_max };
    let received = if body.bytes.len() <= SPLIT_INLINE_BYTES_MAX {
        receive(body, &limits)
    } else {
        let split = tokio::task::spawn_blocking(move || receive(body, &limits)).await;
        split.map_err(|error| Problem::internal(format!("splitting the body failed: {error}")))?
    };
    received.map_err(|error| receive_problem(&error))
}

fn receive_problem(error: &ReceiveError) -> Problem {
    let (status, code) = match error {
        ReceiveError::Malformed(_) => (StatusCode::BAD_REQUEST, "bad-request"),
        ReceiveError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
        ReceiveError::UnsupportedMedia(_) => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
    };
    Problem::new(status, code, error.to_string())
}

/// Appends to all partitions at once and waits for every one, so that what is acknowledged is all of it. When one
/// refuses, the others keep what they took: with an idempotency key the next try finds it there.
async fn append_all(
    api: &Api,
    dataset: &Dataset,
    batches: impl Iterator<Item = (u32, Batch)>,
) -> Result<AppendAnswer, Problem> {
    let appends = batches.map(|(partition, batch)| {
        let id = PartitionId::new(dataset.name.clone(), partition);
        async move { (partition, api.context.log.append(&id, batch).await) }
    });
    let mut answer = AppendAnswer { accepted: 0, positions: Vec::new() };
    for (partition, appended) in join_all(appends).await {
        let Appended { first, last, .. } = appended.map_err(|error| log_problem(&error))?;
        answer.accepted += last - first + 1;
        answer.positions.push(PositionAnswer { partition, first, last });
    }
    Ok(answer)
}

/// What a producer is told when the log does not take its records.
fn log_problem(error: &LogError) -> Problem {
    let message = error.to_string();
    match error {
        LogError::Full { retry_after, .. } => {
            Problem::new(StatusCode::TOO_MANY_REQUESTS, "log-full", message)
                .retry_after(seconds(*retry_after))
        }
        LogError::StorageFull { .. } => {
            Problem::new(StatusCode::INSUFFICIENT_STORAGE, "storage-full", message)
        }
        LogError::Waiting { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log-waiting", message).retry_after(5)
        }
        // Until somebody has decided what is to become of it: nothing that producers send is wrong.
        LogError::Lost { .. } => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log-lost-records", message),
        LogError::Batch { .. } => Problem::bad_request(message),
        LogError::KeyReused { .. } => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", message)
        }
        LogError::Stopped { .. } | LogError::Closed | LogError::Io { .. } | LogError::Locked { .. } => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "log-stopped", message).retry_after(5)
        }
        _ => Problem::of_kind(error.kind(), message),
    }
}

/// Whole seconds, rounded up: what `Retry-After` can say.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let visible = !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_graphic);
    match value.to_str() {
        Ok(key) if visible && key.len() <= IDEMPOTENCY_KEY_BYTES_MAX && values.next().is_none() => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::bad_request(format!(
            "`Idempotency-Key` is sent once and has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
        ))),
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let text = headers.get(name).map(|value| value.to_str().map(str::to_owned)).transpose();
    text.map_err(|_| Problem::bad_request(format!("`{name}` holds characters that a header may not have")))
}

fn ce_headers(headers: &HeaderMap) -> Result<Vec<(String, String)>, Problem> {
    let attributes = headers.iter().filter(|(name, _)| name.as_str().starts_with("ce-"));
    attributes
        .map(|(name, value)| match value.to_str() {
            Ok(text) => Ok((name.as_str().to_owned(), text.to_owned())),
            Err(_) => Err(Problem::bad_request(format!("`{name}` is not percent-encoded"))),
        })
        .collect()
}
