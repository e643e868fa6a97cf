//! Choosing the media type of an answer by the `Accept` header (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// The first of `offered` (in the server's order of preference) that the request accepts best; the first of all when
/// it says nothing.
///
/// # Errors
/// 406 that lists what there is.
pub(crate) fn negotiate(headers: &HeaderMap, offered: &[&'static str]) -> Result<&'static str, Problem> {
    let ranges: Vec<(String, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(parse_range)
        .collect();
    if ranges.is_empty() {
        return Ok(offered[0]);
    }
    let mut best: Option<(&'static str, f32)> = None;
    for media_type in offered {
        let quality = quality_of(media_type, &ranges);
        if quality > 0.0 && best.is_none_or(|(_, other)| quality > other) {
            best = Some((media_type, quality));
        }
    }
    best.map(|(media_type, _)| media_type).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "none of the accepted media types can be answered",
        )
        .with("available", offered.to_vec())
    })
}

/// `text/html;q=0.8` → (`text/html`, 0.8); nothing for an empty range.
fn parse_range(range: &str) -> Option<(String, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().filter(|text| !text.is_empty())?.to_ascii_lowercase();
    let quality = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .unwrap_or(1.0);
    Some((media_type, quality))
}

/// The quality of the most specific range that covers this media type.
fn quality_of(media_type: &str, ranges: &[(String, f32)]) -> f32 {
    let essence = media_type.split(';').next().unwrap_or(media_type).trim();
    let family = essence.split('/').next().unwrap_or_default();
    let specificity = |range: &str| match range {
        range if range == essence => Some(3),
        range if range.strip_suffix("/*") == Some(family) => Some(2),
        "*/*" | "*" => Some(1),
        _ => None,
    };
    let fitting = ranges.iter().filter_map(|(range, quality)| Some((specificity(range)?, *quality)));
    fitting.max_by_key(|(specificity, _)| *specificity).map_or(0.0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERED: [&str; 3] = ["application/json", "text/csv; charset=utf-8", "application/x-ndjson"];

    fn chosen(accept: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().expect("a header value"));
        negotiate(&headers, &OFFERED).ok()
    }

    #[test]
    fn the_best_accepted_type_is_chosen() {
        assert_eq!(negotiate(&HeaderMap::new(), &OFFERED).ok(), Some("application/json"));
        assert_eq!(chosen("*/*"), Some("application/json"));
        assert_eq!(chosen("text/csv"), Some("text/csv; charset=utf-8"));
        assert_eq!(chosen("text/*;q=0.9, application/json;q=0.1"), Some("text/csv; charset=utf-8"));
        assert_eq!(chosen("application/json;q=0, */*"), Some("text/csv; charset=utf-8"));
        assert_eq!(chosen("APPLICATION/X-NDJSON"), Some("application/x-ndjson"));
        assert_eq!(chosen("image/png"), None);
        assert_eq!(chosen("application/json;q=0"), None);
        assert_eq!(chosen(""), Some("application/json"));
    }
}
