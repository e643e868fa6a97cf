//! What happens to a registry. The changes are stored one behind the other; the registry is what they come to.

use serde::{Deserialize, Serialize};

use crate::RegistryError;
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
    /// The text under which it is stored, which was read back: a change that cannot be read again would keep everything
    /// that is stored from being read.
    ///
    /// # Errors
    /// 42201, when it cannot be read.
    pub(crate) fn document(&self) -> Result<String, RegistryError> {
        let document = serde_json::to_string(self);
        let document = document.and_then(|text| serde_json::from_str::<Self>(&text).map(|_| text));
        document.map_err(|error| {
            let message = format!(
                "Invalid request: what would be stored of it cannot be read back ({error}), simplify it"
            );
            RegistryError::refused(42201, message)
        })
    }

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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Change;
    use crate::kind::SchemaKind;
    use crate::state::StoredSchema;

    fn registered(metadata: Value) -> Change {
        let schema = StoredSchema {
            kind: SchemaKind::Avro,
            text: "\"int\"".to_owned(),
            references: Vec::new(),
            metadata: Some(metadata),
            rule_set: None,
        };
        Change::Registered { subject: "s".to_owned(), version: 1, id: 1, schema: Some(schema) }
    }

    #[test]
    fn a_change_that_cannot_be_read_back_is_refused() {
        let nested = |levels: usize| (0..levels).fold(json!(1), |inside, _| json!({ "a": inside }));
        let kept = registered(nested(32));
        let text = kept.document().expect("32 levels are read back");
        assert_eq!(serde_json::from_str::<Change>(&text).expect("a change"), kept);
        let error = registered(nested(126)).document().expect_err("126 levels and its own are too many");
        assert_eq!(error.code(), 42201);
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }
}
