//! Sending what is queued: several batches in one record batch, one record batch at a time, until Kafka has it or it is
//! certain that it cannot be known.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flowline_base::{Backoff, Classify, ErrorKind, Random};
use flowline_kafka::records::{BatchBuilder, Compression, EncodedBatch, Producer};
use flowline_kafka::{KafkaError, code};

use super::frames;
use super::keys::Keys;
use super::lost::About;
use super::partition::{Partition, Pending};
use crate::segment::keys::Known;
use crate::{Appended, LogError};

/// A record batch is closed at this many bytes of payload; a larger frame has one to itself.
const GROUP_BYTES_MAX: u64 = 512 << 10;
/// How long a record batch is sent again before the producer is told that it is not known what became of it.
const DELIVERY_PATIENCE: Duration = Duration::from_secs(30);
/// So often a topic may seem to be gone because brokers have not heard of it yet.
const FAILURES_BEFORE_A_TOPIC: u32 = 4;
const BACKOFF: Backoff = Backoff {
    attempts_max: u32::MAX,
    delay_first: Duration::from_millis(30),
    delay_max: Duration::from_secs(1),
};

/// What sending needs to remember.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    producer: Option<Producer>,
    keys: Keys,
    topic_ensured: bool,
    /// Of how many topics that took each other's place this is about the last.
    topics_seen: u64,
}

/// Empties the queue.
pub(crate) async fn drain(partition: Arc<Partition>) {
    let _draining = Draining(Arc::clone(&partition));
    let mut writer = partition.writer.lock().await;
    loop {
        let group = next_group(&partition);
        if group.is_empty() {
            break;
        }
        writer.write(&partition, group).await;
    }
    drop(writer);
    partition.idle.notify_waiters();
}

/// Lets nobody wait for ever should sending panic: what is queued is refused, and whoever comes next begins anew.
struct Draining(Arc<Partition>);

impl Drop for Draining {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        if let Ok(mut writer) = self.0.writer.try_lock() {
            // How far its numbers were used is not known.
            writer.producer = None;
        }
        let queued = {
            let mut state = self.0.state.lock();
            (state.draining, state.queued_bytes) = (false, 0);
            std::mem::take(&mut state.queue)
        };
        for pending in queued {
            answer(pending, Err(LogError::Closed));
        }
        self.0.idle.notify_waiters();
    }
}

/// The batches that are sent next; when there are none, whoever queues one must start again.
fn next_group(partition: &Partition) -> Vec<Pending> {
    let mut state = partition.state.lock();
    let (mut group, mut bytes) = (Vec::new(), 0);
    while let Some(next) = state.queue.front() {
        if !group.is_empty() && bytes + next.bytes > GROUP_BYTES_MAX {
            break;
        }
        bytes += next.bytes;
        group.extend(state.queue.pop_front());
    }
    state.queued_bytes -= bytes;
    state.draining = !group.is_empty();
    group
}

/// A batch among those that are sent together.
struct Placed {
    pending: Pending,
    /// The number of its first record in the record batch.
    at: u32,
    /// Another one of the group has the same key and is sent instead.
    repeated: bool,
}

impl Writer {
    async fn write(&mut self, partition: &Partition, group: Vec<Pending>) {
        if let Err(error) = self.prepare(partition, &group).await {
            group.into_iter().for_each(|pending| answer(pending, Err(error.clone())));
            return;
        }
        let (mut builder, mut placed) = (BatchBuilder::default(), Vec::<Placed>::new());
        let mut in_group = HashMap::new();
        for pending in group {
            if let Some(known) = pending.hash.and_then(|hash| self.keys.get(hash)) {
                let said = known.repeated(&partition.id, pending.body);
                answer(pending, said);
                continue;
            }
            let earlier = pending.hash.and_then(|hash| in_group.get(&hash).copied());
            if earlier.is_some_and(|(_, body)| body != pending.body) {
                // Where the first of them lies is known only when the group is written.
                let first = partition.bounds_known().end;
                answer(pending, Err(LogError::KeyReused { partition: partition.id.clone(), first }));
                continue;
            }
            let at = earlier.map_or_else(|| builder.count(), |(at, _)| at);
            if earlier.is_none() {
                frames::push(&pending.batch, &mut builder);
                in_group.extend(pending.hash.map(|hash| (hash, (at, pending.body))));
            }
            placed.push(Placed { pending, at, repeated: earlier.is_some() });
        }
        if placed.is_empty() {
            return;
        }
        let before = partition.before();
        let mut sent = self.send(partition, builder).await;
        if let Ok(first) = sent {
            sent = partition.check_place(first, before).await.map(|()| first);
        }
        self.take_in(partition, before.about, &sent, &placed);
        for Placed { pending, at, repeated } in placed {
            let records = u64::from(pending.batch.records);
            let place = |first: u64| {
                let first = first + u64::from(at);
                Appended { first, last: first + records - 1, repeated }
            };
            answer(pending, sent.clone().map(place));
        }
    }

    /// What must be there before anything is sent.
    async fn prepare(&mut self, partition: &Partition, group: &[Pending]) -> Result<(), LogError> {
        partition.whole()?;
        let topics_seen = partition.state.lock().topics_seen;
        if topics_seen != self.topics_seen {
            *self = Self { topics_seen, ..Self::default() };
        }
        if !self.topic_ensured {
            if !partition.shared.exists(&partition.id).await? {
                partition.shared.ensure_topic(&partition.id.source, partition.id.partition + 1).await?;
            }
            self.topic_ensured = true;
        }
        if group.iter().any(|pending| pending.hash.is_some()) {
            let caught_up = self.keys.catch_up(partition).await;
            if let Err(LogError::Kafka { error, .. }) = &caught_up
                && error.code() == Some(code::UNKNOWN_TOPIC_OR_PARTITION)
                && partition.shared.replaced(&partition.id.source).await.unwrap_or(false)
            {
                // It was deleted; the next batch finds it made again.
                partition.begin_anew();
            }
            caught_up?;
        }
        Ok(())
    }

