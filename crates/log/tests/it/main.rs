//! The segment log, from outside.

#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod contract;
mod crash;
mod cut;
mod faults;
mod flip;
mod kafka;
mod kafka_lost;
mod old_formats;
mod retention;
mod sim_disk;
mod support;
