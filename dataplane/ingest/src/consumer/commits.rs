//! Telling Kafka how far the log on disk is, and seeing what others tell it.
//!
//! Durable marks only, in Mimir's meaning (the *last consumed record*), with our stamp. Before each commit the group is read: a
//! commit that this node did not write is an operator's order, or another node's. Failures are tried again with the next round.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka::{Client, CommitMeaning, CommitPosition, CommitStamp, CommittedOffset, KafkaError, KafkaOptions};
use model::{Offset, PartitionId};
use tokio::time::Instant;
use tsdb::wal::StartupPosition;

use super::ShardHandle;
use super::orders::PositionText;

/// An operator's commit that was found while the partition runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct GroupOrder {
    pub partition: PartitionId,
    pub next: Offset,
    pub commit: CommittedOffset,
}

/// Whose group, and as whom.
#[derive(Clone, Debug)]
pub(super) struct GroupIdentity {
    /// With `<partition>` where each partition has a group of its own.
    pub group: String,
    /// See [`CommitStamp::writer_of`].
    pub writer: String,
}

/// What the start has found, for each partition.
#[derive(Clone, Default, Debug)]
pub(super) struct GroupState {
    /// Commits that are understood.
    pub known: BTreeMap<PartitionId, CommittedOffset>,
    pub positions: BTreeMap<PartitionId, StartupPosition>,
}

/// Commits the durable marks of a shard's partitions.
pub(super) struct Committer {
    client: Client,
    handle: ShardHandle,
    identity: GroupIdentity,
    state: GroupState,
    /// The committed mark and when.
    told: BTreeMap<PartitionId, (Offset, Instant)>,
    /// Partitions that do not go on before they are committed.
    owed: BTreeSet<PartitionId>,
    is_failing: bool,
}

impl Committer {
    pub(super) fn new(kafka: KafkaOptions, handle: ShardHandle, identity: GroupIdentity, state: GroupState) -> Self {
        let client = Client::new(kafka);
        Self { client, handle, identity, state, told: BTreeMap::new(), owed: BTreeSet::new(), is_failing: false }
    }

    /// Reads the group. Orders are found again until [`Committer::understand`] is told of them.
    ///
    /// # Errors
    /// The group cannot be read: nothing may be committed over what may stand there.
    pub(super) async fn look(&mut self) -> Result<Vec<GroupOrder>, KafkaError> {
        let mut groups: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for partition in self.handle.partitions().iter().map(|state| state.partition()) {
            groups.entry(group_of(&self.identity.group, partition)).or_default().push(partition.0);
        }
        let mut orders = Vec::new();
        for (group, partitions) in groups {
            let mut found = match self.client.committed(&group, &partitions).await {
                Ok(found) => found,
                Err(error) => {
                    self.note_failure(&error);
                    return Err(error);
                }
            };
            for partition in partitions.into_iter().map(PartitionId) {
                match found.remove(&partition.0) {
                    // To delete a commit is no order; it is written again.
                    None => drop(self.state.known.remove(&partition)),
                    Some(commit) if self.state.known.get(&partition) == Some(&commit) => {}
                    Some(commit) => orders.extend(self.judge(partition, commit)),
                }
            }
        }
        Ok(orders)
    }

    fn judge(&mut self, partition: PartitionId, commit: CommittedOffset) -> Option<GroupOrder> {
        match CommitMeaning::of(&commit) {
            CommitMeaning::Order { next } => return Some(GroupOrder { partition, next: Offset(next), commit }),
            // Ours: the answer to it was lost.
            CommitMeaning::Progress { stamp: Some(stamp), .. } if stamp.writer == self.identity.writer => {}
            CommitMeaning::Progress { stamp, .. } => {
                let state = self.handle.partition(partition).expect("a partition of this shard");
                if state.companion.foreign_commits.fetch_add(1, Ordering::Relaxed) == 0 {
                    let writer = stamp.map_or_else(|| "of another release".to_owned(), |stamp| stamp.writer);
                    tracing::warn!(
                        partition = partition.0,
                        writer,
                        "another node commits to this node's group; that moves nothing here: give each node its own group"
                    );
                }
            }
        }
        self.understand(partition, commit);
        None
    }

