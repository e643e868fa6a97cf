//! `POST /v1/quarantine/{dataset}/discard`: rejected records that nobody wants to land any more.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use chrono::{DateTime, Utc};
use flowline_land::{Discard, ReplaySelection};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::facts::Reason;
use super::names::quarantined_dataset;
use super::problem::Problem;
use super::query::read_json;
use super::{Api, openapi};

/// Which quarantined records to delete for good, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"because": "test records of 5 January", "reason": "unparsable"}))]
pub(crate) struct DiscardRequest {
    /// Why; it is kept with the run, for whoever asks later.
    #[schema(min_length = 1, max_length = 1000)]
    because: String,
    /// Only those rejected for this reason.
    #[serde(default)]
    #[schema(inline)]
    reason: Option<Reason>,
    /// Only those in which this column was at fault.
    #[serde(default)]
    #[schema(max_length = 255)]
    column: Option<String>,
    /// Only those that were quarantined before this time.
    #[serde(default)]
    before: Option<DateTime<Utc>>,
}

/// What was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"run_id": "0198f0a0c0de7000b000000000000000", "dataset": "shop.orders", "discarded": 12}))]
pub(crate) struct DiscardAnswer {
    /// The run, which says why.
    run_id: String,
    /// The dataset.
    dataset: String,
    /// Records deleted.
    discarded: u64,
}

/// Deletes quarantined records for good. They still count as quarantined in the balance: they were read, and not
/// written. The run is kept as a fact, with the reason that is given.
#[utoipa::path(
    post,
    path = "/v1/quarantine/{dataset}/discard",
    tag = "flow",
    operation_id = "discard",
    params(("dataset" = String, Path, description = "A dataset that has a quarantine, `domain.name`.")),
    request_body(content = DiscardRequest, content_type = "application/json"),
    responses(
        (status = 200, description = "Discarded.", body = DiscardAnswer),
        (status = 404, response = openapi::NotFound),
        (status = 408, response = openapi::TimedOut),
        (status = 413, response = openapi::TooLarge),
        (status = 415, response = openapi::UnsupportedMediaType),
        (status = 429, response = openapi::TooMany),
        (status = 503, response = openapi::Unavailable),
        (status = 507, response = openapi::StorageFull),
    )
)]
pub(crate) async fn discard(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<DiscardAnswer>, Problem> {
    let dataset = quarantined_dataset(&api.context.plan, name)?;
    let (parts, body) = request.into_parts();
    let request: DiscardRequest = read_json(&api, &parts.headers, body).await?;
    let discard = Discard {
        selection: ReplaySelection {
            reason: request.reason.map(|reason| reason.as_str().to_owned()),
            column: request.column,
            ..ReplaySelection::default()
        },
        before: request.before,
        because: request.because,
    };
    let discarded = api.context.replay.discard(&dataset.name, &discard).await;
    let run = discarded.map_err(|error| Problem::of_kind(error.kind, error.message))?;
    Ok(Json(DiscardAnswer {
        run_id: run.id.to_string(),
        dataset: run.hop.to_string(),
        discarded: run.inputs.iter().map(|range| (range.to - range.from).unsigned_abs()).sum(),
    }))
}
