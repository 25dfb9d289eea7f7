//! What the log can be asked, and what it answers. Values only: they cross threads.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use uuid::Uuid;

use super::topic_configs::{SettingChange, TopicConfigs};
use crate::batch::RecordBatch;
use crate::error::Refusal;
use crate::handle::{PartitionOffsets, TopicDescription};

pub(crate) enum Request {
    Read(Read),
    Change(Change),
    /// No further request is taken; answered when all is synced and closed.
    Stop(oneshot::Sender<()>),
}

/// Answered at once, from what is published.
pub(crate) enum Read {
    Describe(TopicFilter, oneshot::Sender<ClusterDescription>),
    Fetch(FetchRequest),
    Offsets(Vec<OffsetQuery>, oneshot::Sender<Vec<Result<OffsetAnswer, Refusal>>>),
    Configs(TopicRef, oneshot::Sender<Result<TopicConfigs, Refusal>>),
    Committed(Vec<CommittedQuery>, oneshot::Sender<Vec<Vec<CommittedTopic>>>),
    /// Every group that left something behind.
    Groups(oneshot::Sender<Vec<StoredGroup>>),
    /// One of them.
    Group(Arc<str>, oneshot::Sender<Option<StoredGroup>>),
    Marks(oneshot::Sender<Vec<(String, Vec<PartitionOffsets>)>>),
}

/// Waits for its turn.
pub(crate) enum Change {
    Produce(ProduceRequest),
    Commit(CommitRequest),
    /// Keeps what outlives a group's members.
    SaveGroup(StoredGroup, oneshot::Sender<Result<(), Refusal>>),
    /// Removes a group and all of its offsets.
    DeleteGroup(Arc<str>, oneshot::Sender<Result<(), Refusal>>),
    /// Removes offsets of a group: one answer for each.
    DeleteOffsets(DeleteOffsets, oneshot::Sender<Result<Vec<Result<(), Refusal>>, Refusal>>),
    CreateTopic(NewTopic, oneshot::Sender<Result<TopicDescription, Refusal>>),
    AlterConfigs(AlterConfigs, oneshot::Sender<Result<(), Refusal>>),
    /// An id that no producer had before.
    NewProducerId(oneshot::Sender<Result<i64, Refusal>>),
    /// Forgets what lies before an offset; answered with the first offset that is left.
    DeleteRecords(DeleteRecords, oneshot::Sender<Result<i64, Refusal>>),
    CreatePartitions(MorePartitions, oneshot::Sender<Result<(), Refusal>>),
    DeleteTopic(TopicRef, oneshot::Sender<Result<TopicDescription, Refusal>>),
    RetentionFloor {
        topic: TopicRef,
        partition: i32,
        offset: i64,
    },
    /// Deletes what retention allows at this time.
    Retain {
        now_ms: i64,
    },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum TopicRef {
    Name(Arc<str>),
    Id(Uuid),
}

pub(crate) enum TopicFilter {
    All,
    Some(Vec<TopicRef>),
}

pub(crate) struct ClusterDescription {
    pub cluster_id: Arc<str>,
    /// For `All` those there are, else one for each asked.
    pub topics: Vec<Result<TopicDescription, Refusal>>,
}

pub(crate) struct NewTopic {
    pub name: Arc<str>,
    pub partition_count: i32,
    pub configs: TopicConfigs,
    pub mode: CreateMode,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CreateMode {
    Create,
    /// Says what would happen.
    Validate,
    /// An existing topic is not an error.
    Ensure,
}

pub(crate) struct AlterConfigs {
    pub topic: TopicRef,
    pub changes: Vec<SettingChange>,
    pub mode: CreateMode,
}

pub(crate) struct DeleteRecords {
    pub topic: TopicRef,
    pub partition: i32,
    pub before: DeleteBefore,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum DeleteBefore {
    Offset(i64),
    HighWatermark,
}

pub(crate) struct MorePartitions {
    pub topic: TopicRef,
    /// How many there will be.
    pub partition_count: i32,
    /// If assignments were given, how many; each is for one new partition.
    pub assignment_count: Option<usize>,
    pub mode: CreateMode,
}

pub(crate) struct ProduceRequest {
    pub batches: Vec<ProduceBatch>,
    /// One for each batch, in order, after all of them are synced.
    pub answer: oneshot::Sender<Vec<Result<Produced, Refusal>>>,
}

pub(crate) struct ProduceBatch {
    pub topic: TopicRef,
    pub partition: i32,
    pub batch: RecordBatch,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Produced {
    pub base_offset: i64,
    pub start_offset: i64,
}

pub(crate) struct FetchRequest {
    pub partitions: Vec<FetchPartition>,
    /// Of all partitions together; the first batch of the answer is whole even above it.
    pub bytes_max: usize,
    /// Fewer than this wait; 0 never waits.
    pub bytes_min: usize,
    pub answer: oneshot::Sender<FetchAnswer>,
}

#[derive(Clone)]
pub(crate) struct FetchPartition {
    pub topic: TopicRef,
    pub partition: i32,
    pub offset: i64,
    pub bytes_max: usize,
    /// `-1`: the client does not know.
    pub leader_epoch: i32,
}

pub(crate) struct FetchAnswer {
    /// One for each asked partition, in order.
    pub partitions: Vec<Result<Fetched, Refusal>>,
    /// Memory of the records; dropped when they are sent.
    pub permit: Option<OwnedSemaphorePermit>,
}

pub(crate) struct Fetched {
    pub offsets: PartitionOffsets,
    /// Whole batches.
    pub records: Bytes,
}

pub(crate) struct OffsetQuery {
    pub topic: TopicRef,
    pub partition: i32,
    pub leader_epoch: i32,
    pub at: OffsetAt,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OffsetAt {
    Start,
    End,
    /// The first record whose timestamp is not before.
    Timestamp(i64),
    /// The first record with the largest timestamp.
    MaxTimestamp,
}

pub(crate) enum OffsetAnswer {
    Offset(i64),
    /// No record is late enough.
    Nothing,
    /// The batch that holds it.
    InBatch {
        batch: Bytes,
        /// Records before it were deleted.
        start_offset: i64,
        permit: Option<OwnedSemaphorePermit>,
    },
}

pub(crate) struct CommitRequest {
    pub group: Arc<str>,
    pub offsets: Vec<CommitOffset>,
    pub answer: oneshot::Sender<Vec<Result<(), Refusal>>>,
}

pub(crate) struct CommitOffset {
    pub topic: TopicRef,
    pub partition: i32,
    pub committed: Committed,
}

/// What a group stored for a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
}

/// A group as its members left it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StoredGroup {
    pub name: Arc<str>,
    /// Empty where it never had members.
    pub protocol_type: Arc<str>,
    pub generation: i32,
}

pub(crate) struct DeleteOffsets {
    pub group: Arc<str>,
    pub partitions: Vec<(TopicRef, i32)>,
}

pub(crate) struct CommittedQuery {
    pub group: Arc<str>,
    /// `None`: all that the group stored.
    pub topics: Option<Vec<(Arc<str>, Vec<i32>)>>,
}

pub(crate) struct CommittedTopic {
    pub name: Arc<str>,
    pub partitions: Vec<(i32, Option<Committed>)>,
}
