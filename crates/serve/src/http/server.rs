//! The server below the routes: connections, their number and patience, and an orderly end.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::stall::StallGuard;
use crate::{Limits, ServeContext, ServeError};

/// Bytes that a connection reads at once: large enough that a usual batch of records arrives in one piece and is never
/// copied, small enough for a thousand connections.
const READ_BUFFER_BYTES: usize = 256 << 10;
/// A client that takes nothing of its answer for so long is cut off.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// After a failed accept (too many open files) the next one waits, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves HTTP until `shutdown`, then lets requests under way end within [`Limits::shutdown_grace`].
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
    let limits = context.limits;
    let service = TowerToHyperService::new(super::router_until(context, shutdown.clone()));
    let places = Arc::new(Semaphore::new(limits.http_connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tracing::info!(%address, "http is served");
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shutdown.cancelled() => break,
        };
        let Some((stream, place)) = accepted else { continue };
        let io = TokioIo::new(StallGuard::new(stream, WRITE_PATIENCE));
        let connection = graceful.watch(builder(&limits).serve_connection(io, service.clone()));
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.shutdown_grace, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "requests did not end in time and are cut off");
    }
    Ok(())
}

/// The next connection, once there is a place for it; nothing when accepting failed.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are written whole: waiting to fill a packet only delays them.
            let _ = stream.set_nodelay(true);
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(READ_BUFFER_BYTES)
        .max_headers(100);
    builder
}
