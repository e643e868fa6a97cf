//! A client of Apache Kafka, as much of one as the log and the sources need.
//!
//! Owns: connections, TLS and SASL, who leads a partition, the bytes of record batches, idempotent produce, fetch by
//! topic id, membership in a consumer group. The only crate that speaks the protocol of Kafka.
//! Does not own: what a record means (`flowline-log` for our own topics, `flowline-source` for those of others), and
//! when anything is read or written.
//!
//! The messages of the protocol are those of the crate `kafka-protocol`, made from Kafka's own schemas. Batches of
//! records are ours, because a batch is what Kafka stores as a whole or not at all, and the log promises that of its
//! frames: no client that gathers records into batches by itself lets its caller say where a batch ends.

mod call;
mod cluster;
mod connection;
mod error;
mod group;
mod membership;
pub mod records;
mod security;

pub use cluster::{
    Cluster, ClusterOptions, CommittedOffset, FetchFrom, Fetched, LedOffset, NewTopic, OffsetAt, Topic,
    TopicPartition,
};
pub use error::{KafkaError, code};
pub use group::{Assignment, GroupOptions, Member};
pub use membership::{Membership, Standing};
