//! Schema registries elsewhere, asked over the REST API of Confluent's.
//!
//! Owns: how they are asked, and which of their answers means that there is no such schema. Does not own: what a schema
//! says, and what is remembered of the answers (`flowline-registry`).

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowline_base::ErrorKind;
use flowline_model::Secret;
use flowline_registry::{FoundSchema, Guid, Reference, SchemaError, SchemaKind, SchemaSource, WriterSchema};
use futures::StreamExt as _;
use reqwest::{Client, StatusCode, Url};
use serde::Deserialize;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often others are asked for the latest version of a subject.
const LATEST_HOLDS_FOR: Duration = Duration::from_secs(10);
/// Bytes of an answer: the largest schema that registries take by default, escaped, and more.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Schemas that one refers to, in all.
const REFERENCES_MAX: usize = 200;
/// The code of "there is no such schema".
const NO_SCHEMA: u64 = 40403;

/// A registry elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteRegistry {
    client: Client,
    url: Url,
    user: Option<String>,
    password: Option<Secret>,
}

/// What it answers for a schema.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    id: Option<u32>,
    schema: String,
    #[serde(rename = "schemaType", default)]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<Reference>,
}

impl RemoteRegistry {
    /// The registry at this URL; it is not asked yet.
    ///
    /// # Errors
    /// [`SchemaError`] when the URL is none.
    pub fn new(url: &str, user: Option<String>, password: Option<Secret>) -> Result<Self, SchemaError> {
        let error = |kind, message: String| SchemaError { kind, message };
        // A folder, so that what is asked for lies in it.
        let parsed = Url::parse(&format!("{}/", url.trim_end_matches('/')));
        let parsed = parsed
            .map_err(|reason| error(ErrorKind::Input, format!("`{url}` is no schema registry: {reason}")))?;
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .user_agent(concat!("flowline/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|reason| {
                error(ErrorKind::Internal, format!("no HTTP client could be made: {reason}"))
            })?;
        Ok(Self { client, url: parsed, user, password })
    }

    fn error(&self, kind: ErrorKind, what: impl std::fmt::Display) -> SchemaError {
        SchemaError { kind, message: format!("the schema registry `{}` {what}", self.url) }
    }

