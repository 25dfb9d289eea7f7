//! Where a partition is and how it fares, for `/ready` and `/metrics`. Written by a shard's two threads, read by any.
//!
//! Marks are next offsets; -1 stands for "none yet". Each field has one writer, so plain stores are enough.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::utils::CachePadded;
use model::{Offset, PartitionId};
use tsdb::wal::Generation;

/// How a partition fares now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// The store is being opened, or the start is being found.
    Starting,
    /// Behind, since the start.
    CatchingUp,
    Consuming,
    /// Not consuming, for a reason on our side that an operator must see to.
    Stuck {
        why: String,
    },
    /// Kafka does not answer, or has no leader for it.
    BrokerGone {
        since: Instant,
        why: String,
    },
    /// The broker answers and does not know the topic.
    UnknownTopic {
        since: Instant,
    },
}

impl Health {
    /// Why it does not consume; none where it does.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Starting | Self::CatchingUp | Self::Consuming => None,
            Self::Stuck { why } | Self::BrokerGone { why, .. } => Some(why),
            Self::UnknownTopic { .. } => Some("the broker does not know the topic"),
        }
    }

    /// One word, for a label.
    #[must_use]
    pub fn as_label(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::CatchingUp => "catching_up",
            Self::Consuming => "consuming",
            Self::Stuck { .. } => "stuck",
            Self::BrokerGone { .. } => "broker_gone",
            Self::UnknownTopic { .. } => "unknown_topic",
        }
    }
}

/// Something to read and a broker that answers, but no progress for so long: this node is at fault.
pub(super) const STALL_MAX: Duration = Duration::from_secs(30);

/// One partition, as shared between the threads.
#[derive(Debug)]
pub struct PartitionState {
    partition: PartitionId,
    pub(super) companion: CachePadded<CompanionSide>,
    pub(super) executor: CachePadded<ExecutorSide>,
    /// Held for the length of an assignment only, as is the one of the counters: once a batch.
    health: Mutex<Healths>,
}

/// Written by the companion.
#[derive(Debug)]
pub(super) struct CompanionSide {
    pub fetched: Mark,
    pub committed: Mark,
    pub high_watermark: Mark,
    pub log_start: Mark,
    pub is_caught_up: AtomicBool,
    /// Since when nothing was applied although there is something; 0 while it moves.
    pub stalled_ms: AtomicU64,
    pub fetches: AtomicU64,
    pub fetch_errors: AtomicU64,
    pub fetched_bytes: AtomicU64,
    pub commits: AtomicU64,
    pub commit_failures: AtomicU64,
    /// Orders that were obeyed, at the start and since.
    pub resets: AtomicU64,
    /// Orders of the group that cannot be obeyed.
    pub orders_refused: AtomicU64,
    /// Commits of other nodes that were found in the group.
    pub foreign_commits: AtomicU64,
}

/// Written by the executor.
#[derive(Debug)]
pub(super) struct ExecutorSide {
    pub generation: AtomicU32,
    pub applied: Mark,
    pub durable: Mark,
    pub last_record_ms: AtomicI64,
    pub records: AtomicU64,
    pub counters: Mutex<LoopCounters>,
}

#[derive(Debug)]
struct Healths {
    companion: Health,
    /// Wins: what the executor cannot do, no fetch makes up for.
    executor: Option<Health>,
}

/// A next offset, or none yet.
#[derive(Debug)]
pub(super) struct Mark(AtomicI64);

impl Mark {
    fn none() -> Self {
        Self(AtomicI64::new(-1))
    }

    pub(super) fn set(&self, offset: Offset) {
        self.0.store(offset.0, Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<Offset> {
        let offset = self.0.load(Ordering::Acquire);
        (offset >= 0).then_some(Offset(offset))
    }
}

/// What the executor counts of a partition besides samples.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct LoopCounters {
    /// Offsets that the log did not hold any more, or never did.
    pub missed_offsets: u64,
    /// Occasions on which offsets were missed.
    pub gaps: u64,
    pub quarantined_records: u64,
    pub quarantined_batches: u64,
    /// Quarantined without their bytes: the file is full, or the disk is.
    pub quarantine_dropped: u64,
    pub samples_stored: u64,
    pub samples_equal: u64,
    pub samples_rejected: u64,
    /// Not stored in this release.
    pub exemplars_ignored: u64,
}

/// A partition at one moment. Fields were read one after another, so marks may be out of step by a turn.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionSnapshot {
    pub partition: PartitionId,
    /// Rises with each order that moves the partition: marks may go back then. The first is 1.
    pub generation: u32,
    pub fetched: Option<Offset>,
    pub applied: Option<Offset>,
    pub durable: Option<Offset>,
    /// Told to Kafka, as a next offset; the group stores the record before it.
    pub committed: Option<Offset>,
    pub high_watermark: Option<Offset>,
    pub log_start: Option<Offset>,
    /// High watermark minus applied; none before both are known.
    pub lag: Option<u64>,
    /// Timestamp of the last applied record; none before the first since the start.
    pub last_record_ms: Option<i64>,
    pub health: Health,
    pub is_caught_up: bool,
    pub records: u64,
    pub fetches: u64,
    pub fetch_errors: u64,
    pub fetched_bytes: u64,
    pub commits: u64,
    pub commit_failures: u64,
    /// Orders that were obeyed.
    pub resets: u64,
    /// Orders of the group beyond the end of the log: not obeyed.
    pub orders_refused: u64,
    /// Commits of other nodes in this node's group.
    pub foreign_commits: u64,
    pub counters: LoopCounters,
}

