//! The companion's rounds while partitions are consumed: commit, look for orders, hold a partition, move it, let it go on.
//!
//! A partition is held by ending its task. The reset is synced before anything is fetched at the new place; what was fetched
//! before carries the former generation and is dropped by the executor. An order that came through the group is answered with
//! our stamp before the partition goes on, so that it is never obeyed twice.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka::{Client, KafkaError};
use model::{Offset, PartitionId};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tsdb::store::{PartitionReset, ResetDone};
use tsdb::wal::LogIdentity;

use super::commits::{Committer, GroupOrder};
use super::partition::PartitionTask;
use super::resets::{Asked, Targets};
use super::start::bounds;
use super::{BatchSink, FetchOptions, FetchingError, Health, PartitionState, ReadError, ResetRefusal, ShardHandle};

const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Runs the partitions of a shard.
pub(super) struct Steward<S: BatchSink> {
    pub(super) handle: ShardHandle,
    pub(super) sink: S,
    pub(super) options: Rc<FetchOptions>,
    pub(super) identity: LogIdentity,
    pub(super) committer: Committer,
    /// For bounds; the committer has its own connection.
    pub(super) client: Client,
    /// In the order of slots; none while held.
    pub(super) tasks: Vec<Option<JoinHandle<()>>>,
    /// Held until the group has our stamp.
    pub(super) unacknowledged: BTreeSet<usize>,
}

