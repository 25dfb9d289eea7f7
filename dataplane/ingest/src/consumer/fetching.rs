//! The companion's side: find the start, fetch, hand over, commit, watch.
//!
//! One task per partition, with its own connection, so that a slow or missing leader concerns its partitions only. Not
//! fetching is the back-pressure: a task waits for its slot first. Every call has a time-out, and the task is the one owner of
//! its retries, with a pause of at most two seconds. Runs inside of a tokio `LocalSet`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use kafka::{Client, FetchLimits, Fetcher, KafkaError, KafkaOptions, OffsetAt};
use model::{Offset, PartitionId};
use tokio::sync::watch;
use tokio::time::Instant;
use tsdb::store::PartitionMarks;
use tsdb::wal::LogIdentity;

use super::commits::{CommitRhythm, Committer, group_of};
use super::partition::PartitionTask;
use super::start::{LogBounds, Start, VerifyError, bounds, choose, offset_at, verify};
use super::watcher::watch_progress;
use super::{BatchSink, Health, LogMismatch, ReadError, ShardHandle, StartPosition};

/// How a shard's partitions are fetched and committed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchOptions {
    pub kafka: KafkaOptions,
    /// `<partition>` in it is replaced.
    pub group: String,
    /// This node, in the stamp of its commits.
    pub writer: String,
    pub position: StartPosition,
    /// Bytes of one fetch; the first batch comes whole in any case.
    pub fetch_bytes_max: i32,
    /// How long the broker may wait for something to come.
    pub fetch_wait_max: Duration,
    /// Commit so often where something has moved.
    pub commit_interval: Duration,
    /// Commit so often in any case.
    pub recommit_interval: Duration,
    /// How long the start may look for a broker that answers.
    pub start_timeout: Duration,
    /// Caught up means: the end that was seen so long ago at most is applied.
    pub caught_up_age_max: Duration,
}

/// Why fetching cannot go on. The node must not go on either.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchingError {
    #[error(transparent)]
    Mismatch(#[from] LogMismatch),
    #[error("no start from Kafka within {seconds} s: {reason}")]
    NoStart { seconds: u64, reason: String },
    #[error("the shard ended")]
    ShardEnded,
}

impl From<ReadError> for FetchingError {
    fn from(_: ReadError) -> Self {
        Self::ShardEnded
    }
}

/// A shard's companion side.
pub struct Fetching<S: BatchSink> {
    handle: ShardHandle,
    sink: S,
    options: Rc<FetchOptions>,
}

/// How one attempt at the start fails.
enum StartFailure {
    Retry(String),
    Final(FetchingError),
}

/// What the start has found.
struct Started {
    identity: LogIdentity,
    positions: Vec<Offset>,
    marks: BTreeMap<PartitionId, PartitionMarks>,
}

impl<S: BatchSink> Fetching<S> {
    #[must_use]
    pub fn new(handle: ShardHandle, sink: S, options: FetchOptions) -> Self {
        Self { handle, sink, options: Rc::new(options) }
    }

    /// Consumes until `stop` turns true; then fetching ends, the shard drains and syncs, and its last marks are committed.
    ///
    /// # Errors
    /// The start is not to be found, the log is another one, or the shard ended by itself.
    pub async fn run(self, mut stop: watch::Receiver<bool>) -> Result<(), FetchingError> {
        let started = tokio::select! {
            started = self.start() => started.inspect_err(|error| self.show_stuck(error))?,
            () = stopped(&mut stop) => return self.stop_shard().await,
        };
        let generations = started.marks.iter().map(|(partition, marks)| (*partition, marks.generation())).collect();
        let FetchOptions { kafka, group, writer, .. } = &*self.options;
        let mut committer = Committer::new(kafka.clone(), self.handle.clone(), group.clone(), writer, generations);
        let tasks = self.spawn_partitions(&started);
        let rhythm = CommitRhythm { changed: self.options.commit_interval, always: self.options.recommit_interval };
        let result = tokio::select! {
            () = committer.run(rhythm) => unreachable!("commits go on"),
            result = watch_progress(&self.handle, self.options.caught_up_age_max) => result,
            () = stopped(&mut stop) => Ok(()),
        };
        for task in tasks {
            task.abort();
            // Cancelled: that is what was asked for.
            let _ = task.await;
        }
        result?;
        self.stop_shard().await?;
        const LAST_COMMIT_MAX: Duration = Duration::from_secs(5);
        if tokio::time::timeout(LAST_COMMIT_MAX, committer.commit(Duration::ZERO)).await.is_err() {
            tracing::warn!("Kafka did not take the last commit; the write-ahead log has it");
        }
        Ok(())
    }

    async fn stop_shard(&self) -> Result<(), FetchingError> {
        Ok(self.handle.shutdown()?.answer().await?)
    }

    fn show_stuck(&self, error: &FetchingError) {
        for state in self.handle.partitions() {
            state.set_companion_health(Health::Stuck { why: error.to_string() });
        }
    }

