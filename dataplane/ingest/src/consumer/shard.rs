//! The loop of a shard's executor: take what is fetched, apply it, write one frame for all of it, move the marks, again.
//!
//! While a frame is written and synced, the next turn fills; questions are answered between Kafka batches. When the log
//! refuses for want of space the shard holds: it takes nothing, answers questions, and tries again. Any other failure of the
//! disk ends the loop, and the process must end with it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use disk::{Disk, DiskError};
use futures_lite::future::yield_now;
use model::PartitionId;
use tokio::sync::oneshot;
use tsdb::recovery::Survey;
use tsdb::store::{Committed, ResetDone, ShardStore, StoreError, StoreOptions};
use tsdb::wal::{Lsn, WalError};

use super::checkpointing::Checkpointing;
use super::cuts::{Cuts, facts};
use super::decode::{Applying, Decoder, PartitionRun};
use super::handle::Message;
use super::quarantine::Quarantine;
use super::reads::{SharedStore, answer};
use super::{BatchSource, Health, RawBatch, ShardInbox, ShardReport, StartFacts, TenantReport};

/// Questions that are answered at once; more wait in the inbox.
const READS_MAX: usize = 64;
/// Steps of questions between two Kafka batches.
const READ_STEPS_MAX: u64 = 16;
/// How long a held shard waits before it tries the log again.
const RETRY: Duration = Duration::from_secs(1);

/// Waits for a while on the executor: its clock is an argument.
pub type Pause = Rc<dyn Fn(Duration) -> Pin<Box<dyn Future<Output = ()>>>>;

/// How a shard runs.
pub struct ShardOptions {
    pub store: StoreOptions,
    /// All shards' log folders are below.
    pub wal_root: PathBuf,
    pub quarantine_dir: PathBuf,
    pub quarantine_bytes_max: u64,
    /// Payload of a turn at which it is written before more is applied.
    pub turn_bytes_max: usize,
    pub pause: Pause,
}

