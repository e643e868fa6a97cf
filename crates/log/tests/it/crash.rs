//! Any sequence of appends, releases, retention, kills and crashes keeps the promises: what was acknowledged is there,
//! once, in its place; what was not acknowledged is there at most once; keys are remembered; nothing is ever called
//! damaged that is only torn.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use flowline_base::Random;
use flowline_log::{Appended, Batch, EventLog, LogError, SegmentLog, contract};
use flowline_model::LogSettings;
use proptest::prelude::*;

use crate::sim_disk::SimDisk;
use crate::support::{reopen_on, settings};

#[derive(Debug, Clone)]
enum Step {
    /// Appends these batches at the same time.
    Append(Vec<Plan>),
    /// Releases this share of what the log holds, in percent.
    Release(u64),
    Retain,
    Reopen,
    /// Appends these batches while the process dies after so many changes to the disk, and the machine maybe as well.
    Die {
        batches: Vec<Plan>,
        after: u64,
        down: Down,
    },
    /// Appends while the disk has this much room; then it has more again.
    Full {
        batches: Vec<Plan>,
        room: usize,
    },
    /// Appends while a sync fails; then the process or the machine goes down.
    FailSync {
        batches: Vec<Plan>,
        down: Down,
    },
}

#[derive(Debug, Clone, Copy)]
enum Down {
    Process,
    Machine,
    /// First the process; then the machine, once the next process has opened the log.
    Both,
}

fn down() -> impl Strategy<Value = Down> {
    prop_oneof![Just(Down::Process), Just(Down::Machine), Just(Down::Both)]
}

#[derive(Debug, Clone)]
struct Plan {
    records: u32,
    record_bytes: usize,
    key: Option<u8>,
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (1..4u32, 0..150usize, proptest::option::weighted(0.4, 0..20u8));
    let plan = plan.prop_map(|(records, record_bytes, key)| Plan { records, record_bytes, key });
    proptest::collection::vec(plan, 1..5)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => plans().prop_map(Step::Append),
        1 => (0..=100u64).prop_map(Step::Release),
        1 => Just(Step::Retain),
        1 => Just(Step::Reopen),
        4 => (plans(), 0..20u64, down()).prop_map(|(batches, after, down)| Step::Die { batches, after, down }),
        2 => (plans(), 0..600usize).prop_map(|(batches, room)| Step::Full { batches, room }),
        1 => (plans(), down()).prop_map(|(batches, down)| Step::FailSync { batches, down }),
    ]
}

/// What the log must hold.
struct Model {
    disk: SimDisk,
    log: Arc<SegmentLog>,
    settings: LogSettings,
    random: Random,
    /// Payloads by the offset of their first record, acknowledged or seen after a restart.
    held: BTreeMap<u64, Bytes>,
    /// Keys of what is held.
    keys: BTreeMap<u8, (u64, u64)>,
    /// What was appended without an answer, with its key.
    unanswered: Vec<(Bytes, Option<u8>)>,
    /// Offsets before this one may be gone.
    released: u64,
    batches: u64,
}

impl Model {
    async fn new(seed: u64, settings: LogSettings) -> Self {
        let disk = SimDisk::default();
        let log = open(&disk, &settings).await;
        Self {
            disk,
            log,
            settings,
            random: Random::seeded(seed),
            held: BTreeMap::new(),
            keys: BTreeMap::new(),
            unanswered: Vec::new(),
            released: 0,
            batches: 0,
        }
    }

    async fn run(&mut self, step: Step) {
        match step {
            Step::Append(plans) => {
                self.append(plans, true).await;
            }
            Step::Release(percent) => {
                let end = self.log.bounds(&contract::partition(0)).await.unwrap().end;
                self.released = self.released.max(end * percent / 100);
                self.log.release(&contract::partition(0), self.released).await.unwrap();
            }
            Step::Retain => {
                self.log.enforce_retention().await.unwrap();
            }
            Step::Reopen => {
                self.log.close().await.unwrap();
                self.log = open(&self.disk, &self.settings).await;
                self.check().await;
            }
            Step::Die { batches, after, down } => {
                self.disk.die_after(after);
                self.append(batches, false).await;
                self.go_down(down).await;
            }
            Step::Full { batches, room } => {
                self.disk.set_room(Some(room));
                let refused = self.append(batches, false).await;
                let full = |error: &LogError| matches!(error, LogError::StorageFull { .. });
                assert!(refused.iter().all(full), "{refused:?}");
                self.disk.set_room(None);
            }
            Step::FailSync { batches, down } => {
                self.disk.fail_next_sync();
                self.append(batches, false).await;
                self.go_down(down).await;
            }
        }
    }

    async fn go_down(&mut self, down: Down) {
        self.disk = match down {
            Down::Process | Down::Both => self.disk.after_kill(),
            Down::Machine => self.disk.after_crash(&mut self.random),
        };
        self.log = open(&self.disk, &self.settings).await;
        self.check().await;
        if matches!(down, Down::Both) {
            // What the next process made of it must be durable already.
            self.disk = self.disk.after_crash(&mut self.random);
            self.log = open(&self.disk, &self.settings).await;
            self.check().await;
        }
    }

