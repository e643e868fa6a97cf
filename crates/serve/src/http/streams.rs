//! `POST /v1/streams/{dataset}/replay`: what a stream wrote, computed again.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::names::stream;
use super::problem::Problem;
use super::query::read_json;
use super::{Api, openapi};

/// From when on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "2026-01-05T08:00:00Z"}))]
pub(crate) struct StreamReplayRequest {
    /// Windows that end behind this time are computed again.
    from: DateTime<Utc>,
}

/// What it came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "run_id": "0198f0a0c0de7000b000000000000000", "dataset": "shop.revenue_by_minute", "read": 120000,
    "written": 480, "version": 8
}))]
pub(crate) struct StreamReplayAnswer {
    /// The run.
    run_id: String,
    /// The dataset.
    dataset: String,
    /// Rows read from the inputs.
    read: u64,
    /// Rows written to the table.
    written: u64,
    /// The version of the table that has them.
    version: Option<i64>,
}

/// Computes again what a stream wrote of windows that end behind a time, from the rows that its inputs hold now, and
/// puts it in the place of what is there with one commit. Readers see the old rows or the new ones.
#[utoipa::path(
    post,
    path = "/v1/streams/{dataset}/replay",
    tag = "flow",
    operation_id = "replayStream",
    params(("dataset" = String, Path, description = "A dataset with `mode: stream`, `domain.name`.")),
    request_body(content = StreamReplayRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "Replayed.", body = StreamReplayAnswer),
        (status = 404, response = openapi::NotFound),
        (status = 408, response = openapi::TimedOut),
        (status = 413, response = openapi::TooLarge),
        (status = 415, response = openapi::UnsupportedMediaType),
        (status = 429, response = openapi::TooMany),
        (status = 503, response = openapi::Unavailable),
        (status = 507, response = openapi::StorageFull),
    )
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<StreamReplayAnswer>, Problem> {
    let dataset = stream(&api.context.plan, name)?;
    let (parts, body) = request.into_parts();
    let request: StreamReplayRequest = read_json(&api, &parts.headers, body).await?;
    let replayed = api.context.replay.replay_stream(&dataset.name, request.from).await;
    let run = replayed.map_err(|error| Problem::of_kind(error.kind, error.message))?;
    Ok(Json(StreamReplayAnswer {
        run_id: run.id.to_string(),
        dataset: run.hop.to_string(),
        read: run.counts.read,
        written: run.counts.written,
        version: run.commit.map(|commit| commit.version),
    }))
}