    /// Keeps what must not be read from the topic again after a restart.
    pub(crate) fn keep(&mut self, partition: &Partition) {
        self.keys.keep(partition);
    }

    async fn send(&mut self, partition: &Partition, builder: BatchBuilder) -> Result<u64, LogError> {
        let encoded = tokio::task::spawn_blocking(move || builder.finish(Compression::Zstd)).await;
        let mut encoded = match encoded {
            Ok(Ok(encoded)) => encoded,
            Ok(Err(error)) => return Err(LogError::Batch { reason: error.to_string() }),
            // The runtime is shutting down.
            Err(_) => return Err(LogError::Closed),
        };
        self.deliver(partition, &mut encoded).await
    }

    /// Sends until Kafka has it. Sent again by the same producer with the same number, it is stored once.
    async fn deliver(&mut self, partition: &Partition, encoded: &mut EncodedBatch) -> Result<u64, LogError> {
        let (shared, number) = (&partition.shared, partition.number());
        let (started, mut random) = (shared.clock.instant(), Random::unseeded());
        let (mut failures, mut uncertain, mut renewed) = (0, false, false);
        loop {
            let producer = match self.producer {
                Some(producer) => producer,
                None => shared.cluster.new_producer().await.map_err(|error| partition.failed(error))?,
            };
            self.producer = Some(producer);
            let batch = encoded.stamped(producer);
            let error = match shared.cluster.produce(&partition.topic, number, batch).await {
                Ok(first) => {
                    self.producer = Some(producer.behind(encoded.count()));
                    return Ok(first);
                }
                Err(error) => error,
            };
            uncertain |= error.may_be_done();
            if forgotten(&error) && !uncertain && !renewed {
                // Nothing of this batch was ever taken, so that another producer may send it.
                (self.producer, renewed) = (None, true);
                continue;
            }
            let waited = shared.clock.instant().saturating_duration_since(started);
            if !error.kind().retryable() || waited >= DELIVERY_PATIENCE {
                tracing::warn!(partition = %partition.id, %error, uncertain, "records were not acknowledged");
                self.producer = if uncertain { producer.next_epoch() } else { self.producer };
                // Should it have been deleted, it is made again for the next batch.
                self.topic_ensured &= error.code() != Some(code::UNKNOWN_TOPIC_OR_PARTITION);
                return Err(refusal(partition, error, uncertain));
            }
            if error.code() == Some(code::UNKNOWN_TOPIC_OR_PARTITION) && failures == FAILURES_BEFORE_A_TOPIC {
                // It was deleted, for all that is known; producers need not wait for somebody to make it again.
                let ensured = shared.ensure_topic(&partition.id.source, partition.id.partition + 1).await;
                if let Err(error) = ensured {
                    // What is sent next must not be taken for a second try of this batch.
                    self.producer = if uncertain { producer.next_epoch() } else { self.producer };
                    let unknown =
                        || LogError::Unknown { partition: partition.id.clone(), reason: error.to_string() };
                    return Err(if uncertain { unknown() } else { error });
                }
            }
            tracing::debug!(partition = %partition.id, %error, failures, "records are sent again");
            tokio::time::sleep(BACKOFF.delay(failures, &mut random)).await;
            failures += 1;
        }
    }

    fn take_in(
        &mut self,
        partition: &Partition,
        about: Option<About>,
        sent: &Result<u64, LogError>,
        placed: &[Placed],
    ) {
        let first = match sent {
            Ok(first) => *first,
            Err(error) => {
                partition.state.lock().failed = Some(error.clone());
                return;
            }
        };
        let new = || placed.iter().filter(|placed| !placed.repeated);
        let records = new().map(|placed| placed.pending.batch.records).sum();
        let bytes = new().map(|placed| placed.pending.bytes).sum();
        let received_at = new().map(|placed| placed.pending.batch.received_at).max().unwrap_or(0);
        let keys = new().filter_map(|placed| {
            let known = Known {
                first: first + u64::from(placed.at),
                records: placed.pending.batch.records,
                body: Some(placed.pending.body),
            };
            Some((placed.pending.hash?, known))
        });
        self.keys.appended(first, records, keys);
        partition.appended(first, records, bytes, received_at);
        partition.note_kept(about, first + u64::from(records));
    }
}

/// Whether the broker does not know the producer, or not as we do.
fn forgotten(error: &KafkaError) -> bool {
    matches!(
        error.code(),
        Some(
            code::OUT_OF_ORDER_SEQUENCE_NUMBER
                | code::INVALID_PRODUCER_EPOCH
                | code::UNKNOWN_PRODUCER_ID
                | code::PRODUCER_FENCED
        )
    )
}

fn refusal(partition: &Partition, error: KafkaError, uncertain: bool) -> LogError {
    if uncertain {
        return LogError::Unknown { partition: partition.id.clone(), reason: error.to_string() };
    }
    match (error.code(), error.kind()) {
        (Some(code::MESSAGE_TOO_LARGE | code::RECORD_LIST_TOO_LARGE), _) => LogError::Batch {
            reason: format!(
                "it is larger than the topic `{}` takes; send it in parts, or raise `max.message.bytes` of the topic",
                partition.topic
            ),
        },
        (_, ErrorKind::Input) => LogError::Batch { reason: error.to_string() },
        _ => partition.failed(error),
    }
}

fn answer(pending: Pending, answer: Result<Appended, LogError>) {
    // One that does not wait any more needs no answer.
    let _ = pending.reply.send(answer);
}
