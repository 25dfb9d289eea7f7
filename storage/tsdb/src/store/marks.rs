//! How far a partition is. Marks are next offsets: the first that was not done yet.

use model::Offset;

use crate::checkpoint::PartitionMark;
use crate::head::Reading;
use crate::wal::{Epoch, Generation, Progress, RecordIdentity, Reset, StartupPosition};

/// One partition's marks and identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionMarks {
    epoch: Epoch,
    generation: Generation,
    applied: Option<Offset>,
    durable: Option<Offset>,
    last: Option<RecordIdentity>,
    position: Option<StartupPosition>,
    /// Records below this were read before an order went back.
    again_until: Option<Offset>,
    /// Where the range that the current turn applied starts.
    turn_first: Option<Offset>,
    /// The last record of that range.
    turn_last: Option<RecordIdentity>,
}

/// Logged progress that does not follow from what was logged before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the log says that a partition went on at offset {found} where it stood at {expected}")]
pub struct ProgressBreak {
    pub expected: Offset,
    pub found: Offset,
}

impl PartitionMarks {
    pub(super) fn new(epoch: Epoch) -> Self {
        let generation = Generation(1);
        Self {
            epoch,
            generation,
            applied: None,
            durable: None,
            last: None,
            position: None,
            again_until: None,
            turn_first: None,
            turn_last: None,
        }
    }

    /// Under which the partition is logged here.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Rises with each order that moves the partition.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// The next offset to apply; none before the partition was ever started.
    #[must_use]
    pub fn applied(&self) -> Option<Offset> {
        self.applied
    }

    /// The next offset that is not in the log; none before the first commit of the generation.
    #[must_use]
    pub fn durable(&self) -> Option<Offset> {
        self.durable
    }

    /// The last record below `applied`, if any was seen in this generation.
    #[must_use]
    pub fn last(&self) -> Option<RecordIdentity> {
        self.last
    }

    /// The configured position that was obeyed last.
    #[must_use]
    pub fn position(&self) -> Option<StartupPosition> {
        self.position
    }

    /// Up to where records are read again, if they are.
    pub(super) fn again_until(&self) -> Option<Offset> {
        self.again_until.filter(|until| self.applied < Some(*until))
    }

    /// Of the next records.
    pub(super) fn reading(&self) -> Reading {
        if self.again_until().is_some() { Reading::Again } else { Reading::First }
    }

    pub(super) fn start_at(&mut self, offset: Offset) {
        assert!(self.applied.is_none(), "the partition stands at {:?} already", self.applied);
        self.applied = Some(offset);
    }

    /// True if this is the turn's first progress of the partition.
    pub(super) fn advance(&mut self, first: Offset, next: Offset, last: Option<RecordIdentity>) -> bool {
        assert_eq!(self.applied, Some(first), "progress has no gap and no overlap");
        assert!(first <= next, "progress does not go back: {first} {next}");
        self.applied = Some(next);
        self.last = last.or(self.last);
        self.turn_last = last.or(self.turn_last);
        let is_first = self.turn_first.is_none();
        self.turn_first = self.turn_first.or(Some(first));
        is_first
    }

    /// Returns where it stood. Nothing of the new generation is durable before its frame is.
    pub(super) fn reset(&mut self, to: Offset) -> Offset {
        assert!(self.turn_first.is_none(), "progress is noted before a reset");
        let from = self.applied.unwrap_or(to);
        self.generation = Generation(self.generation.0 + 1);
        (self.applied, self.durable, self.last) = (Some(to), None, None);
        self.again_until = self.again_until.max(Some(from));
        from
    }

    pub(super) fn set_position(&mut self, position: StartupPosition) {
        self.position = Some(position);
    }

    /// What the current turn applied, once: the range then belongs to the frame.
    pub(super) fn take_progress(&mut self, partition: model::PartitionId) -> Option<Progress> {
        let first = self.turn_first.take()?;
        let next = self.applied.expect("set with the first progress");
        let (epoch, generation, last) = (self.epoch, self.generation, self.turn_last.take());
        Some(Progress { partition, epoch, generation, first, next, last })
    }

    pub(super) fn set_durable(&mut self, generation: Generation, next: Offset) {
        if generation == self.generation {
            assert!(self.durable_generation_is_monotone(next), "{self:?} {next}");
            self.durable = Some(next);
        }
    }

    /// Takes over what a checkpoint says.
    pub(super) fn restore_mark(&mut self, mark: &PartitionMark) {
        let PartitionMark { progress: mark, position, again_until } = *mark;
        self.generation = mark.generation;
        (self.applied, self.durable, self.last) = (Some(mark.next), Some(mark.next), mark.last);
        (self.position, self.again_until) = (position, again_until);
    }

    pub(super) fn restore_progress(&mut self, progress: &Progress) -> Result<(), ProgressBreak> {
        let expected = self.applied.unwrap_or(progress.first);
        if progress.first != expected || progress.generation != self.generation {
            return Err(ProgressBreak { expected, found: progress.first });
        }
        self.applied = Some(progress.next);
        self.durable = self.applied;
        self.last = progress.last.or(self.last);
        Ok(())
    }

    pub(super) fn restore_reset(&mut self, reset: &Reset) -> Result<(), ProgressBreak> {
        let expected = self.applied.unwrap_or(reset.from);
        if reset.from != expected || reset.generation.0 != self.generation.0 + 1 {
            return Err(ProgressBreak { expected, found: reset.from });
        }
        self.generation = reset.generation;
        (self.applied, self.durable, self.last) = (Some(reset.to), Some(reset.to), None);
        self.again_until = self.again_until.max(Some(reset.from));
        Ok(())
    }

    /// Durable never passes applied.
    fn durable_generation_is_monotone(&self, next: Offset) -> bool {
        self.applied.is_some_and(|applied| next <= applied)
    }
}
