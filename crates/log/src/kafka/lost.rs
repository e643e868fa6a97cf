//! Whether Kafka still has what it said it keeps.
//!
//! A partition can lose its end: a broker that lagged behind was elected (`unclean.leader.election.enable`), or its files
//! were put back from a copy. What is appended then takes offsets that were given before, and of those that are landed
//! already nobody would land it. So nothing is acknowledged any more where that is certain, until somebody has decided.
//!
//! Certain it is by what holds in any log of Kafka whose leaders are elected in order, however late one hears of it:
//! - A leader that begins has all that was acknowledged or shown to readers, so that its log ends behind that. Asked for is
//!   the end of its log (`OffsetForLeaderEpoch`), not of what it shows: that may stay behind for a while after a start.
//! - An append lies behind all that was acknowledged or shown before it was sent. What is heard of while it is on its way
//!   may be the append itself.
//! - What was appended in one epoch of a leader, or before, ends behind the records of that epoch that were shown. That
//!   tells a log that was cut off and has grown again.
//!
//! A broker that is killed and comes back keeps all that: what it was given is in the memory of the system, if not on disk.
//!
//! Owns: what is known of the end, and the verdict. Does not own: how it is told, and what landing does about it.

use std::collections::BTreeMap;
use std::time::Duration;

use flowline_kafka::{CommittedOffset, KafkaError, LedOffset, code};

use super::partition::Partition;
use crate::LogError;

/// So many epochs of leaders are remembered of what was read, and asked for when the partition is led anew.
const EPOCHS_MAX: usize = 8;

/// How long it is waited for the coordinator of a group, which may be about to begin, before a partition goes on without.
const LANDED_PATIENCE: Duration = Duration::from_secs(1);

/// A topic whose records are lost is gone when it was looked for so often, and was not there.
const LOOKS_BEFORE_GONE: u32 = 4;

/// The topic that something is heard of, as it was known before that was asked for: an answer may come when another one has
/// taken its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct About {
    id: [u8; 16],
    topics_seen: u64,
}

/// What was kept before something was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// None where brokers know no ids of topics.
    pub(crate) about: Option<About>,
    upto: u64,
    /// As far as it is known.
    end: u64,
}

/// What is known of the end of a partition.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The topic that this is about.
    of: Option<[u8; 16]>,
    /// Everything before this offset was acknowledged, shown to readers, or landed.
    upto: u64,
    /// How far it was shown to readers when that was asked last, and the epoch of the leader that said so.
    shown: Option<Mark>,
    /// How far it is landed, and the epoch in which the record before was appended.
    landed: Option<Mark>,
    /// The newest epoch of a leader that was heard of.
    led: Option<i32>,
    /// The leader's epoch in which it was found whole last.
    verified: Option<i32>,
    /// The offsets that were read of what was appended in an epoch: from the first one to behind the last one.
    read: BTreeMap<i32, (u64, u64)>,
    lost: Option<Lost>,
    /// How often in a row the topic was not there when it was looked for.
    gone: u32,
}

/// Everything before the offset was appended in this epoch of the leader, or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    offset: u64,
    epoch: i32,
}

/// What is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lost {
    /// Everything before was kept once.
    upto: u64,
    /// Everything before is still there.
    end: u64,
}

impl Lost {
    fn of(upto: u64, end: Option<u64>) -> Option<Self> {
        end.filter(|end| *end < upto).map(|end| Self { upto, end })
    }

    fn both(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let (Some(left), Some(right)) = (one, other) else { return one.or(other) };
        Some(Self { upto: left.upto.max(right.upto), end: left.end.min(right.end) })
    }
}

impl Held {
    /// Everything before this offset is kept of the topic of this id. What is heard of another one is passed over.
    fn note(&mut self, upto: u64, id: [u8; 16]) -> bool {
        let ours = *self.of.get_or_insert(id) == id;
        if ours {
            self.upto = self.upto.max(upto);
        }
        ours
    }

    fn note_shown(&mut self, end: LedOffset, id: [u8; 16]) {
        let Some(offset) = end.offset.filter(|offset| self.note(*offset, id)) else { return };
        self.led = self.led.max(end.epoch);
        let known = self.shown.is_some_and(|shown| shown.offset >= offset);
        if let Some(epoch) = end.epoch.filter(|_| !known) {
            self.shown = Some(Mark { offset, epoch });
        }
    }

    /// Records were read that were appended in this epoch of the leader.
    fn note_read(&mut self, first: u64, next: u64, epoch: i32) {
        if epoch < 0 {
            return;
        }
        let read = self.read.entry(epoch).or_insert((first, next));
        *read = (read.0.min(first), read.1.max(next));
        if self.read.len() > EPOCHS_MAX {
            self.read.pop_first();
        }
    }

