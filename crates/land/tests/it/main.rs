//! Landing on the real log, lake and ledger, in a folder of its own for each test.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

mod accounting;
mod audit;
mod crashes;
mod drift;
mod faults;
mod files;
mod kept;
mod keys;
mod real_data;
mod replay;
mod simulated;
mod tables;
mod world;
