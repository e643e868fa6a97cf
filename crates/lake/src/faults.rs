//! Faults injected into object storage, for tests.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use crate::LakeError;

/// What is asked of the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOp {
    /// Reading an object or a part of it.
    Get,
    /// Writing an object, whole or a part of it.
    Put,
    /// Listing a folder.
    List,
    /// Deleting an object.
    Delete,
    /// Copying or renaming an object.
    Copy,
}

/// What happens instead of, or besides, the operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing was done.
    ErrorBefore,
    /// It is done and fails nevertheless.
    ErrorAfter,
    /// A part of it is done, then it fails.
    ErrorDuring,
    /// The storage refuses it.
    Denied,
    /// The storage is full.
    Full,
    /// It is done, late.
    Slow(Duration),
}

/// Decides which operations fail.
pub trait FaultInjector: Send + Sync + Debug {
    /// The fault of this operation on this path, if it has one.
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault>;
}

/// The faults that the variable `FLOWLINE_FAULTS` asks for; none when it is not set.
pub fn from_env() -> Result<Option<Arc<dyn FaultInjector>>, LakeError> {
    Ok(None)
}
