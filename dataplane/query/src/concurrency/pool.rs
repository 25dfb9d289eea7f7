//! A fixed number of threads that queries run on, behind a queue with a bound. A full queue is a value.
//!
//! Query threads block while they wait for shards, so they are plain threads and not tasks. The deadline counts from the
//! moment a query is handed in: waiting in the queue is part of what the client waits for.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::Watch;

/// How a pool runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolOptions {
    /// Queries that run at a time; at least 1.
    pub threads: usize,
    /// Queries that wait for a thread.
    pub waiting_max: usize,
    /// From handing in to the answer.
    pub time_max: Duration,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { threads: 2, waiting_max: 100, time_max: Duration::from_secs(120) }
    }
}

/// The queue has no room: the client should come back later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("too many outstanding requests: all {threads} query threads are busy and {waiting_max} queries wait already")]
pub struct PoolFull {
    pub threads: usize,
    pub waiting_max: usize,
}

/// Figures since the start of the pool, and its state now.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct PoolCounters {
    pub finished: u64,
    /// Handed in while the queue was full.
    pub refused: u64,
    /// Given up by the client before a thread took them.
    pub abandoned: u64,
    pub running: u64,
    pub waiting: u64,
}

/// Threads for queries. Dropping it cancels what runs and waits for the threads.
pub struct QueryPool {
    options: PoolOptions,
    /// Absent once the pool ends.
    queue: Option<Sender<Job>>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    watch: Watch,
    work: Box<dyn FnOnce(&Watch) + Send>,
}

#[derive(Default)]
struct Shared {
    is_stopping: Arc<AtomicBool>,
    finished: AtomicU64,
    refused: AtomicU64,
    abandoned: AtomicU64,
    running: AtomicU64,
}

/// A query that was handed in. Dropping it says that nobody waits for the answer any more.
#[derive(Debug)]
pub struct QueryTicket(Watch);

impl Drop for QueryTicket {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl QueryPool {
    /// Starts the threads. Each runs `at_start` first, which may lower its priority.
    ///
    /// # Errors
    /// A thread cannot be started.
    ///
    /// # Panics
    /// The options name no thread.
    pub fn start(options: PoolOptions, at_start: impl Fn() + Send + Sync + 'static) -> io::Result<Self> {
        assert!(options.threads > 0, "a pool needs a thread");
        let (queue, jobs) = bounded(options.waiting_max);
        let at_start = Arc::new(at_start);
        let mut pool = Self { options, queue: Some(queue), shared: Arc::default(), threads: Vec::new() };
        for index in 0..options.threads {
            let (jobs, shared, at_start) = (jobs.clone(), pool.shared.clone(), at_start.clone());
            let thread = std::thread::Builder::new().name(format!("query-{index}"));
            let thread = thread.spawn(move || {
                at_start();
                run(&jobs, &shared);
            })?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    #[must_use]
    pub fn options(&self) -> PoolOptions {
        self.options
    }

    /// Hands in a query; `work` gives its answer to whoever waits by its own means. A query whose ticket was dropped before a
    /// thread took it is dropped unseen; one whose deadline passed in the queue does run, and its watch says so.
    ///
    /// # Errors
    /// The queue is full.
    pub fn submit(&self, work: impl FnOnce(&Watch) + Send + 'static) -> Result<QueryTicket, PoolFull> {
        let queue = self.queue.as_ref().expect("the queue ends with the pool");
        let watch = Watch::within(Instant::now() + self.options.time_max, self.shared.is_stopping.clone());
        match queue.try_send(Job { watch: watch.clone(), work: Box::new(work) }) {
            Ok(()) => Ok(QueryTicket(watch)),
            Err(TrySendError::Full(_)) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                let PoolOptions { threads, waiting_max, .. } = self.options;
                Err(PoolFull { threads, waiting_max })
            }
            Err(TrySendError::Disconnected(_)) => panic!("the query threads end only with the pool"),
        }
    }

    #[must_use]
    pub fn counters(&self) -> PoolCounters {
        PoolCounters {
            finished: self.shared.finished.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            abandoned: self.shared.abandoned.load(Ordering::Relaxed),
            running: self.shared.running.load(Ordering::Relaxed),
            waiting: self.queue.as_ref().map_or(0, |queue| queue.len() as u64),
        }
    }
}

impl Drop for QueryPool {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
        self.queue = None;
        for thread in self.threads.drain(..) {
            // A thread that ended early has ended the process: see `AbortOnUnwind`.
            let _ = thread.join();
        }
    }
}

fn run(jobs: &Receiver<Job>, shared: &Shared) {
    for Job { watch, work } in jobs {
        if watch.is_canceled() {
            shared.abandoned.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        shared.running.fetch_add(1, Ordering::Relaxed);
        let guard = AbortOnUnwind;
        work(&watch);
        std::mem::forget(guard);
        shared.running.fetch_sub(1, Ordering::Relaxed);
        shared.finished.fetch_add(1, Ordering::Relaxed);
    }
}

/// A panic is a bug and ends the process, in builds that unwind as well: a pool that loses its threads one by one would hang.
struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        std::process::abort();
    }
}
