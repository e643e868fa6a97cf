//! The log in Kafka keeps the contract of every log, against a real broker: `scripts/kafka-for-tests start` prints the
//! address that FLOWLINE_TEST_KAFKA is set to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::{RunId, system_clock};
use flowline_kafka::{Assignment, Cluster, ClusterOptions, GroupOptions, Membership, NewTopic, Standing};
use flowline_log::{Batch, EventLog, KafkaLog, KafkaLogOptions, LogError, contract};
use flowline_model::{
    KafkaCluster, KafkaLogSettings, KafkaSasl, KafkaTls, LogSettings, SaslMechanism, Secret,
};

/// The broker to test with; none where there is no broker, and then the test says so.
fn broker() -> Option<String> {
    let broker = std::env::var("FLOWLINE_TEST_KAFKA").ok().filter(|broker| !broker.is_empty());
    if broker.is_none() {
        eprintln!("skipped: FLOWLINE_TEST_KAFKA names no broker; `scripts/kafka-for-tests start` starts one");
    }
    broker
}

pub fn options(broker: &str, prefix: &str) -> KafkaLogOptions {
    let cluster = KafkaCluster { brokers: vec![broker.to_owned()], tls: None, sasl: None };
    KafkaLogOptions {
        kafka: KafkaLogSettings { cluster, topic_prefix: prefix.to_owned(), replication: None },
        settings: LogSettings::default(),
        sources: BTreeMap::new(),
        batch_bytes_max: 8 << 20,
        keys_dir: None,
        clock: system_clock(),
    }
}

