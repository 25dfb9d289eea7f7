//! The door to a shard for every other thread: questions, orders, figures.
//!
//! Asking never blocks; only waiting for an answer does. The inbox is bounded: a shard that is flooded says so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Labels, Offset, PartitionId, RejectReason, ShardId, TenantId};
use tokio::sync::{mpsc, oneshot};
use tsdb::head::CutNumber;
use tsdb::read::{SelectRequest, SeriesSnapshot};
use tsdb::store::{IdentityMismatch, PartitionMarks, PartitionReset, ResetDone, StoreCounters};
use tsdb::wal::LogIdentity;

use super::reply::Question;
use super::resets::{Asked, ResetDesk};
use super::{
    CutOrder, CutOutcome, HeadFacts, NamesRequest, PartitionState, ReadBudget, ReadError, Reply, ResetRefusal,
    SeriesStream,
};

/// Questions and orders that wait for the executor.
const INBOX_MAX: usize = 256;

/// A shard as seen from other threads. Clones are the same shard.
#[derive(Clone, Debug)]
pub struct ShardHandle {
    shard: ShardId,
    partitions: Arc<[PartitionState]>,
    inbox: mpsc::Sender<Message>,
    pub(super) facts: Arc<SharedFacts>,
}

/// The executor's end, given to `ShardLoop::open`.
#[derive(Debug)]
pub struct ShardInbox {
    pub(super) shard: ShardId,
    pub(super) partitions: Arc<[PartitionState]>,
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) facts: Arc<SharedFacts>,
}

/// What is neither of a partition nor worth a message.
#[derive(Default, Debug)]
pub(super) struct SharedFacts {
    /// Of the last synced frame since the store was opened; 0 before.
    pub durable_lsn: AtomicU64,
    pub resets: ResetDesk,
}

#[derive(Debug)]
pub(super) enum Message {
    Read(Question),
    Report(oneshot::Sender<ShardReport>),
    StartFacts(oneshot::Sender<StartFacts>),
    SetIdentity(LogIdentity, oneshot::Sender<Result<(), IdentityMismatch>>),
    StartAt(Vec<(PartitionId, Offset)>, oneshot::Sender<()>),
    HeadFacts(oneshot::Sender<Vec<HeadFacts>>),
    Cut(Vec<CutOrder>, oneshot::Sender<Vec<CutOutcome>>),
    Reset(Vec<PartitionReset>, oneshot::Sender<Vec<ResetDone>>),
    Shutdown(oneshot::Sender<()>),
}

/// What the store knows before anything is fetched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StartFacts {
    pub marks: BTreeMap<PartitionId, PartitionMarks>,
}

/// A shard's figures at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardReport {
    pub shard: ShardId,
    pub store: StoreCounters,
    pub tenants: Vec<TenantReport>,
    /// Turns written since the store was opened.
    pub turns: u64,
    /// Checkpoints taken since then.
    pub checkpoints: u64,
    /// Questions that are being answered.
    pub reads_active: usize,
    /// Memory of decoding: buffers of one record.
    pub decode_bytes: u64,
    pub quarantine_file_bytes: u64,
}

/// Outcomes of one tenant's samples on a shard, since its store was opened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TenantReport {
    pub tenant: TenantId,
    pub samples_stored: u64,
    /// Of these, those that came after a later one of their series.
    pub samples_late: u64,
    /// There already, to the bit.
    pub samples_equal: u64,
    /// Late rejects: the client was answered before.
    pub rejected: Vec<(RejectReason, u64)>,
}

/// Makes a shard's two ends. `partitions` is its order of slots as well.
#[must_use]
pub fn shard_channel(shard: ShardId, partitions: &[PartitionId]) -> (ShardHandle, ShardInbox) {
    let (sender, messages) = mpsc::channel(INBOX_MAX);
    let partitions: Arc<[PartitionState]> =
        partitions.iter().map(|partition| PartitionState::new(*partition)).collect();
    let facts = Arc::<SharedFacts>::default();
    let handle = ShardHandle { shard, partitions: partitions.clone(), inbox: sender, facts: facts.clone() };
    (handle, ShardInbox { shard, partitions, messages, facts })
}

impl ShardHandle {
    #[must_use]
    pub fn shard(&self) -> ShardId {
        self.shard
    }

