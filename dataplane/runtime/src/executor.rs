//! One executor: a thread, pinned to a CPU or not, with an io_uring and futures that never leave it.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use glommio::{Latency, LocalExecutorBuilder, Placement, Shares};

/// Memory that an executor registers for direct I/O; more comes from the allocator. It is registered with each of three rings
/// and counts three times against the limit of locked memory: see `LOCKED_BYTES_PER_EXECUTOR`.
const IO_MEMORY_BYTES: usize = 64 << 10;
/// Requests that a ring takes at once.
const RING_DEPTH: usize = 128;

/// The ring is looked at between runs of futures only. With the library's 100 ms, a future that always yields (a scan of
/// series) would hold back a log's completed write for so long.
const RUN_TIME_MAX: Duration = Duration::from_millis(1);
/// When the run time ends between a wake and the run that it asked for, the ring library (0.12) parks with that future still
/// queued: with 1 ms of run time one wake in a hundred thousand was lost on two busy cores. So only the queue of the executor's
/// own futures has that run time; where no future of it is ready it is this long, at the start above all.
const QUIET_RUN_TIME_MAX: Duration = Duration::from_secs(5);
/// An executor is up at least so often, which makes up for a lost wake. These futures are of the quiet queue; still a wake of
/// theirs is lost while the other queue has something to do. Hence several, each slower than the one before: while one is lost
/// the next is still to come, also after a pause in which the faster ones all fell due at once.
const HEARTBEATS: [Duration; 8] = {
    let mut periods = [Duration::from_millis(10); 8];
    let mut index = 1;
    while index < periods.len() {
        periods[index] = periods[index - 1].saturating_mul(3);
        index += 1;
    }
    periods
};
/// How long an executor that is done waits for requests that are still with the kernel.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// How an executor runs.
#[derive(Clone, Debug)]
pub struct ExecutorSpec {
    /// Name of the thread, cut to 15 bytes by the kernel.
    pub name: String,
    pub cpu: Option<usize>,
}

/// A running executor.
pub struct Executor<T>(std::thread::JoinHandle<Result<T, String>>);

impl<T> Executor<T> {
    /// Waits until its future has ended.
    ///
    /// # Errors
    /// It could not be built, or it panicked: with the message.
    pub fn join(self) -> Result<T, String> {
        self.0.join().unwrap_or_else(|panic| Err(panic_message(panic.as_ref())))
    }

    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    format!("panicked: {}", text.unwrap_or_else(|| "without a message".to_owned()))
}

/// Starts a thread with an executor on it and runs the future that `make` gives there.
///
/// # Errors
/// The thread cannot be started. What the executor itself meets comes with [`Executor::join`].
pub fn spawn_executor<M, F, T>(spec: ExecutorSpec, make: M) -> Result<Executor<T>, String>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future<Output = T> + 'static,
    T: Send + 'static,
{
    let thread = std::thread::Builder::new().name(spec.name.clone());
    let run = move || {
        let placement = spec.cpu.map_or(Placement::Unbound, Placement::Fixed);
        let executor = LocalExecutorBuilder::new(placement)
            .name(&spec.name)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            .preempt_timer(QUIET_RUN_TIME_MAX)
            .make()
            .map_err(|error| format!("cannot build the executor {}: {error}", spec.name))?;
        Ok(executor.run(async move {
            HEARTBEATS.into_iter().for_each(|period| spawn_local(heartbeat(period)).detach());
            let queue =
                glommio::executor().create_task_queue(Shares::default(), Latency::Matters(RUN_TIME_MAX), "futures");
            let own = async move {
                let value = make().await;
                drain().await;
                value
            };
            glommio::spawn_local_into(own, queue).expect("the queue was just made").await
        }))
    };
    thread.spawn(run).map(Executor).map_err(|error| format!("cannot start a thread: {error}"))
}

async fn heartbeat(period: Duration) {
    loop {
        sleep(period).await;
    }
}

thread_local! {
    static IN_FLIGHT: Cell<usize> = const { Cell::new(0) };
    static IS_ABANDONED: Cell<bool> = const { Cell::new(false) };
}

/// Counts a request to the kernel or to the blocking thread from its start to its answer.
pub(crate) struct InFlight(());

impl InFlight {
    pub(crate) fn start() -> Self {
        IN_FLIGHT.set(IN_FLIGHT.get() + 1);
        Self(())
    }

    pub(crate) fn finish(self) {
        IN_FLIGHT.set(IN_FLIGHT.get() - 1);
        std::mem::forget(self);
    }
}

impl Drop for InFlight {
    /// Nobody waits for the answer any more, but the kernel may still be at it.
    fn drop(&mut self) {
        IS_ABANDONED.set(true);
        IN_FLIGHT.set(IN_FLIGHT.get() - 1);
    }
}

