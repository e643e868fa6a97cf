//! Kafka clusters: where they are, and how they are spoken to.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// A cluster that a project reads from or keeps its log in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaCluster {
    /// `host:port` of the brokers that are asked first; the others are heard of from them.
    pub brokers: Vec<String>,
    /// Whether connections are encrypted, and whom they trust; none for plain text.
    pub tls: Option<KafkaTls>,
    /// How we log in; not at all when none.
    pub sasl: Option<KafkaSasl>,
}

/// Encrypted connections.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaTls {
    /// Certificates (PEM) that brokers are held against; those of this machine when none.
    pub ca_file: Option<PathBuf>,
}

/// A login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaSasl {
    /// How the password is shown to be known.
    pub mechanism: SaslMechanism,
    /// Who we are.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// How a password is shown to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaslMechanism {
    /// It is sent as it is: only over TLS.
    Plain,
    /// SCRAM with SHA-256: it is never sent.
    ScramSha256,
    /// SCRAM with SHA-512.
    ScramSha512,
}

impl SaslMechanism {
    /// The name in the protocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// The log in Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KafkaLogSettings {
    /// The cluster.
    pub cluster: KafkaCluster,
    /// What the names of its topics begin with; the name of the dataset follows.
    pub topic_prefix: String,
    /// On how many brokers a topic lies that is made for it; the cluster's own choice when none.
    pub replication: Option<u16>,
}

/// Who knows the schemas of records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SchemaRegistry {
    /// The node itself.
    Own,
    /// A registry of Confluent's kind, elsewhere.
    At {
        /// Its URL, without user and password.
        url: String,
        /// Who we are there.
        user: Option<String>,
        /// The password.
        password: Option<Secret>,
    },
}

/// A text that is neither shown nor written down anywhere.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The secret of this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever has to hand it on.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    /// Stars: whoever reads the settings back has to be given the secret again.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
