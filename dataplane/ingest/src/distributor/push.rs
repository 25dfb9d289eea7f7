//! One push, from the compressed body to the acknowledgement.

use std::cell::RefCell;
use std::sync::Arc;

use kafka::Producer;
use model::{FingerprintKey, TenantId};
use wire::{Inflater, LabelLimits};

use super::counters::DistributorCounters;
use super::outcome::{PushError, PushOutcome};
use super::records::PartitionRecord;
use super::ring::PartitionRing;
use super::sink::RecordSink;
use super::split::{Splitter, Tally};

/// Limits of a distributor.
#[derive(Clone, Debug)]
pub struct DistributorOptions {
    pub labels: LabelLimits,
    /// How far in the future a sample may lie, in milliseconds.
    pub grace_ms: i64,
    pub inflated_bytes_max: usize,
    pub record_bytes_max: usize,
    /// Series whose token is remembered, those of all tenants together; at most about 90 bytes each.
    pub cached_series_max: usize,
}

/// A buffer that grew beyond this for one request is given back.
const KEPT_BUFFER_BYTES: usize = 16 << 20;

/// Lives on one companion thread.
pub struct Distributor<S = Producer> {
    inflated_bytes_max: usize,
    sink: S,
    counters: Arc<DistributorCounters>,
    working: RefCell<Working>,
}

/// What is used again from push to push.
struct Working {
    inflater: Inflater,
    splitter: Splitter,
}

impl<S: RecordSink> Distributor<S> {
    /// `key` may differ from the one of the topic: the fingerprints do not leave the distributor.
    pub fn new(options: DistributorOptions, key: FingerprintKey, ring: Arc<PartitionRing>, sink: S) -> Self {
        let counters = Arc::<DistributorCounters>::default();
        let inflated_bytes_max = options.inflated_bytes_max;
        let splitter = Splitter::new(options, key, ring, counters.clone());
        let working = RefCell::new(Working { inflater: Inflater::default(), splitter });
        Self { inflated_bytes_max, sink, counters, working }
    }

    #[must_use]
    pub fn counters(&self) -> Arc<DistributorCounters> {
        self.counters.clone()
    }

    /// Takes a remote write 1 body (snappy) and answers once Kafka has all that was good in it.
    ///
    /// # Errors
    /// The body cannot be read (nothing is stored), or Kafka did not confirm (something may be).
    pub async fn push(&self, tenant: &TenantId, body: &[u8], now_ms: i64) -> Result<PushOutcome, PushError> {
        self.counters.requests.add(1);
        let result = self.push_counted(tenant, body, now_ms).await;
        if result.is_err() {
            self.counters.requests_failed.add(1);
        }
        result
    }

    async fn push_counted(&self, tenant: &TenantId, body: &[u8], now_ms: i64) -> Result<PushOutcome, PushError> {
        let (records, tally) = self.split(tenant, body, now_ms)?;
        if !records.is_empty() {
            self.counters.records.add(records.len() as u64);
            self.counters.record_bytes.add(records.iter().map(|record| record.value.len() as u64).sum());
            self.sink.produce(tenant, records, now_ms).await?;
        }
        self.counters.samples_accepted.add(tally.samples_accepted);
        Ok(PushOutcome { samples_accepted: tally.samples_accepted, refusals: tally.refusals })
    }

    /// Everything between the body and the records; no await, so the working buffers are borrowed once.
    fn split(&self, tenant: &TenantId, body: &[u8], now_ms: i64) -> Result<(Vec<PartitionRecord>, Tally), PushError> {
        let Working { inflater, splitter } = &mut *self.working.borrow_mut();
        self.counters.body_bytes.add(body.len() as u64);
        let inflated = inflater.inflate(body, self.inflated_bytes_max)?;
        self.counters.inflated_bytes.add(inflated.len() as u64);
        let split = splitter.split(tenant, inflated, now_ms);
        inflater.shrink(KEPT_BUFFER_BYTES);
        Ok(split?)
    }
}

#[cfg(test)]
mod push_test;