    /// The epoch in which the record before this offset was appended, where that is known for certain. Between two offsets
    /// of one epoch there is no other.
    fn epoch_before(&self, offset: u64) -> Option<i32> {
        let read = self.read.iter().rev().find(|(_, (first, next))| *first < offset && offset <= *next);
        let landed = || self.landed.filter(|landed| landed.offset == offset).map(|landed| landed.epoch);
        read.map(|(epoch, _)| *epoch).or_else(landed)
    }

    /// What is said to others with a position that is landed: the topic, and the epoch.
    fn note_of(&self, identity: &str, offset: u64) -> String {
        match self.epoch_before(offset) {
            Some(epoch) => format!("{identity} {epoch}"),
            None => identity.to_owned(),
        }
    }

    /// Takes in how far it is landed; says whether that is news of an epoch in which the partition was not found whole.
    fn note_landed(&mut self, offset: u64, epoch: Option<i32>, id: [u8; 16]) -> bool {
        if !self.note(offset, id) || self.landed.is_some_and(|landed| landed.offset >= offset) {
            return false;
        }
        let mark = epoch.map(|epoch| Mark { offset, epoch });
        self.landed = mark.or(self.landed);
        mark.is_some() && epoch != self.verified
    }

    /// What must be there, by the epochs in which it was appended.
    fn marks(&self) -> Vec<Mark> {
        let read = self.read.iter().map(|(epoch, (_, next))| Mark { offset: *next, epoch: *epoch });
        read.chain(self.landed).chain(self.shown).collect()
    }

    pub(crate) fn error(&self, partition: &Partition) -> Result<(), LogError> {
        match self.lost {
            Some(Lost { upto, end }) => Err(LogError::Lost {
                partition: partition.id.clone(),
                topic: partition.topic.clone(),
                upto,
                end,
            }),
            None => Ok(()),
        }
    }
}

impl Partition {
    /// The topic as it is known now; none where brokers know no ids, of which nothing can be certain.
    pub(crate) fn about(&self) -> Option<About> {
        let topics_seen = self.state.lock().topics_seen;
        Some(About { id: self.shared.topic_id(&self.id.source)?, topics_seen })
    }

    /// Takes in what was heard of a topic, unless another one has taken its place.
    fn hold<T>(&self, about: Option<About>, note: impl FnOnce(&mut Held, [u8; 16]) -> T) -> Option<T> {
        let About { id, topics_seen } = about?;
        let mut state = self.state.lock();
        (state.topics_seen == topics_seen).then(|| note(&mut state.held, id))
    }

    /// Readers were shown everything before this offset.
    pub(crate) fn note_shown(&self, about: Option<About>, end: LedOffset) {
        self.hold(about, |held, id| held.note_shown(end, id));
    }

    /// Everything before this offset was acknowledged.
    pub(crate) fn note_kept(&self, about: Option<About>, upto: u64) {
        self.hold(about, |held, id| held.note(upto, id));
    }

    /// These offsets were read, which were appended in this epoch of the leader.
    pub(crate) fn note_read(&self, about: Option<About>, first: i64, last: i64, epoch: i32) {
        if let (Ok(first), Ok(last)) = (u64::try_from(first), u64::try_from(last)) {
            self.hold(about, |held, _| held.note_read(first, last + 1, epoch));
        }
    }

    /// The epoch in which the record before this offset was appended, where it is known.
    pub(crate) fn epoch_before(&self, offset: u64) -> Option<i32> {
        self.state.lock().held.epoch_before(offset)
    }

    /// That no records were found to be lost.
    ///
    /// # Errors
    /// [`LogError::Lost`].
    pub(crate) fn whole(&self) -> Result<(), LogError> {
        self.state.lock().held.error(self)
    }

    /// The same of what lies before an offset; what is lost behind it concerns others.
    pub(crate) fn whole_before(&self, offset: u64) -> Result<(), LogError> {
        let state = self.state.lock();
        match state.held.lost {
            Some(lost) if lost.end < offset => state.held.error(self),
            _ => Ok(()),
        }
    }

    /// What is said to others with the position that is landed.
    pub(crate) fn landed_note(&self, offset: u64) -> String {
        match self.known_identity() {
            Some(identity) => self.state.lock().held.note_of(&identity, offset),
            None => String::new(),
        }
    }

    /// Takes in how far others say that it is landed.
    pub(crate) async fn note_landed(&self, position: &CommittedOffset) -> Result<(), LogError> {
        let news = self.take_in_landed(position) || self.bounds_known().end < position.offset;
        if news || self.led_anew() { self.verify().await.map(drop) } else { Ok(()) }
    }