/// The kernel writes into buffers of reads in flight, and the blocking thread answers into the executor (or panics): both
/// must be over before the executor goes away.
async fn drain() {
    const STEP: Duration = Duration::from_millis(2);
    const ABANDONED_STEPS: u32 = 25;
    let steps_max = DRAIN_TIME_MAX.as_millis() / STEP.as_millis();
    let mut quiet_steps = 0;
    for _ in 0..steps_max {
        let is_quiet = IN_FLIGHT.get() == 0;
        if is_quiet && (!IS_ABANDONED.get() || quiet_steps >= ABANDONED_STEPS) {
            return;
        }
        quiet_steps = if is_quiet { quiet_steps + 1 } else { 0 };
        sleep(STEP).await;
    }
    tracing::warn!(requests = IN_FLIGHT.get(), "an executor ends with requests in flight");
}

/// A future that runs beside the others of its executor; dropped with [`LocalTask`] unless detached.
pub struct LocalTask<T>(glommio::Task<T>);

impl<T: 'static> LocalTask<T> {
    /// Waits for its end.
    pub async fn join(self) -> T {
        self.0.await
    }

    /// Lets it run on its own.
    pub fn detach(self) {
        self.0.detach();
    }
}

/// Runs a future on the executor of the calling thread.
///
/// # Panics
/// The calling thread runs no executor.
pub fn spawn_local<T: 'static>(future: impl Future<Output = T> + 'static) -> LocalTask<T> {
    LocalTask(glommio::spawn_local(future))
}

/// Waits; the executor goes on with other futures.
pub async fn sleep(duration: Duration) {
    glommio::timer::sleep(duration).await;
}

/// Lets every other future that is ready go first.
pub async fn yield_now() {
    glommio::executor().yield_now().await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn spec(cpu: Option<usize>) -> ExecutorSpec {
        ExecutorSpec { name: "test".to_owned(), cpu }
    }

    #[test]
    fn futures_run_on_their_cpu_and_give_back_a_value() {
        let cpu = crate::usable_cpus()[0];
        let executor = spawn_executor(spec(Some(cpu)), move || async move {
            let task = spawn_local(async { 1 });
            sleep(Duration::from_millis(1)).await;
            yield_now().await;
            (task.join().await, crate::usable_cpus())
        });
        assert_eq!(executor.unwrap().join(), Ok((1, vec![cpu])));
    }

    #[test]
    fn a_panic_comes_back_as_an_error() {
        let executor = spawn_executor(spec(None), || async { panic!("a bug of {}", 7) });
        assert_eq!(executor.unwrap().join(), Err::<(), _>("panicked: a bug of 7".to_owned()));
    }

    /// Each step needs a wake in both directions, so a lost one that nothing makes up for would stop this for ever.
    #[test]
    fn no_lost_wake_stops_an_executor() {
        let (ping, mut ping_receive) = tokio::sync::mpsc::channel::<u32>(4);
        let (pong, mut pong_receive) = tokio::sync::mpsc::channel::<u32>(4);
        let executor = spawn_executor(spec(None), move || async move {
            while let Some(number) = ping_receive.recv().await {
                pong.send(number + 1).await.unwrap();
            }
        });
        for number in 0..20_000 {
            ping.blocking_send(number).unwrap();
            assert_eq!(pong_receive.blocking_recv(), Some(number + 1));
        }
        drop(ping);
        executor.unwrap().join().unwrap();
    }

    /// A first run that is lost is lost for ever: nothing else is there that could wake the executor.
    #[test]
    fn executors_start_on_busy_cores() {
        let is_over = Arc::new(AtomicBool::new(false));
        let busy = |_| {
            let is_over = is_over.clone();
            std::thread::spawn(move || while !is_over.load(Ordering::Relaxed) {})
        };
        let busy: Vec<_> = (0..12).map(busy).collect();
        for _ in 0..12 {
            let start = |number| spawn_executor(spec(None), move || async move { number }).unwrap();
            let executors: Vec<_> = (0..64).map(start).collect();
            for (number, executor) in executors.into_iter().enumerate() {
                assert_eq!(executor.join(), Ok(number));
            }
        }
        is_over.store(true, Ordering::Relaxed);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[test]
    fn channels_of_tokio_wake_an_executor() {
        let (send, mut receive) = tokio::sync::mpsc::channel::<u32>(4);
        let executor = spawn_executor(spec(None), move || async move {
            let mut sum = 0;
            while let Some(number) = receive.recv().await {
                sum += number;
            }
            sum
        })
        .unwrap();
        for number in 0..1000 {
            send.blocking_send(number).unwrap();
        }
        drop(send);
        assert_eq!(executor.join(), Ok(499_500));
    }
}
