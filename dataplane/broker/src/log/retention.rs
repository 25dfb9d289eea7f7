//! Deletes old segments: by age or size, never past the retention floor, never the records that a reader of ours still needs.

use std::rc::Rc;
use std::time::Duration;

use disk::Disk;

use super::Log;
use super::partition::Partition;
use super::segment::Segment;
use super::topic_configs::TopicSetting;
use super::topics::Topic;
use crate::counters::add;
use crate::error::BrokerError;
use crate::options::RetentionFloor;

/// What may be deleted of one topic.
struct Limits {
    age_ms: Option<i64>,
    partition_bytes: Option<u64>,
    has_floor: bool,
}

impl<D: Disk> Log<D> {
    pub(super) async fn retain(&self, now_ms: i64) -> Result<(), BrokerError> {
        let topics = self.topics.borrow().all();
        for topic in topics {
            let limits = self.limits_of(&topic);
            if limits.age_ms.is_none() && limits.partition_bytes.is_none() {
                continue;
            }
            for partition in &topic.partitions {
                self.retain_partition(partition, &limits, now_ms).await?;
            }
        }
        Ok(())
    }

    fn limits_of(&self, topic: &Topic<D>) -> Limits {
        let in_ms = |age: Duration| i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let configs = topic.configs.get();
        // A negative one says that there is none.
        let chosen = |setting| configs.get(setting).map(|value| u64::try_from(value).ok());
        let age_ms = configs.get(TopicSetting::RetentionMs).map(|age_ms| (age_ms >= 0).then_some(age_ms));
        Limits {
            age_ms: age_ms.unwrap_or_else(|| self.retention.age.map(in_ms)),
            partition_bytes: chosen(TopicSetting::RetentionBytes).unwrap_or(self.retention.partition_bytes),
            has_floor: match &self.retention.floor {
                RetentionFloor::Free => false,
                RetentionFloor::Given => true,
                RetentionFloor::GivenFor(name) => *name == topic.description.name,
            },
        }
    }

    async fn retain_partition(
        &self,
        partition: &Partition<D>,
        limits: &Limits,
        now_ms: i64,
    ) -> Result<(), BrokerError> {
        let (disk, space) = (&self.place.disk, &self.place.space);
        loop {
            let segments = partition.segments();
            let oldest = &segments[0];
            if oldest.index().is_empty() || !may_delete(partition, limits, oldest, now_ms) {
                return Ok(());
            }
            if segments.len() == 1 {
                // Its place is taken by an empty segment: offsets go on where they were.
                match partition.roll(disk, space).await {
                    Err(error) if error.kind == disk::DiskErrorKind::NoSpace => return Ok(()),
                    rolled => rolled?,
                }
            }
            partition.remove_oldest(disk, space).await?;
            add(&self.counters.segments_deleted, 1);
        }
    }
}

fn may_delete<D: Disk>(partition: &Partition<D>, limits: &Limits, oldest: &Rc<Segment<D>>, now_ms: i64) -> bool {
    let floor = if limits.has_floor { partition.retention_floor.get().unwrap_or(i64::MIN) } else { i64::MAX };
    let index = oldest.index();
    let is_old = limits.age_ms.is_some_and(|age_ms| index.max_timestamp.saturating_add(age_ms) < now_ms);
    let is_over = limits.partition_bytes.is_some_and(|bytes| partition.data_bytes() >= bytes.saturating_add(index.end));
    index.end_offset <= floor && (is_old || is_over)
}