/// Why a partition makes the node unready.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotReady {
    #[error("partition {partition} is starting")]
    Starting { partition: PartitionId },
    #[error("partition {partition} is catching up: {lag} records to go")]
    CatchingUp { partition: PartitionId, lag: u64 },
    #[error("partition {partition} is stuck: {why}")]
    Stuck { partition: PartitionId, why: String },
    #[error("partition {partition} does not move although there is something to read, for {seconds} s")]
    Stalled { partition: PartitionId, seconds: u64 },
    #[error("partition {partition} was never caught up and Kafka does not answer: {why}")]
    NeverCaughtUp { partition: PartitionId, why: String },
}

impl PartitionState {
    #[must_use]
    pub fn new(partition: PartitionId) -> Self {
        let zero = || AtomicU64::new(0);
        let companion = CompanionSide {
            fetched: Mark::none(),
            committed: Mark::none(),
            high_watermark: Mark::none(),
            log_start: Mark::none(),
            is_caught_up: AtomicBool::new(false),
            stalled_ms: zero(),
            fetches: zero(),
            fetch_errors: zero(),
            fetched_bytes: zero(),
            commits: zero(),
            commit_failures: zero(),
            resets: zero(),
            orders_refused: zero(),
            foreign_commits: zero(),
        };
        let executor = ExecutorSide {
            generation: AtomicU32::new(1),
            applied: Mark::none(),
            durable: Mark::none(),
            last_record_ms: AtomicI64::new(i64::MIN),
            records: zero(),
            counters: Mutex::default(),
        };
        Self {
            partition,
            companion: CachePadded::new(companion),
            executor: CachePadded::new(executor),
            health: Mutex::new(Healths { companion: Health::Starting, executor: None }),
        }
    }

    #[must_use]
    pub fn partition(&self) -> PartitionId {
        self.partition
    }

    /// The next offset to apply: a strong read waits for this mark.
    #[must_use]
    pub fn applied(&self) -> Option<Offset> {
        self.executor.applied.get()
    }

    #[must_use]
    pub fn durable(&self) -> Option<Offset> {
        self.executor.durable.get()
    }

    /// Rises with each order that moves the partition.
    #[must_use]
    pub fn generation(&self) -> Generation {
        Generation(self.executor.generation.load(Ordering::Acquire))
    }

    #[must_use]
    pub fn health(&self) -> Health {
        let health = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        health.executor.clone().unwrap_or_else(|| health.companion.clone())
    }

    pub(super) fn set_companion_health(&self, health: Health) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).companion = health;
    }

    pub(super) fn set_executor_health(&self, health: Option<Health>) {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).executor = health;
    }

    pub(super) fn set_counters(&self, counters: LoopCounters) {
        *self.executor.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    #[must_use]
    pub fn snapshot(&self) -> PartitionSnapshot {
        let (companion, executor) = (&self.companion, &self.executor);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let applied = executor.applied.get();
        let high_watermark = companion.high_watermark.get();
        let lag = applied.zip(high_watermark).map(|(applied, end)| u64::try_from(end.0 - applied.0).unwrap_or(0));
        let last_record_ms = executor.last_record_ms.load(Ordering::Relaxed);
        PartitionSnapshot {
            partition: self.partition,
            generation: self.generation().0,
            fetched: companion.fetched.get(),
            applied,
            durable: executor.durable.get(),
            committed: companion.committed.get(),
            high_watermark,
            log_start: companion.log_start.get(),
            lag,
            last_record_ms: (last_record_ms != i64::MIN).then_some(last_record_ms),
            health: self.health(),
            is_caught_up: companion.is_caught_up.load(Ordering::Acquire),
            records: count(&executor.records),
            fetches: count(&companion.fetches),
            fetch_errors: count(&companion.fetch_errors),
            fetched_bytes: count(&companion.fetched_bytes),
            commits: count(&companion.commits),
            commit_failures: count(&companion.commit_failures),
            resets: count(&companion.resets),
            orders_refused: count(&companion.orders_refused),
            foreign_commits: count(&companion.foreign_commits),
            counters: *executor.counters.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Is the node ready as far as this partition goes? Not before it was caught up once, and not while this node alone is at
    /// fault. An outage of Kafka after that leaves it ready: the body of `/ready` tells.
    ///
    /// # Errors
    /// What stands in the way.
    pub fn ready(&self) -> Result<(), NotReady> {
        let partition = self.partition;
        let snapshot = self.snapshot();
        match snapshot.health {
            Health::Stuck { why } => return Err(NotReady::Stuck { partition, why }),
            Health::Starting => return Err(NotReady::Starting { partition }),
            Health::BrokerGone { why, .. } if !snapshot.is_caught_up => {
                return Err(NotReady::NeverCaughtUp { partition, why });
            }
            Health::UnknownTopic { .. } if !snapshot.is_caught_up => {
                let why = "the topic is unknown".to_owned();
                return Err(NotReady::NeverCaughtUp { partition, why });
            }
            Health::BrokerGone { .. } | Health::UnknownTopic { .. } => return Ok(()),
            Health::CatchingUp | Health::Consuming => {}
        }
        if !snapshot.is_caught_up {
            return Err(NotReady::CatchingUp { partition, lag: snapshot.lag.unwrap_or(0) });
        }
        let stalled = Duration::from_millis(self.companion.stalled_ms.load(Ordering::Relaxed));
        if stalled >= STALL_MAX {
            return Err(NotReady::Stalled { partition, seconds: stalled.as_secs() });
        }
        Ok(())
    }
}
