//! The page.

use axum::Router;

use crate::ServeContext;
use crate::http::Api;

/// The routes of the page.
pub(crate) fn routes(_context: ServeContext) -> Router<Api> {
    Router::new()
}
