//! Fetching one partition, for as long as the node runs.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka::batch::Batches;
use kafka::{Client, FetchError, FetchLimits, FetchPosition, FetchedPartition, Fetcher};
use model::{Offset, PartitionId};
use tokio::time::Instant;
use tsdb::wal::{Generation, LogIdentity};

use super::start::{LogBounds, VerifyError, bounds, verify};
use super::{BatchSink, FetchOptions, Handed, Health, LogMismatch, PartitionState, RawBatch, ShardHandle};

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// An empty answer that comes at once is followed by such a pause: a broker that does not wait must not be flooded.
const IDLE_PAUSE: Duration = Duration::from_millis(20);
/// A batch that does not come whole is asked for with more room, up to this.
const FETCH_BYTES_MAX: i32 = 128 << 20;
/// Of bytes that cannot be framed, so much is kept.
const UNFRAMED_BYTES_MAX: usize = 1 << 20;

/// The task of one partition.
pub(super) struct PartitionTask {
    handle: ShardHandle,
    slot: usize,
    partition: PartitionId,
    options: Rc<FetchOptions>,
    identity: LogIdentity,
    generation: Generation,
    /// The next offset to fetch.
    position: Offset,
    fetcher: Fetcher,
    bytes_max: i32,
    pause: Duration,
    /// Since when there is no good answer.
    failing_since: Option<Instant>,
    /// The log was cut once: what comes next must be recognized first.
    must_verify: bool,
}

impl PartitionTask {
    pub(super) fn new(
        handle: ShardHandle,
        slot: usize,
        options: Rc<FetchOptions>,
        identity: LogIdentity,
        generation: Generation,
        position: Offset,
    ) -> Self {
        let partition = handle.partitions()[slot].partition();
        let fetcher = Fetcher::new(options.kafka.clone());
        let bytes_max = options.fetch_bytes_max;
        Self {
            handle,
            slot,
            partition,
            options,
            identity,
            generation,
            position,
            fetcher,
            bytes_max,
            pause: PAUSE_MIN,
            failing_since: None,
            must_verify: false,
        }
    }