    /// State of the shard's partitions, in the order of their slots.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionState] {
        &self.partitions
    }

    #[must_use]
    pub fn partition(&self, partition: PartitionId) -> Option<&PartitionState> {
        self.partitions.iter().find(|state| state.partition() == partition)
    }

    /// Series with their chunks. `budget` is the query's and may be shared by all its questions.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn select(
        &self,
        request: SelectRequest,
        budget: Arc<ReadBudget>,
    ) -> Result<SeriesStream<SeriesSnapshot>, ReadError> {
        let (pieces, stream) = SeriesStream::channel();
        self.send(Message::Read(Question::Select { request, budget, pieces }))?;
        Ok(stream)
    }

    /// Labels of the series with samples in the range.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn series(&self, request: SelectRequest) -> Result<SeriesStream<Labels>, ReadError> {
        let (pieces, stream) = SeriesStream::channel();
        self.send(Message::Read(Question::Series { request, pieces }))?;
        Ok(stream)
    }

    /// Label names, or the values of one label: sorted, each once.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn names(&self, request: NamesRequest) -> Result<Reply<Vec<Arc<str>>>, ReadError> {
        self.ask(|reply| Message::Read(Question::Names { request, reply }))
    }

    /// Figures of store, tenants and reads.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn report(&self) -> Result<Reply<ShardReport>, ReadError> {
        self.ask(Message::Report)
    }

    /// Where the store stands. Answered once it is open.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn start_facts(&self) -> Result<Reply<StartFacts>, ReadError> {
        self.ask(Message::StartFacts)
    }

    /// Tells which Kafka log all offsets belong to; durable with the next turn.
    ///
    /// # Errors
    /// The order was not taken.
    pub fn set_identity(&self, found: LogIdentity) -> Result<Reply<Result<(), IdentityMismatch>>, ReadError> {
        self.ask(|reply| Message::SetIdentity(found, reply))
    }

    /// Tells where partitions without any progress start.
    ///
    /// # Errors
    /// The order was not taken.
    pub fn start_at(&self, starts: Vec<(PartitionId, Offset)>) -> Result<Reply<()>, ReadError> {
        self.ask(|reply| Message::StartAt(starts, reply))
    }

    /// Moves partitions in the store; answered once that is synced. Nothing may be fetched for them in between.
    pub(super) fn reset_store(&self, orders: Vec<PartitionReset>) -> Result<Reply<Vec<ResetDone>>, ReadError> {
        self.ask(|reply| Message::Reset(orders, reply))
    }

    /// Moves partitions that are being consumed: each is held, goes on at the given next offset in a new generation, and that
    /// is synced when the answer comes.
    ///
    /// # Errors
    /// The order was not taken; the answer may be a refusal as well. Nothing was changed then.
    pub fn reset(
        &self,
        targets: Vec<(PartitionId, Offset)>,
    ) -> Result<Reply<Result<Vec<ResetDone>, ResetRefusal>>, ResetRefusal> {
        self.facts.resets.ask(|reply| Asked::Reset(targets, reply))
    }

    /// Whether [`ShardHandle::reset`] would take these.
    ///
    /// # Errors
    /// The question was not taken; the answer may be a refusal as well.
    pub fn check_reset(
        &self,
        targets: Vec<(PartitionId, Offset)>,
    ) -> Result<Reply<Result<(), ResetRefusal>>, ResetRefusal> {
        self.facts.resets.ask(|reply| Asked::Check(targets, reply))
    }

    /// The heads, for whoever decides about cuts.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn head_facts(&self) -> Result<Reply<Vec<HeadFacts>>, ReadError> {
        self.ask(Message::HeadFacts)
    }

    /// Cuts heads or forgets cuts, in this order; answered when all is durable, an outcome for each.
    ///
    /// # Errors
    /// The orders were not taken.
    pub fn cut(&self, orders: Vec<CutOrder>) -> Result<Reply<Vec<CutOutcome>>, ReadError> {
        self.ask(|reply| Message::Cut(orders, reply))
    }

    /// The series of a cut with the chunks that it froze, in the order of their definitions.
    ///
    /// # Errors
    /// The question was not taken.
    pub fn read_cut(
        &self,
        tenant: TenantId,
        partition: PartitionId,
        cut: CutNumber,
    ) -> Result<SeriesStream<SeriesSnapshot>, ReadError> {
        let (pieces, stream) = SeriesStream::channel();
        self.send(Message::Read(Question::Cut { tenant, partition, cut, pieces }))?;
        Ok(stream)
    }

    /// Stops the shard: what waits in slots is applied, everything is synced, then the loop ends. Fetching must have ended.
    /// The answer comes when all is durable.
    ///
    /// # Errors
    /// The order was not taken; [`ReadError::Stopped`] if the shard has ended already.
    pub fn shutdown(&self) -> Result<Reply<()>, ReadError> {
        self.ask(Message::Shutdown)
    }

    /// Number of the last synced frame since the store was opened; 0 before the first.
    #[must_use]
    pub fn durable_lsn(&self) -> u64 {
        self.facts.durable_lsn.load(Ordering::Relaxed)
    }

    /// The executor is gone: stopped, or dead.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.inbox.is_closed()
    }

    fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<Reply<T>, ReadError> {
        let (sender, reply) = Reply::channel();
        self.send(message(sender))?;
        Ok(reply)
    }

    fn send(&self, message: Message) -> Result<(), ReadError> {
        self.inbox.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Busy,
            mpsc::error::TrySendError::Closed(_) => ReadError::Stopped,
        })
    }
}