    fn spawn_partitions(&self, started: &Started) -> Vec<tokio::task::JoinHandle<()>> {
        let tasks = started.positions.iter().enumerate().map(|(slot, position)| {
            let partition = self.handle.partitions()[slot].partition();
            let generation = started.marks[&partition].generation();
            let task = PartitionTask::new(
                self.handle.clone(),
                slot,
                self.options.clone(),
                started.identity.clone(),
                generation,
                *position,
            );
            tokio::task::spawn_local(task.run(self.sink.clone()))
        });
        tasks.collect()
    }

    /// Finds out whose log it is and where to go on; tries again until the time is over.
    async fn start(&self) -> Result<Started, FetchingError> {
        const PAUSE_MAX: Duration = Duration::from_secs(2);
        let begin = Instant::now();
        let mut pause = Duration::from_millis(100);
        let marks = self.handle.start_facts()?.answer().await?.marks;
        loop {
            match self.try_start(&marks).await {
                Ok(started) => return Ok(started),
                Err(StartFailure::Final(error)) => return Err(error),
                Err(StartFailure::Retry(reason)) => {
                    for state in self.handle.partitions() {
                        let why = reason.clone();
                        state.set_companion_health(Health::BrokerGone { since: begin.into_std(), why });
                    }
                    if begin.elapsed() + pause > self.options.start_timeout {
                        return Err(FetchingError::NoStart { seconds: self.options.start_timeout.as_secs(), reason });
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn try_start(&self, marks: &BTreeMap<PartitionId, PartitionMarks>) -> Result<Started, StartFailure> {
        let options = &*self.options;
        let mut client = Client::new(options.kafka.clone());
        let topic = client.topic_info().await?;
        let identity = LogIdentity {
            cluster_id: topic.cluster_id,
            topic_id: topic.topic_id,
            topic_name: options.kafka.topic.clone(),
        };
        let noted = self.handle.set_identity(identity.clone()).map_err(FetchingError::from)?;
        let noted = noted.answer().await.map_err(FetchingError::from)?;
        noted.map_err(|error| FetchingError::from(LogMismatch::OtherTopic { what: error.to_string() }))?;

        let mut fetcher = Fetcher::new(options.kafka.clone());
        let (mut positions, mut starts) = (Vec::new(), Vec::new());
        for state in self.handle.partitions() {
            let (partition, marks) = (state.partition(), &marks[&state.partition()]);
            let bounds = bounds(&mut client, partition).await?;
            let start = self.choose(&mut client, partition, marks, bounds).await?;
            if let (Start::Resume(_), Some(last)) = (start, marks.last()) {
                let limits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };
                verify(&mut fetcher, limits, partition, &last).await?;
            }
            if let Start::At(offset) = start {
                starts.push((partition, offset));
            }
            let (Start::Resume(position) | Start::At(position)) = start;
            state.companion.log_start.set(bounds.start);
            state.companion.high_watermark.set(bounds.end);
            state.companion.fetched.set(position);
            tracing::info!(
                partition = partition.0,
                offset = position.0,
                end = bounds.end.0,
                "consuming starts: {start:?}"
            );
            positions.push(position);
        }
        self.handle.start_at(starts).map_err(FetchingError::from)?.answer().await.map_err(FetchingError::from)?;
        for state in self.handle.partitions() {
            state.set_companion_health(Health::CatchingUp);
        }
        Ok(Started { identity, positions, marks: marks.clone() })
    }

    async fn choose(
        &self,
        client: &mut Client,
        partition: PartitionId,
        marks: &PartitionMarks,
        bounds: LogBounds,
    ) -> Result<Start, StartFailure> {
        let mut committed = None;
        if marks.applied().is_none() {
            let group = group_of(&self.options.group, partition);
            committed = client.committed(&group, &[partition.0]).await?.remove(&partition.0).map(|found| found.offset);
        }
        let at_time = match self.options.position {
            StartPosition::Timestamp { unix_ms } if marks.applied().is_none() && committed.is_none() => {
                offset_at(client, partition, OffsetAt::Time { unix_ms }).await?
            }
            _ => None,
        };
        let start = choose(marks, committed, self.options.position, bounds, at_time, partition);
        start.map_err(|mismatch| StartFailure::Final(mismatch.into()))
    }
}

impl From<KafkaError> for StartFailure {
    fn from(error: KafkaError) -> Self {
        Self::Retry(error.to_string())
    }
}

impl From<FetchingError> for StartFailure {
    fn from(error: FetchingError) -> Self {
        Self::Final(error)
    }
}

impl From<VerifyError> for StartFailure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Mismatch(mismatch) => Self::Final(mismatch.into()),
            VerifyError::Fetch(error) => Self::Retry(error.to_string()),
        }
    }
}

/// Waits until it is true, or nobody is left who could say so.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|is_stopping| *is_stopping).await;
}