    /// The same where they speak of this topic; says whether it is yet to be asked whether that is there.
    fn take_in_landed(&self, position: &CommittedOffset) -> bool {
        let (identity, epoch) = match position.note.split_once(' ') {
            Some((identity, epoch)) => (identity, epoch.parse().ok()),
            None => (position.note.as_str(), None),
        };
        if identity.is_empty() || self.known_identity().as_deref() != Some(identity) {
            return false;
        }
        self.hold(self.about(), |held, id| held.note_landed(position.offset, epoch, id)).unwrap_or(false)
    }

    /// Somebody has landed more than readers are shown; says whether it is there. While no other topic has been seen, it can
    /// only have been of this one.
    pub(crate) async fn landed_beyond(&self, offset: u64) -> Result<bool, LogError> {
        let Some(about) = self.about().filter(|about| about.topics_seen == 0) else { return Ok(false) };
        self.note_kept(Some(about), offset);
        Ok(self.verify().await?.is_some_and(|end| end >= offset))
    }

    /// Whether the partition may have been led anew since it was found whole.
    fn led_anew(&self) -> bool {
        let epoch = self.shared.cluster.leader_epoch(&self.topic, self.number());
        epoch.is_none() || epoch != self.state.lock().held.verified
    }

    /// Asks whether everything is still there that was kept once; says where the log ends, where brokers say it.
    ///
    /// # Errors
    /// [`LogError::Lost`], and what keeps it from being asked.
    pub(crate) async fn verify(&self) -> Result<Option<u64>, LogError> {
        // They stay lost until there is another topic, whatever is appended.
        self.whole()?;
        let Some(about) = self.about() else { return Ok(None) };
        self.hear_of_landed().await;
        let (upto, marks) = {
            let held = &self.state.lock().held;
            (held.upto, held.marks())
        };
        let end = self.epoch_end(None).await?;
        let mut lost = Lost::of(upto, end.offset);
        for mark in marks.into_iter().filter(|mark| Some(mark.epoch) <= end.epoch) {
            let of_epoch = self.epoch_end(Some(mark.epoch)).await?;
            lost = Lost::both(lost, Lost::of(mark.offset, of_epoch.offset));
        }
        match lost {
            Some(lost) => self.lose(about, lost, end.epoch).await?,
            None => drop(self.hold(Some(about), |held, _| held.verified = end.epoch)),
        }
        self.whole().map(|()| end.offset)
    }

    /// What other nodes have landed meanwhile. Where it cannot be asked now it is heard of later, or it was before.
    async fn hear_of_landed(&self) {
        let (group, number) = (self.shared.group(), [self.number()]);
        let asked = self.shared.cluster.committed(&group, &self.topic, &number);
        match tokio::time::timeout(LANDED_PATIENCE, asked).await {
            Ok(Ok(positions)) => positions.values().for_each(|known| {
                self.take_in_landed(known);
            }),
            Ok(Err(error)) => tracing::debug!(%error, "Kafka does not say how far the log is landed"),
            Err(_) => tracing::debug!("Kafka does not say in time how far the log is landed"),
        }
    }

    async fn epoch_end(&self, epoch: Option<i32>) -> Result<LedOffset, LogError> {
        let end = self.shared.cluster.epoch_end(&self.topic, self.number(), epoch).await;
        end.map_err(|error| self.failed(error))
    }

    /// Asks it where less is shown than was kept, and where the partition was led anew.
    pub(crate) async fn verify_end(&self, shown: u64) -> Result<(), LogError> {
        let upto = self.state.lock().held.upto;
        if shown < upto || self.led_anew() { self.verify().await.map(drop) } else { Ok(()) }
    }

    /// What is kept, to hold against it the place where something is appended that is not sent yet.
    pub(crate) fn before(&self) -> Before {
        let about = self.about();
        let state = self.state.lock();
        Before { about, upto: state.held.upto, end: state.end }
    }

    /// Holds the place where records were appended against what was kept before they were sent. Free unless the partition
    /// has been led anew.
    ///
    /// # Errors
    /// [`LogError::Lost`]; [`LogError::Unknown`] where it cannot be asked.
    pub(crate) async fn check_place(&self, first: u64, before: Before) -> Result<(), LogError> {
        let Some(about) = before.about else {
            // Offsets of a topic only grow: it is another one, for all that is known.
            if first < before.end {
                self.begin_anew();
            }
            return Ok(());
        };
        let found = if first < before.upto {
            let lost = Lost { upto: before.upto, end: first };
            self.lose(about, lost, None).await.and_then(|()| self.whole())
        } else if self.led_anew() {
            self.verify().await.map(drop)
        } else {
            Ok(())
        };
        found.map_err(|error| match error {
            LogError::Lost { .. } => error,
            error => LogError::Unknown { partition: self.id.clone(), reason: error.to_string() },
        })
    }