    /// Returns why batches were refused.
    async fn append(&mut self, plans: Vec<Plan>, must_succeed: bool) -> Vec<LogError> {
        let mut tasks = Vec::new();
        for plan in plans {
            let batch = self.batch(&plan);
            let (log, appended) = (Arc::clone(&self.log), batch.clone());
            let task = tokio::spawn(async move { log.append(&contract::partition(0), appended).await });
            tasks.push((plan.key, batch, task));
        }
        let (mut answers, mut refused) = (Vec::new(), Vec::new());
        for (key, batch, task) in tasks {
            match task.await.unwrap() {
                Ok(answer) => answers.push((key, batch, answer)),
                Err(error) => {
                    assert!(!must_succeed, "{error}");
                    self.unanswered.push((batch.payload, key));
                    refused.push(error);
                }
            }
        }
        // A batch that was appended is noted before those that repeat its key.
        answers.sort_by_key(|(_, _, answer)| answer.repeated);
        answers.into_iter().for_each(|(key, batch, answer)| self.note(key, &batch, answer));
        refused
    }

    fn note(&mut self, key: Option<u8>, batch: &Batch, answer: Appended) {
        let place = (answer.first, answer.last);
        if answer.repeated {
            assert_eq!(self.keys.get(&key.unwrap()), Some(&place), "the answer of the first time");
            return;
        }
        assert_eq!(answer.last - answer.first + 1, u64::from(batch.records));
        self.hold(answer.first, batch.payload.clone());
        if let Some(key) = key {
            let before = self.keys.insert(key, place);
            assert!(before.is_none_or(|(first, _)| first < self.released), "key {key} was known");
        }
    }

    fn hold(&mut self, first: u64, payload: Bytes) {
        let before = self.held.insert(first, payload);
        assert_eq!(before, None, "offset {first} was given twice");
    }

    fn batch(&mut self, plan: &Plan) -> Batch {
        self.batches += 1;
        let Some(key) = plan.key else {
            let record = format!("{}:{}", self.batches, "x".repeat(plan.record_bytes));
            return contract::batch(&vec![record.as_str(); plan.records as usize]);
        };
        // What is sent with a key is always the same.
        let record = format!("key {key}:{}", "x".repeat(usize::from(key) * 10));
        let batch = contract::batch(&vec![record.as_str(); 1 + usize::from(key) % 3]);
        Batch { idempotency_key: Some(format!("key {key}")), ..batch }
    }

    /// The log holds what it should.
    async fn check(&mut self) {
        let partition = contract::partition(0);
        let bounds = self.log.bounds(&partition).await.unwrap();
        assert!(bounds.start <= self.released, "only what is released is deleted");
        let mut read = BTreeMap::new();
        let mut next = bounds.start;
        while next < bounds.end {
            let slab = self.log.read(&partition, next, 500).await.unwrap();
            for frame in slab.frames {
                assert_eq!(frame.first_offset, next, "there is no gap");
                next = frame.next_offset();
                let key =
                    frame.batch.idempotency_key.as_deref().map(|key| key["key ".len()..].parse().unwrap());
                self.discover(frame.first_offset, frame.batch.records, &frame.batch.payload, key);
                read.insert(frame.first_offset, frame.batch.payload);
            }
        }
        for (first, payload) in &self.held {
            assert!(
                *first < bounds.start || read.get(first) == Some(payload),
                "offset {first} is not what it was"
            );
        }
        assert!(self.held.keys().next_back().is_none_or(|last| *last < bounds.end));
    }

    /// What was read is held already, or was appended without an answer and from now on is held.
    fn discover(&mut self, first: u64, records: u32, payload: &Bytes, key: Option<u8>) {
        if self.held.get(&first) == Some(payload) {
            return;
        }
        let at = self.unanswered.iter().position(|(unanswered, _)| unanswered == payload);
        let at = at.unwrap_or_else(|| panic!("nobody appended what is at offset {first}"));
        self.unanswered.remove(at);
        self.hold(first, payload.clone());
        if let Some(key) = key {
            self.keys.insert(key, (first, first + u64::from(records) - 1));
        }
    }
}

async fn open(disk: &SimDisk, settings: &LogSettings) -> Arc<SegmentLog> {
    reopen_on(Arc::new(disk.clone()), Path::new("/log"), settings.clone()).await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_history_keeps_the_promises(
        steps in proptest::collection::vec(step(), 1..25),
        segment_bytes in 200..3_000u64,
        seed in any::<u64>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let settings = LogSettings { retain_bytes: 2_000, ..settings(segment_bytes) };
            let mut model = Model::new(seed, settings).await;
            for step in steps {
                model.run(step).await;
            }
            model.check().await;
        });
    }
}
