//! The HTTP API.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{ServeContext, ServeError};

/// The routes, with authentication, limits, tracing and metrics around them.
pub fn router(_context: ServeContext) -> axum::Router {
    axum::Router::new()
}

/// The OpenAPI description of the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    utoipa::openapi::OpenApi::default()
}

/// Serves HTTP until `shutdown`, then lets requests under way end within [`crate::Limits::shutdown_grace`].
///
/// # Errors
/// [`ServeError::Unauthenticated`] when others can reach the listener and no token is asked for.
pub async fn serve_http(
    listener: TcpListener,
    context: ServeContext,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let address =
        listener.local_addr().map_err(|source| ServeError::Io { action: "reading the address", source })?;
    context.tokens.check_address(address)?;
    shutdown.cancelled().await;
    Ok(())
}