impl<S: BatchSink> Steward<S> {
    /// Goes on until the shard ends; may be dropped at any point, then [`Steward::stop_tasks`] comes.
    pub(super) async fn run(&mut self, mut asked: mpsc::Receiver<Asked>) -> FetchingError {
        let mut rounds = tokio::time::interval(self.options.commit_interval);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = rounds.tick() => self.round().await,
                Some(asked) = asked.recv() => self.answer(asked).await,
            };
            if let Err(error) = done {
                return error.into();
            }
        }
    }

    pub(super) async fn stop_tasks(&mut self) {
        for slot in 0..self.tasks.len() {
            self.hold(slot).await;
        }
    }

    /// The last commit; an order that came in the meantime stays for the next start.
    pub(super) async fn commit_last(&mut self) {
        if let Ok(orders) = self.committer.look().await {
            self.committer.commit(Duration::ZERO, &orders).await;
        }
    }

    /// Starts the task of a partition.
    pub(super) fn release(&mut self, slot: usize, position: Offset) {
        let state = &self.handle.partitions()[slot];
        state.companion.fetched.set(position);
        let task = PartitionTask::new(
            self.handle.clone(),
            slot,
            self.options.clone(),
            self.identity.clone(),
            state.generation(),
            position,
        );
        self.tasks[slot] = Some(tokio::task::spawn_local(task.run(self.sink.clone())));
    }

    async fn hold(&mut self, slot: usize) {
        if let Some(task) = self.tasks[slot].take() {
            task.abort();
            // Cancelled: that is what was asked for.
            let _ = task.await;
        }
    }

    async fn round(&mut self) -> Result<(), ReadError> {
        let Ok(mut orders) = self.committer.look().await else { return Ok(()) };
        for order in std::mem::take(&mut orders) {
            if self.obey(&order).await?.is_err() {
                // Not committed over: it is looked at again.
                orders.push(order);
            }
        }
        self.committer.commit(self.options.recommit_interval, &orders).await;
        self.release_acknowledged();
        Ok(())
    }

    fn release_acknowledged(&mut self) {
        let slots: Vec<usize> = self.unacknowledged.iter().copied().collect();
        for slot in slots {
            let state = &self.handle.partitions()[slot];
            let partition = state.partition();
            if self.committer.is_owed(partition) {
                continue;
            }
            let Some(position) = state.applied() else { continue };
            let is_caught_up = state.companion.is_caught_up.load(Ordering::Acquire);
            state.set_companion_health(if is_caught_up { Health::Consuming } else { Health::CatchingUp });
            self.unacknowledged.remove(&slot);
            self.release(slot, position);
            tracing::info!(partition = partition.0, offset = position.0, "consuming goes on where it was ordered");
        }
    }

    /// Obeys an order of the group; the inner error means that it could not be judged yet.
    async fn obey(&mut self, order: &GroupOrder) -> Result<Result<(), KafkaError>, ReadError> {
        let GroupOrder { partition, next, commit } = order;
        let bounds = match bounds(&mut self.client, *partition).await {
            Ok(bounds) => bounds,
            Err(error) => {
                self.client.reset();
                return Ok(Err(error));
            }
        };
        let slot = self.slot(*partition).expect("only own partitions are looked at");
        let state = &self.handle.partitions()[slot];
        if *next > bounds.end {
            state.companion.orders_refused.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                partition = partition.0,
                offset = next.0,
                end = bounds.end.0,
                "the group's commit orders an offset beyond the end of the log: not obeyed"
            );
            self.committer.understand(*partition, commit.clone());
            return Ok(Ok(()));
        }
        let why = "its order is not acknowledged to the group yet".to_owned();
        state.set_companion_health(Health::BrokerGone { since: Instant::now().into_std(), why });
        let done = self.move_to(&[(*partition, *next)]).await?;
        self.committer.understand(*partition, commit.clone());
        self.committer.owe(*partition);
        self.unacknowledged.insert(slot);
        note_resets(&done, "ordered by the group's commit");
        Ok(Ok(()))
    }

    async fn answer(&mut self, asked: Asked) -> Result<(), ReadError> {
        // Whoever asked may be gone; the order stands all the same.
        match asked {
            Asked::Check(targets, reply) => {
                let _ = reply.send(self.check(&targets).await);
            }
            Asked::Reset(targets, reply) => {
                let checked = self.check(&targets).await;
                if let Err(refusal) = checked {
                    let _ = reply.send(Err(refusal));
                    return Ok(());
                }
                let done = self.move_to(&targets).await?;
                note_resets(&done, "ordered through HTTP");
                for reset in &done {
                    self.committer.owe(reset.partition);
                    let slot = self.slot(reset.partition).expect("checked");
                    // One that waits for its stamp goes on when it has it.
                    if !self.unacknowledged.contains(&slot) {
                        self.release(slot, reset.to);
                    }
                }
                let _ = reply.send(Ok(done));
            }
        }
        Ok(())
    }

    async fn check(&mut self, targets: &Targets) -> Result<(), ResetRefusal> {
        let mut seen = BTreeSet::new();
        for (partition, _) in targets {
            if self.slot(*partition).is_none() {
                return Err(ResetRefusal::UnknownPartition { partition: *partition });
            }
            if !seen.insert(*partition) {
                return Err(ResetRefusal::NamedTwice { partition: *partition });
            }
        }
        for (partition, to) in targets {
            let bounds = bounds(&mut self.client, *partition).await.map_err(|error| {
                self.client.reset();
                ResetRefusal::Kafka { reason: error.to_string() }
            })?;
            if *to < bounds.start || *to > bounds.end {
                let (partition, to) = (*partition, *to);
                return Err(ResetRefusal::OutOfLog { partition, to, start: bounds.start, end: bounds.end });
            }
        }
        Ok(())
    }

    /// Holds the partitions and moves them; synced when this returns.
    async fn move_to(&mut self, targets: &[(PartitionId, Offset)]) -> Result<Vec<ResetDone>, ReadError> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        for (partition, _) in targets {
            let slot = self.slot(*partition).expect("checked");
            self.hold(slot).await;
        }
        let resets =
            targets.iter().map(|(partition, to)| PartitionReset { partition: *partition, to: *to, position: None });
        let resets: Vec<PartitionReset> = resets.collect();
        let reply = loop {
            match self.handle.reset_store(resets.clone()) {
                // Questions fill the inbox: they are answered soon.
                Err(ReadError::Busy) => tokio::time::sleep(BUSY_PAUSE).await,
                reply => break reply?,
            }
        };
        let done = reply.answer().await?;
        for (partition, to) in targets {
            let state = self.handle.partition(*partition).expect("checked");
            state.companion.fetched.set(*to);
            state.companion.resets.fetch_add(1, Ordering::Relaxed);
        }
        Ok(done)
    }

    fn slot(&self, partition: PartitionId) -> Option<usize> {
        self.handle.partitions().iter().position(|state: &PartitionState| state.partition() == partition)
    }
}

fn note_resets(done: &[ResetDone], why: &str) {
    for ResetDone { partition, from, to, generation } in done {
        let (partition, from, to, generation) = (partition.0, from.0, to.0, generation.0);
        tracing::warn!(partition, from, to, generation, "a partition was moved: {why}");
    }
}
