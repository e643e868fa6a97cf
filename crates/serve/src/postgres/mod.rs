//! The Postgres wire protocol.

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{ServeContext, ServeError};

/// Serves the Postgres wire protocol until `shutdown`.
///
/// # Errors
/// [`ServeError::Unauthenticated`] when others can reach the listener and no token is asked for.
pub async fn serve_postgres(
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
