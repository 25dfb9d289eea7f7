//! Changes of groups within a turn, other than commits: what outlives their members is kept, groups and offsets are removed.

use std::sync::Arc;

use disk::Disk;

use super::Log;
use super::group_frames::{Frame, OffsetKey, append};
use super::request::{DeleteOffsets, StoredGroup};
use crate::counters::add;
use crate::error::{BrokerError, Refusal};

impl<D: Disk> Log<D> {
    pub(super) async fn save_group(&self, group: StoredGroup) -> Result<Result<(), Refusal>, BrokerError> {
        if !self.groups.borrow().has_room_for_group(&group.name) {
            return Ok(Err(Refusal::TooMany));
        }
        self.write_or_refuse(vec![Frame::Group(group)]).await
    }

    pub(super) async fn delete_group(&self, group: Arc<str>) -> Result<Result<(), Refusal>, BrokerError> {
        if self.groups.borrow().find(&group).is_none() {
            return Ok(Err(Refusal::UnknownGroup));
        }
        self.write_or_refuse(vec![Frame::GroupRemoved(group)]).await
    }

    pub(super) async fn delete_offsets(
        &self,
        request: DeleteOffsets,
    ) -> Result<Result<Vec<Result<(), Refusal>>, Refusal>, BrokerError> {
        if self.groups.borrow().find(&request.group).is_none() {
            return Ok(Err(Refusal::UnknownGroup));
        }
        let mut frames = Vec::new();
        let mut outcomes = Vec::with_capacity(request.partitions.len());
        for (topic, partition) in &request.partitions {
            let topics = self.topics.borrow();
            let found = topics.partition(topic, *partition).and_then(|_| topics.find(topic));
            outcomes.push(found.as_ref().map(drop).map_err(|refusal| *refusal));
            let Ok(topic) = found else { continue };
            let key =
                OffsetKey { group: Arc::clone(&request.group), topic: topic.description.id, partition: *partition };
            if self.groups.borrow().get(&key.group, key.topic, key.partition).is_some() {
                frames.push(Frame::OffsetRemoved(key));
            }
        }
        Ok(self.write_or_refuse(frames).await?.map(|()| outcomes))
    }

    async fn write_or_refuse(&self, frames: Vec<Frame>) -> Result<Result<(), Refusal>, BrokerError> {
        let is_written = self.write_frames(frames).await?;
        self.rewrite_groups().await?;
        Ok(if is_written { Ok(()) } else { Err(Refusal::NoSpace) })
    }

    /// Appends, syncs and publishes. `false`: there is no room, and nothing changed.
    pub(super) async fn write_frames(&self, frames: Vec<Frame>) -> Result<bool, BrokerError> {
        let file = self.groups.borrow().file();
        if !append(&file, &frames).await? {
            return Ok(false);
        }
        add(&self.counters.syncs, 1);
        frames.into_iter().for_each(|frame| self.groups.borrow_mut().publish(frame));
        Ok(true)
    }

    /// Writes the file anew where most of it is replaced frames.
    pub(super) async fn rewrite_groups(&self) -> Result<(), BrokerError> {
        let rewrite = self.groups.borrow().to_rewrite();
        if let Some(rewrite) = rewrite
            && let Some(file) = rewrite.write(&self.place.disk).await?
        {
            self.groups.borrow_mut().replace_file(file);
        }
        Ok(())
    }
}
