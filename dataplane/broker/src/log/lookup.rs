//! Looking up offsets: begin, end, by time; and what groups committed.

use std::cell::Cell;
use std::sync::Arc;

use disk::Disk;

use super::Log;
use super::fetch::{ReadError, check_leader_epoch};
use super::partition::Partition;
use super::request::{CommittedQuery, CommittedTopic, OffsetAnswer, OffsetAt, OffsetQuery, TopicRef};
use crate::batch::BatchHeader;
use crate::error::{BrokerError, Refusal};
use crate::handle::permits_of;

impl<D: Disk> Log<D> {
    pub(super) async fn offsets(
        &self,
        queries: Vec<OffsetQuery>,
    ) -> Result<Vec<Result<OffsetAnswer, Refusal>>, BrokerError> {
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            answers.push(self.survive(self.offset(&query).await)?);
        }
        Ok(answers)
    }

    async fn offset(&self, query: &OffsetQuery) -> Result<OffsetAnswer, ReadError> {
        let partition = self.topics.borrow().partition(&query.topic, query.partition)?;
        check_leader_epoch(query.leader_epoch)?;
        match query.at {
            OffsetAt::Start => Ok(OffsetAnswer::Offset(partition.start_offset())),
            OffsetAt::End => Ok(OffsetAnswer::Offset(partition.high_watermark())),
            OffsetAt::Timestamp(timestamp) => self.batch_at(&partition, timestamp).await,
            OffsetAt::MaxTimestamp => match self.newest_timestamp(&partition).await? {
                i64::MIN => Ok(OffsetAnswer::Nothing),
                timestamp => self.batch_at(&partition, timestamp).await,
            },
        }
    }

    /// `i64::MIN`: there is no record.
    async fn newest_timestamp(&self, partition: &Partition<D>) -> Result<i64, ReadError> {
        let start_offset = partition.start_offset();
        let newest = Cell::new(i64::MIN);
        for segment in partition.segments().iter().filter(|segment| segment.index().end_offset > start_offset) {
            let index = segment.index().clone();
            if segment.base_offset >= start_offset {
                newest.set(newest.get().max(index.max_timestamp));
                continue;
            }
            // What its index knows may be of records that were deleted.
            let see = |header: &BatchHeader| {
                let is_there = header.next_offset() > start_offset;
                newest.set(newest.get().max(if is_there { header.max_timestamp } else { i64::MIN }));
                false
            };
            segment.find(&self.place.disk, index.floor_of_offset(start_offset), see).await?;
        }
        Ok(newest.get())
    }

    /// The first batch with a record that is not before `timestamp`.
    async fn batch_at(&self, partition: &Partition<D>, timestamp: i64) -> Result<OffsetAnswer, ReadError> {
        let start_offset = partition.start_offset();
        for segment in partition.segments() {
            let index = segment.index().clone();
            if index.is_empty() || index.max_timestamp < timestamp || index.end_offset <= start_offset {
                continue;
            }
            let from = index.floor_of_timestamp(timestamp).max(index.floor_of_offset(start_offset));
            let is_it = |header: &BatchHeader| header.max_timestamp >= timestamp && header.next_offset() > start_offset;
            let Some((position, header)) = segment.find(&self.place.disk, from, is_it).await? else {
                // Of the oldest segment those records may be deleted; of another its index says that they are there.
                if segment.base_offset >= start_offset {
                    return Err(Refusal::Damaged.into());
                }
                continue;
            };
            let permit = Arc::clone(&self.fetch_memory).acquire_many_owned(permits_of(header.bytes)).await.ok();
            let (batch, _) = segment.read(&self.place.disk, header.base_offset, position, header.bytes).await?;
            return Ok(OffsetAnswer::InBatch { batch, start_offset, permit });
        }
        Ok(OffsetAnswer::Nothing)
    }

    pub(super) fn committed(&self, queries: Vec<CommittedQuery>) -> Vec<Vec<CommittedTopic>> {
        queries.into_iter().map(|query| self.committed_of(query)).collect()
    }

    fn committed_of(&self, query: CommittedQuery) -> Vec<CommittedTopic> {
        let (topics, groups) = (self.topics.borrow(), self.groups.borrow());
        let Some(wanted) = query.topics else {
            let mut found: Vec<CommittedTopic> = Vec::new();
            for (id, partition, committed) in groups.of_group(&query.group) {
                let Ok(topic) = topics.find(&TopicRef::Id(id)) else { continue };
                let name = &topic.description.name;
                if found.last().is_none_or(|last| last.name != *name) {
                    found.push(CommittedTopic { name: Arc::clone(name), partitions: Vec::new() });
                }
                let last = found.last_mut().expect("it was pushed");
                last.partitions.push((partition, Some(committed.clone())));
            }
            return found;
        };
        let committed = |(name, partitions): (Arc<str>, Vec<i32>)| {
            let id = topics.find(&TopicRef::Name(Arc::clone(&name))).map(|topic| topic.description.id);
            let of = |partition: i32| id.ok().and_then(|id| groups.get(&query.group, id, partition)).cloned();
            CommittedTopic { name, partitions: partitions.into_iter().map(|at| (at, of(at))).collect() }
        };
        wanted.into_iter().map(committed).collect()
    }
}
