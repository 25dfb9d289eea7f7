//! Deletes old segments: by age or size, never past the retention floor, never the records that a reader of ours still needs.

use std::rc::Rc;

use disk::Disk;

use super::Log;
use super::partition::Partition;
use super::segment::Segment;
use crate::counters::add;
use crate::error::BrokerError;
use crate::options::RetentionFloor;

impl<D: Disk> Log<D> {
    pub(super) async fn retain(&self, now_ms: i64) -> Result<(), BrokerError> {
        if self.retention.age.is_none() && self.retention.partition_bytes.is_none() {
            return Ok(());
        }
        let partitions = self.topics.borrow().partitions();
        for partition in partitions {
            self.retain_partition(&partition, now_ms).await?;
        }
        Ok(())
    }

    async fn retain_partition(&self, partition: &Partition<D>, now_ms: i64) -> Result<(), BrokerError> {
        let (disk, space) = (&self.place.disk, &self.place.space);
        loop {
            let segments = partition.segments();
            let oldest = &segments[0];
            if oldest.index().is_empty() || !self.may_delete(partition, oldest, now_ms) {
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

    fn may_delete(&self, partition: &Partition<D>, oldest: &Rc<Segment<D>>, now_ms: i64) -> bool {
        let floor = match self.retention.floor {
            RetentionFloor::Free => i64::MAX,
            RetentionFloor::Given => partition.retention_floor.get().unwrap_or(i64::MIN),
        };
        let index = oldest.index();
        let is_old = self.retention.age.is_some_and(|age| {
            let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
            index.max_timestamp.saturating_add(age_ms) < now_ms
        });
        let is_over = self.retention.partition_bytes.is_some_and(|bytes| partition.data_bytes() >= bytes + index.end);
        index.end_offset <= floor && (is_old || is_over)
    }
}
