//! Telling Kafka how far the log on disk is: durable marks only, in Mimir's meaning, with our stamp.
//!
//! The group stores the *last consumed record*, so a partition of which nothing was consumed has no commit. The stamp is how a
//! commit of ours is told from an operator's order at the next start. Failures are tried again with the next round.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka::{Client, CommitPosition, KafkaError, KafkaOptions};
use model::{Offset, PartitionId};
use tokio::time::Instant;
use tsdb::wal::Generation;

use super::ShardHandle;

/// Version of the stamp's format.
const PREFIX: &str = "wellhead/1";
const WRITER_BYTES_MAX: usize = 128;

/// What the metadata string of our commits says: `wellhead/1 writer=<id> generation=<n> lsn=<n> time=<unix ms>`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitStamp {
    pub writer: String,
    pub generation: Generation,
    /// Last synced frame since the writer's start; 0 before the first.
    pub lsn: u64,
    pub time_ms: i64,
}

impl fmt::Display for CommitStamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { writer, generation, lsn, time_ms } = self;
        write!(f, "{PREFIX} writer={writer} generation={} lsn={lsn} time={time_ms}", generation.0)
    }
}

impl CommitStamp {
    /// Reads a stamp; none where the metadata is not ours.
    #[must_use]
    pub fn parse(metadata: &str) -> Option<Self> {
        let mut words = metadata.split(' ');
        if words.next() != Some(PREFIX) {
            return None;
        }
        let mut field = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Self {
            writer: field("writer")?.to_owned(),
            generation: Generation(field("generation")?.parse().ok()?),
            lsn: field("lsn")?.parse().ok()?,
            time_ms: field("time")?.parse().ok()?,
        })
    }
}

/// How often to commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CommitRhythm {
    /// If a mark has moved.
    pub changed: Duration,
    /// In any case, so that a live node can be told from a dead one.
    pub always: Duration,
}

/// Commits the durable marks of a shard's partitions.
pub(super) struct Committer {
    client: Client,
    handle: ShardHandle,
    /// With `<partition>` where each partition has a group of its own.
    group: String,
    writer: String,
    generations: BTreeMap<PartitionId, Generation>,
    /// The committed mark and when.
    told: BTreeMap<PartitionId, (Offset, Instant)>,
    is_failing: bool,
}

impl Committer {
    pub(super) fn new(
        kafka: KafkaOptions,
        handle: ShardHandle,
        group: String,
        writer: &str,
        generations: BTreeMap<PartitionId, Generation>,
    ) -> Self {
        let writer = writer.chars().map(|c| if c.is_whitespace() { '_' } else { c });
        let mut writer: String = writer.collect();
        while writer.len() > WRITER_BYTES_MAX {
            writer.pop();
        }
        let client = Client::new(kafka);
        Self { client, handle, group, writer, generations, told: BTreeMap::new(), is_failing: false }
    }

    /// Commits again and again; ends only with its task.
    pub(super) async fn run(&mut self, rhythm: CommitRhythm) {
        loop {
            tokio::time::sleep(rhythm.changed).await;
            self.commit(rhythm.always).await;
        }
    }

    /// Commits what has moved, and what was not committed for `always`.
    pub(super) async fn commit(&mut self, always: Duration) {
        let mut groups: BTreeMap<String, Vec<(PartitionId, Offset)>> = BTreeMap::new();
        for (partition, durable) in self.due(always) {
            groups.entry(group_of(&self.group, partition)).or_default().push((partition, durable));
        }
        for (group, marks) in groups {
            let result = self.commit_group(&group, &marks).await;
            self.note(&marks, result);
        }
    }

    fn due(&self, always: Duration) -> Vec<(PartitionId, Offset)> {
        let durable = |state: &super::PartitionState| Some((state.partition(), state.durable()?));
        let is_due = |(partition, durable): &(PartitionId, Offset)| {
            let told = self.told.get(partition);
            durable.0 > 0 && told.is_none_or(|(told, at)| told != durable || at.elapsed() >= always)
        };
        self.handle.partitions().iter().filter_map(durable).filter(is_due).collect()
    }

    async fn commit_group(&mut self, group: &str, marks: &[(PartitionId, Offset)]) -> Result<(), KafkaError> {
        let time_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
        let lsn = self.handle.durable_lsn();
        let positions = marks.iter().map(|(partition, durable)| {
            let generation = self.generations.get(partition).copied().unwrap_or(Generation(1));
            let stamp = CommitStamp { writer: self.writer.clone(), generation, lsn, time_ms };
            CommitPosition { partition: partition.0, offset: durable.0 - 1, metadata: stamp.to_string() }
        });
        let positions: Vec<CommitPosition> = positions.collect();
        self.client.commit(group, &positions).await
    }

    fn note(&mut self, marks: &[(PartitionId, Offset)], result: Result<(), KafkaError>) {
        for (partition, durable) in marks {
            let Some(state) = self.handle.partition(*partition) else { continue };
            state.companion.commits.fetch_add(1, Ordering::Relaxed);
            if result.is_ok() {
                state.companion.committed.set(*durable);
            } else {
                state.companion.commit_failures.fetch_add(1, Ordering::Relaxed);
            }
        }
        match result {
            Ok(()) => {
                let now = Instant::now();
                self.told.extend(marks.iter().map(|(partition, durable)| (*partition, (*durable, now))));
                if std::mem::take(&mut self.is_failing) {
                    tracing::info!("offsets are committed again");
                }
            }
            Err(error) => {
                self.client.reset();
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!("cannot commit offsets, trying again every second: {error}");
                }
            }
        }
    }
}

/// The group's name for a partition.
pub(super) fn group_of(group: &str, partition: PartitionId) -> String {
    group.replace("<partition>", &partition.to_string())
}
