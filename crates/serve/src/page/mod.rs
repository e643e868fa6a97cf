//! The page: the flow map, rendered on the server and kept up to date by server-sent events.
//!
//! Owns: what the page shows and how ([`flow`] decides, [`layout`] places, [`render`] writes), the templates, the
//! stylesheet and the script, all in the binary. Reads `system.hops`, `system.checks` and `system.quarantine` through SQL, and
//! what checks are declared from the plan; nothing else.
//! Does not own: the facts, their names and states (`flowline-view`).

mod advice;
mod check_list;
mod checks;
mod events;
mod feed;
mod flow;
mod layout;
mod quarantine;
mod render;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::Extension;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flowline_model::Plan;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::ServeContext;
use crate::http::Api;
use crate::http::trace::RequestTrace;
use feed::{Feed, Snapshot};

const STYLE: &str = include_str!("../../templates/page.css");
const SCRIPT: &str = include_str!("../../templates/page.js");

/// What the routes of the page share.
#[derive(Clone)]
struct Pages {
    context: ServeContext,
    feed: Feed,
    followers: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// The routes of the page. Followers are let go when `shutdown` is cancelled.
pub(crate) fn routes(context: ServeContext, shutdown: CancellationToken) -> Router<Api> {
    let followers = Arc::new(Semaphore::new(context.limits.followers_max));
    let pages = Pages { feed: Feed::new(context.clone()), context, followers, shutdown };
    Router::new().route("/", get(page)).route("/events", get(events::events)).layer(Extension(pages))
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    structure: &'a str,
    title: String,
    style: &'static str,
    places: &'a str,
    script: &'static str,
    project: &'a str,
    environment: &'a str,
    version: &'a str,
    read_at: String,
    verdict: &'a str,
    troubles: &'a str,
    lines: &'a str,
    checks: &'a str,
    quarantine: &'a str,
    ledger: &'a str,
    heads: Vec<PageHead<'a>>,
    empty: bool,
}

struct PageHead<'a> {
    title: &'a str,
    meaning: &'a str,
    cards: Vec<&'a str>,
}

#[derive(Template)]
#[template(path = "unreadable.html")]
struct Unreadable {
    style: &'static str,
    detail: String,
    trace: String,
}

async fn page(Extension(pages): Extension<Pages>, Extension(trace): Extension<RequestTrace>) -> Response {
    match pages.feed.snapshot().await {
        Ok(snapshot) => show(&pages.context.plan, &snapshot),
        Err(problem) => {
            let (detail, trace) = (problem.detail().to_owned(), trace.0.to_string());
            let shown = Unreadable { style: STYLE, detail, trace }.render();
            let mut response = html(shown, &[STYLE], None);
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            response
        }
    }
}

fn show(plan: &Plan, snapshot: &Snapshot) -> Response {
    let region = |id: &str| snapshot.regions.get(id).map_or("", String::as_str);
    let places = render::places(&snapshot.flow);
    let heads = snapshot.flow.heads.iter().map(|head| PageHead {
        title: head.title,
        meaning: head.meaning,
        cards: head.nodes.iter().map(|node| region(&render::node_id(&snapshot.flow, *node))).collect(),
    });
    let page = Page {
        structure: &snapshot.structure,
        title: render::title(&snapshot.flow, &plan.project),
        style: STYLE,
        places: &places,
        script: SCRIPT,
        project: &plan.project,
        environment: &plan.environment.name,
        version: &plan.version,
        read_at: snapshot.read_at.format("%H:%M:%S").to_string(),
        verdict: region("verdict"),
        troubles: region("troubles"),
        lines: region("lines"),
        checks: region("checks"),
        quarantine: region("quarantine"),
        ledger: region("ledger"),
        heads: heads.collect(),
        empty: snapshot.flow.hops.is_empty(),
    };
    html(page.render(), &[STYLE, &places], Some(SCRIPT))
}

/// An answer of HTML that may hold these styles and this script, and nothing else from anywhere.
fn html(rendered: askama::Result<String>, styles: &[&str], script: Option<&str>) -> Response {
    let Ok(body) = rendered else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    let styles: Vec<String> = styles.iter().map(|style| hash(style)).collect();
    let policy = format!(
        "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        styles.join(" "),
        script.map_or("'none'".to_owned(), hash)
    );
    let mut response = Html(body).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
