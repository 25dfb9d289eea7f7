//! One push, from the compressed body to the acknowledgement.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashMap;
use model::{FingerprintKey, RejectReason, TenantId};
use wire::{
    Inflater, LabelLimits, LabelRefusal, SeriesView, WriteRequest, WriteRequestItem, canonicalize, metadata_token,
    series_token,
};

use super::cache::TokenCache;
use super::counters::DistributorCounters;
use super::outcome::{PushError, PushOutcome, Refusal};
use super::records::{PartitionRecord, RecordBuilder, RecordSink};
use super::ring::PartitionRing;

/// Limits of a distributor.
#[derive(Clone, Debug)]
pub struct DistributorOptions {
    pub labels: LabelLimits,
    /// How far in the future a sample may lie, in milliseconds.
    pub grace_ms: i64,
    pub inflated_bytes_max: usize,
    pub record_bytes_max: usize,
    /// Series per tenant whose token is remembered.
    pub cached_series_max: usize,
}

/// Tenants whose caches are kept; beyond that all are dropped and learned again.
const TENANTS_MAX: usize = 10_000;
/// A buffer that grew beyond this for one request is given back.
const KEPT_BUFFER_BYTES: usize = 16 << 20;

/// Lives on one companion thread.
pub struct Distributor<S> {
    options: DistributorOptions,
    key: FingerprintKey,
    ring: Arc<PartitionRing>,
    sink: S,
    counters: Arc<DistributorCounters>,
    working: RefCell<Working>,
}

/// What is used again from push to push.
struct Working {
    inflater: Inflater,
    records: RecordBuilder,
    caches: HashMap<TenantId, TokenCache>,
    gathered: Vec<u8>,
    canonical: Vec<u8>,
}

/// The running result of one request.
#[derive(Default)]
struct Tally {
    received: u64,
    accepted: u64,
    refusal: Option<Refusal>,
}

impl Tally {
    fn refuse(&mut self, counters: &DistributorCounters, samples: u64, refusal: LabelRefusal) {
        counters.rejected(refusal.reason).add(samples);
        match &mut self.refusal {
            Some(first) => first.samples += samples,
            None => self.refusal = Some(Refusal { samples, reason: refusal.reason, message: refusal.message }),
        }
    }
}

impl<S: RecordSink> Distributor<S> {
    pub fn new(
        options: DistributorOptions,
        key: FingerprintKey,
        ring: Arc<PartitionRing>,
        partitions: u32,
        sink: S,
    ) -> Self {
        let working = Working {
            inflater: Inflater::default(),
            records: RecordBuilder::new(partitions, options.record_bytes_max),
            caches: HashMap::new(),
            gathered: Vec::new(),
            canonical: Vec::new(),
        };
        let counters = Arc::default();
        Self { options, key, ring, sink, counters, working: RefCell::new(working) }
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
            self.sink.produce(tenant.as_str(), records, now_ms).await?;
        }
        self.counters.samples_accepted.add(tally.accepted);
        Ok(PushOutcome { samples_accepted: tally.accepted, refusal: tally.refusal })
    }

    /// Everything between the body and the records; no await, so the working buffers are borrowed once.
    fn split(&self, tenant: &TenantId, body: &[u8], now_ms: i64) -> Result<(Vec<PartitionRecord>, Tally), PushError> {
        let working = &mut *self.working.borrow_mut();
        if working.caches.len() > TENANTS_MAX {
            working.caches.clear();
        }
        let cached_series_max = self.options.cached_series_max;
        let cache = working.caches.entry(tenant.clone()).or_insert_with(|| TokenCache::new(cached_series_max));
        let inflated = working.inflater.inflate(body, self.options.inflated_bytes_max)?;
        self.counters.body_bytes.add(body.len() as u64);
        self.counters.inflated_bytes.add(inflated.len() as u64);
        let mut split = Split {
            distributor: self,
            tenant,
            cache,
            records: &mut working.records,
            gathered: &mut working.gathered,
            canonical: &mut working.canonical,
            newest_ms: now_ms.saturating_add(self.options.grace_ms),
            tally: Tally::default(),
        };
        let walked = split.walk(inflated);
        let tally = split.tally;
        self.counters.samples_received.add(tally.received);
        self.counters.cache_series.set(cache.len() as u64);
        let records = working.records.finish();
        working.inflater.shrink(KEPT_BUFFER_BYTES);
        walked.map(|()| (records, tally))
    }
}

