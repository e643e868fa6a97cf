//! What probers and scrapers ask for.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Json, http::StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::ServeContext;

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "alive"}))]
pub(crate) struct Alive {
    /// Always `alive`.
    status: &'static str,
}

/// That the node is ready.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({"status": "ready"}))]
pub(crate) struct Ready {
    /// Always `ready`; otherwise the answer is a problem.
    status: &'static str,
}

/// Whether the process answers at all.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "node",
    operation_id = "health",
    security(()),
    responses((status = 200, description = "The process answers.", body = Alive))
)]
pub(crate) async fn healthz() -> Json<Alive> {
    Json(Alive { status: "alive" })
}

/// Whether the node is ready to be sent work; 503 lists what it waits for.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "node",
    operation_id = "readiness",
    security(()),
    responses(
        (status = 200, description = "The node is ready.", body = Ready),
        (status = 503, response = super::openapi::Unavailable),
    )
)]
pub(crate) async fn readyz(State(context): State<ServeContext>) -> Result<Json<Ready>, Problem> {
    let reasons = context.readiness.reasons();
    if reasons.is_empty() {
        return Ok(Json(Ready { status: "ready" }));
    }
    let detail =
        reasons.iter().map(|(part, reason)| format!("{part}: {reason}")).collect::<Vec<_>>().join("; ");
    let listed: Vec<_> =
        reasons.iter().map(|(part, reason)| serde_json::json!({ "part": part, "reason": reason })).collect();
    Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", detail)
        .with("reasons", listed)
        .retry_after(1))
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "node",
    operation_id = "metrics",
    responses(
        (status = 200, description = "Metrics in the text format of Prometheus, version 0.0.4.",
         body = String, content_type = "text/plain"),
        (status = 401, response = super::openapi::Unauthorized),
    )
)]
pub(crate) async fn metrics(State(context): State<ServeContext>) -> Response {
    context.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], context.metrics.render())
        .into_response()
}
