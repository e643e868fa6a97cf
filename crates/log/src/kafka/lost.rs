//! Whether Kafka still has what it said it keeps.
//!
//! A partition can lose its end: a broker that lagged behind was elected (`unclean.leader.election.enable`), or its files
//! were put back from a copy. What is appended then takes offsets that were given before, and of those that are landed
//! already nobody would land it. So nothing is acknowledged any more where a partition ends before what was acknowledged,
//! seen or landed. It may have grown since, by what others appended: that the landed records were cut off is seen by the
//! leader's epoch in which they were read, which ends earlier then.
//!
//! Owns: what is known of the end, and the verdict. Does not own: how it is told, and what landing does about it.

use std::collections::VecDeque;

use flowline_kafka::{CommittedOffset, OffsetAt};

use super::partition::Partition;
use crate::LogError;

/// Changes of the leader's epoch that are remembered of what was read and is not landed yet.
const EPOCHS_MAX: usize = 64;

/// A topic whose records are lost is gone when it was looked for so often, and was not there.
const LOOKS_BEFORE_GONE: u32 = 4;

/// What is known of the end of a partition.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The topic that this is about; none where brokers know no ids.
    of: Option<[u8; 16]>,
    /// Everything before this offset was kept once.
    upto: u64,
    /// How far it is landed.
    landed: Option<Mark>,
    /// The leader's epoch in which it was found whole last.
    verified: Option<i32>,
    /// From which offset on records were read that were appended in an epoch of the leader, oldest first.
    read: VecDeque<(u64, i32)>,
    lost: Option<Lost>,
    /// How often in a row the topic was not there when it was looked for.
    gone: u32,
}

/// A position, and the leader's epoch in which the record before it was appended.
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

impl Held {
    /// Everything before this offset is kept, of the topic of this id.
    pub(crate) fn note(&mut self, upto: u64, of: Option<[u8; 16]>) {
        self.of = self.of.or(of);
        self.upto = self.upto.max(upto);
    }

    /// Records from this offset on were read, which were appended in this epoch of the leader.
    pub(crate) fn note_read(&mut self, offset: u64, epoch: i32) {
        let known = self.read.back().is_some_and(|(from, last)| *last == epoch || *from >= offset);
        if epoch < 0 || known {
            return;
        }
        self.read.push_back((offset, epoch));
        if self.read.len() > EPOCHS_MAX {
            self.read.pop_front();
        }
    }

    /// The epoch in which the record before this offset was appended, where it was read here.
    fn epoch_before(&self, offset: u64) -> Option<i32> {
        self.read.iter().rev().find(|(from, _)| *from < offset).map(|(_, epoch)| *epoch)
    }

