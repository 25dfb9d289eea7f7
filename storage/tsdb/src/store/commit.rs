//! Turns on their way into the log. The next turn may be filled while one is written: the log travels with the commit.

use disk::Disk;
use model::{Offset, PartitionId};

use super::{PartitionMarks, ShardStore};
use crate::wal::{Generation, Lsn, Turn, Wal, WalError};

/// A turn and the marks that move when it is durable.
#[derive(Default, Debug)]
pub(super) struct Pending {
    pub(super) turn: Turn,
    /// Partitions that the turn advanced and whose progress is not in it yet.
    pub(super) touched: Vec<PartitionId>,
    marks: Vec<(PartitionId, Generation, Offset)>,
}

impl Pending {
    /// Moves what the turn applied of a partition into its frame.
    pub(super) fn note_progress(&mut self, partition: PartitionId, marks: &mut PartitionMarks) {
        if let Some(progress) = marks.take_progress(partition) {
            self.turn.progress(&progress);
            self.note_mark(partition, marks);
        }
        self.touched.retain(|touched| *touched != partition);
    }

    pub(super) fn note_mark(&mut self, partition: PartitionId, marks: &PartitionMarks) {
        let next = marks.applied().expect("it was just set");
        self.marks.push((partition, marks.generation(), next));
    }

    fn clear(&mut self) {
        self.turn.clear();
        self.touched.clear();
        self.marks.clear();
    }
}

/// A turn with the log that it goes into. Dropping it loses the log: the process is over.
#[must_use = "a commit that is not run is lost"]
pub struct Commit<D: Disk> {
    wal: Wal<D>,
    pending: Pending,
    /// Frames up to here may go.
    release: Option<Lsn>,
}

/// What came of it, for [`ShardStore::finish_commit`].
#[must_use = "the store waits for its log"]
pub struct Committed<D: Disk> {
    wal: Wal<D>,
    pending: Pending,
    result: Result<Lsn, WalError>,
}

impl<D: Disk> Commit<D> {
    /// Writes and syncs the turn.
    pub async fn run(mut self) -> Committed<D> {
        let mut result = self.wal.append(&mut self.pending.turn).await;
        if result.is_ok()
            && let Err(error) = self.tidy().await
        {
            result = Err(error);
        }
        Committed { wal: self.wal, pending: self.pending, result }
    }

    /// What nobody waits for: room for the next turns.
    async fn tidy(&mut self) -> Result<(), WalError> {
        self.wal.replenish().await?;
        match self.release {
            Some(lsn) => self.wal.release(lsn).await,
            None => Ok(()),
        }
    }
}

impl<D: Disk> ShardStore<D> {
    /// Takes the turn so far out of the store; none where there is nothing to write. Until [`ShardStore::finish_commit`],
    /// records may be applied to the next turn, but no other commit starts.
    ///
    /// # Panics
    /// A commit is under way.
    pub fn start_commit(&mut self) -> Option<Commit<D>> {
        assert!(self.wal.is_some(), "one commit at a time");
        let pending = match self.held.take() {
            Some(held) => held,
            None => self.take_filling()?,
        };
        let wal = self.wal.take().expect("asserted above");
        Some(Commit { wal, pending, release: self.releasable })
    }

    /// Takes the log back and moves the durable marks.
    ///
    /// # Errors
    /// A refusal ([`WalError::is_refusal`]): the turn is held and goes first at the next commit; stop applying until that
    /// succeeds. Anything else: end the process.
    pub fn finish_commit(&mut self, committed: Committed<D>) -> Result<Lsn, WalError> {
        let Committed { wal, mut pending, result } = committed;
        self.wal = Some(wal);
        self.drop_retired();
        match &result {
            Ok(lsn) => {
                self.logged_bytes += self.wal.as_ref().map_or(0, Wal::latest_frame_bytes);
                self.synced = *lsn;
                for (partition, generation, next) in &pending.marks {
                    self.marks_mut(*partition).set_durable(*generation, *next);
                }
                pending.clear();
                self.spare = Some(pending);
            }
            Err(_) => self.held = Some(pending),
        }
        result
    }

    /// Writes all there is. After it `durable` equals `applied` everywhere.
    ///
    /// # Errors
    /// See [`ShardStore::finish_commit`].
    pub async fn commit(&mut self) -> Result<(), WalError> {
        while let Some(commit) = self.start_commit() {
            let committed = commit.run().await;
            self.finish_commit(committed)?;
        }
        Ok(())
    }

    #[must_use]
    pub fn is_committing(&self) -> bool {
        self.wal.is_none()
    }

    /// Whether the log refused a turn that is still to be written.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Payload bytes of the turn that is being filled: commit when it gets large.
    #[must_use]
    pub fn turn_bytes(&self) -> usize {
        self.filling.turn.byte_len()
    }

    fn take_filling(&mut self) -> Option<Pending> {
        while let Some(partition) = self.filling.touched.pop() {
            let marks = self.partitions.get_mut(&partition).expect("a partition of this shard");
            self.filling.note_progress(partition, marks);
        }
        if self.filling.turn.is_empty() {
            return None;
        }
        let next = self.spare.take().unwrap_or_default();
        Some(std::mem::replace(&mut self.filling, next))
    }
}
