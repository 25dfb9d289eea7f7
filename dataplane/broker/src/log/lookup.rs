//! Looking up offsets: begin, end, by time; and what groups committed.

use std::rc::Rc;
use std::sync::Arc;

use disk::Disk;

use super::Log;
use super::fetch::{ReadError, check_leader_epoch};
use super::partition::Partition;
use super::request::{CommittedQuery, CommittedTopic, OffsetAnswer, OffsetAt, OffsetQuery, TopicRef};
use super::segment::Segment;
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
            OffsetAt::MaxTimestamp => {
                let newest = partition.segments().iter().map(|segment| segment.index().max_timestamp).max();
                match newest {
                    Some(timestamp) if timestamp > i64::MIN => self.batch_at(&partition, timestamp).await,
                    _ => Ok(OffsetAnswer::Nothing),
                }
            }
        }
    }

    /// The first batch with a record that is not before `timestamp`.
    async fn batch_at(&self, partition: &Partition<D>, timestamp: i64) -> Result<OffsetAnswer, ReadError> {
        let is_late =
            |segment: &Rc<Segment<D>>| segment.index().max_timestamp >= timestamp && !segment.index().is_empty();
        let Some(segment) = partition.segments().into_iter().find(is_late) else { return Ok(OffsetAnswer::Nothing) };
        let from = segment.index().floor_of_timestamp(timestamp);
        let found = segment.find(&self.place.disk, from, |header| header.max_timestamp >= timestamp).await?;
        let Some((position, header)) = found else { return Err(Refusal::Damaged.into()) };
        let permit = Arc::clone(&self.fetch_memory).acquire_many_owned(permits_of(header.bytes)).await.ok();
        let (batch, _) = segment.read(&self.place.disk, header.base_offset, position, header.bytes).await?;
        Ok(OffsetAnswer::InBatch { batch, permit })
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
