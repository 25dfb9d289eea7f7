//! Answering a fetch: where each partition's bytes are, how many fit, and then one read for each.
//!
//! Memory is taken for the whole answer before any of it is read, so two half-done answers never wait for each other.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use disk::{Disk, DiskErrorKind};

use super::Log;
use super::partition::Partition;
use super::request::{FetchAnswer, FetchPartition, FetchRequest, Fetched};
use super::segment::Segment;
use crate::batch::LEADER_EPOCH;
use crate::counters::add;
use crate::error::{BrokerError, Refusal};
use crate::handle::{PartitionOffsets, permits_of};
use crate::limits::MESSAGE_BYTES_MAX;

/// A partition that can be read, or why not.
type Source<D> = Result<Rc<Partition<D>>, Refusal>;

/// What is read of one partition.
enum Plan<D: Disk> {
    Nothing(PartitionOffsets),
    Read { offsets: PartitionOffsets, segment: Rc<Segment<D>>, offset: i64, position: u64, len: usize },
}

impl<D: Disk> Partition<D> {
    pub(super) fn offsets(&self) -> PartitionOffsets {
        PartitionOffsets { start: self.start_offset(), high_watermark: self.high_watermark() }
    }
}

impl<D: Disk> Log<D> {
    pub(super) fn fetch_sources(&self, wanted: &[FetchPartition]) -> Vec<Source<D>> {
        let topics = self.topics.borrow();
        let source = |wanted: &FetchPartition| {
            let partition = topics.partition(&wanted.topic, wanted.partition)?;
            check_leader_epoch(wanted.leader_epoch)?;
            let offsets = partition.offsets();
            if !(offsets.start..=offsets.high_watermark).contains(&wanted.offset) {
                return Err(Refusal::OffsetOutOfRange);
            }
            Ok(partition)
        };
        wanted.iter().map(source).collect()
    }

    /// Whether a request must wait: it asks for more than there is, and nothing has to be told before.
    pub(super) fn is_waiting(request: &FetchRequest, sources: &[Source<D>]) -> bool {
        if request.bytes_min == 0 || sources.is_empty() {
            return false;
        }
        let enough = request.bytes_min as u64;
        let mut available = 0;
        for (wanted, source) in request.partitions.iter().zip(sources) {
            let Ok(partition) = source else { return false };
            let partition_bytes = partition.available_bytes(wanted.offset, enough);
            if partition_bytes == 0 {
                let segment = partition.live_segment();
                partition.positions.remember(segment.base_offset, wanted.offset, segment.index().end);
            }
            available += partition_bytes;
        }
        available < enough
    }

    pub(super) async fn answer_fetch(
        self: Rc<Self>,
        request: FetchRequest,
        sources: Vec<Source<D>>,
    ) -> Result<(), BrokerError> {
        let mut plans = Vec::with_capacity(sources.len());
        let (mut left, mut planned) = (request.bytes_max, 0);
        for (wanted, source) in request.partitions.iter().zip(sources) {
            let limit = wanted.bytes_max.min(left);
            let plan = match source {
                Ok(partition) => self.plan(&partition, wanted, limit, planned == 0).await.map(|plan| (partition, plan)),
                Err(refusal) => Err(refusal.into()),
            };
            let plan = self.survive(plan)?;
            if let Ok((_, Plan::Read { len, .. })) = &plan {
                left = left.saturating_sub(*len);
                planned += len;
            }
            plans.push(plan);
        }
        let permit = match planned {
            0 => None,
            bytes => Arc::clone(&self.fetch_memory).acquire_many_owned(permits_of(bytes)).await.ok(),
        };
        let mut partitions = Vec::with_capacity(plans.len());
        for plan in plans {
            let fetched = match plan {
                Ok((partition, plan)) => self.survive(self.read_planned(&partition, plan).await)?,
                Err(refusal) => Err(refusal),
            };
            partitions.push(fetched);
        }
        add(&self.counters.fetches, 1);
        // The client may have hung up meanwhile.
        drop(request.answer.send(FetchAnswer { partitions, permit }));
        Ok(())
    }

    async fn plan(
        &self,
        partition: &Partition<D>,
        wanted: &FetchPartition,
        limit: usize,
        is_first: bool,
    ) -> Result<Plan<D>, ReadError> {
        let offsets = partition.offsets();
        if wanted.offset >= offsets.high_watermark || (limit == 0 && !is_first) {
            return Ok(Plan::Nothing(offsets));
        }
        let segment = partition.segment_of(wanted.offset);
        let known = partition.positions.get(segment.base_offset, wanted.offset);
        let available = |position: u64| usize::try_from(segment.index().end - position).unwrap_or(usize::MAX);
        if let Some(position) = known
            && limit >= available(position).min(MESSAGE_BYTES_MAX)
        {
            let len = limit.min(available(position));
            return Ok(Plan::Read { offsets, segment: Rc::clone(&segment), offset: wanted.offset, position, len });
        }
        let from = known.map_or_else(|| segment.index().floor_of_offset(wanted.offset), |at| (wanted.offset, at));
        let found = segment.find(&self.place.disk, from, |header| header.next_offset() > wanted.offset).await?;
        // The high watermark says it is there.
        let Some((position, header)) = found else { return Err(Refusal::Damaged.into()) };
        if header.bytes > limit && !is_first {
            return Ok(Plan::Nothing(offsets));
        }
        let len = limit.max(header.bytes).min(available(position));
        Ok(Plan::Read { offsets, segment: Rc::clone(&segment), offset: header.base_offset, position, len })
    }

    async fn read_planned(&self, partition: &Partition<D>, plan: Plan<D>) -> Result<Fetched, ReadError> {
        match plan {
            Plan::Nothing(offsets) => Ok(Fetched { offsets, records: Bytes::new() }),
            Plan::Read { offsets, segment, offset, position, len } => {
                let (records, next_offset) = segment.read(&self.place.disk, offset, position, len).await?;
                let end = position + records.len() as u64;
                partition.positions.remember(segment.base_offset, next_offset, end);
                add(&self.counters.fetched_bytes, records.len());
                Ok(Fetched { offsets, records })
            }
        }
    }

    /// Turns what only concerns one partition into its refusal; what is left ends the log.
    pub(super) fn survive<T>(&self, result: Result<T, ReadError>) -> Result<Result<T, Refusal>, BrokerError> {
        match result {
            Ok(value) => Ok(Ok(value)),
            Err(ReadError::Refusal(refusal)) => Ok(Err(refusal)),
            Err(ReadError::Broker(error @ BrokerError::Damaged { .. })) => {
                add(&self.counters.damaged_batches, 1);
                tracing::error!(%error, "a partition cannot be read");
                Ok(Err(Refusal::Damaged))
            }
            // Retention removed the segment between finding and reading it.
            Err(ReadError::Broker(BrokerError::Disk(error))) if error.kind == DiskErrorKind::NotFound => {
                Ok(Err(Refusal::OffsetOutOfRange))
            }
            Err(ReadError::Broker(error)) => Err(error),
        }
    }
}

/// A read failed.
pub(super) enum ReadError {
    Refusal(Refusal),
    Broker(BrokerError),
}

impl From<Refusal> for ReadError {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<BrokerError> for ReadError {
    fn from(error: BrokerError) -> Self {
        Self::Broker(error)
    }
}

/// `-1` says nothing; any other is compared with ours.
pub(super) fn check_leader_epoch(epoch: i32) -> Result<(), Refusal> {
    match epoch {
        ..=-1 | LEADER_EPOCH => Ok(()),
        _ => Err(Refusal::NewLeaderEpoch),
    }
}
