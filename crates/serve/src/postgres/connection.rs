//! One connection: its messages, one after the other, until it ends or the node does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use pgwire::api::query::ExtendedQueryHandler;
use pgwire::api::{ClientInfo, DefaultClient, NoopHandler, PgWireConnectionState};
use pgwire::error::PgWireError;
use pgwire::messages::response::{GssEncResponse, SslResponse};
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage, SslNegotiationMetaMessage};
use pgwire::tokio::server::{PgWireMessageServerCodec, process_error, process_message};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;

use super::Backend;
use super::bounded::Bounded;
use super::error::fatal;
use crate::stall::StallGuard;

/// A client that has not introduced itself by then is cut off.
const STARTUP_PATIENCE: Duration = Duration::from_secs(10);
/// Bytes that a client may send before it is let in.
const STARTUP_BYTES_MAX: usize = 16 << 10;
/// A client that takes nothing of its answer for so long is cut off.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

type Socket = Framed<
    Bounded<StallGuard<TcpStream>>,
    PgWireMessageServerCodec<<Backend as ExtendedQueryHandler>::Statement>,
>;

/// Serves one client. `turn_away` is why it is not let in at all.
pub(super) async fn serve(
    stream: TcpStream,
    backend: Arc<Backend>,
    turn_away: Option<PgWireError>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let client = DefaultClient::new(stream.peer_addr()?, false);
    let bounded = Bounded::new(StallGuard::new(stream, WRITE_PATIENCE), STARTUP_BYTES_MAX);
    let mut socket: Socket = Framed::new(bounded, PgWireMessageServerCodec::new(client));
    let Ok(first) = tokio::time::timeout(STARTUP_PATIENCE, negotiate(&mut socket)).await else {
        return Ok(());
    };
    let Some(first) = first? else { return Ok(()) };
    let cancels = matches!(first, PgWireFrontendMessage::CancelRequest(_));
    if let Some(refusal) = turn_away.filter(|_| !cancels) {
        return process_error(&mut socket, refusal, false).await;
    }
    converse(&mut socket, &backend, first, &shutdown).await
}

/// Declines encryption, which is a matter for what stands in front, until the client introduces itself.
async fn negotiate(socket: &mut Socket) -> io::Result<Option<PgWireFrontendMessage>> {
    loop {
        let message = match socket.next().await {
            Some(Ok(message)) => message,
            Some(Err(error)) => {
                process_error(socket, error, false).await?;
                return Ok(None);
            }
            None => return Ok(None),
        };
        match message {
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::PostgresSsl(_)) => {
                socket.send(PgWireBackendMessage::SslResponse(SslResponse::Refuse)).await?;
            }
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::PostgresGss(_)) => {
                socket.send(PgWireBackendMessage::GssEncResponse(GssEncResponse::Refuse)).await?;
            }
            PgWireFrontendMessage::SslNegotiation(SslNegotiationMetaMessage::None) => {
                socket.set_state(PgWireConnectionState::AwaitingStartup);
            }
            other => return Ok(Some(other)),
        }
    }
}

async fn converse(
    socket: &mut Socket,
    backend: &Arc<Backend>,
    first: PgWireFrontendMessage,
    shutdown: &CancellationToken,
) -> io::Result<()> {
    let copy = Arc::new(NoopHandler);
    let startup = tokio::time::sleep(STARTUP_PATIENCE);
    tokio::pin!(startup);
    let mut message = first;
    loop {
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            return Ok(());
        }
        let ends = matches!(message, PgWireFrontendMessage::CancelRequest(_));
        let extended = message.is_extended_query();
        let (startup_handler, sessions) =
            (backend.startup.clone(), Arc::new(backend.startup.sessions.clone()));
        let (simple, prepared) = (backend.clone(), backend.clone());
        let processed =
            process_message(message, socket, startup_handler, simple, prepared, copy.clone(), sessions).await;
        if let Err(error) = processed {
            let fatal = ends_connection(&error);
            process_error(socket, error, extended).await?;
            if fatal {
                return Ok(());
            }
        }
        if ends {
            return Ok(());
        }
        let introduced = let_in(socket);
        socket.get_mut().allow(if introduced { backend.message_bytes_max } else { STARTUP_BYTES_MAX });
        let next = tokio::select! {
            next = socket.next() => next,
            () = shutdown.cancelled() => {
                let goodbye = fatal("57P01", "terminating connection: the node stops");
                return process_error(socket, goodbye, false).await;
            }
            () = &mut startup, if !introduced => return Ok(()),
        };
        message = match next {
            Some(Ok(message)) => message,
            Some(Err(error)) => return process_error(socket, unreadable(error), false).await,
            None => return Ok(()),
        };
    }
}

fn let_in(socket: &Socket) -> bool {
    !matches!(
        socket.state(),
        PgWireConnectionState::AwaitingSslRequest
            | PgWireConnectionState::AwaitingStartup
            | PgWireConnectionState::AuthenticationInProgress
    )
}

/// An error after which nothing that arrives can be understood.
fn unreadable(error: PgWireError) -> PgWireError {
    fatal("08P01", error.to_string())
}

fn ends_connection(error: &PgWireError) -> bool {
    match error {
        PgWireError::UserError(info) => info.is_fatal(),
        PgWireError::IoError(_) => true,
        _ => false,
    }
}