fn prefix() -> String {
    format!("test-{}.", RunId::generate())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let Some(broker) = broker() else { return };
    let prefix = prefix();
    contract::all(move |storage: &'static str| {
        let options = options(&broker, &format!("{prefix}{storage}."));
        async move { KafkaLog::open(options).await.unwrap() as Arc<dyn EventLog> }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_see_what_the_other_appends_and_releases() {
    let Some(broker) = broker() else { return };
    let prefix = prefix();
    let left = KafkaLog::open(options(&broker, &prefix)).await.unwrap();
    let right = KafkaLog::open(options(&broker, &prefix)).await.unwrap();
    let partition = contract::partition(0);
    let waiting = {
        let (right, partition) = (Arc::clone(&right), partition.clone());
        tokio::spawn(async move { right.wait_beyond(&partition, 2).await })
    };
    for key in ["a", "b"] {
        assert!(!left.append(&partition, contract::keyed(key, &["x", "y"])).await.unwrap().repeated);
    }
    tokio::time::timeout(Duration::from_secs(10), waiting).await.unwrap().unwrap().unwrap();
    let again = right.append(&partition, contract::keyed("b", &["x", "y"])).await.unwrap();
    assert_eq!((again.first, again.last, again.repeated), (2, 3, true));
    assert_eq!(right.append(&partition, contract::batch(&["z"])).await.unwrap().first, 4);
    right.release(&partition, 3).await.unwrap();
    let released = || left.status().first().map(|status| status.released);
    for _ in 0..100 {
        if released() == Some(3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(released(), Some(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_released_and_too_much_is_deleted_and_nothing_else() {
    let Some(broker) = broker() else { return };
    let mut options = options(&broker, &prefix());
    options.settings.retain_bytes = 0;
    options.settings.bytes_max = 30_000;
    let log = KafkaLog::open(options).await.unwrap();
    let partition = contract::partition(0);
    let line = "x".repeat(1_000);
    let mut appended = 0;
    let full = loop {
        match log.append(&partition, contract::batch(&[&line])).await {
            Ok(_) => appended += 1,
            Err(error) => break error,
        }
        assert!(appended < 100);
    };
    assert!(matches!(full, LogError::Full { .. }), "{full}");
    log.enforce_retention().await.unwrap();
    assert_eq!(log.bounds(&partition).await.unwrap().start, 0, "nothing is released");
    log.release(&partition, appended - 5).await.unwrap();
    log.append(&partition, contract::batch(&[&line])).await.unwrap();
    let retained = log.enforce_retention().await.unwrap();
    assert!(retained.bytes > 10_000, "{retained:?}");
    let bounds = log.bounds(&partition).await.unwrap();
    assert_eq!((bounds.start, bounds.end), (appended - 5, appended + 1));
    assert!(matches!(log.read(&partition, 0, 1).await, Err(LogError::Gone { .. })));
    assert_eq!(contract::records(&*log, &partition, appended - 5).await.len(), 6);
    let behind = log.release(&partition, appended + 9).await;
    assert!(matches!(behind, Err(LogError::Lost { .. })), "{behind:?}");
}

/// Waits until partitions are a member's; a group of a broker that has just begun has no coordinator yet.
async fn assigned(member: &Membership) -> Assignment {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        loop {
            match member.standing() {
                Standing::Assigned(assignment) => return assignment,
                other => member.changed(&other).await,
            }
        }
    });
    waited.await.expect("the group shares its partitions out")
}

/// Whoever has to give partitions back may take longer for it than a member may be silent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_waits_for_a_member_that_is_busy() {
    const SESSION: Duration = Duration::from_secs(6);
    let Some(broker) = broker() else { return };
    let cluster = Cluster::new(ClusterOptions {
        cluster: KafkaCluster { brokers: vec![broker], tls: None, sasl: None },
        client_id: "test".to_owned(),
        patience: Duration::from_secs(10),
        clock: system_clock(),
    })
    .unwrap();
    let topic = format!("{}shared", prefix());
    let new = NewTopic { name: &topic, partitions: 2, replication: None, settings: Vec::new() };
    cluster.create_topic(new).await.unwrap();
    let member = || {
        let (group, topic) = (topic.clone(), topic.clone());
        let rebalance = Duration::from_secs(40);
        Membership::start(
            cluster.clone(),
            GroupOptions { group, topic, instance: None, session: SESSION, rebalance },
        )
    };
    let busy = member();
    let first = assigned(&busy).await;
    assert_eq!(first.partitions, [0, 1]);
    let other = member();
    busy.changed(&Standing::Assigned(first.clone())).await;
    assert_eq!(busy.standing(), Standing::Revoked);
    tokio::time::sleep(SESSION + Duration::from_secs(3)).await;
    assert_eq!(other.standing(), Standing::Joining, "the busy one has not given its partitions back");
    busy.give_back();
    busy.changed(&Standing::Revoked).await;
    let (one, two) = (assigned(&busy).await, assigned(&other).await);
    assert_eq!((one.member, one.partitions.len()), (first.member, 1), "it was a member throughout");
    assert_eq!((one.generation, two.generation), (first.generation + 1, first.generation + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_no_topic_takes_is_refused_by_itself() {
    let Some(broker) = broker() else { return };
    let log = KafkaLog::open(options(&broker, &prefix())).await.unwrap();
    let partition = contract::partition(0);
    let mut random = flowline_base::Random::seeded(7);
    let mut noise = vec![0; 14 << 20];
    random.fill(&mut noise);
    let spans = vec![(0, noise.len() as u32)];
    let huge = Batch { payload: noise.into(), spans, ..contract::batch(&["x"]) };
    let refused = log.append(&partition, huge).await;
    assert!(matches!(refused, Err(LogError::Batch { .. })), "{refused:?}");
    assert_eq!(log.append(&partition, contract::batch(&["x"])).await.unwrap().first, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_compaction_takes_records_from_is_refused() {
    let Some(broker) = broker() else { return };
    let options = options(&broker, &prefix());
    let cluster = Cluster::new(ClusterOptions {
        cluster: options.kafka.cluster.clone(),
        client_id: "somebody".to_owned(),
        patience: Duration::from_secs(10),
        clock: system_clock(),
    })
    .unwrap();
    let name = format!("{}{}", options.kafka.topic_prefix, contract::partition(0).source);
    let settings = vec![("cleanup.policy", "compact".to_owned())];
    cluster.create_topic(NewTopic { name: &name, partitions: 1, replication: None, settings }).await.unwrap();
    let refused = KafkaLog::open(options).await.unwrap_err();
    let LogError::Topic { topic, reason } = &refused else { panic!("{refused}") };
    assert_eq!(*topic, name);
    assert!(
        reason.contains("`cleanup.policy` is `compact`") && reason.contains("set it to `delete`"),
        "{reason}"
    );
}

/// The listener of `scripts/kafka-for-tests` that asks for TLS and a login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_tls_and_logs_in() {
    let Some(_) = broker() else { return };
    let Some(folder) = std::env::var_os("FLOWLINE_TEST_KAFKA_DIR").map(std::path::PathBuf::from) else {
        eprintln!(
            "skipped: FLOWLINE_TEST_KAFKA_DIR does not say where `scripts/kafka-for-tests` keeps its certificate"
        );
        return;
    };
    let secure = std::fs::read_to_string(folder.join("secure")).unwrap();
    let [address, user, password] = secure.lines().collect::<Vec<_>>()[..] else { panic!("{secure}") };
    for mechanism in [SaslMechanism::Plain, SaslMechanism::ScramSha256, SaslMechanism::ScramSha512] {
        let sasl =
            |password: &str| KafkaSasl { mechanism, user: user.to_owned(), password: Secret::new(password) };
        let mut options = options(address, &prefix());
        options.kafka.cluster.tls = Some(KafkaTls { ca_file: Some(folder.join("ca.pem")) });
        options.kafka.cluster.sasl = Some(sasl(password));
        let log = KafkaLog::open(options.clone()).await.unwrap();
        log.append(&contract::partition(0), contract::batch(&["x"])).await.unwrap();
        options.kafka.cluster.sasl = Some(sasl("wrong"));
        let refused = KafkaLog::open(options).await.unwrap_err().to_string();
        assert!(refused.contains("does not let us in") && !refused.contains("wrong"), "{refused}");
    }
}
