//! A turn: all changes that waited, in their order; produces and commits that follow one another share their syncs.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use disk::Disk;
use futures_util::future::{join, join_all};
use tokio::sync::oneshot;

use super::Log;
use super::group_frames::{Commit, Frame, OffsetKey};
use super::partition::Partition;
use super::request::{Change, CommitRequest, FetchRequest, ProduceBatch, ProduceRequest, Produced};
use super::topic_configs::TopicSetting;
use crate::batch::RecordBatch;
use crate::counters::add;
use crate::error::{BrokerError, Refusal};

/// Produces and commits that are synced together.
#[derive(Default)]
struct Group {
    produces: Vec<ProduceRequest>,
    commits: Vec<CommitRequest>,
}

/// The batches of one partition in a group, with the produce and the place in it that each came from.
struct Appends<'a, D: Disk> {
    partition: Rc<Partition<D>>,
    batches: Vec<&'a RecordBatch>,
    places: Vec<(usize, usize)>,
}

impl<D: Disk> Log<D> {
    /// Does all changes and gives the fetches that need not wait any longer.
    pub(super) async fn turn(self: Rc<Self>, changes: Vec<Change>) -> Result<Vec<FetchRequest>, BrokerError> {
        add(&self.counters.turns, 1);
        let mut woken = Vec::new();
        let mut group = Group::default();
        for change in changes {
            match change {
                Change::Produce(request) => group.produces.push(request),
                Change::Commit(request) => group.commits.push(request),
                other => {
                    self.sync_group(std::mem::take(&mut group), &mut woken).await?;
                    self.change(other, &mut woken).await?;
                }
            }
        }
        self.sync_group(group, &mut woken).await?;
        Ok(woken)
    }

    async fn change(&self, change: Change, woken: &mut Vec<FetchRequest>) -> Result<(), BrokerError> {
        match change {
            Change::Produce(_) | Change::Commit(_) => unreachable!("they are grouped"),
            // Who asked may have gone; what was done stays.
            Change::CreateTopic(new, answer) => drop(answer.send(self.create_topic(new).await?)),
            Change::AlterConfigs(wanted, answer) => drop(answer.send(self.alter_configs(wanted).await?)),
            Change::NewProducerId(answer) => drop(answer.send(self.new_producer_id().await?)),
            Change::DeleteRecords(wanted, answer) => drop(answer.send(self.delete_records(wanted).await?)),
            Change::CreatePartitions(more, answer) => drop(answer.send(self.create_partitions(more).await?)),
            Change::SaveGroup(group, answer) => drop(answer.send(self.save_group(group).await?)),
            Change::DeleteGroup(group, answer) => drop(answer.send(self.delete_group(group).await?)),
            Change::DeleteOffsets(request, answer) => drop(answer.send(self.delete_offsets(request).await?)),
            Change::DeleteTopic(topic, answer) => drop(answer.send(self.delete_topic(&topic, woken).await?)),
            Change::RetentionFloor { topic, partition, offset } => {
                if let Ok(partition) = self.topics.borrow().partition(&topic, partition) {
                    partition.retention_floor.set(Some(offset));
                }
            }
            Change::Retain { now_ms } => self.retain(now_ms).await?,
        }
        Ok(())
    }

    async fn sync_group(&self, group: Group, woken: &mut Vec<FetchRequest>) -> Result<(), BrokerError> {
        if group.produces.is_empty() && group.commits.is_empty() {
            return Ok(());
        }
        let (produced, committed) = join(self.produce(&group.produces, woken), self.commit(group.commits)).await;
        committed?;
        for (request, outcomes) in group.produces.into_iter().zip(produced?) {
            // A producer that hung up does not undo what is written.
            drop(request.answer.send(outcomes));
        }
        Ok(())
    }

