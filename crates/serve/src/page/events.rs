//! `/events`: what has changed of the page, as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Extension;
use axum::http::{HeaderName, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use serde::Serialize;

use super::Pages;
use super::feed::Snapshot;
use super::render::Regions;
use crate::http::problem::Problem;

/// How often the map is looked at; an event goes out each time, so that a page knows that it is still heard.
const EVERY: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct FlowEvent<'a> {
    /// When the facts were read.
    now: String,
    /// What stands where.
    structure: &'a str,
    /// The regions that have changed, by the id of their element.
    regions: serde_json::Map<String, serde_json::Value>,
}

pub(super) async fn events(Extension(pages): Extension<Pages>) -> Result<Response, Problem> {
    let place = pages.followers.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{} pages follow the flow already", pages.context.limits.followers_max);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "overloaded", detail).retry_after(30)
    })?;
    let stream = async_stream::stream! {
        let _place = place;
        let mut seen = Regions::new();
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = pages.shutdown.cancelled() => return,
            }
            let event = match pages.feed.snapshot().await {
                Ok(snapshot) => changed(&snapshot, &mut seen),
                Err(problem) => Event::default().event("trouble").json_data(problem.detail()),
            };
            if let Ok(event) = event {
                yield Ok::<_, Infallible>(event);
            }
        }
    };
    Ok(answer(stream))
}

fn answer(stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static) -> Response {
    let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
    (unbuffered, Sse::new(stream)).into_response()
}

/// The event that brings a page from what it has seen to this map.
fn changed(snapshot: &Snapshot, seen: &mut Regions) -> Result<Event, axum::Error> {
    let differs = |id: &String, key: &String| seen.get(id) != Some(key);
    let regions = snapshot
        .keys
        .iter()
        .filter(|(id, key)| differs(id, key))
        .filter_map(|(id, _)| Some((id.clone(), snapshot.regions.get(id)?.clone().into())))
        .collect();
    seen.clone_from(&snapshot.keys);
    let now = snapshot.read_at.to_rfc3339();
    Event::default().event("flow").json_data(FlowEvent { now, structure: &snapshot.structure, regions })
}
