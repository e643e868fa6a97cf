//! Topics, their partitions, and who leads them.

use std::collections::{BTreeMap, HashMap};

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use super::{Cluster, Node};
use crate::KafkaError;
use crate::error::{check, code};

/// A topic as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// What tells it from another topic of the same name, made after this one was deleted; none from brokers before 2.8.
    pub id: Option<[u8; 16]>,
    /// Its partitions, in order.
    pub partitions: Vec<TopicPartition>,
}

/// One partition of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicPartition {
    /// From zero.
    pub number: i32,
    /// The broker that leads it; none while it has no leader, so that it can be neither read nor written.
    pub leader: Option<i32>,
    /// Counted up whenever another broker leads it, or the same one again; none from brokers before 2.1.
    pub leader_epoch: Option<i32>,
}

impl Topic {
    /// How often a partition has been led anew; none when that is not known.
    pub(super) fn leader_epoch(&self, partition: i32) -> Option<i32> {
        self.partitions.iter().find(|known| known.number == partition)?.leader_epoch
    }
}

/// What was heard last.
#[derive(Debug, Default)]
pub(super) struct Cache {
    brokers: BTreeMap<i32, String>,
    controller: Option<i32>,
    topics: HashMap<String, Topic>,
}

impl Cache {
    pub(super) fn address(&self, broker: i32) -> Option<String> {
        self.brokers.get(&broker).cloned()
    }

    pub(super) fn brokers(&self) -> Vec<i32> {
        self.brokers.keys().copied().collect()
    }

    fn take_in(&mut self, answer: &MetadataResponse) {
        let addresses =
            answer.brokers.iter().map(|broker| (broker.node_id.0, address(&broker.host, broker.port)));
        self.brokers = addresses.collect();
        self.controller =
            self.brokers.contains_key(&answer.controller_id.0).then_some(answer.controller_id.0);
    }
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

impl Cluster {
    /// The topic, as it is now; none when there is no such topic.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn topic(&self, name: &str) -> Result<Option<Topic>, KafkaError> {
        let asked = [name];
        let found = self.patiently(|| self.ask(Some(&asked))).await?;
        Ok(found.into_iter().next())
    }

    /// All topics that we may see.
    ///
    /// # Errors
    /// That the cluster cannot be reached.
    pub async fn topics(&self) -> Result<Vec<Topic>, KafkaError> {
        self.patiently(|| self.ask(None)).await
    }

    /// The topic as it was heard of last, or as it is now.
    pub(super) async fn known_topic(&self, name: &str) -> Result<Topic, KafkaError> {
        if let Some(topic) = self.0.metadata.lock().topics.get(name) {
            return Ok(topic.clone());
        }
        let found = self.ask(Some(&[name])).await?;
        found.into_iter().next().ok_or_else(|| {
            KafkaError::refused(format!("the topic `{name}`"), code::UNKNOWN_TOPIC_OR_PARTITION)
        })
    }

    /// How often a partition has been led anew, as it was heard of last; none when that is not known.
    pub fn leader_epoch(&self, topic: &str, partition: i32) -> Option<i32> {
        self.0.metadata.lock().topics.get(topic)?.leader_epoch(partition)
    }

    /// The broker that leads a partition.
    pub(super) async fn leader(&self, topic: &str, partition: i32) -> Result<(Node, Topic), KafkaError> {
        let known = self.known_topic(topic).await?;
        let found = known.partitions.iter().find(|known| known.number == partition);
        let Some(found) = found else {
            self.forget(topic);
            let action = format!("partition {partition} of the topic `{topic}`");
            return Err(KafkaError::refused(action, code::UNKNOWN_TOPIC_OR_PARTITION));
        };
        match found.leader {
            Some(leader) => Ok((Node::Broker(leader), known)),
            None => {
                self.forget(topic);
                let reason = "it has no leader: the brokers that hold it are down".to_owned();
                let action = format!("partition {partition} of the topic `{topic}`");
                Err(KafkaError::Refused { action, code: 5, reason })
            }
        }
    }

    /// The broker that administers the cluster, as far as its clients need to know.
    pub(super) async fn controller(&self) -> Result<Node, KafkaError> {
        self.ask(Some(&[])).await?;
        let controller = self.0.metadata.lock().controller;
        controller.map(Node::Broker).ok_or_else(|| KafkaError::Unreachable {
            brokers: self.brokers(),
            reason: "the cluster has no controller now".to_owned(),
        })
    }

    /// What was heard of a topic is not true any more.
    pub(super) fn forget(&self, topic: &str) {
        self.0.metadata.lock().topics.remove(topic);
    }

    async fn ask(&self, names: Option<&[&str]>) -> Result<Vec<Topic>, KafkaError> {
        let topic = |name: &&str| {
            MetadataRequestTopic::default()
                .with_name(Some(TopicName(StrBytes::from_string((*name).to_owned()))))
        };
        let request = MetadataRequest::default()
            .with_topics(names.map(|names| names.iter().map(topic).collect()))
            .with_allow_auto_topic_creation(false);
        let answer = self.call_any(&request).await?;
        let mut cache = self.0.metadata.lock();
        cache.take_in(&answer);
        let mut topics = Vec::new();
        for found in &answer.topics {
            let Some(name) = found.name.as_ref().map(|name| name.to_string()) else { continue };
            match found.error_code {
                0 => {
                    let topic = topic_of(name.clone(), found);
                    cache.topics.insert(name, topic.clone());
                    topics.push(topic);
                }
                code::UNKNOWN_TOPIC_OR_PARTITION => drop(cache.topics.remove(&name)),
                refused => check(refused, || format!("to describe the topic `{name}`"))?,
            }
        }
        Ok(topics)
    }
}

fn topic_of(name: String, found: &MetadataResponseTopic) -> Topic {
    let mut partitions: Vec<TopicPartition> = found
        .partitions
        .iter()
        .map(|partition| TopicPartition {
            number: partition.partition_index,
            leader: (partition.leader_id.0 >= 0).then_some(partition.leader_id.0),
            leader_epoch: (partition.leader_epoch >= 0).then_some(partition.leader_epoch),
        })
        .collect();
    partitions.sort_by_key(|partition| partition.number);
    let id = Some(found.topic_id.into_bytes()).filter(|id| *id != [0; 16]);
    Topic { name, id, partitions }
}
