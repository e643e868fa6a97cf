//! What can go wrong with a server as a whole; what goes wrong with one request is answered to its sender.

use std::net::SocketAddr;

use flowline_base::{Classify, ErrorKind};

/// Why a server does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Whoever can reach the address could read and write everything.
    #[error(
        "refused to listen on {address}: without `tokens:` in the environment only loopback addresses are served"
    )]
    Unauthenticated {
        /// The address that others can reach.
        address: SocketAddr,
    },
    /// A token in the environment is not a SHA-256.
    #[error("the token `{name}` is not stored as a SHA-256: expected 64 hexadecimal digits")]
    Token {
        /// Who holds it.
        name: String,
    },
    /// The operating system refused something.
    #[error("{action} failed: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: std::io::Error,
    },
    /// What every Postgres session shares could not be made.
    #[error("the Postgres catalog could not be made: {reason}")]
    Catalog {
        /// Why not.
        reason: String,
    },
}

impl Classify for ServeError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unauthenticated { .. } | Self::Token { .. } => ErrorKind::Input,
            Self::Io { .. } | Self::Catalog { .. } => ErrorKind::Internal,
        }
    }
}