    /// The record before the offset of a read is not the one that was read in this epoch: what there is of it ends there.
    pub(crate) async fn diverged(&self, about: Option<About>, from: u64, end: i64) -> Result<(), LogError> {
        let Some(about) = about else { return Ok(()) };
        let led = self.shared.cluster.leader_epoch(&self.topic, self.number());
        let begun = {
            let held = &self.state.lock().held;
            let epoch = held.epoch_before(from);
            epoch.and_then(|epoch| held.read.get(&epoch)).map(|(first, _)| *first)
        };
        let end = u64::try_from(end).unwrap_or(0);
        // What was appended in an epoch before may go further; of that one, nothing is left.
        let end = if end < from { end } else { begun.unwrap_or(end).min(from.saturating_sub(1)) };
        self.lose(about, Lost { upto: from, end }, led).await?;
        self.whole()
    }

    /// Where records are lost, looks whether the topic was deleted or made again, of which nothing is; says whether they
    /// still are.
    pub(crate) async fn still_lost(&self) -> Result<bool, LogError> {
        let lost = self.state.lock().held.lost;
        if let (Some(lost), Some(about)) = (lost, self.about()) {
            self.lose(about, lost, None).await?;
        }
        Ok(self.whole().is_err())
    }

    /// Records are gone, as the leader of this epoch says, unless it is another topic that has other ones, or another leader
    /// has begun.
    async fn lose(&self, about: About, lost: Lost, epoch: Option<i32>) -> Result<(), LogError> {
        let found = self.shared.cluster.topic(&self.topic).await?;
        let led = self.shared.cluster.leader_epoch(&self.topic, self.number());
        let (of, gone, newest) = {
            let mut state = self.state.lock();
            if state.topics_seen != about.topics_seen {
                return Ok(());
            }
            // Brokers that have just started may not have heard of it yet.
            state.held.gone = if found.is_some() { 0 } else { state.held.gone + 1 };
            (state.held.of, state.held.gone >= LOOKS_BEFORE_GONE, state.held.led)
        };
        if gone || found.is_some_and(|topic| topic.id != of) {
            self.begin_anew();
            return Ok(());
        }
        if epoch.is_some_and(|epoch| Some(epoch) < newest.max(led)) {
            // Not a leader any more: who leads now is asked.
            let action = format!("to say where `{}` ends", self.id);
            return Err(self.failed(KafkaError::Refused {
                action,
                code: code::NOT_LEADER,
                reason: "another broker has begun to lead it".to_owned(),
            }));
        }
        let first = self.hold(Some(about), |held, _| {
            let first = held.lost.is_none();
            held.lost.get_or_insert(lost);
            first
        });
        if first == Some(true) {
            let Lost { upto, end } = lost;
            tracing::error!(partition = %self.id, topic = self.topic, upto, end, "Kafka has lost records; nothing more is acknowledged");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flowline_kafka::LedOffset;

    use super::Held;

    #[test]
    fn the_epoch_of_a_position_is_that_of_the_record_before_it() {
        let mut held = Held::default();
        assert_eq!(held.note_of("id", 3), "id");
        // Two read it, one of them behind the other.
        for (first, next, epoch) in [(20, 25, 7), (0, 5, 2), (5, 9, 2), (9, 10, 4), (12, 16, 4), (30, 31, -1)]
        {
            held.note_read(first, next, epoch);
        }
        let found: Vec<_> = [1, 9, 10, 12, 16, 17, 20, 21, 25, 26].map(|at| held.note_of("id", at)).to_vec();
        assert_eq!(
            found,
            ["id 2", "id 2", "id 4", "id 4", "id 4", "id", "id", "id 7", "id 7", "id"],
            "what was not read may be of any epoch between"
        );
        assert_eq!(held.note_of("id", 0), "id");
    }

    #[test]
    fn what_is_heard_of_another_topic_is_passed_over() {
        let mut held = Held::default();
        held.note_shown(LedOffset { offset: Some(4), epoch: Some(1) }, [1; 16]);
        held.note_shown(LedOffset { offset: Some(9), epoch: Some(3) }, [2; 16]);
        assert!(!held.note_landed(9, Some(3), [2; 16]));
        assert!(held.note_landed(3, Some(1), [1; 16]));
        assert_eq!((held.upto, held.led, held.landed.map(|landed| landed.offset)), (4, Some(1), Some(3)));
    }
}