/// One request on its way into records.
struct Split<'a, S> {
    distributor: &'a Distributor<S>,
    tenant: &'a TenantId,
    cache: &'a mut TokenCache,
    records: &'a mut RecordBuilder,
    gathered: &'a mut Vec<u8>,
    canonical: &'a mut Vec<u8>,
    newest_ms: i64,
    tally: Tally,
}

impl<S> Split<'_, S> {
    fn walk(&mut self, inflated: &[u8]) -> Result<(), PushError> {
        let mut request = WriteRequest::new(inflated);
        while let Some(item) = request.next_item()? {
            match item {
                WriteRequestItem::Series(series) => self.add_series(&series)?,
                WriteRequestItem::Metadata { raw, family } => self.add_metadata(raw, family)?,
            }
        }
        Ok(())
    }

    fn add_metadata(&mut self, raw: &[u8], family: &[u8]) -> Result<(), PushError> {
        self.distributor.counters.metadata_received.add(1);
        let Ok(family) = std::str::from_utf8(family) else { return Ok(()) };
        let token = metadata_token(self.tenant.as_str(), family);
        self.records.add_metadata(self.distributor.ring.partition_of(token), raw)
    }

    fn add_series(&mut self, series: &SeriesView<'_>) -> Result<(), PushError> {
        let counters = &self.distributor.counters;
        let samples = u64::from(series.samples);
        self.tally.received += samples;
        counters.exemplars_received.add(u64::from(series.noted.exemplars));
        counters.histograms_received.add(u64::from(series.noted.histograms));
        if series.samples().any(|sample| sample.timestamp_ms > self.newest_ms) {
            return self.add_series_in_time(series);
        }
        match self.token_of(series) {
            Ok(Token::AsItCame(token)) => {
                self.records.add_series(self.distributor.ring.partition_of(token), series.raw)?;
            }
            Ok(Token::OfCanonical(token)) => {
                let mut rest = Vec::new();
                series.copy_rest(&mut rest, |_| true);
                let partition = self.distributor.ring.partition_of(token);
                self.records.add_series_parts(partition, self.canonical, &rest)?;
            }
            Err(refusal) => {
                self.tally.refuse(counters, samples, refusal);
                return Ok(());
            }
        }
        self.tally.accepted += samples;
        Ok(())
    }

    /// The token of a series: from the cache, or by the slow path that parses and checks its labels.
    fn token_of(&mut self, series: &SeriesView<'_>) -> Result<Token, LabelRefusal> {
        let distributor = self.distributor;
        let fingerprint = distributor.key.fingerprint(series.labels);
        if !series.labels_scattered
            && let Some(token) = self.cache.find(fingerprint)
        {
            distributor.counters.cache_hits.add(1);
            return Ok(Token::AsItCame(token));
        }
        distributor.counters.cache_misses.add(1);
        series.gather_labels(self.gathered);
        canonicalize(self.gathered, &distributor.options.labels, self.canonical)?;
        let token = series_token(self.tenant.as_str(), self.canonical);
        if !series.labels_scattered && series.labels == self.canonical.as_slice() {
            self.cache.keep(fingerprint, token);
            return Ok(Token::AsItCame(token));
        }
        Ok(Token::OfCanonical(token))
    }

    /// A series with samples from the future: those are refused, the others go on.
    fn add_series_in_time(&mut self, series: &SeriesView<'_>) -> Result<(), PushError> {
        let token = match self.token_of(series) {
            Ok(Token::AsItCame(token)) => {
                self.canonical.clear();
                self.canonical.extend_from_slice(series.labels);
                token
            }
            Ok(Token::OfCanonical(token)) => token,
            Err(refusal) => {
                self.tally.refuse(&self.distributor.counters, u64::from(series.samples), refusal);
                return Ok(());
            }
        };
        let mut rest = Vec::new();
        let kept = series.copy_rest(&mut rest, |sample| sample.timestamp_ms <= self.newest_ms);
        let refused = u64::from(series.samples) - kept;
        let labels = model::CanonicalLabels::new(self.canonical).to_labels();
        let message =
            format!("a sample lies more than {} s in the future: {labels}", self.distributor.options.grace_ms / 1000);
        let refusal = LabelRefusal { reason: RejectReason::TooFarInFuture, message };
        self.tally.refuse(&self.distributor.counters, refused, refusal);
        if kept > 0 {
            self.tally.accepted += kept;
            self.records.add_series_parts(self.distributor.ring.partition_of(token), self.canonical, &rest)?;
        }
        Ok(())
    }
}

/// A series' token, and which labels its record gets.
enum Token {
    /// The bytes of the request are canonical.
    AsItCame(u32),
    /// They are not: [`Split::canonical`] holds what they mean.
    OfCanonical(u32),
}

#[cfg(test)]
mod push_test;
