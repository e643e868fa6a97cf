//! The HTTP API.
//!
//! Owns: routes, what each reads and answers, limits, tracing, and who may ask. Does not own: the page (`page`).

mod body;
mod discard;
mod encode;
pub(crate) mod facts;
mod gateway;
mod guard;
mod health;
mod ingest;
mod names;
mod negotiate;
mod openapi;
pub(crate) mod problem;
mod query;
mod registry;
mod replay;
mod server;
mod streams;
pub(crate) mod trace;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use openapi::openapi;
pub use server::serve_http;

use crate::ServeContext;
use body::{BodyBudget, BodyLimits};
use gateway::Gateways;
use problem::Problem;

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub context: ServeContext,
    pub body: BodyLimits,
    pub queries: Arc<Semaphore>,
    pub gateways: Gateways,
}

impl axum::extract::FromRef<Api> for ServeContext {
    fn from_ref(api: &Api) -> Self {
        api.context.clone()
    }
}

/// The routes, with authentication, limits, tracing and metrics around them.
pub fn router(context: ServeContext) -> Router {
    router_until(context, CancellationToken::new())
}

/// The routes of a server that ends when `shutdown` is cancelled: answers without an end of their own end then.
fn router_until(context: ServeContext, shutdown: CancellationToken) -> Router {
    let api = Api {
        body: BodyLimits {
            bytes_max: context.plan.environment.body_bytes_max,
            idle_timeout: context.limits.body_idle_timeout,
            budget: BodyBudget::new(context.limits.body_bytes_inflight_max),
        },
        queries: Arc::new(Semaphore::new(context.limits.queries_max)),
        gateways: Gateways::new(&context.plan, &context.registry, &context.clock),
        context: context.clone(),
    };
    let routes = Router::new()
        .route("/v1/sources/{source}/records", post(ingest::append))
        .route("/v1/query", post(query::query))
        .route("/v1/status", get(facts::status))
        .route("/v1/ledger", get(facts::ledger))
        .route("/v1/datasets", get(facts::datasets))
        .route("/v1/quarantine/{dataset}", get(facts::quarantine))
        .route("/v1/quarantine/{dataset}/replay", post(replay::replay))
        .route("/v1/quarantine/{dataset}/discard", post(discard::discard))
        .route("/v1/streams/{dataset}/replay", post(streams::replay))
        .route("/metrics", get(health::metrics))
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/openapi.json", get(openapi::describe));
    routes
        .merge(registry::routes())
        .merge(crate::page::routes(context.clone(), shutdown))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .with_state(api)
        .layer(axum::middleware::from_fn_with_state(context.clone(), guard::middleware))
        .layer(axum::middleware::from_fn_with_state(context, trace::middleware))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", format!("there is nothing at `{}`", uri.path()))
        .hint("see /openapi.json for what there is")
}

async fn method_not_allowed(method: axum::http::Method, uri: Uri) -> Problem {
    let detail = format!("`{}` does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}
