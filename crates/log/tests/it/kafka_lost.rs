//! Whether a log in Kafka is said to have lost its end: when it has, and never when it has not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::Random;
use flowline_kafka::records::{BatchBuilder, Compression};
use flowline_kafka::{Cluster, ClusterOptions};
use flowline_log::{Batch, EventLog, KafkaLog, LogError, contract};
use flowline_testkit::KafkaBroker;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::kafka::options;

/// What became of records under load.
#[derive(Debug, Default)]
struct Told {
    /// The records of acknowledged batches, by their offsets.
    acknowledged: Mutex<BTreeMap<u64, String>>,
    /// Whatever was said that it must not say.
    accused: Mutex<Vec<String>>,
}

impl Told {
    fn note(&self, error: &LogError) {
        let said = error.to_string();
        if said.contains("lost records") || said.contains("but the log ends at") {
            self.accused.lock().push(said);
        }
    }
}

/// Appends batches of a few records until it is stopped. With a key, a batch whose fate is not known is sent again.
async fn append(log: Arc<KafkaLog>, writer: u64, told: Arc<Told>, stop: CancellationToken) {
    let (partition, mut random) = (contract::partition(0), Random::seeded(writer));
    for sequence in 0.. {
        if stop.is_cancelled() {
            return;
        }
        let records: Vec<String> =
            (0..1 + random.below(4)).map(|index| format!("{writer}-{sequence}-{index}")).collect();
        let lines: Vec<&str> = records.iter().map(String::as_str).collect();
        let keyed = writer.is_multiple_of(2);
        let batch = || match keyed {
            true => contract::keyed(&format!("{writer}-{sequence}"), &lines),
            false => contract::batch(&lines),
        };
        loop {
            match log.append(&partition, batch()).await {
                Ok(appended) => {
                    let offsets = appended.first..=appended.last;
                    told.acknowledged.lock().extend(offsets.zip(records.iter().cloned()));
                    break;
                }
                Err(error) => told.note(&error),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            if !keyed || stop.is_cancelled() {
                break;
            }
        }
    }
}

/// Reads on and releases, as a lander does.
async fn land(log: Arc<KafkaLog>, told: Arc<Told>, stop: CancellationToken) {
    let (partition, mut next) = (contract::partition(0), 0);
    while !stop.is_cancelled() {
        let waited = tokio::time::timeout(Duration::from_secs(1), log.wait_beyond(&partition, next)).await;
        if !matches!(waited, Ok(Ok(()))) {
            continue;
        }
        match log.read(&partition, next, 1 << 20).await {
            Ok(slab) => next = slab.next,
            Err(error) => {
                told.note(&error);
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        }
        if let Err(error) = log.release(&partition, next).await {
            told.note(&error);
        }
    }
}

/// Looks at the youngest records, as whoever watches a source does.
async fn look(log: Arc<KafkaLog>, told: Arc<Told>, stop: CancellationToken) {
    let partition = contract::partition(0);
    while !stop.is_cancelled() {
        match log.bounds(&partition).await {
            Ok(bounds) => {
                let read = log.read(&partition, bounds.end.saturating_sub(3), 1).await;
                read.err().iter().for_each(|error| told.note(error));
            }
            Err(error) => told.note(&error),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Eight that append to a log that two processes have open, each with a lander and somebody who watches.
fn load(logs: &[Arc<KafkaLog>; 2], told: &Arc<Told>, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for writer in 0..8 {
        let log = Arc::clone(&logs[usize::from(writer >= 4)]);
        tasks.push(tokio::spawn(append(log, writer, Arc::clone(told), stop.clone())));
    }
    for log in logs {
        tasks.push(tokio::spawn(land(Arc::clone(log), Arc::clone(told), stop.clone())));
        tasks.push(tokio::spawn(look(Arc::clone(log), Arc::clone(told), stop.clone())));
    }
    tasks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broker_that_is_killed_and_comes_back_has_lost_nothing_and_is_not_accused() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut broker) = KafkaBroker::start(folder.path()).unwrap() else { return };
    let opened = || async { KafkaLog::open(options(&broker.address, "lost.")).await.unwrap() };
    let mut logs = [opened().await, opened().await];
    let told = Arc::new(Told::default());
    let mut random = Random::unseeded();
    for round in 0..10 {
        let stop = CancellationToken::new();
        let tasks = load(&logs, &told, &stop);
        tokio::time::sleep(Duration::from_millis(200 + random.below(1_000))).await;
        tokio::task::block_in_place(|| {
            broker.crash().unwrap();
            broker.restart().unwrap();
        });
        tokio::time::sleep(Duration::from_millis(500 + random.below(1_500))).await;
        stop.cancel();
        for task in tasks {
            task.await.unwrap();
        }
        println!("round {round}: {} records were acknowledged", told.acknowledged.lock().len());
        assert_eq!(*told.accused.lock(), Vec::<String>::new(), "round {round}");
        if round % 3 == 2 {
            // Another process begins with what the cluster says.
            logs[1] = KafkaLog::open(options(&broker.address, "lost.")).await.unwrap();
        }
    }
    let kept: BTreeMap<u64, String> =
        contract::records(&*logs[0], &contract::partition(0), 0).await.into_iter().collect();
    let acknowledged = told.acknowledged.lock();
    let lost: Vec<_> =
        acknowledged.iter().filter(|(offset, record)| kept.get(offset) != Some(record)).collect();
    assert!(
        lost.is_empty(),
        "{} of {} acknowledged records are lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    assert!(acknowledged.len() > 1_000, "{}", acknowledged.len());
}

/// The log of a test's own broker, of which the end can be taken away.
struct World {
    /// Ended before its folder goes.
    broker: KafkaBroker,
    folder: TempDir,
}

const APPENDED: u64 = 20;

impl World {
    /// With records, of which so many are landed.
    async fn new(landed: u64) -> Option<(Self, Arc<KafkaLog>)> {
        let folder = tempfile::tempdir().unwrap();
        let broker = KafkaBroker::start(folder.path()).unwrap()?;
        let world = Self { broker, folder };
        let log = world.opened().await;
        for number in 0..APPENDED {
            let key = format!("key-{number}");
            log.append(&contract::partition(0), contract::keyed(&key, &["x"])).await.unwrap();
        }
        let next = log.read(&contract::partition(0), 0, 1 << 20).await.unwrap().next;
        assert_eq!(next, APPENDED);
        log.release(&contract::partition(0), landed).await.unwrap();
        Some((world, log))
    }

    /// Another process.
    async fn opened(&self) -> Arc<KafkaLog> {
        KafkaLog::open(options(&self.broker.address, "lost.")).await.unwrap()
    }

    fn partition(&self) -> PathBuf {
        self.broker.folder().join("data/lost.contract.events-0")
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("kept")
    }

    /// As after a power cut of a broker that had not written everything to its disk. What it had is put aside.
    fn cut(&mut self) {
        self.broker.crash().unwrap();
        copy(&self.partition(), &self.kept());
        let segment = std::fs::File::options()
            .write(true)
            .open(self.partition().join("00000000000000000000.log"))
            .unwrap();
        segment.set_len(segment.metadata().unwrap().len() / 2).unwrap();
        self.broker.restart().unwrap();
    }

    /// What it had is put back.
    fn mend(&mut self) {
        self.broker.crash().unwrap();
        std::fs::remove_dir_all(self.partition()).unwrap();
        copy(&self.kept(), &self.partition());
        self.broker.restart().unwrap();
    }

    /// Somebody else appends, who knows nothing of what was there.
    async fn others(&self, records: u32) {
        let options = options(&self.broker.address, "lost.");
        let cluster = Cluster::new(ClusterOptions {
            cluster: options.kafka.cluster,
            client_id: "somebody".to_owned(),
            patience: Duration::from_secs(20),
            clock: options.clock,
        })
        .unwrap();
        let mut builder = BatchBuilder::default();
        (0..records).for_each(|_| builder.push(1, Some(b"{}"), &[]));
        let producer = cluster.new_producer().await.unwrap();
        let batch = builder.finish(Compression::None).unwrap().stamped(producer);
        cluster.produce("lost.contract.events", 0, batch).await.unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").args([from, to]).status().unwrap();
    assert!(status.success(), "{} was not copied", from.display());
}

/// Appends until it is said that records are lost; nothing may be acknowledged before.
async fn until_accused(log: &KafkaLog, batch: Batch) {
    for _ in 0..100 {
        match log.append(&contract::partition(0), batch.clone()).await {
            Err(LogError::Lost { upto, end, .. }) => {
                assert!(upto == APPENDED && (1..APPENDED).contains(&end), "{upto} {end}");
                return;
            }
            Err(error) => println!("not yet: {error}"),
            Ok(appended) => panic!("{appended:?} was acknowledged, and would never be landed"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it is not said that records are lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_would_take_the_place_of_landed_records_is_not_acknowledged_by_anybody() {
    let Some((mut world, log)) = World::new(APPENDED).await else { return };
    let idle = world.opened().await;
    tokio::task::block_in_place(|| world.cut());
    until_accused(&log, contract::batch(&["y"])).await;
    until_accused(&log, contract::keyed("new", &["y"])).await;
    // What a known key stands for is gone.
    until_accused(&log, contract::keyed("key-19", &["x"])).await;
    until_accused(&idle, contract::keyed("new", &["y"])).await;
    until_accused(&*world.opened().await, contract::batch(&["y"])).await;
    let read = log.read(&contract::partition(0), APPENDED, 1).await;
    assert!(matches!(read, Err(LogError::Lost { .. })), "{read:?}");
    let said = log.status()[0].failed.as_ref().unwrap().to_string();
    assert!(said.contains("`lost.contract.events`") && said.contains("delete the topic"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_log_that_was_cut_off_and_has_grown_again_is_told_by_its_epochs_and_can_be_put_back() {
    let Some((mut world, log)) = World::new(APPENDED).await else { return };
    let idle = world.opened().await;
    tokio::task::block_in_place(|| world.cut());
    world.others(50).await;
    let read = log.read(&contract::partition(0), APPENDED, 1).await;
    assert!(matches!(read, Err(LogError::Lost { .. })), "{read:?}");
    until_accused(&log, contract::batch(&["y"])).await;
    until_accused(&idle, contract::batch(&["y"])).await;
    // Nobody is left who has seen it.
    drop((log, idle));
    let log = world.opened().await;
    until_accused(&log, contract::keyed("new", &["y"])).await;
    drop(log);
    tokio::task::block_in_place(|| world.mend());
    let log = world.opened().await;
    let appended = log.append(&contract::partition(0), contract::batch(&["y"])).await.unwrap();
    assert_eq!(appended.first, APPENDED);
    assert_eq!(log.read(&contract::partition(0), APPENDED, 1).await.unwrap().next, APPENDED + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nodes_that_are_started_again_go_on_without_what_was_lost_before_it_was_landed() {
    let Some((mut world, log)) = World::new(5).await else { return };
    tokio::task::block_in_place(|| world.cut());
    until_accused(&log, contract::keyed("new", &["y"])).await;
    // What is there is landed meanwhile.
    let next = log.read(&contract::partition(0), 5, 1).await.unwrap().next;
    assert!((6..APPENDED).contains(&next), "{next}");
    drop(log);
    let log = world.opened().await;
    let end = log.bounds(&contract::partition(0)).await.unwrap().end;
    let appended = log.append(&contract::partition(0), contract::keyed("key-19", &["x"])).await.unwrap();
    assert_eq!((appended.first, appended.repeated), (end, false));
}
