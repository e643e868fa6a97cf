//! `POST /v1/quarantine/{dataset}/replay`: rejected records, held against the contract of today, mended before if so
//! wished.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::Reason;
use super::names::landed_dataset;
use super::problem::Problem;
use super::query::read_json;
use super::{Api, openapi};
use flowline_land::ReplaySelection;

/// Which quarantined records to land again; all when empty.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "wrong-type", "column": "amount"}))]
pub(crate) struct ReplayRequest {
    /// Only those rejected for this reason.
    #[serde(default)]
    #[schema(inline)]
    reason: Option<Reason>,
    /// Only those in which this column was at fault.
    #[serde(default)]
    #[schema(max_length = 255)]
    column: Option<String>,
    /// New values of fields of the records (JSON and CSV), as SQL expressions in which every field is text.
    #[serde(default)]
    set: BTreeMap<String, String>,
}

/// What became of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "run_id": "0198f0a0c0de7000b000000000000000", "dataset": "shop.orders", "replayed": 12, "written": 11,
    "quarantined": 1, "duplicate": 0, "version": 8
}))]
pub(crate) struct ReplayAnswer {
    /// The run.
    run_id: String,
    /// The dataset.
    dataset: String,
    /// Records taken out of quarantine.
    replayed: u64,
    /// Rows written to the table.
    written: u64,
    /// Records that went back.
    quarantined: u64,
    /// Records whose key was known.
    duplicate: u64,
    /// The version of the table that has them; null when nothing was committed.
    version: Option<i64>,
}

/// Lands quarantined records again, as after the contract or the producer was mended. Those that fit now leave the
/// quarantine; the others stay, with today's reason.
#[utoipa::path(
    post,
    path = "/v1/quarantine/{dataset}/replay",
    tag = "flow",
    operation_id = "replay",
    params(("dataset" = String, Path, description = "A dataset that is landed, `domain.name`.")),
    request_body(content = ReplayRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "Replayed.", body = ReplayAnswer),
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
) -> Result<Json<ReplayAnswer>, Problem> {
    let dataset = landed_dataset(&api.context.plan, name)?;
    let (parts, body) = request.into_parts();
    let request: ReplayRequest = read_json(&api, &parts.headers, body).await?;
    let selection = ReplaySelection {
        reason: request.reason.map(|reason| reason.as_str().to_owned()),
        column: request.column,
        set: request.set,
    };
    let replayed = api.context.replay.replay(&dataset.name, &selection).await;
    let run = replayed.map_err(|error| Problem::of_kind(error.kind, error.message))?;
    Ok(Json(ReplayAnswer {
        run_id: run.id.to_string(),
        dataset: run.hop.to_string(),
        replayed: run.counts.read,
        written: run.counts.written,
        quarantined: run.counts.quarantined,
        duplicate: run.counts.duplicate,
        version: run.commit.map(|commit| commit.version),
    }))
}