    /// What is said to others with a position that is landed: the topic, and the epoch.
    fn note_of(&self, identity: &str, offset: u64) -> String {
        match self.epoch_before(offset) {
            Some(epoch) => format!("{identity} {epoch}"),
            None => identity.to_owned(),
        }
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

    /// Takes in how far others say that it is landed, where they speak of this topic.
    pub(crate) async fn note_landed(&self, position: &CommittedOffset) -> Result<(), LogError> {
        let (identity, epoch) = match position.note.split_once(' ') {
            Some((identity, epoch)) => (identity, epoch.parse().ok()),
            None => (position.note.as_str(), None),
        };
        if identity.is_empty() || self.known_identity().as_deref() != Some(identity) {
            return Ok(());
        }
        let news = {
            let mut state = self.state.lock();
            state.held.note(position.offset, self.shared.topic_id(&self.id.source));
            let mark = epoch.map(|epoch| Mark { offset: position.offset, epoch });
            let news = mark.is_some() && state.held.landed.is_none();
            state.held.landed = mark.or(state.held.landed);
            news || state.end < position.offset
        };
        if news || self.led_anew() { self.verify().await } else { Ok(()) }
    }

    /// Somebody has landed more than there is. While no other topic has been seen, it can only have been of this one.
    pub(crate) async fn landed_beyond(&self, offset: u64) -> Result<(), LogError> {
        {
            let mut state = self.state.lock();
            if state.topics_seen > 0 {
                return Ok(());
            }
            state.held.note(offset, self.shared.topic_id(&self.id.source));
        }
        self.verify().await
    }

    /// Whether the partition has been led anew since it was found whole, as far as is known.
    pub(crate) fn led_anew(&self) -> bool {
        let epoch = self.shared.cluster.leader_epoch(&self.topic, self.number());
        epoch.is_some() && epoch != self.state.lock().held.verified
    }

    /// Asks whether everything is still there that was kept once.
    ///
    /// # Errors
    /// [`LogError::Lost`], and what keeps it from being asked.
    pub(crate) async fn verify(&self) -> Result<(), LogError> {
        let (upto, landed) = {
            let state = self.state.lock();
            (state.held.upto, state.held.landed)
        };
        // They stay lost until there is another topic, whatever is appended.
        self.whole()?;
        let cluster = &self.shared.cluster;
        let written = self.offset(OffsetAt::End).await?.unwrap_or(0);
        let epoch = cluster.leader_epoch(&self.topic, self.number());
        let mut lost = (written < upto).then_some(Lost { upto, end: written });
        if let Some(mark) = landed {
            let end = cluster.epoch_end(&self.topic, self.number(), mark.epoch).await;
            if let Some(end) = end.map_err(|error| self.failed(error))?.filter(|end| *end < mark.offset) {
                lost = Some(Lost { upto: upto.max(mark.offset), end });
            }
        }
        match lost {
            Some(lost) => self.lose(lost).await?,
            None => self.state.lock().held.verified = epoch,
        }
        self.whole()
    }

    /// Asks it where the partition ends before what was kept; where it was led anew, too.
    pub(crate) async fn verify_end(&self, end: u64) -> Result<(), LogError> {
        let upto = self.state.lock().held.upto;
        if end < upto || self.led_anew() { self.verify().await } else { Ok(()) }
    }

    /// Holds the place where records were appended against what was kept before. Free unless the partition has been led
    /// anew.
    ///
    /// # Errors
    /// [`LogError::Lost`]; [`LogError::Unknown`] where it cannot be asked.
    pub(crate) async fn check_place(&self, first: u64) -> Result<(), LogError> {
        let upto = self.state.lock().held.upto;
        if first < upto {
            // Offsets of a topic only grow.
            self.lose(Lost { upto, end: first }).await.map_err(|error| self.not_verified(&error))?;
            return self.whole();
        }
        if !self.led_anew() {
            return Ok(());
        }
        match self.verify().await {
            Ok(()) => Ok(()),
            Err(error @ LogError::Lost { .. }) => Err(error),
            Err(error) => Err(self.not_verified(&error)),
        }
    }

    fn not_verified(&self, error: &LogError) -> LogError {
        LogError::Unknown { partition: self.id.clone(), reason: error.to_string() }
    }

    /// Where records are lost, looks whether the topic was deleted or made again, of which nothing is; says whether they
    /// still are.
    pub(crate) async fn still_lost(&self) -> Result<bool, LogError> {
        let lost = self.state.lock().held.lost;
        if let Some(lost) = lost {
            self.lose(lost).await?;
        }
        Ok(self.whole().is_err())
    }

    /// Records are gone, unless it is another topic that has other ones.
    async fn lose(&self, lost: Lost) -> Result<(), LogError> {
        let found = self.shared.cluster.topic(&self.topic).await?;
        let (of, gone) = {
            let mut state = self.state.lock();
            // Brokers that have just started may not have heard of it yet.
            state.held.gone = if found.is_some() { 0 } else { state.held.gone + 1 };
            (state.held.of, state.held.gone >= LOOKS_BEFORE_GONE)
        };
        if gone || of.is_none() || found.is_some_and(|topic| topic.id != of) {
            self.begin_anew();
            return Ok(());
        }
        let mut state = self.state.lock();
        let first = state.held.lost.is_none();
        state.held.lost.get_or_insert(lost);
        if first {
            let Lost { upto, end } = lost;
            tracing::error!(partition = %self.id, topic = self.topic, upto, end, "Kafka has lost records; nothing more is acknowledged");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Held;

    #[test]
    fn the_epoch_of_a_position_is_that_of_the_record_before_it() {
        let mut held = Held::default();
        assert_eq!(held.note_of("id", 3), "id");
        for (offset, epoch) in [(0, 2), (5, 2), (9, 4), (9, 4), (12, 4), (20, 7), (10, 5), (30, -1)] {
            held.note_read(offset, epoch);
        }
        let found: Vec<_> = [1, 9, 10, 20, 21, 99].map(|offset| held.note_of("id", offset)).to_vec();
        assert_eq!(found, ["id 2", "id 2", "id 4", "id 4", "id 7", "id 7"]);
        assert_eq!(held.note_of("id", 0), "id");
    }
}
