//! A cluster: its brokers, who leads what, and connections that are kept.

mod admin;
mod data;
mod metadata;
mod offsets;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::{Backoff, Classify, Random, SharedClock};
use flowline_model::KafkaCluster;
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::KafkaError;
use crate::call::Call;
use crate::connection::{Connection, Security};
use crate::security::tls;

pub use admin::NewTopic;
pub use data::{FetchFrom, Fetched};
pub use metadata::{Topic, TopicPartition};
pub use offsets::{CommittedOffset, LedOffset, OffsetAt};

/// Waits between tries.
const BACKOFF: Backoff = Backoff {
    attempts_max: u32::MAX,
    delay_first: Duration::from_millis(30),
    delay_max: Duration::from_secs(1),
};

/// What a cluster is reached with.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Brokers to begin with, and how they are spoken to.
    pub cluster: KafkaCluster,
    /// How we are called in the logs of brokers.
    pub client_id: String,
    /// How long a call is tried again while leaders move and brokers restart, before its caller is told.
    pub patience: Duration,
    /// For waits.
    pub clock: SharedClock,
}

/// A Kafka cluster. Connections are made when they are needed, and kept. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    options: ClusterOptions,
    security: Security,
    metadata: Mutex<metadata::Cache>,
    connections: Mutex<HashMap<(Node, Use), Place>>,
}

/// Where a connection waits between calls; empty while one is made, or before the first.
type Place = Arc<AsyncMutex<Option<Connection>>>;

/// Whom a connection leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    /// One of the brokers that the settings name.
    Seed(usize),
    /// A broker by its number.
    Broker(i32),
}

/// What a connection is for: a broker answers the requests of one connection one after the other, and none should wait
/// for another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Use {
    /// Small requests.
    Control,
    /// Records out; partitions share a few connections.
    Produce(u8),
    /// Records in.
    Fetch(u8),
}

/// Partitions share this many connections of a kind to a broker.
const LANES: i32 = 4;

impl Use {
    pub(crate) fn produce(partition: i32) -> Self {
        Self::Produce((partition.unsigned_abs() % LANES.unsigned_abs()) as u8)
    }

    pub(crate) fn fetch(partition: i32) -> Self {
        Self::Fetch((partition.unsigned_abs() % LANES.unsigned_abs()) as u8)
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("brokers", &self.brokers()).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads the settings; no broker is asked yet.
    ///
    /// # Errors
    /// [`KafkaError::Settings`].
    pub fn new(options: ClusterOptions) -> Result<Self, KafkaError> {
        if options.cluster.brokers.is_empty() {
            return Err(KafkaError::Settings { reason: "no brokers are named".to_owned() });
        }
        let security = Security {
            tls: options.cluster.tls.as_ref().map(tls::connector).transpose()?,
            sasl: options.cluster.sasl.clone(),
        };
        Ok(Self(Arc::new(Inner {
            options,
            security,
            metadata: Mutex::default(),
            connections: Mutex::default(),
        })))
    }

    /// The brokers that the settings name, as they are written in messages.
    pub fn brokers(&self) -> String {
        self.0.options.cluster.brokers.join(", ")
    }

    /// One request to one broker.
    async fn call<Q: Call>(&self, node: Node, purpose: Use, request: &Q) -> Result<Q::Answer, KafkaError> {
        self.call_up_to(node, purpose, Q::VERSION_MAX, request).await
    }

    /// One request to one broker, in no newer version than this one.
    async fn call_up_to<Q: Call>(
        &self,
        node: Node,
        purpose: Use,
        version_max: i16,
        request: &Q,
    ) -> Result<Q::Answer, KafkaError> {
        let place = Arc::clone(self.0.connections.lock().entry((node, purpose)).or_default());
        let mut place = place.lock().await;
        let mut connection = match place.take() {
            Some(connection) => connection,
            None => self.connect(node).await?,
        };
        let answer = connection.call_within(ANSWER_PATIENCE, version_max, request).await;
        // One that failed has an answer on its way, or none ever.
        if answer.is_ok() {
            *place = Some(connection);
        }
        answer
    }

    /// A connection that is the caller's alone.
    pub(crate) async fn connect(&self, node: Node) -> Result<Connection, KafkaError> {
        let address = match node {
            Node::Seed(index) => self.0.options.cluster.brokers.get(index).cloned(),
            Node::Broker(id) => self.0.metadata.lock().address(id),
        };
        let address = address.ok_or_else(|| KafkaError::Unreachable {
            brokers: self.brokers(),
            reason: format!("{node:?} is not known any more"),
        })?;
        Connection::open(&address, &self.0.options.client_id, &self.0.security).await
    }

    /// One request to whichever broker answers.
    async fn call_any<Q: Call>(&self, request: &Q) -> Result<Q::Answer, KafkaError> {
        let known = self.0.metadata.lock().brokers();
        let seeds = (0..self.0.options.cluster.brokers.len()).map(Node::Seed);
        let mut last = None;
        for node in known.into_iter().map(Node::Broker).chain(seeds) {
            match self.call(node, Use::Control, request).await {
                Ok(answer) => return Ok(answer),
                // Another broker has the same opinion of us.
                Err(error @ (KafkaError::Login { .. } | KafkaError::Version { .. })) => return Err(error),
                Err(error) => last = Some(error),
            }
        }
        let reason = last.map_or_else(|| "none is named".to_owned(), |error| error.to_string());
        Err(KafkaError::Unreachable { brokers: self.brokers(), reason })
    }

    /// Tries again while trying again may help, for a while.
    async fn patiently<T, Fut>(&self, mut attempt: impl FnMut() -> Fut) -> Result<T, KafkaError>
    where
        Fut: Future<Output = Result<T, KafkaError>>,
    {
        let clock = &self.0.options.clock;
        let (started, mut random, mut failures) = (clock.instant(), Random::unseeded(), 0);
        loop {
            match attempt().await {
                Err(error) if error.kind().retryable() => {
                    if clock.instant().saturating_duration_since(started) >= self.0.options.patience {
                        return Err(error);
                    }
                    tracing::debug!(%error, failures, "Kafka is asked again");
                    tokio::time::sleep(BACKOFF.delay(failures, &mut random)).await;
                    failures += 1;
                }
                done => return done,
            }
        }
    }
}

/// A broker that does not answer for this long is as good as gone.
const ANSWER_PATIENCE: Duration = Duration::from_secs(15);
