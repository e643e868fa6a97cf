//! HTTP and the Postgres wire: records in, answers and pages out.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use flowline_serve::{ServeContext, ServeError};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::tasks::{TaskKind, Tasks};

/// The sockets of a node, bound before anything runs, so that an address that is taken is told at once.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    postgres: Option<TcpListener>,
}

impl Listeners {
    /// Binds what the environment names; port 0 lets the system choose.
    pub async fn bind(http: SocketAddr, postgres: Option<SocketAddr>) -> anyhow::Result<Self> {
        let bind = async |what: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| {
                format!("{what} cannot listen on {address}; stop what does, or name another address")
            })
        };
        let http = bind("HTTP", http).await?;
        let postgres = match postgres {
            Some(address) => Some(bind("the Postgres wire", address).await?),
            None => None,
        };
        Ok(Self { http, postgres })
    }

    /// Where HTTP and the Postgres wire listen.
    pub fn addresses(&self) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
        let postgres = self.postgres.as_ref().map(TcpListener::local_addr).transpose()?;
        Ok((self.http.local_addr()?, postgres))
    }
}

/// Serves on the listeners until the node ends.
pub fn start(tasks: &Tasks, listeners: Listeners, context: &ServeContext) {
    serve_once(tasks, TaskKind::Gateway, listeners.http, context.clone(), flowline_serve::serve_http);
    if let Some(postgres) = listeners.postgres {
        serve_once(tasks, TaskKind::Postgres, postgres, context.clone(), flowline_serve::serve_postgres);
    }
}

/// A listener can be served once; its task ends the node when it fails and is never started again.
fn serve_once<F, Fut>(tasks: &Tasks, kind: TaskKind, listener: TcpListener, context: ServeContext, serve: F)
where
    F: Fn(TcpListener, ServeContext, CancellationToken) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), ServeError>> + Send + 'static,
{
    let (listener, serve) = (Mutex::new(Some(listener)), Arc::new(serve));
    tasks.start(kind, "", move |shutdown| {
        let (listener, context, serve) = (listener.lock().take(), context.clone(), Arc::clone(&serve));
        async move {
            let listener = listener.ok_or_else(|| anyhow!("its listener is gone"))?;
            Ok(serve(listener, context, shutdown).await?)
        }
    });
}
