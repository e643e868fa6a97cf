//! Making topics, and taking away what is no longer wanted.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest, DescribeConfigsRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::offsets::topic_name;
use super::{Cluster, Use};
use crate::error::{check, code};
use crate::{KafkaError, Topic};

/// How long the cluster may take to do what it is asked.
const ADMIN_PATIENCE_MS: i32 = 10_000;
/// The number of topics among the resources that have settings.
const RESOURCE_TOPIC: i8 = 2;

/// A topic that is to be made.
#[derive(Debug, Clone)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions it has.
    pub partitions: i32,
    /// On how many brokers each lies; the cluster's own choice when none.
    pub replication: Option<i16>,
    /// Its settings, by Kafka's names.
    pub settings: Vec<(&'a str, String)>,
}

impl Cluster {
    /// Makes a topic, and waits until brokers know it, which may be some time after; one that is there already is left as it
    /// is. What is heard of it.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn create_topic(&self, topic: NewTopic<'_>) -> Result<Topic, KafkaError> {
        let setting = |(name, value): &(&str, String)| {
            CreatableTopicConfig::default()
                .with_name(StrBytes::from_string((*name).to_owned()))
                .with_value(Some(StrBytes::from_string(value.clone())))
        };
        let wanted = CreatableTopic::default()
            .with_name(topic_name(topic.name))
            .with_num_partitions(topic.partitions)
            .with_replication_factor(topic.replication.unwrap_or(-1))
            .with_configs(topic.settings.iter().map(setting).collect());
        let request =
            CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(ADMIN_PATIENCE_MS);
        self.patiently(|| async {
            let controller = self.controller().await?;
            let answer = self.call(controller, Use::Control, &request).await?;
            for made in answer.topics.iter().filter(|made| made.error_code != code::TOPIC_ALREADY_EXISTS) {
                let said = made.error_message.as_ref().map(|text| text.to_string());
                refused(made.error_code, said, || format!("to make the topic `{}`", topic.name))?;
            }
            self.forget(topic.name);
            Ok(())
        })
        .await?;
        self.patiently(|| self.known_topic(topic.name)).await
    }

    /// Gives a topic more partitions; one that has as many is left as it is.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn grow_topic(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let wanted = CreatePartitionsTopic::default()
            .with_name(topic_name(topic))
            .with_count(partitions)
            .with_assignments(None);
        let request =
            CreatePartitionsRequest::default().with_topics(vec![wanted]).with_timeout_ms(ADMIN_PATIENCE_MS);
        self.patiently(|| async {
            let controller = self.controller().await?;
            let answer = self.call(controller, Use::Control, &request).await?;
            for grown in answer.results.iter().filter(|grown| grown.error_code != code::INVALID_PARTITIONS) {
                let said = grown.error_message.as_ref().map(|text| text.to_string());
                refused(grown.error_code, said, || format!("to give `{topic}` {partitions} partitions"))?;
            }
            self.forget(topic);
            Ok(())
        })
        .await
    }

    /// Deletes the records of a partition before an offset.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn delete_records(&self, topic: &str, partition: i32, before: u64) -> Result<(), KafkaError> {
        let wanted = DeleteRecordsPartition::default()
            .with_partition_index(partition)
            .with_offset(i64::try_from(before).unwrap_or(i64::MAX));
        let wanted = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![wanted]);
        let request =
            DeleteRecordsRequest::default().with_topics(vec![wanted]).with_timeout_ms(ADMIN_PATIENCE_MS);
        self.patiently(|| async {
            let (leader, _) = self.leader(topic, partition).await?;
            let answer = self.call(leader, Use::Control, &request).await;
            let answer = answer.inspect_err(|_| self.forget(topic))?;
            for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                let action = || format!("to delete records of `{topic}`, partition {partition}");
                check(found.error_code, action).inspect_err(|_| self.forget(topic))?;
            }
            Ok(())
        })
        .await
    }

    /// One setting of a topic, by Kafka's name; none where we may not see it.
    ///
    /// # Errors
    /// What the cluster refuses, and that it cannot be reached.
    pub async fn topic_setting(&self, topic: &str, name: &str) -> Result<Option<String>, KafkaError> {
        let wanted = DescribeConfigsResource::default()
            .with_resource_type(RESOURCE_TOPIC)
            .with_resource_name(StrBytes::from_string(topic.to_owned()))
            .with_configuration_keys(Some(vec![StrBytes::from_string(name.to_owned())]));
        let request = DescribeConfigsRequest::default().with_resources(vec![wanted]);
        self.patiently(|| async {
            let answer = self.call_any(&request).await?;
            let found = answer.results.into_iter().filter(|result| result.error_code == 0);
            let mut settings = found.flat_map(|result| result.configs);
            let setting = settings.find(|setting| *setting.name == *name);
            Ok(setting.and_then(|setting| setting.value).map(|value| value.to_string()))
        })
        .await
    }
}

fn refused(code: i16, said: Option<String>, action: impl FnOnce() -> String) -> Result<(), KafkaError> {
    check(code, action).map_err(|error| match (error, said) {
        (KafkaError::Refused { action, code, .. }, Some(reason)) => {
            KafkaError::Refused { action, code, reason }
        }
        (error, _) => error,
    })
}
