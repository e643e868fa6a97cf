//! What everything stands on: clock, ids, retry and error kinds.
//!
//! Owns: the only reads of time and randomness in the workspace ([`clock`], [`ids`], [`random`]), the few error
//! kinds that a caller branches on ([`ErrorKind`]), the retry schedule ([`mod@retry`]), and the threads for work that
//! keeps a processor busy ([`mod@compute`]).
//! Does not own: any word of the domain (those are in `flowline-model`), any I/O.
#![allow(
    clippy::disallowed_methods,
    reason = "here the clock is read and identifiers are made, for all others"
)]

pub mod clock;
pub mod compute;
pub mod ids;
pub mod kind;
pub mod random;
pub mod retry;

pub use clock::{Clock, ManualClock, SharedClock, SystemClock, system_clock};
pub use compute::{Computing, Panicked, compute};
pub use ids::{ChangeId, FileId, RunId, TraceId};
pub use kind::{Classify, ErrorKind, chain};
pub use random::Random;
pub use retry::{Backoff, retry};
