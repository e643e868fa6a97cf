//! One trace id for each request: taken from the caller's `traceparent` (W3C Trace Context) or made here, answered
//! with, logged with, and handed on to the records that the request brings.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use flowline_base::{Random, TraceId};
use futures::FutureExt;
use tracing::Instrument;

use super::problem::Problem;
use crate::ServeContext;

const TRACEPARENT: &str = "traceparent";

/// The trace of a request; an extension of every request that reaches a handler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestTrace(pub TraceId);

/// Runs a request in its span, counts it, answers its trace id, and turns a panic into a 500 that is logged.
pub(crate) async fn middleware(
    State(context): State<ServeContext>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = context.clock.instant();
    let trace = trace_of(request.headers()).unwrap_or_else(TraceId::generate);
    request.extensions_mut().insert(RequestTrace(trace));
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let span = tracing::info_span!("request", %trace, method, route);

    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().instrument(span.clone()).await;
    let mut response = answered.unwrap_or_else(|_| {
        span.in_scope(|| tracing::error!("the request's handler panicked"));
        Problem::internal("a defect; the log of the node has it under this trace").into_response()
    });

    let elapsed = context.clock.instant().duration_since(started);
    let status = response.status().as_u16();
    span.in_scope(|| tracing::debug!(status, elapsed_us = elapsed.as_micros() as u64, "answered"));
    metrics::counter!("flowline_serve_requests_total", "route" => route.clone(), "method" => method, "status" => status.to_string())
        .increment(1);
    metrics::histogram!("flowline_serve_request_duration_seconds", "route" => route).record(elapsed);
    if let Ok(value) = HeaderValue::try_from(traceparent(trace)) {
        response.headers_mut().insert(TRACEPARENT, value);
    }
    response
}

/// The method as a label; whatever a client invents is one label.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// The trace id of a valid `traceparent`: `version-trace-span-flags` in lower-case hexadecimal, ids not all zero.
fn trace_of(headers: &HeaderMap) -> Option<TraceId> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hexadecimal = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let well_formed = hexadecimal(version, 2)
        && hexadecimal(trace, 32)
        && hexadecimal(span, 16)
        && hexadecimal(flags, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none());
    if !well_formed || zero(trace) || zero(span) {
        return None;
    }
    trace.parse().ok()
}

/// The header of the answer: the trace, and a span of our own.
fn traceparent(trace: TraceId) -> String {
    let span = Random::unseeded().next_u64().max(1);
    format!("00-{trace}-{span:016x}-01")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, value.parse().expect("a header value"));
        trace_of(&headers).map(|trace| trace.to_string())
    }

    #[test]
    fn a_traceparent_is_read_strictly() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        assert_eq!(read(&format!("00-{trace}-{span}-01")).as_deref(), Some(trace));
        assert_eq!(read(&format!("cc-{trace}-{span}-01-later")).as_deref(), Some(trace));
        for wrong in [
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{}-{span}-01", "0".repeat(32)),
            format!("00-{trace}-{}-01", "0".repeat(16)),
            format!("00-{}-{span}-01", trace.to_uppercase()),
            format!("00-{trace}-{span}"),
            String::new(),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_answer_carries_the_trace() {
        let trace = TraceId::generate();
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, traceparent(trace).parse().expect("a header value"));
        assert_eq!(trace_of(&headers), Some(trace));
    }
}