    async fn produce(
        &self,
        requests: &[ProduceRequest],
        woken: &mut Vec<FetchRequest>,
    ) -> Result<Vec<Vec<Result<Produced, Refusal>>>, BrokerError> {
        let mut outcomes: Vec<Vec<_>> = Vec::with_capacity(requests.len());
        let mut appends: Vec<Appends<'_, D>> = Vec::new();
        let mut place_of = HashMap::new();
        for (request_place, request) in requests.iter().enumerate() {
            let mut request_outcomes = Vec::with_capacity(request.batches.len());
            for (batch_place, wanted) in request.batches.iter().enumerate() {
                let found = self.partition_for(wanted);
                request_outcomes.push(Err(found.as_ref().err().copied().unwrap_or(Refusal::Stopping)));
                let Ok(partition) = found else { continue };
                let place = *place_of.entry(Rc::as_ptr(&partition)).or_insert(appends.len());
                if place == appends.len() {
                    appends.push(Appends { partition, batches: Vec::new(), places: Vec::new() });
                }
                appends[place].batches.push(&wanted.batch);
                appends[place].places.push((request_place, batch_place));
            }
            outcomes.push(request_outcomes);
        }
        let (disk, space) = (&self.place.disk, &self.place.space);
        let running = appends.iter().map(|work| work.partition.append(disk, space, &self.counters, &work.batches));
        let appended = join_all(running).await;
        for (work, appended) in appends.iter().zip(appended) {
            let start_offset = work.partition.start_offset();
            for ((request_place, batch_place), outcome) in work.places.iter().zip(appended?) {
                outcomes[*request_place][*batch_place] =
                    outcome.map(|base_offset| Produced { base_offset, start_offset });
            }
            self.wake(&work.partition, woken);
        }
        Ok(outcomes)
    }

    fn partition_for(&self, wanted: &ProduceBatch) -> Result<Rc<Partition<D>>, Refusal> {
        let topics = self.topics.borrow();
        let partition = topics.partition(&wanted.topic, wanted.partition)?;
        let bytes_max = topics.find(&wanted.topic)?.configs.get().get(TopicSetting::MaxMessageBytes);
        if bytes_max.is_some_and(|max| wanted.batch.len() as i64 > max) {
            return Err(Refusal::MessageTooLarge);
        }
        Ok(partition)
    }

    pub(super) fn wake(&self, partition: &Partition<D>, woken: &mut Vec<FetchRequest>) {
        let is_due = |request: &FetchRequest| !Self::is_waiting(request, &self.fetch_sources(&request.partitions));
        woken.extend(self.waiter_count.take_due(partition, is_due));
    }

    async fn commit(&self, requests: Vec<CommitRequest>) -> Result<(), BrokerError> {
        if requests.is_empty() {
            return Ok(());
        }
        let mut commits = Vec::new();
        let mut answers = Vec::new();
        for request in requests {
            let (offsets, answer): (_, oneshot::Sender<_>) = (request.offsets, request.answer);
            let mut outcomes = Vec::with_capacity(offsets.len());
            for offset in offsets {
                let checked = self.check_commit(&request.group, offset);
                outcomes.push(checked.as_ref().map(|_| ()).map_err(|refusal| *refusal));
                commits.extend(checked);
            }
            answers.push((answer, outcomes));
        }
        let commit_count = commits.len();
        let is_written = self.write_frames(commits.into_iter().map(Frame::Offset).collect()).await?;
        if is_written {
            add(&self.counters.commits, commit_count);
        }
        for (answer, mut outcomes) in answers {
            if !is_written {
                outcomes.iter_mut().filter(|outcome| outcome.is_ok()).for_each(|it| *it = Err(Refusal::NoSpace));
            }
            // Who asked may have gone; the commit stays.
            drop(answer.send(outcomes));
        }
        self.rewrite_groups().await
    }

    fn check_commit(&self, group: &Arc<str>, offset: super::request::CommitOffset) -> Result<Commit, Refusal> {
        let topics = self.topics.borrow();
        topics.partition(&offset.topic, offset.partition)?;
        let topic = topics.find(&offset.topic)?.description.id;
        let key = OffsetKey { group: Arc::clone(group), topic, partition: offset.partition };
        if !self.groups.borrow().has_room_for(&key) {
            return Err(Refusal::TooMany);
        }
        Ok(Commit { key, committed: offset.committed })
    }
}
