//! The schema registry, under `/registry`: the REST API that the clients of Confluent's registry speak.
//!
//! Owns: routes, media types, and the words of requests and answers. Does not own: what is answered
//! (`flowline-registry`); who is let in (`guard`), with the exception of the words for it.

mod answers;
mod asked;
mod openapi;
mod schemas;
mod settings;
mod subjects;

use axum::Router;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};

use self::answers::{Refused, text};
use super::Api;

/// What all paths of the registry begin with.
pub(crate) const PREFIX: &str = "/registry";

/// The routes, once for all contexts and once within one.
pub(crate) fn routes() -> Router<Api> {
    // In front of a name that may hold a slash, a base URL may end in one.
    Router::new()
        .route(PREFIX, get(root))
        .route("/registry/", get(root))
        .nest(PREFIX, paths())
        .nest("/registry/contexts/{context}", paths())
        .route("/registry/contexts", get(settings::contexts))
        .route("/registry/contexts/", get(settings::contexts))
        .route("/registry/v1/metadata/id", get(settings::metadata_id))
        .route("/registry/v1/metadata/version", get(settings::metadata_version))
        .route("/registry/openapi.json", get(openapi::describe))
        .route("/registry/{*rest}", axum::routing::any(not_found))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(asked::in_its_media_type))
}

fn paths() -> Router<Api> {
    Router::new()
        .route("/subjects", get(subjects::list))
        .route("/subjects/{subject}", post(subjects::lookup).delete(subjects::delete))
        .route("/subjects/{subject}/versions", get(subjects::versions).post(subjects::register))
        .route(
            "/subjects/{subject}/versions/{version}",
            get(subjects::version).delete(subjects::delete_version),
        )
        .route("/subjects/{subject}/versions/{version}/schema", get(subjects::version_text))
        .route("/subjects/{subject}/versions/{version}/referencedby", get(subjects::referenced_by))
        .route("/schemas", get(schemas::list))
        .route("/schemas/types", get(schemas::types))
        .route("/schemas/ids/{id}", get(schemas::by_id))
        .route("/schemas/ids/{id}/schema", get(schemas::text_by_id))
        .route("/schemas/ids/{id}/subjects", get(schemas::subjects_of))
        .route("/schemas/ids/{id}/versions", get(schemas::versions_of))
        .route("/schemas/guids/{guid}", get(schemas::by_guid))
        .route("/schemas/guids/{guid}/ids", get(schemas::ids_of_guid))
        .route("/compatibility/subjects/{subject}/versions", post(subjects::check_all))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(subjects::check))
        .route("/config", get(settings::config).put(settings::configure).delete(settings::unconfigure))
        .route(
            "/config/{subject}",
            get(settings::config).put(settings::configure).delete(settings::unconfigure),
        )
        .route("/mode", get(settings::mode).put(settings::set_mode).delete(settings::unset_mode))
        .route("/mode/{subject}", get(settings::mode).put(settings::set_mode).delete(settings::unset_mode))
}

async fn root() -> Response {
    text("{}".to_owned())
}

async fn not_found() -> Refused {
    Refused::new(404, "HTTP 404 Not Found")
}

async fn method_not_allowed() -> Refused {
    Refused::new(405, "HTTP 405 Method Not Allowed")
}

/// A refusal of the server in the words of the registry, for requests that it concerns.
pub(crate) fn in_its_words(path: &str, refused: &super::problem::Problem) -> Option<Response> {
    let ours = path == PREFIX || path.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with('/'));
    ours.then(|| Refused::of_problem(refused))
}
