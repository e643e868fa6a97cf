//! What changes of contracts are said to break.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod changes;
mod gate;
mod support;
