//! Checkpoints of a store: when one is due, what it takes between two turns, and what follows once it is published.

use disk::Disk;

use super::ShardStore;
use crate::checkpoint::{Checkpoint, CheckpointFiles, CheckpointStage, HeadTask, Manifest, PartitionMark};
use crate::head::Head;
use crate::wal::{Lsn, Progress};

/// Runs and slices that are taken in one go: about a millisecond.
const PIECES_MAX: usize = 4;

/// Definitions that are not worth a new series log.
const STALE_DEFINITIONS_MIN: u64 = if cfg!(test) { 20 } else { 10_000 };

/// What to do with a checkpoint now.
#[must_use = "the store's files are in it"]
pub enum CheckpointStep<D: Disk> {
    /// [`Checkpoint::run`] it, while the store goes on; then ask again.
    Run(Checkpoint<D>),
    /// Ask again when a turn was written.
    Wait(Checkpoint<D>),
    /// It counts.
    Published,
}

impl<D: Disk> ShardStore<D> {
    /// Whether enough was logged since the last checkpoint for another one: not less than that had, so that checkpoints never
    /// write more than the log.
    #[must_use]
    pub fn is_checkpoint_due(&self) -> bool {
        let newest_bytes = self.files.as_ref().map_or(u64::MAX, CheckpointFiles::newest_bytes);
        self.logged_bytes - self.checkpoint_bytes >= self.options.checkpoint.wal_bytes.max(newest_bytes)
    }

    /// Whether anything was logged since the last checkpoint.
    #[must_use]
    pub fn has_news_for_checkpoint(&self) -> bool {
        self.logged_bytes > self.checkpoint_bytes
    }

    /// Begins a checkpoint; none while one is under way.
    pub fn start_checkpoint(&mut self) -> Option<Checkpoint<D>> {
        let mut files = self.files.take()?;
        if self.is_series_log_stale() {
            files.rotate_series();
            self.tenants.values_mut().for_each(|tenant| tenant.defined.clear());
            self.definitions_logged = 0;
        }
        Some(Checkpoint::new(files, Manifest::empty(&self.options.key)))
    }

    /// Takes what can be taken now. Between two turns only: records that are applied and not on their way into the log keep
    /// it waiting.
    pub fn advance_checkpoint(&mut self, mut checkpoint: Checkpoint<D>) -> CheckpointStep<D> {
        let is_between_turns = self.filling.turn.is_empty() && self.filling.touched.is_empty();
        match checkpoint.stage {
            CheckpointStage::Opening | CheckpointStage::Publishing => return CheckpointStep::Run(checkpoint),
            CheckpointStage::Opened | CheckpointStage::Begun if !is_between_turns => {
                return CheckpointStep::Wait(checkpoint);
            }
            CheckpointStage::Opened => self.begin_checkpoint(&mut checkpoint),
            CheckpointStage::Begun | CheckpointStage::Taken => {}
            CheckpointStage::Published => {
                self.releasable = checkpoint.files.releasable();
                self.files = Some(checkpoint.files);
                return CheckpointStep::Published;
            }
        }
        for _ in 0..PIECES_MAX {
            if checkpoint.wants_run() || !self.take_piece(&mut checkpoint) {
                break;
            }
        }
        if !checkpoint.heads.is_empty() {
            return CheckpointStep::Run(checkpoint);
        }
        // What it holds must not be newer than the log.
        let is_logged = self.synced >= checkpoint.manifest.last;
        checkpoint.stage = if is_logged { CheckpointStage::Publishing } else { CheckpointStage::Taken };
        if is_logged { CheckpointStep::Run(checkpoint) } else { CheckpointStep::Wait(checkpoint) }
    }

    /// Commits all there is and takes a checkpoint of it, with nothing in between.
    ///
    /// # Errors
    /// The disk failed, or has no space.
    pub async fn checkpoint(&mut self) -> Result<(), crate::wal::WalError> {
        self.commit().await?;
        let Some(mut checkpoint) = self.start_checkpoint() else { return Ok(()) };
        loop {
            match self.advance_checkpoint(checkpoint) {
                CheckpointStep::Run(next) => {
                    let (run, result) = next.run().await;
                    result?;
                    checkpoint = run;
                }
                CheckpointStep::Wait(_) => unreachable!("all was committed, and nothing was applied since"),
                CheckpointStep::Published => return Ok(()),
            }
        }
    }

    /// Whether less than half of the definitions in the series log are of series that are there.
    fn is_series_log_stale(&self) -> bool {
        let heads = self.tenants.values().flat_map(|tenant| tenant.heads.values());
        let series: u64 = heads.map(|head| u64::from(head.series_count())).sum();
        self.definitions_logged > 2 * series + STALE_DEFINITIONS_MIN
    }

    /// The newest frame of which the heads have all samples, between turns.
    fn stamp(&self) -> Lsn {
        let is_on_its_way = self.wal.is_none() || self.held.is_some();
        if is_on_its_way { self.synced.next() } else { self.synced }
    }

    fn begin_checkpoint(&mut self, checkpoint: &mut Checkpoint<D>) {
        let stamp = self.stamp();
        let manifest = &mut checkpoint.manifest;
        (manifest.lsn, manifest.last, manifest.identity) = (stamp, stamp, self.identity.clone());
        for (partition, marks) in &self.partitions {
            let Some(applied) = marks.applied() else { continue };
            let (partition, epoch, generation) = (*partition, marks.epoch(), marks.generation());
            let (first, next, last) = (applied, applied, marks.last());
            let progress = Progress { partition, epoch, generation, first, next, last };
            let (position, again_until) = (marks.position(), marks.again_until());
            manifest.marks.insert(partition, PartitionMark { progress, position, again_until });
        }
        for (tenant, of_tenant) in &self.tenants {
            let is_told = |head: &Head| head.series_count() > 0 || head.numbering() > 0;
            for (partition, head) in of_tenant.heads.iter().filter(|(_, head)| is_told(head)) {
                let defined = of_tenant.defined.get(partition).copied().unwrap_or(0);
                let (tenant, partition, epoch) = (tenant.clone(), *partition, self.partitions[partition].epoch());
                let end = head.series_count();
                checkpoint.heads.push_back(HeadTask {
                    tenant,
                    partition,
                    epoch,
                    defined,
                    taken: 0,
                    end,
                    is_told: false,
                });
                self.definitions_logged += u64::from(end.saturating_sub(defined));
            }
        }
        self.checkpoint_bytes = self.logged_bytes;
        checkpoint.begin();
    }

    /// False where nothing is left.
    fn take_piece(&mut self, checkpoint: &mut Checkpoint<D>) -> bool {
        let stamp = self.stamp();
        let Some(mut task) = checkpoint.heads.pop_front() else { return false };
        let tenant = self.tenants.get_mut(&task.tenant).expect("heads stay as long as the store");
        let head = tenant.heads.get_mut(&task.partition).expect("heads stay as long as the store");
        checkpoint.take_from(&mut task, &tenant.symbols, head, stamp);
        if task.is_done() {
            // Only once it is published do the definitions count; until then no other checkpoint begins.
            tenant.defined.insert(task.partition, task.end);
        } else {
            checkpoint.heads.push_front(task);
        }
        true
    }
}
