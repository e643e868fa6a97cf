//! The Postgres wire protocol: what psql, Grafana, Metabase and every driver speak. It only reads.
//!
//! Owns: connections and who may make them, statements in both protocols, settings, cancellation, PostgreSQL's
//! catalog over ours. Does not own: what SQL means (`flowline-process`), how values are encoded (`arrow-pg`).
//! Each statement sees the newest versions; BEGIN and COMMIT hold nothing together.

mod about;
mod bounded;
mod catalog;
mod connection;
mod error;
mod extended;
mod functions;
mod plan;
mod session;
mod settings;
mod simple;
mod simplify;
mod startup;
mod statement;

use std::sync::Arc;
use std::time::Duration;

use pgwire::api::RandomPidSecretKeyGenerator;
use pgwire::error::PgWireError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{ServeContext, ServeError};
use error::fatal;
use extended::Preparer;
use plan::Planner;
use startup::Startup;

/// After a failed accept (too many open files) the next one waits, instead of spinning.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Clients that are being told that there is no place for them, at once; further ones are cut off without a word.
const TURNED_AWAY_MAX: usize = 16;

/// What all connections share.
struct Backend {
    planner: Arc<Planner>,
    preparer: Arc<Preparer>,
    startup: Arc<Startup>,
    message_bytes_max: usize,
}

/// Serves the Postgres wire protocol until `shutdown`, then cuts off what does not end within
/// [`crate::Limits::shutdown_grace`]. The name of the project is the name of the database; clients may give any.
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
    let backend = backend(&context)?;
    let places = Arc::new(Semaphore::new(context.limits.postgres_connections_max));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    let mut connections = JoinSet::new();
    tracing::info!(%address, "the postgres wire is served");
    loop {
        while connections.try_join_next().is_some() {}
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        let (place, refusal) = match places.clone().try_acquire_owned() {
            Ok(place) => (place, None),
            // A CancelRequest comes by a connection of its own, and is needed most when all places are taken.
            Err(_) => match turned_away.clone().try_acquire_owned() {
                Ok(place) => (place, Some(fatal("53300", "sorry, too many clients already"))),
                Err(_) => continue,
            },
        };
        let (backend, shutdown) = (backend.clone(), shutdown.clone());
        connections.spawn(async move {
            serve_one(stream, backend, refusal, shutdown).await;
            drop(place);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(context.limits.shutdown_grace, ended).await.is_err() {
        tracing::warn!("statements did not end in time and are cut off");
    }
    Ok(())
}

fn backend(context: &ServeContext) -> Result<Arc<Backend>, ServeError> {
    let planner = Planner::new(context.engine.clone(), &context.plan.project);
    let planner = Arc::new(planner.map_err(|error| ServeError::Catalog { reason: error.to_string() })?);
    Ok(Arc::new(Backend {
        preparer: Arc::new(Preparer(planner.clone())),
        planner,
        startup: Arc::new(Startup {
            tokens: context.tokens.clone(),
            limits: context.limits,
            sessions: session::Sessions::default(),
            keys: RandomPidSecretKeyGenerator::default(),
        }),
        message_bytes_max: context.limits.postgres_message_bytes_max,
    }))
}

async fn serve_one(
    stream: TcpStream,
    backend: Arc<Backend>,
    refusal: Option<PgWireError>,
    shutdown: CancellationToken,
) {
    let _ = stream.set_nodelay(true);
    let connections = metrics::gauge!("flowline_serve_postgres_connections");
    connections.increment(1);
    metrics::counter!("flowline_serve_postgres_connections_total").increment(1);
    if let Err(error) = connection::serve(stream, backend, refusal, shutdown).await {
        tracing::debug!(%error, "a postgres connection broke off");
    }
    connections.decrement(1);
}
