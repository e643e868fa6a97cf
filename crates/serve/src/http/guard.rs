//! Who may ask: bearer tokens where they are configured, and otherwise only what this machine itself asks for.
//!
//! Without tokens the node is on loopback, but a page of some other site that is open in a browser on this machine
//! reaches loopback too: by posting to it (told by `Origin`), or by pointing its own name here (DNS rebinding, told by
//! `Host`).

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{self, HeaderValue};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::ServeContext;
use crate::auth::Presented;

/// What a prober asks for without any token: neither tells more than a word about the node.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Lets a request through or answers 401, 403 or 431.
pub(crate) async fn middleware(
    State(context): State<ServeContext>,
    mut request: Request,
    next: Next,
) -> Response {
    match check(&context, &request) {
        Ok(holder) => {
            if let Some(holder) = holder {
                request.extensions_mut().insert(Holder(holder));
            }
            next.run(request).await
        }
        Err(problem) => super::registry::in_its_words(request.uri().path(), &problem)
            .unwrap_or_else(|| problem.into_response()),
    }
}

/// Whose token a request came with.
#[derive(Debug, Clone)]
pub(crate) struct Holder(pub(crate) String);

/// Lets a request in; returns whose token it has, where one is asked for.
fn check(context: &ServeContext, request: &Request) -> Result<Option<String>, Problem> {
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes + request.uri().path().len() > context.limits.header_bytes_max {
        let detail =
            format!("the headers have {bytes} bytes; at most {} are read", context.limits.header_bytes_max);
        return Err(Problem::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", detail));
    }
    if OPEN_PATHS.contains(&request.uri().path()) {
        return Ok(None);
    }
    if !context.tokens.required() {
        check_host(headers, request.uri())?;
        return check_origin(headers).map(|()| None);
    }
    let presented =
        headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(Presented::parse);
    let Some(presented) = presented else {
        return Err(unauthorized("this needs a token: `Authorization: Bearer <token>`"));
    };
    let Some(holder) = context.tokens.holder(&presented.token) else {
        return Err(unauthorized("this token is not known"));
    };
    if presented.by_browser {
        check_origin(headers)?;
    }
    Ok(Some(holder.to_owned()))
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"flowline\""))
        .header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"flowline\", charset=\"UTF-8\""),
        )
        .hint("in a browser, give the token as the password; the user name does not matter")
}

/// The name the client believes to talk to must be one of loopback.
fn check_host(headers: &HeaderMap, uri: &Uri) -> Result<(), Problem> {
    let host =
        uri.host().map(str::to_owned).or_else(|| authority_host(headers.get(header::HOST)?.to_str().ok()?));
    match host {
        Some(host) if loopback(&host) => Ok(()),
        Some(host) => Err(Problem::new(
            StatusCode::FORBIDDEN,
            "foreign-host",
            format!(
                "`{host}` is not a name of this machine's loopback; without tokens nothing else is answered"
            ),
        )
        .hint("ask for localhost or 127.0.0.1, or configure `tokens:` in the environment")),
        None => Err(Problem::bad_request("a request needs a `Host` header")),
    }
}

/// A request that a page sent must come from a page of ours.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let foreign = |detail: String| Err(Problem::new(StatusCode::FORBIDDEN, "foreign-origin", detail));
    if headers.get("sec-fetch-site").is_some_and(|value| value == "cross-site" || value == "same-site") {
        let navigation = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if !navigation {
            return foreign("a page of another site may not send requests here".to_owned());
        }
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if authority.is_empty() || !authority.eq_ignore_ascii_case(host) {
        return foreign(format!("a page of `{origin}` may not send requests here"));
    }
    Ok(())
}

/// The host of `host:port`, `[v6]:port` or `host`.
fn authority_host(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => authority.split(':').next()?,
    };
    Some(host.to_owned())
}

fn loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().expect("a name"), value.parse().expect("a value")))
            .collect()
    }

    #[test]
    fn only_names_of_loopback_are_hosts() {
        let allowed = |host: &str| check_host(&headers(&[("host", host)]), &Uri::from_static("/")).is_ok();
        for host in
            ["localhost", "LOCALHOST:8200", "127.0.0.1:8200", "127.8.0.1", "[::1]:8200", "a.localhost"]
        {
            assert!(allowed(host), "{host}");
        }
        for host in
            ["evil.example", "10.0.0.1:8200", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]"]
        {
            assert!(!allowed(host), "{host}");
        }
        assert!(check_host(&HeaderMap::new(), &Uri::from_static("/")).is_err());
        assert!(check_host(&HeaderMap::new(), &Uri::from_static("http://127.0.0.1/")).is_ok());
    }

    #[test]
    fn only_our_own_pages_may_send() {
        let allowed = |pairs: &[(&'static str, &str)]| check_origin(&headers(pairs)).is_ok();
        assert!(allowed(&[("host", "localhost:8200")]));
        assert!(allowed(&[("host", "localhost:8200"), ("origin", "http://localhost:8200")]));
        assert!(!allowed(&[("host", "localhost:8200"), ("origin", "http://localhost:3000")]));
        assert!(!allowed(&[("host", "localhost:8200"), ("origin", "null")]));
        assert!(!allowed(&[("host", "localhost:8200"), ("origin", "https://evil.example")]));
        assert!(!allowed(&[
            ("host", "localhost:8200"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "cors")
        ]));
        assert!(allowed(&[
            ("host", "localhost:8200"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate")
        ]));
    }
}
