//! The words of the registry's requests: schema languages, compatibility levels, modes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The word in requests and answers.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                let text = text.to_ascii_uppercase();
                match text.as_str() {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(()),
                }
            }
        }
    };
}

words! {
    /// The language of a schema.
    SchemaKind {
        /// Apache Avro.
        Avro = "AVRO",
        /// JSON Schema.
        Json = "JSON",
        /// Protocol Buffers.
        Protobuf = "PROTOBUF",
    }
}

words! {
    /// Which earlier versions a new one must get along with, and how.
    Level {
        /// Any schema is taken.
        None = "NONE",
        /// It reads what the latest version has written.
        Backward = "BACKWARD",
        /// It reads what any version has written.
        BackwardTransitive = "BACKWARD_TRANSITIVE",
        /// The latest version reads what it writes.
        Forward = "FORWARD",
        /// All versions read what it writes.
        ForwardTransitive = "FORWARD_TRANSITIVE",
        /// Both, with the latest version.
        Full = "FULL",
        /// Both, with all versions.
        FullTransitive = "FULL_TRANSITIVE",
    }
}

impl Level {
    /// Whether the new schema must read what others have written.
    pub(crate) fn backward(self) -> bool {
        matches!(self, Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether others must read what the new schema writes.
    pub(crate) fn forward(self) -> bool {
        matches!(self, Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive)
    }

    /// Whether all versions count, and not only the latest.
    pub(crate) fn transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }
}

words! {
    /// What may be done with a subject.
    Mode {
        /// Everything but choosing identifiers.
        ReadWrite = "READWRITE",
        /// Nothing is written.
        ReadOnly = "READONLY",
        /// Nothing is written, whatever is said of the subject.
        ReadOnlyOverride = "READONLY_OVERRIDE",
        /// Schemas are brought in from elsewhere with their identifiers.
        Import = "IMPORT",
    }
}