/// Why a shard ended. The process must end as well.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    #[error(transparent)]
    Open(#[from] StoreError),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error("the quarantine failed: {0}")]
    Quarantine(DiskError),
    #[error("a checkpoint failed: {0}")]
    Checkpoint(#[from] DiskError),
}

/// A shard's executor side.
pub struct ShardLoop<D: Disk, S: BatchSource> {
    core: Core<D>,
    slots: S,
}

/// All but the slots, so that waiting for them borrows nothing else.
struct Core<D: Disk> {
    store: SharedStore<D>,
    inbox: ShardInbox,
    decoder: Decoder,
    runs: Vec<PartitionRun>,
    quarantine: Quarantine<D>,
    commit: Option<Pin<Box<dyn Future<Output = Committed<D>>>>>,
    /// Set while the log refuses.
    retry: Option<Pin<Box<dyn Future<Output = ()>>>>,
    checkpoint: Checkpointing<D>,
    cuts: Cuts,
    is_held: bool,
    reads: Vec<Pin<Box<dyn Future<Output = ()>>>>,
    read_steps: Rc<Cell<u64>>,
    turns: u64,
    turn_bytes_max: usize,
    pause: Pause,
    is_inbox_closed: bool,
    /// Partitions that were moved, until that is synced.
    resetting: Vec<(Vec<ResetDone>, oneshot::Sender<Vec<ResetDone>>)>,
    stopping: Vec<oneshot::Sender<()>>,
}

impl<D: Disk, S: BatchSource> ShardLoop<D, S> {
    /// Replays the shard's partitions and publishes their marks.
    ///
    /// All folders must have been surveyed before any shard is opened.
    ///
    /// # Errors
    /// The log cannot be replayed, or a file cannot be opened.
    pub async fn open(
        disk: D,
        survey: &Survey,
        inbox: ShardInbox,
        slots: S,
        options: ShardOptions,
    ) -> Result<Self, ShardError> {
        let partitions: Vec<PartitionId> = inbox.partitions.iter().map(|state| state.partition()).collect();
        let decoder = Decoder::new(options.store.key.clone());
        let quarantine =
            Quarantine::open(disk.clone(), &options.quarantine_dir, inbox.shard, options.quarantine_bytes_max)
                .await
                .map_err(ShardError::Quarantine)?;
        let store = ShardStore::open(disk, &options.wal_root, survey, &partitions, options.store).await?;
        let core = Core {
            store: Rc::new(RefCell::new(store)),
            inbox,
            decoder,
            runs: partitions.into_iter().map(PartitionRun::new).collect(),
            quarantine,
            commit: None,
            retry: None,
            checkpoint: Checkpointing::new(),
            cuts: Cuts::default(),
            is_held: false,
            reads: Vec::new(),
            read_steps: Rc::default(),
            turns: 0,
            turn_bytes_max: options.turn_bytes_max,
            pause: options.pause,
            is_inbox_closed: false,
            resetting: Vec::new(),
            stopping: Vec::new(),
        };
        core.publish_all();
        Ok(Self { core, slots })
    }

    /// Runs until [`super::ShardHandle::shutdown`] (or until every handle is gone): then all that waits in slots is applied,
    /// everything is synced, and whoever asked is told.
    ///
    /// # Errors
    /// The disk failed: end the process.
    pub async fn run(self) -> Result<(), ShardError> {
        let Self { mut core, mut slots } = self;
        loop {
            core.breathe().await?;
            if core.can_apply()
                && let Some((slot, raw)) = slots.take()
            {
                core.apply(slot, &raw).await?;
                continue;
            }
            let is_writing = core.write().await?;
            if (core.is_stopping() && !is_writing) || core.is_over_while_held() {
                core.finish();
                return Ok(());
            }
            core.wait(Some(&slots)).await?;
        }
    }
}

impl<D: Disk> Core<D> {
    fn can_apply(&self) -> bool {
        !self.is_held && self.store.borrow().turn_bytes() < self.turn_bytes_max
    }

    fn is_stopping(&self) -> bool {
        !self.stopping.is_empty() || self.is_inbox_closed
    }

    /// A log that refuses cannot be waited for: what is not in it is consumed again after the next start.
    fn is_over_while_held(&self) -> bool {
        self.is_held && self.is_stopping()
    }

    /// Applies a piece, batch after batch; questions get their turn between two of them.
    async fn apply(&mut self, slot: usize, raw: &RawBatch) -> Result<(), ShardError> {
        assert_eq!(self.runs[slot].partition, raw.partition, "a slot belongs to one partition");
        let mut applying = Applying::new(raw);
        loop {
            let is_more = applying.step(&mut self.decoder, &mut self.store.borrow_mut(), &mut self.runs[slot]);
            self.publish(slot);
            if !is_more {
                return Ok(());
            }
            self.breathe().await?;
            while !self.can_apply() {
                if self.is_over_while_held() {
                    return Ok(());
                }
                self.write().await?;
                self.wait(None::<&NoSlots>).await?;
            }
        }
    }

    /// Starts what is to be written and is not under way: a commit, a checkpoint. True while there is anything of it.
    async fn write(&mut self) -> Result<bool, ShardError> {
        self.advance_cuts();
        let is_committing = self.start_commit().await?;
        self.advance_checkpoint();
        Ok(is_committing || self.checkpoint.is_moving() || self.cuts.is_waiting())
    }

    /// Takes the next piece of a checkpoint, or begins one: when enough was logged, and before the end, so that the next start
    /// has little to replay.
    fn advance_checkpoint(&mut self) {
        let mut store = self.store.borrow_mut();
        let is_last = self.is_stopping() && self.commit.is_none() && store.has_news_for_checkpoint();
        let is_wanted = store.is_checkpoint_due() || is_last;
        self.checkpoint.advance(&mut store, is_wanted && !self.is_held && !self.cuts.is_waiting());
    }

    /// Cuts and forgets between two checkpoints.
    fn advance_cuts(&mut self) {
        if self.checkpoint.is_idle() && !self.is_held {
            self.cuts.advance(&mut self.store.borrow_mut());
            // Refusals wait for nothing.
            self.cuts.tell(Lsn(self.inbox.facts.durable_lsn.load(Ordering::Relaxed)));
        }
    }

    async fn start_commit(&mut self) -> Result<bool, ShardError> {
        if self.commit.is_some() || self.retry.is_some() {
            return Ok(true);
        }
        // What is passed over must be on disk before the progress that passes it.
        self.keep_aside().await?;
        let commit = self.store.borrow_mut().start_commit();
        self.commit = commit.map(|commit| Box::pin(commit.run()) as _);
        Ok(self.commit.is_some())
    }

    async fn keep_aside(&mut self) -> Result<(), ShardError> {
        for slot in 0..self.runs.len() {
            let aside = std::mem::take(&mut self.runs[slot].aside);
            if aside.is_empty() {
                continue;
            }
            let kept = self.quarantine.keep(&aside).await.map_err(ShardError::Quarantine)?;
            if kept.dropped > 0 {
                let run = &mut self.runs[slot];
                run.counters.quarantine_dropped += kept.dropped;
                tracing::error!(
                    partition = run.partition.0,
                    entries = kept.dropped,
                    "the quarantine has no room: the bytes of what cannot be read are lost here; Kafka still has them"
                );
                self.publish(slot);
            }
        }
        Ok(())
    }

    /// Lets everything in the background go on, and other futures of the thread run.
    async fn breathe(&mut self) -> Result<(), ShardError> {
        poll_fn(|context| Poll::Ready(self.poll_background(context).map(drop))).await?;
        yield_now().await;
        Ok(())
    }

    /// Waits until something happens in the background, or a slot is filled if that matters.
    async fn wait<S: BatchSource>(&mut self, slots: Option<&S>) -> Result<(), ShardError> {
        let slots = slots.filter(|_| self.can_apply());
        let mut filled = pin!(async {
            match slots {
                Some(slots) => slots.filled().await,
                None => std::future::pending().await,
            }
        });
        poll_fn(|context| {
            let is_filled = filled.as_mut().poll(context).is_ready();
            match self.poll_background(context) {
                Ok(false) if !is_filled => Poll::Pending,
                Ok(_) => Poll::Ready(Ok(())),
                Err(error) => Poll::Ready(Err(error)),
            }
        })
        .await
    }

    /// True if the loop should look again: a commit ended, a message came, the time to try again has come.
    fn poll_background(&mut self, context: &mut Context<'_>) -> Result<bool, ShardError> {
        let mut is_news = false;
        if let Some(commit) = &mut self.commit
            && let Poll::Ready(committed) = commit.as_mut().poll(context)
        {
            self.commit = None;
            self.finish_commit(committed)?;
            is_news = true;
        }
        if let Some(retry) = &mut self.retry
            && retry.as_mut().poll(context).is_ready()
        {
            self.retry = None;
            is_news = true;
        }
        if let Poll::Ready(result) = self.checkpoint.poll(context, &self.pause) {
            result?;
            is_news = true;
        }
        while self.reads.len() < READS_MAX && !self.is_inbox_closed {
            let Poll::Ready(message) = self.inbox.messages.poll_recv(context) else { break };
            is_news = true;
            match message {
                Some(message) => self.obey(message),
                None => self.is_inbox_closed = true,
            }
        }
        is_news |= self.poll_reads(context);
        Ok(is_news)
    }

    /// True if questions were answered, so that there may be room for more.
    fn poll_reads(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.reads.len();
        let start = self.read_steps.get();
        loop {
            let at = self.read_steps.get();
            let mut index = 0;
            while index < self.reads.len() && self.read_steps.get() - start < READ_STEPS_MAX {
                match self.reads[index].as_mut().poll(context) {
                    Poll::Ready(()) => drop(self.reads.swap_remove(index)),
                    Poll::Pending => index += 1,
                }
            }
            let has_stepped = self.read_steps.get() != at;
            if !has_stepped || self.read_steps.get() - start >= READ_STEPS_MAX {
                break;
            }
        }
        // The next round begins with another question.
        if !self.reads.is_empty() {
            self.reads.rotate_left(1);
        }
        self.reads.len() < before
    }

    fn finish_commit(&mut self, committed: Committed<D>) -> Result<(), ShardError> {
        let result = self.store.borrow_mut().finish_commit(committed);
        match result {
            Ok(lsn) => {
                self.turns += 1;
                self.inbox.facts.durable_lsn.store(lsn.0, Ordering::Relaxed);
                if std::mem::take(&mut self.is_held) {
                    tracing::info!(shard = self.inbox.shard.0, "the write-ahead log has room again: consuming goes on");
                    self.inbox.partitions.iter().for_each(|state| state.set_executor_health(None));
                }
                self.publish_all();
                self.tell_resets();
                self.cuts.tell(lsn);
                Ok(())
            }
            Err(error) if error.is_refusal() => {
                if !self.is_held {
                    tracing::error!(shard = self.inbox.shard.0, "holding, nothing more is consumed: {error}");
                }
                self.is_held = true;
                let stuck = Health::Stuck { why: error.to_string() };
                self.inbox.partitions.iter().for_each(|state| state.set_executor_health(Some(stuck.clone())));
                self.retry = Some((self.pause)(RETRY));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn obey(&mut self, message: Message) {
        // Whoever asked may be gone; then nobody misses the answer.
        match message {
            Message::Read(question) => {
                let answer = answer(self.store.clone(), question, self.read_steps.clone());
                self.reads.push(Box::pin(answer));
            }
            Message::Report(reply) => {
                let _ = reply.send(self.report());
            }
            Message::StartFacts(reply) => {
                let _ = reply.send(StartFacts { marks: self.store.borrow().partitions().clone() });
            }
            Message::SetIdentity(found, reply) => {
                let _ = reply.send(self.store.borrow_mut().set_identity(&found));
            }
            Message::StartAt(starts, reply) => {
                for (partition, offset) in starts {
                    self.store.borrow_mut().start_at(partition, offset);
                }
                self.publish_all();
                let _ = reply.send(());
            }
            Message::Reset(orders, reply) => {
                let mut store = self.store.borrow_mut();
                let done = orders.into_iter().map(|order| store.reset(order)).collect();
                drop(store);
                self.resetting.push((done, reply));
                self.publish_all();
            }
            Message::HeadFacts(reply) => {
                let _ = reply.send(facts(&self.store.borrow()));
            }
            Message::Cut(orders, reply) => self.cuts.add(orders, reply),
            Message::Shutdown(reply) => self.stopping.push(reply),
        }
    }

    /// Tells whoever moved partitions that it is synced, as far as it is.
    fn tell_resets(&mut self) {
        let store = self.store.borrow();
        let is_synced = |done: &ResetDone| {
            let marks = store.marks(done.partition);
            marks.generation() > done.generation || marks.durable().is_some()
        };
        for (done, reply) in self.resetting.extract_if(.., |(done, _)| done.iter().all(is_synced)) {
            let _ = reply.send(done);
        }
    }

    fn report(&self) -> ShardReport {
        let store = self.store.borrow();
        let tenants = store.tenant_counters().map(|(tenant, counters)| TenantReport {
            tenant: tenant.clone(),
            samples_stored: counters.samples_stored,
            samples_late: counters.samples_late,
            samples_equal: counters.samples_equal,
            rejected: counters.rejections().collect(),
        });
        ShardReport {
            shard: self.inbox.shard,
            store: store.counters(),
            tenants: tenants.collect(),
            turns: self.turns,
            checkpoints: self.checkpoint.published(),
            reads_active: self.reads.len(),
            decode_bytes: self.decoder.capacity_bytes() as u64,
            quarantine_file_bytes: self.quarantine.bytes(),
        }
    }

    fn publish_all(&self) {
        (0..self.runs.len()).for_each(|slot| self.publish(slot));
    }

    fn publish(&self, slot: usize) {
        let (run, state) = (&self.runs[slot], &self.inbox.partitions[slot]);
        let store = self.store.borrow();
        let marks = store.marks(run.partition);
        state.executor.generation.store(marks.generation().0, Ordering::Release);
        if let Some(durable) = marks.durable() {
            state.executor.durable.set(durable);
        }
        if let Some(applied) = marks.applied() {
            state.executor.applied.set(applied);
        }
        if let Some(last_record_ms) = run.last_record_ms {
            state.executor.last_record_ms.store(last_record_ms, Ordering::Relaxed);
        }
        state.executor.records.store(run.records, Ordering::Relaxed);
        state.set_counters(run.counters);
    }

    /// Everything is durable.
    fn finish(&mut self) {
        self.publish_all();
        for reply in self.stopping.drain(..) {
            let _ = reply.send(());
        }
    }
}

/// For waits in which slots do not matter.
struct NoSlots;

impl BatchSource for NoSlots {
    async fn filled(&self) {
        std::future::pending::<()>().await;
    }

    fn take(&mut self) -> Option<(usize, RawBatch)> {
        None
    }
}
