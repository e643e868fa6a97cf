//! How far the landing of files is.

use std::fmt;
use std::sync::Arc;

/// How far the landing of files is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProgress {
    /// The file that is read now.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Bytes of it that were read.
    pub bytes_read: u64,
    /// Records of it that were read.
    pub records: u64,
    /// Files of this look at the folder that are done.
    pub files_done: u64,
    /// Files that were new at this look.
    pub files_total: u64,
}

/// What is called with the progress, from the lander's own task: it should return soon.
#[derive(Clone)]
pub struct ProgressFn(Arc<dyn Fn(&FileProgress) + Send + Sync>);

impl ProgressFn {
    /// Calls this.
    pub fn new(call: impl Fn(&FileProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(super) fn call(&self, progress: &FileProgress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for ProgressFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressFn")
    }
}
