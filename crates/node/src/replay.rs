//! Replaying quarantined records, for the servers and for the command line.

use std::sync::Arc;

use async_trait::async_trait;
use flowline_base::{Classify, ErrorKind};
use flowline_land::LandContext;
use flowline_log::EventLog;
use flowline_model::{DatasetName, Run};
use flowline_serve::{Replay, ReplayError, ReplaySelection};

use crate::storage::Storage;

/// Hands a replay to `flowline-land`.
pub struct NodeReplay {
    storage: Storage,
    context: LandContext,
}
