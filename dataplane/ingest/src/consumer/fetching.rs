//! The companion's side: find the start, then fetch, hand over, commit, watch, and obey orders.
//!
//! One task per partition, with its own connection, so that a slow or missing leader concerns its partitions only. Not
//! fetching is the back-pressure: a task waits for its slot first. Every call has a time-out, and the task is the one owner of
//! its retries, with a pause of at most two seconds. Runs inside of a tokio `LocalSet`.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kafka::{Client, CommitStamp, FetchLimits, Fetcher, KafkaError, KafkaOptions, OffsetAt};
use model::Offset;
use tokio::sync::watch;
use tokio::time::Instant;
use tsdb::wal::LogIdentity;

use super::commits::{Committer, GroupIdentity, GroupState, group_of};
use super::orders::{Decision, Evidence, OrderBeyondEnd, Start, Undecided, Winner};
use super::start::{VerifyError, bounds, newest_record_ms, offset_at, verify};
use super::steward::Steward;
use super::watcher::watch_progress;
use super::{BatchSink, Health, LogMismatch, NoSuchTime, ReadError, ShardHandle, StartFacts, StartPosition};

/// One record is enough to compare, and it is there or not.
const ONE_RECORD: FetchLimits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };

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
    /// Commit so often where something has moved, and look for orders.
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
    #[error(transparent)]
    Order(#[from] OrderBeyondEnd),
    #[error(transparent)]
    Time(#[from] NoSuchTime),
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

impl From<Undecided> for FetchingError {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::Mismatch(mismatch) => mismatch.into(),
            Undecided::Order(order) => order.into(),
        }
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
    decisions: Vec<Decision>,
    group: GroupState,
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
        let mut steward = self.steward(started);
        let asked = self.handle.facts.resets.open();
        let result = tokio::select! {
            error = steward.run(asked) => Err(error),
            result = watch_progress(&self.handle, self.options.caught_up_age_max) => result,
            () = stopped(&mut stop) => Ok(()),
        };
        steward.stop_tasks().await;
        result?;
        self.stop_shard().await?;
        const LAST_COMMIT_MAX: Duration = Duration::from_secs(5);
        if tokio::time::timeout(LAST_COMMIT_MAX, steward.commit_last()).await.is_err() {
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

    /// Starts the partitions; those that an order has moved wait for our stamp in the group.
    fn steward(&self, started: Started) -> Steward<S> {
        let Started { identity, decisions, group } = started;
        let FetchOptions { kafka, group: name, .. } = &*self.options;
        let names = GroupIdentity { group: name.clone(), writer: self.writer() };
        let mut steward = Steward {
            handle: self.handle.clone(),
            sink: self.sink.clone(),
            options: self.options.clone(),
            identity,
            committer: Committer::new(kafka.clone(), self.handle.clone(), names, group),
            client: Client::new(kafka.clone()),
            tasks: decisions.iter().map(|_| None).collect(),
            unacknowledged: BTreeSet::new(),
        };
        for (slot, decision) in decisions.iter().enumerate() {
            let partition = self.handle.partitions()[slot].partition();
            if matches!(decision.start, Start::Move(_)) || decision.is_ordered {
                steward.committer.owe(partition);
            }
            if decision.is_ordered {
                steward.unacknowledged.insert(slot);
            } else {
                steward.release(slot, decision.start.next());
            }
        }
        steward
    }

    fn writer(&self) -> String {
        CommitStamp::writer_of(&self.options.writer)
    }

    /// Finds out whose log it is and where to go on; tries again until the time is over.
    async fn start(&self) -> Result<Started, FetchingError> {
        const PAUSE_MAX: Duration = Duration::from_secs(2);
        let begin = Instant::now();
        let mut pause = Duration::from_millis(100);
        loop {
            match self.try_start().await {
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

    async fn try_start(&self) -> Result<Started, StartFailure> {
        let options = &*self.options;
        let StartFacts { marks } = self.handle.start_facts()?.answer().await?;
        let mut client = Client::new(options.kafka.clone());
        let topic = client.topic_info().await?;
        let identity = LogIdentity {
            cluster_id: topic.cluster_id,
            topic_id: topic.topic_id,
            topic_name: options.kafka.topic.clone(),
        };
        let noted = self.handle.set_identity(identity.clone())?.answer().await?;
        noted.map_err(|error| FetchingError::from(LogMismatch::OtherTopic { what: error.to_string() }))?;

        let mut fetcher = Fetcher::new(options.kafka.clone());
        let (mut decisions, mut group) = (Vec::new(), GroupState::default());
        for state in self.handle.partitions() {
            let (partition, marks) = (state.partition(), &marks[&state.partition()]);
            let bounds = bounds(&mut client, partition).await?;
            let name = group_of(&options.group, partition);
            let commit = client.committed(&name, &[partition.0]).await?.remove(&partition.0);
            let (writer, position) = (&*self.writer(), options.position);
            let evidence = Evidence { partition, marks, commit: commit.as_ref(), writer, position, bounds };
            let decision = self.decide(&mut client, &mut fetcher, &evidence).await?;
            if let (Winner::Wal, Some(last)) = (decision.winner, marks.last()) {
                verify(&mut fetcher, ONE_RECORD, partition, &last).await?;
            }
            state.companion.log_start.set(bounds.start);
            state.companion.high_watermark.set(bounds.end);
            let obeyed = match decision.winner {
                Winner::Configuration => position.configured(),
                _ => evidence.position_known(),
            };
            group.positions.extend(obeyed.map(|position| (partition, position)));
            group.known.extend(commit.map(|commit| (partition, commit)));
            decisions.push(decision);
        }
        self.carry_out(&decisions).await?;
        Ok(Started { identity, decisions, group })
    }

    /// Tells the store. Everything was decided before, so a refusal changes nothing.
    async fn carry_out(&self, decisions: &[Decision]) -> Result<(), StartFailure> {
        let (mut starts, mut moves) = (Vec::new(), Vec::new());
        for (state, decision) in self.handle.partitions().iter().zip(decisions) {
            match decision.start {
                Start::Resume(_) => {}
                Start::At(offset) => starts.push((state.partition(), offset)),
                Start::Move(order) => moves.push(order),
            }
        }
        self.handle.start_at(starts)?.answer().await?;
        if !moves.is_empty() {
            self.handle.reset_store(moves)?.answer().await?;
        }
        for (state, decision) in self.handle.partitions().iter().zip(decisions) {
            let (partition, offset) = (state.partition().0, decision.start.next().0);
            if let Start::Move(_) = decision.start {
                state.companion.resets.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(partition, offset, "consuming starts where it was ordered: {}", decision.winner.why());
            } else {
                tracing::info!(partition, offset, "consuming starts: {}", decision.winner.why());
            }
            state.companion.fetched.set(decision.start.next());
            state.set_companion_health(Health::CatchingUp);
        }
        Ok(())
    }

    async fn decide(
        &self,
        client: &mut Client,
        fetcher: &mut Fetcher,
        evidence: &Evidence<'_>,
    ) -> Result<Decision, StartFailure> {
        let at_time = match evidence.position {
            StartPosition::Timestamp { unix_ms } if evidence.winner() == Winner::Configuration => {
                self.offset_of_time(client, fetcher, evidence, unix_ms).await?
            }
            _ => None,
        };
        evidence.warn_of_a_lost_end();
        evidence.decide(at_time).map_err(|undecided| StartFailure::Final(undecided.into()))
    }

    /// The offset of a time; none where the partition has no record so late *yet*.
    async fn offset_of_time(
        &self,
        client: &mut Client,
        fetcher: &mut Fetcher,
        evidence: &Evidence<'_>,
        unix_ms: i64,
    ) -> Result<Option<Offset>, StartFailure> {
        let (partition, bounds) = (evidence.partition, evidence.bounds);
        if let Some(found) = offset_at(client, partition, OffsetAt::Time { unix_ms }).await? {
            return Ok(Some(found));
        }
        let newest_ms = newest_record_ms(fetcher, ONE_RECORD, partition, bounds).await;
        let newest_ms = newest_ms.map_err(|error| StartFailure::Retry(error.to_string()))?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
        if unix_ms > now_ms {
            return Err(FetchingError::from(NoSuchTime { partition, unix_ms, now_ms, newest_ms }).into());
        }
        tracing::warn!(
            partition = partition.0,
            unix_ms,
            ?newest_ms,
            end = bounds.end.0,
            "the partition has no record of the configured time or later: all that comes from now on is consumed"
        );
        Ok(None)
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

impl From<ReadError> for StartFailure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Busy => Self::Retry(error.to_string()),
            _ => Self::Final(error.into()),
        }
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
