//! The roles of a node, one file each: what is started for it, and nothing else.

mod auditor;
mod gateway;
mod janitor;
mod keeper;
mod lander;
mod pressure;
mod processor;
mod share;
mod watcher;

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

pub use gateway::Listeners;
pub use processor::Activity;

pub(crate) use gateway::start as start_gateway;
pub(crate) use janitor::start as start_janitor;
pub(crate) use keeper::{read_kept_of, start as start_keeper};
pub(crate) use lander::{release_landed_of, start as start_landers};
pub(crate) use pressure::start as start_pressure;
pub(crate) use processor::start as start_processor;
pub(crate) use share::start as start_shares;
pub(crate) use watcher::start as start_watcher;

/// A part that a node can play. HTTP and the Postgres wire are always there; without [`Role::Gateway`] no records are
/// taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Takes records in over HTTP and keeps the log.
    Gateway,
    /// Lands records and files as tables.
    Lander,
    /// Decides which transforms run, and runs them.
    Processor,
    /// Holds counts against each other, measures lag and freshness, and evaluates the checks of whole tables.
    Watcher,
    /// Compacts, retains, prunes.
    Janitor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Gateway, Self::Lander, Self::Processor, Self::Watcher, Self::Janitor];

    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Lander => "lander",
            Self::Processor => "processor",
            Self::Watcher => "watcher",
            Self::Janitor => "janitor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`{text}` is no role; there are {known}")
        })
    }
}
