//! HTTP API, Postgres wire, pages.
//!
//! Owns: the HTTP server with its routes, limits and OpenAPI description ([`serve_http`], [`router`]), the Postgres
//! wire protocol ([`serve_postgres`]), the page, and who is let in (both check the same tokens). The only crate that
//! knows HTTP, HTML and the Postgres wire protocol.
//! Does not own: how a body is split into records (`flowline-source`), what SQL means (`flowline-process`), what the
//! system tables hold (`flowline-view`): whatever is shown here is read from them through SQL.

mod auth;
mod context;
mod detached;
mod error;
mod http;
mod page;
mod postgres;
mod readiness;
mod stall;

pub use auth::Tokens;
pub use context::{Limits, Replay, ReplayError, ServeContext};
pub use error::ServeError;
pub use http::{openapi, router, serve_http};
pub use postgres::serve_postgres;
pub use readiness::Readiness;
