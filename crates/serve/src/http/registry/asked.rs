//! What a request to the registry says: its path, its query as clients of all languages write it, its body.

use std::collections::BTreeMap;

use axum::RequestPartsExt as _;
use axum::body::Body;
use axum::extract::{FromRequest, Query, RawPathParams, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use flowline_registry::{Listing, Reference, Registry, SchemaRequest, VersionChoice};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::answers::Refused;
use crate::http::Api;
use crate::http::body::read_body;
use crate::http::guard::Holder;

/// The largest body: a schema of a megabyte, escaped, and what goes with it.
const BODY_BYTES_MAX: u64 = 4 << 20;

/// What answers may be asked for in, and bodies may be written in.
const MEDIA_TYPES: [&str; 3] =
    ["application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"];

/// A request.
pub(super) struct Asked {
    pub(super) registry: Registry,
    /// Whose token it came with.
    pub(super) actor: String,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Body,
    api: Api,
}

impl FromRequest<Api> for Asked {
    type Rejection = Refused;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let bad = |_| Refused::new(404, "HTTP 404 Not Found");
        let path = parts.extract::<RawPathParams>().await.map_err(bad)?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let query = parts.extract::<Query<Vec<(String, String)>>>().await;
        let Query(query) = query.map_err(|error| Refused::new(400, error.body_text()))?;
        check_accept(&parts.headers)?;
        let holder = parts.extensions.get::<Holder>();
        Ok(Self {
            registry: api.context.registry.clone(),
            actor: holder.map(|holder| holder.0.clone()).unwrap_or_default(),
            path,
            query: query.into_iter().collect(),
            headers: parts.headers,
            body,
            api: api.clone(),
        })
    }
}

/// Answers are JSON; a client that takes none is told so.
fn check_accept(headers: &HeaderMap) -> Result<(), Refused> {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut ranges =
        accepted.flat_map(|value| value.split(',')).map(essence).filter(|one| !one.is_empty()).peekable();
    let any =
        |range: String| range == "*/*" || range == "application/*" || MEDIA_TYPES.contains(&range.as_str());
    if ranges.peek().is_none() || ranges.any(any) {
        Ok(())
    } else {
        Err(Refused::new(406, "HTTP 406 Not Acceptable"))
    }
}

/// Answers in the media type that the client names, where it names one of ours and not the first.
pub(super) async fn in_its_media_type(request: Request, next: Next) -> Response {
    let ranges = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges: Vec<String> = ranges.flat_map(|value| value.split(',')).map(essence).collect();
    let first = ranges.iter().find_map(|range| MEDIA_TYPES.iter().position(|known| known == range));
    let any = ranges.iter().any(|range| range.ends_with("/*") || range == MEDIA_TYPES[0]);
    let mut response = next.run(request).await;
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|found| found == MEDIA_TYPES[0]);
    if let Some(first) = first.filter(|_| ours && !any) {
        let wanted = HeaderValue::from_static(MEDIA_TYPES[first]);
        response.headers_mut().insert(header::CONTENT_TYPE, wanted);
    }
    response
}

fn essence(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Asked {
    /// The context that the path names, as names of subjects begin with it.
    fn context(&self) -> String {
        match self.path.get("context").map(String::as_str) {
            None | Some("." | ":.:") => String::new(),
            Some(context) => format!(":.{}:", context.trim_matches(':').trim_start_matches('.')),
        }
    }

    /// A name in the context of the path, unless it says its own.
    fn within(&self, name: &str) -> String {
        if name.starts_with(":.") { name.to_owned() } else { format!("{}{name}", self.context()) }
    }

    /// The subject of the path; the context as a whole where there is none.
    pub(super) fn subject(&self) -> String {
        self.within(self.path.get("subject").map_or("", String::as_str))
    }

    /// The subject whose context an identifier is looked up in.
    pub(super) fn scope(&self) -> String {
        self.within(self.text("subject").unwrap_or_default())
    }

    pub(super) fn version(&self) -> Result<VersionChoice, Refused> {
        Ok(VersionChoice::parse(self.path.get("version").map_or("", String::as_str))?)
    }

    pub(super) fn id(&self) -> Result<u32, Refused> {
        let id = self.path.get("id").and_then(|id| id.parse().ok());
        id.ok_or_else(|| Refused::new(404, "HTTP 404 Not Found"))
    }

    /// The GUID of the path.
    pub(super) fn guid(&self) -> &str {
        self.path.get("guid").map_or("", String::as_str)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// Whether Protobuf is wanted as a descriptor.
    pub(super) fn serialized(&self) -> bool {
        self.text("format") == Some("serialized")
    }

    /// Truth as any language writes it.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.flag_or_none(name).unwrap_or(false)
    }

    pub(super) fn flag_or_none(&self, name: &str) -> Option<bool> {
        self.text(name).map(|text| text.is_empty() || text.eq_ignore_ascii_case("true"))
    }

    pub(super) fn listing(&self) -> Listing {
        let number = |name: &str| self.text(name).and_then(|text| text.parse::<i64>().ok());
        let size = |number: i64| usize::try_from(number).ok();
        let prefix = self.text("subjectPrefix").filter(|prefix| *prefix != ":*:");
        let context = self.context();
        Listing {
            prefix: match (prefix, context.is_empty()) {
                (None, true) => None,
                (prefix, _) => Some(self.within(prefix.unwrap_or_default())),
            },
            deleted: self.flag("deleted"),
            deleted_only: self.flag("deletedOnly") || self.flag("deleted_only"),
            offset: number("offset").and_then(size).unwrap_or(0),
            limit: number("limit").and_then(size),
        }
    }

    /// The body.
    pub(super) async fn body<T: DeserializeOwned>(&mut self) -> Result<T, Refused> {
        let media_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = essence(media_type.unwrap_or_default());
        let known = MEDIA_TYPES.contains(&media_type.as_str()) || media_type == "application/octet-stream";
        if !known && !media_type.is_empty() {
            return Err(Refused::new(415, "HTTP 415 Unsupported Media Type"));
        }
        let mut limits = self.api.body.clone();
        limits.bytes_max = limits.bytes_max.min(BODY_BYTES_MAX);
        let received = read_body(&self.headers, std::mem::take(&mut self.body), &limits).await?;
        serde_json::from_slice(&received.bytes)
            .map_err(|error| Refused::new(400, format!("the body is not what is asked for: {error}")))
    }
}

/// A schema as clients send it; what else they send of it is let be.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SchemaBody {
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    schema_type: Option<String>,
    #[serde(default)]
    references: Option<Vec<Reference>>,
    #[serde(default)]
    metadata: Option<Value>,
    #[serde(default)]
    rule_set: Option<Value>,
    #[serde(default)]
    pub(super) id: Option<i64>,
    #[serde(default)]
    pub(super) version: Option<i64>,
}

impl From<SchemaBody> for SchemaRequest {
    fn from(body: SchemaBody) -> Self {
        Self {
            kind: body.schema_type,
            text: body.schema.unwrap_or_default(),
            references: body.references.unwrap_or_default(),
            metadata: body.metadata,
            rule_set: body.rule_set,
        }
    }
}
