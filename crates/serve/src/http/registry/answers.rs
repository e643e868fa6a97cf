//! Answers in the registry's media type, and its errors.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flowline_base::Classify;
use flowline_registry::{RegisteredSchema, RegistryError, StoredSchema};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::problem::Problem;

/// What answers are written in.
pub(super) const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A value as an answer.
pub(super) fn answer<T: Serialize>(value: &T) -> Response {
    match serde_json::to_string(value) {
        Ok(body) => text(body),
        Err(error) => Refused::new(50001, format!("the answer cannot be written: {error}")).into_response(),
    }
}

/// A text as an answer.
pub(super) fn text(body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// An error as an answer: `{"error_code": …, "message": …}`.
#[derive(Debug)]
pub(super) struct Refused {
    code: u32,
    message: String,
}

impl Refused {
    pub(super) fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The same refusal in these words; what it says to the client's machinery (`WWW-Authenticate`) stays.
    pub(super) fn of_problem(problem: &Problem) -> Response {
        let mut response = Self::new(u32::from(problem.status().as_u16()), problem.detail()).into_response();
        for (name, value) in problem.headers() {
            response.headers_mut().append(name.clone(), value.clone());
        }
        response
    }
}

impl From<RegistryError> for Refused {
    fn from(error: RegistryError) -> Self {
        if !matches!(error, RegistryError::Refused { .. }) {
            tracing::error!(kind = error.kind().as_str(), %error, "the schema registry could not answer");
        }
        Self::new(error.code(), error.to_string())
    }
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::new(u32::from(problem.status().as_u16()), problem.detail())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = if self.code >= 10_000 { self.code / 100 } else { self.code };
        let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok());
        let body = json!({ "error_code": self.code, "message": self.message }).to_string();
        let mut response = text(body);
        *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response
    }
}

/// A version of a subject. What is not said is left out: old clients take no null.
pub(super) fn version_of(found: &RegisteredSchema, schema_text: Option<String>) -> Value {
    let mut object = Map::new();
    object.insert("subject".to_owned(), found.subject.as_str().into());
    object.insert("version".to_owned(), found.version.into());
    object.insert("id".to_owned(), found.id.into());
    object.extend(schema_of(&found.schema, schema_text));
    if found.deleted {
        object.insert("deleted".to_owned(), true.into());
    }
    object.into()
}

/// A schema; Avro is not named, as in the days when there was nothing else.
pub(super) fn schema_of(schema: &StoredSchema, schema_text: Option<String>) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("guid".to_owned(), schema.guid().to_string().into());
    if schema.kind != flowline_registry::SchemaKind::Avro {
        object.insert("schemaType".to_owned(), schema.kind.as_str().into());
    }
    if !schema.references.is_empty() {
        object.insert("references".to_owned(), json!(schema.references));
    }
    for (name, value) in [("metadata", &schema.metadata), ("ruleSet", &schema.rule_set)] {
        if let Some(value) = value {
            object.insert(name.to_owned(), value.clone());
        }
    }
    object.insert("schema".to_owned(), schema_text.unwrap_or_else(|| schema.text.clone()).into());
    object
}
