//! What happens to a registry. The changes are stored one behind the other; the registry is what they come to.

use serde::{Deserialize, Serialize};

use crate::kind::Mode;
use crate::state::{Settings, StoredSchema};

/// One change. Stored as JSON: names and meanings stay as they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub(crate) enum Change {
    /// A version of a subject.
    Registered {
        subject: String,
        version: i32,
        id: u32,
        /// The schema, where its number is new.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schema: Option<StoredSchema>,
    },
    /// Versions of a subject are gone: hidden, or for good. With `whole`, so are its settings.
    Deleted { subject: String, versions: Vec<i32>, permanent: bool, whole: bool },
    /// What holds for a subject, for a context, or (with an empty scope) for all.
    Configured { scope: String, settings: Option<Settings> },
    /// The mode of the same.
    Moded { scope: String, mode: Option<Mode> },
}

impl Change {
    /// What it is called in the ledger.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Deleted { permanent: false, .. } => "deleted",
            Self::Deleted { .. } => "deleted-permanently",
            Self::Configured { .. } => "configured",
            Self::Moded { .. } => "mode-set",
        }
    }

    /// What it is about.
    pub(crate) fn scope(&self) -> &str {
        match self {
            Self::Registered { subject, .. } | Self::Deleted { subject, .. } => subject,
            Self::Configured { scope, .. } | Self::Moded { scope, .. } => scope,
        }
    }
}