    /// What the group says of the partition is dealt with: the next commit replaces it.
    pub(super) fn understand(&mut self, partition: PartitionId, commit: CommittedOffset) {
        self.state.known.insert(partition, commit);
    }

    /// The partition has moved and is committed with the next round, wherever it stands.
    pub(super) fn owe(&mut self, partition: PartitionId) {
        self.told.remove(&partition);
        self.owed.insert(partition);
    }

    pub(super) fn is_owed(&self, partition: PartitionId) -> bool {
        self.owed.contains(&partition)
    }

    /// Commits what has moved, what is owed, and what was not committed for `always`; but nothing over `orders`.
    pub(super) async fn commit(&mut self, always: Duration, orders: &[GroupOrder]) {
        let mut groups: BTreeMap<String, Vec<(PartitionId, Offset)>> = BTreeMap::new();
        for (partition, durable) in self.due(always) {
            if orders.iter().all(|order| order.partition != partition) {
                groups.entry(group_of(&self.identity.group, partition)).or_default().push((partition, durable));
            }
        }
        for (group, marks) in groups {
            let positions: Vec<CommitPosition> =
                marks.iter().map(|(partition, durable)| self.position(*partition, *durable)).collect();
            let result = self.client.commit(&group, &positions).await;
            self.note(&marks, positions, &result);
        }
    }

    fn due(&self, always: Duration) -> Vec<(PartitionId, Offset)> {
        let durable = |state: &super::PartitionState| Some((state.partition(), state.durable()?));
        let is_due = |(partition, durable): &(PartitionId, Offset)| {
            let told = self.told.get(partition);
            let is_old = told.is_none_or(|(told, at)| told != durable || at.elapsed() >= always);
            self.owed.contains(partition) || (durable.0 > 0 && is_old)
        };
        self.handle.partitions().iter().filter_map(durable).filter(is_due).collect()
    }

    fn position(&self, partition: PartitionId, durable: Offset) -> CommitPosition {
        let state = self.handle.partition(partition).expect("a partition of this shard");
        let stamp = CommitStamp {
            writer: self.identity.writer.clone(),
            generation: state.generation().0,
            lsn: self.handle.durable_lsn(),
            time_ms: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64),
            next: (durable.0 == 0).then_some(0),
            position: self.state.positions.get(&partition).map(|position| PositionText(*position).to_string()),
        };
        CommitPosition { partition: partition.0, offset: (durable.0 - 1).max(0), metadata: stamp.to_string() }
    }

    fn note(
        &mut self,
        marks: &[(PartitionId, Offset)],
        positions: Vec<CommitPosition>,
        result: &Result<(), KafkaError>,
    ) {
        for (partition, durable) in marks {
            let Some(state) = self.handle.partition(*partition) else { continue };
            state.companion.commits.fetch_add(1, Ordering::Relaxed);
            if result.is_ok() {
                state.companion.committed.set(*durable);
            } else {
                state.companion.commit_failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Err(error) = result {
            self.note_failure(error);
            return;
        }
        let now = Instant::now();
        self.told.extend(marks.iter().map(|(partition, durable)| (*partition, (*durable, now))));
        for CommitPosition { partition, offset, metadata } in positions {
            self.owed.remove(&PartitionId(partition));
            self.state.known.insert(PartitionId(partition), CommittedOffset { offset, metadata });
        }
        if std::mem::take(&mut self.is_failing) {
            tracing::info!("offsets are committed again");
        }
    }

    fn note_failure(&mut self, error: &KafkaError) {
        self.client.reset();
        if !std::mem::replace(&mut self.is_failing, true) {
            tracing::warn!("cannot commit offsets, trying again every second: {error}");
        }
    }
}

/// The group's name for a partition.
pub(super) fn group_of(group: &str, partition: PartitionId) -> String {
    group.replace("<partition>", &partition.to_string())
}