    /// Ends only with its task.
    pub(super) async fn run(mut self, sink: impl BatchSink) {
        loop {
            sink.room(self.slot).await;
            let begin = Instant::now();
            let limits = FetchLimits { bytes_max: self.bytes_max, wait_max: self.options.fetch_wait_max };
            let position = FetchPosition { partition: self.partition.0, offset: self.position.0 };
            // The fetcher bounds connecting and asking; this bounds whatever it may forget.
            let answer_max = answer_max(&self.options);
            let answer = tokio::time::timeout(answer_max, self.fetcher.fetch(position, limits)).await;
            self.state().companion.fetches.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok(Ok(fetched)) => self.take(fetched, begin, &sink).await,
                Ok(Err(error)) => self.fail(error, &sink).await,
                Err(_) => {
                    self.fetcher = Fetcher::new(self.options.kafka.clone());
                    self.gone(format!("no answer within {} s", answer_max.as_secs())).await;
                }
            }
        }
    }

    fn state(&self) -> &PartitionState {
        &self.handle.partitions()[self.slot]
    }

    async fn take(&mut self, fetched: FetchedPartition, begin: Instant, sink: &impl BatchSink) {
        if !self.is_same_log().await {
            return;
        }
        self.recover();
        let state = self.state();
        let high_watermark = Offset(fetched.high_watermark);
        state.companion.high_watermark.set(high_watermark);
        state.companion.log_start.set(Offset(fetched.log_start.max(0)));
        state.companion.fetched_bytes.fetch_add(fetched.records.len() as u64, Ordering::Relaxed);
        if fetched.records.is_empty() {
            if begin.elapsed() < IDLE_PAUSE {
                tokio::time::sleep(IDLE_PAUSE).await;
            }
            return;
        }
        match frame(&fetched.records, self.position, high_watermark) {
            Framed::Whole { next } => {
                self.bytes_max = self.options.fetch_bytes_max;
                self.hand_over(next, Handed::Records(fetched.records), sink);
            }
            Framed::Partial if self.bytes_max < FETCH_BYTES_MAX => {
                self.bytes_max = self.bytes_max.saturating_mul(4).min(FETCH_BYTES_MAX);
            }
            Framed::Partial | Framed::Broken => {
                let kept = fetched.records.len().min(UNFRAMED_BYTES_MAX);
                let kept = Bytes::copy_from_slice(&fetched.records[..kept]);
                self.hand_over(Offset(self.position.0 + 1), Handed::Unframed(kept), sink);
            }
        }
    }

    fn hand_over(&mut self, next: Offset, handed: Handed, sink: &impl BatchSink) {
        let raw =
            RawBatch { partition: self.partition, generation: self.generation, expected: self.position, next, handed };
        // Nobody else fills the slot. If it were full all the same, the position stays and it is fetched again.
        if sink.put(self.slot, raw.bytes(), raw).is_ok() {
            self.position = next;
            self.state().companion.fetched.set(next);
        }
    }

    async fn fail(&mut self, error: FetchError, sink: &impl BatchSink) {
        self.state().companion.fetch_errors.fetch_add(1, Ordering::Relaxed);
        match error {
            FetchError::OffsetOutOfRange { .. } => self.out_of_range(sink).await,
            FetchError::UnknownTopic => {
                let since = self.note_failure("the broker does not know the topic");
                self.state().set_companion_health(Health::UnknownTopic { since: since.into_std() });
                self.rest().await;
            }
            FetchError::LeaderChanged { .. } => self.rest().await,
            FetchError::Kafka(error) => self.gone(error.to_string()).await,
        }
    }

    /// Below the start: retention was faster; that is told and passed over. Above the end: the log was cut.
    async fn out_of_range(&mut self, sink: &impl BatchSink) {
        let mut client = Client::new(self.options.kafka.clone());
        match bounds(&mut client, self.partition).await {
            Err(error) => self.gone(error.to_string()).await,
            Ok(LogBounds { start, .. }) if self.position < start => {
                self.recover();
                self.hand_over(start, Handed::Gone, sink);
            }
            Ok(LogBounds { end, .. }) if self.position > end => {
                let (partition, next) = (self.partition, self.position);
                self.must_verify = true;
                self.stuck(&LogMismatch::Cut { partition, next, end }).await;
            }
            // It moved between the two questions.
            Ok(_) => self.rest().await,
        }
    }

    /// False while what answers is not the log that was consumed so far.
    async fn is_same_log(&mut self) -> bool {
        let found = self.fetcher.topic();
        if let Some(found) = found.filter(|found| found.topic_id != self.identity.topic_id) {
            let what = format!(
                "the topic {} has the id {} now, it had {}",
                self.identity.topic_name,
                hex(&found.topic_id),
                hex(&self.identity.topic_id)
            );
            self.stuck(&LogMismatch::OtherTopic { what }).await;
            return false;
        }
        if !self.must_verify {
            return true;
        }
        let facts = match self.handle.start_facts() {
            Ok(facts) => facts.answer().await,
            Err(error) => Err(error),
        };
        let last = facts.ok().and_then(|facts| facts.marks.get(&self.partition).and_then(|marks| marks.last()));
        let Some(last) = last else { return true };
        let limits = FetchLimits { bytes_max: 1, wait_max: Duration::ZERO };
        match verify(&mut self.fetcher, limits, self.partition, &last).await {
            Ok(_) => {
                self.must_verify = false;
                true
            }
            Err(VerifyError::Mismatch(mismatch)) => {
                self.stuck(&mismatch).await;
                false
            }
            Err(VerifyError::Fetch(error)) => {
                self.gone(error.to_string()).await;
                false
            }
        }
    }

    async fn stuck(&mut self, mismatch: &LogMismatch) {
        let why = mismatch.to_string();
        self.note_failure(&why);
        self.state().set_companion_health(Health::Stuck { why });
        self.pause = PAUSE_MAX;
        self.rest().await;
    }

    async fn gone(&mut self, why: String) {
        self.state().companion.fetch_errors.fetch_add(1, Ordering::Relaxed);
        let since = self.note_failure(&why);
        self.state().set_companion_health(Health::BrokerGone { since: since.into_std(), why });
        self.rest().await;
    }

    /// One log line an outage.
    fn note_failure(&mut self, why: &str) -> Instant {
        let partition = self.partition.0;
        *self.failing_since.get_or_insert_with(|| {
            tracing::warn!(partition, "not consuming, trying again: {why}");
            Instant::now()
        })
    }

    fn recover(&mut self) {
        self.pause = PAUSE_MIN;
        let Some(since) = self.failing_since.take() else { return };
        let state = self.state();
        let is_caught_up = state.companion.is_caught_up.load(Ordering::Acquire);
        state.set_companion_health(if is_caught_up { Health::Consuming } else { Health::CatchingUp });
        tracing::info!(partition = self.partition.0, seconds = since.elapsed().as_secs(), "consuming again");
    }

    async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}

/// The bound of a whole fetch: finding the leader, connecting, asking.
fn answer_max(options: &FetchOptions) -> Duration {
    let kafka = &options.kafka;
    3 * (kafka.dial_timeout + kafka.request_timeout) + options.fetch_wait_max
}

/// What fetched bytes hold, by their frames alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Framed {
    /// Whole batches up to `next`.
    Whole { next: Offset },
    /// Not even one whole batch.
    Partial,
    /// Something that is no batch.
    Broken,
}

/// Looks at the frames only. Offsets behind the high watermark are none: no broker serves such.
pub(super) fn frame(fetched: &[u8], position: Offset, high_watermark: Offset) -> Framed {
    let mut next = position.0;
    let mut is_broken = false;
    let mut batches = Batches::new(fetched);
    while let Some(frame) = batches.next_batch() {
        let end = match frame {
            Ok(batch) => Some(batch.next_offset),
            Err(broken) => broken.next_offset,
        };
        let Some(end) = end.filter(|end| *end <= high_watermark.0) else {
            is_broken = true;
            break;
        };
        next = next.max(end);
    }
    match (next > position.0, is_broken) {
        (true, _) => Framed::Whole { next: Offset(next) },
        (false, true) => Framed::Broken,
        (false, false) => Framed::Partial,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