    /// The answer for a path; none when the registry says that there is no such schema.
    async fn ask(&self, parts: &[&str]) -> Result<Option<Answer>, SchemaError> {
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(parts);
        }
        let mut request =
            self.client.get(url).header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(user) = &self.user {
            request = request.basic_auth(user, self.password.as_ref().map(Secret::expose));
        } else if let Some(token) = &self.password {
            request = request.bearer_auth(token.expose());
        }
        let response = request.send().await.map_err(|error| {
            let error = error.without_url();
            self.error(
                ErrorKind::Transient,
                format_args!("cannot be asked: {}", flowline_base::chain(&error)),
            )
        })?;
        let status = response.status();
        let body = self.body(response).await?;
        match status {
            StatusCode::OK => serde_json::from_slice(&body).map(Some).map_err(|error| {
                let what =
                    format_args!("answers something else than a schema ({error}): is that its address?");
                self.error(ErrorKind::Input, what)
            }),
            StatusCode::NOT_FOUND => {
                let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
                match answer.get("error_code").and_then(serde_json::Value::as_u64) {
                    // A version or a subject that a schema refers to may be gone as well.
                    Some(NO_SCHEMA | 40401 | 40402) => Ok(None),
                    _ => Err(self.error(
                        ErrorKind::Input,
                        "answers 404, and not as a registry does: is that its address?",
                    )),
                }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let what = format_args!("refuses us with {status}: mend user and password in `registry`");
                Err(self.error(ErrorKind::Denied, what))
            }
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Err(self.error(ErrorKind::Transient, format_args!("answers {status}")))
            }
            status => {
                Err(self.error(ErrorKind::Input, format_args!("answers {status}: is that its address?")))
            }
        }
    }

    async fn body(&self, response: reqwest::Response) -> Result<Vec<u8>, SchemaError> {
        let mut body = Vec::new();
        let mut stream = response.bytes_stream();
        while let Some(part) = stream.next().await {
            let part = part.map_err(|error| {
                let error = error.without_url();
                self.error(
                    ErrorKind::Transient,
                    format_args!("broke off its answer: {}", flowline_base::chain(&error)),
                )
            })?;
            if body.len() + part.len() > ANSWER_BYTES_MAX {
                let what = format_args!("answers with more than {ANSWER_BYTES_MAX} bytes");
                return Err(self.error(ErrorKind::Input, what));
            }
            body.extend_from_slice(&part);
        }
        Ok(body)
    }

    /// The texts of what a schema refers to, each behind what it refers to itself. None, with its name, when one is gone.
    async fn references(
        &self,
        references: Vec<Reference>,
    ) -> Result<Result<Vec<(String, String)>, String>, SchemaError> {
        // What is still to be asked for is on the left; an answer goes back there behind its own references.
        enum Step {
            Ask(Reference),
            Keep(String, String),
        }
        let mut steps: Vec<Step> = references.into_iter().rev().map(Step::Ask).collect();
        let (mut asked, mut kept): (Vec<String>, Vec<(String, String)>) = Default::default();
        while let Some(step) = steps.pop() {
            match step {
                Step::Keep(name, text) => kept.push((name, text)),
                Step::Ask(reference) if asked.contains(&reference.name) => {}
                Step::Ask(reference) => {
                    if asked.len() == REFERENCES_MAX {
                        return Ok(Err(format!("it refers to more than {REFERENCES_MAX} schemas")));
                    }
                    let version = match reference.version {
                        ..=0 => "latest".to_owned(),
                        version => version.to_string(),
                    };
                    let answer = self.ask(&["subjects", &reference.subject, "versions", &version]).await?;
                    let Some(answer) = answer else {
                        let name = &reference.name;
                        return Ok(Err(format!("it refers to `{name}`, which is not in the registry")));
                    };
                    asked.push(reference.name.clone());
                    steps.push(Step::Keep(reference.name, answer.schema));
                    steps.extend(answer.references.into_iter().rev().map(Step::Ask));
                }
            }
        }
        Ok(Ok(kept))
    }

    /// A schema with what it refers to; or why it cannot be used.
    async fn schema(&self, answer: Answer) -> Result<FoundSchema, SchemaError> {
        let references = match self.references(answer.references).await? {
            Ok(references) => references,
            Err(reason) => return Ok(Err(reason)),
        };
        let word = answer.kind.as_deref().unwrap_or("AVRO");
        let Ok(kind) = word.parse::<SchemaKind>() else {
            return Ok(Err(format!("it is written in `{word}`, which is not known here")));
        };
        // Parsing takes some milliseconds at most, and is done seldom.
        Ok(WriterSchema::parse(kind, &answer.schema, &references).map(Arc::new))
    }
}

#[async_trait]
impl SchemaSource for RemoteRegistry {
    async fn writer(&self, id: u32) -> Result<Option<FoundSchema>, SchemaError> {
        match self.ask(&["schemas", "ids", &id.to_string()]).await? {
            Some(answer) => Ok(Some(self.schema(answer).await?)),
            None => Ok(None),
        }
    }

    async fn writer_of_guid(&self, guid: Guid) -> Result<Option<FoundSchema>, SchemaError> {
        match self.ask(&["schemas", "guids", &guid.to_string()]).await? {
            Some(answer) => Ok(Some(self.schema(answer).await?)),
            None => Ok(None),
        }
    }

    async fn latest(&self, subject: &str) -> Result<Option<(u32, FoundSchema)>, SchemaError> {
        let Some(answer) = self.ask(&["subjects", subject, "versions", "latest"]).await? else {
            return Ok(None);
        };
        match answer.id {
            Some(id) => Ok(Some((id, self.schema(answer).await?))),
            None => Ok(None),
        }
    }

    fn latest_holds_for(&self) -> Duration {
        LATEST_HOLDS_FOR
    }
}
