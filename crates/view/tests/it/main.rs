//! System tables as whoever writes SQL sees them.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod checks;
mod history;
mod live;
mod profiles;
mod support;
mod tables;
