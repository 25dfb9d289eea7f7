//! From an inflated request to the records of its partitions: look up or check each series, choose, copy.
//!
//! Series go through in small batches, each step for all of them: the look-ups of a batch miss the CPU's caches together
//! instead of one after the other.

use std::sync::Arc;

use model::{CanonicalLabels, Fingerprint, FingerprintKey, PartitionId, RejectReason, TenantId};
use wire::{
    LabelRefusal, Malformed, SeriesView, WriteRequest, WriteRequestItem, canonicalize, metadata_token, series_token,
    show_labels,
};

use super::cache::SeriesCache;
use super::counters::DistributorCounters;
use super::outcome::Refusal;
use super::push::DistributorOptions;
use super::records::{PartitionRecord, RecordBuilder, TooLarge};
use super::ring::PartitionRing;

const BATCH_SERIES: usize = 32;

/// Refused series that are remembered, as a part of those that are not refused.
const REFUSED_SHARE: usize = 8;

/// What splits requests, and what it learned of their series.
pub struct Splitter {
    options: DistributorOptions,
    key: FingerprintKey,
    ring: Arc<PartitionRing>,
    counters: Arc<DistributorCounters>,
    records: RecordBuilder,
    /// Tokens of series whose bytes are canonical and whose labels are fine.
    tokens: SeriesCache<u32>,
    /// A sender does not learn from its errors: what was refused comes again with every request.
    refused: SeriesCache<RejectReason>,
    gathered: Vec<u8>,
    canonical: Vec<u8>,
    rest: Vec<u8>,
}

/// The result of one request. Its counters are added up here and written once.
#[derive(Default)]
pub struct Tally {
    pub samples_accepted: u64,
    pub refusals: Vec<Refusal>,
    samples: u64,
    exemplars: u64,
    histograms: u64,
    hits: u64,
    misses: u64,
}

impl Tally {
    fn refuse(&mut self, series: &SeriesView<'_>, reason: RejectReason, message: impl FnOnce() -> String) {
        self.refuse_samples(u64::from(series.samples), reason, message);
    }

    /// The message is made for the first of a reason only.
    fn refuse_samples(&mut self, samples: u64, reason: RejectReason, message: impl FnOnce() -> String) {
        match self.refusals.iter_mut().find(|refusal| refusal.reason == reason) {
            Some(refusal) => {
                refusal.series += 1;
                refusal.samples += samples;
            }
            None => self.refusals.push(Refusal { reason, series: 1, samples, message: message() }),
        }
    }

    fn has_example_of(&self, reason: RejectReason) -> bool {
        self.refusals.iter().any(|refusal| refusal.reason == reason)
    }
}

impl Splitter {
    pub fn new(
        options: DistributorOptions,
        key: FingerprintKey,
        ring: Arc<PartitionRing>,
        counters: Arc<DistributorCounters>,
    ) -> Self {
        Self {
            records: RecordBuilder::new(ring.partitions() as usize, options.record_bytes_max),
            tokens: SeriesCache::new(options.cached_series_max),
            refused: SeriesCache::new(options.cached_series_max / REFUSED_SHARE),
            options,
            key,
            ring,
            counters,
            gathered: Vec::new(),
            canonical: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// The records of a request, and what of it was refused.
    ///
    /// # Errors
    /// The bytes are no request; nothing of it remains.
    pub fn split(
        &mut self,
        tenant: &TenantId,
        inflated: &[u8],
        now_ms: i64,
    ) -> Result<(Vec<PartitionRecord>, Tally), Malformed> {
        let newest_ms = now_ms.saturating_add(self.options.grace_ms);
        // The same labels of two tenants have different tokens, so they must not meet in the cache.
        let tenant_bits = self.key.fingerprint(tenant.as_str().as_bytes()).0;
        let mut request = Request { splitter: self, tenant, tenant_bits, newest_ms, tally: Tally::default() };
        let walked = request.walk(inflated);
        let tally = request.tally;
        let records = self.records.finish();
        self.count(&tally);
        walked.map(|()| (records, tally))
    }

    fn count(&self, tally: &Tally) {
        let counters = &self.counters;
        counters.samples_received.add(tally.samples);
        counters.exemplars_received.add(tally.exemplars);
        counters.histograms_received.add(tally.histograms);
        counters.cache_hits.add(tally.hits);
        counters.cache_misses.add(tally.misses);
        counters.cache_series.set((self.tokens.len() + self.refused.len()) as u64);
        for refusal in &tally.refusals {
            counters.series_refused.add(refusal.series);
            counters.rejected(refusal.reason).add(refusal.samples);
        }
    }
}

/// One request on its way into records.
struct Request<'s> {
    splitter: &'s mut Splitter,
    tenant: &'s TenantId,
    tenant_bits: u128,
    newest_ms: i64,
    tally: Tally,
}

/// A series of the batch, and the cache's key of its labels as they came.
struct Scanned<'a> {
    series: SeriesView<'a>,
    fingerprint: Fingerprint,
}

impl Request<'_> {
    fn walk(&mut self, inflated: &[u8]) -> Result<(), Malformed> {
        let mut request = WriteRequest::new(inflated);
        let mut batch = Vec::with_capacity(BATCH_SERIES);
        while let Some(item) = request.next_item()? {
            match item {
                WriteRequestItem::Series(series) => {
                    let fingerprint = self.splitter.key.fingerprint(series.labels).0 ^ self.tenant_bits;
                    batch.push(Scanned { series, fingerprint: Fingerprint(fingerprint) });
                    if batch.len() == BATCH_SERIES {
                        self.add_batch(&batch);
                        batch.clear();
                    }
                }
                WriteRequestItem::Metadata { raw, family } => self.add_metadata(raw, family),
            }
        }
        self.add_batch(&batch);
        Ok(())
    }

    fn add_batch(&mut self, batch: &[Scanned<'_>]) {
        let mut tokens = [None; BATCH_SERIES];
        for (token, scanned) in tokens.iter_mut().zip(batch) {
            *token = self.splitter.tokens.find(scanned.fingerprint);
        }
        for (scanned, token) in batch.iter().zip(tokens) {
            let series = &scanned.series;
            self.tally.samples += u64::from(series.samples);
            self.tally.exemplars += u64::from(series.noted.exemplars);
            self.tally.histograms += u64::from(series.noted.histograms);
            match token {
                // Of scattered labels the fingerprint saw the first few only: it says nothing.
                Some(token) if !series.labels_scattered => {
                    self.tally.hits += 1;
                    self.add_as_it_came(series, token);
                }
                _ => self.add_unknown(scanned),
            }
        }
    }

    /// A series whose bytes are canonical.
    #[inline]
    fn add_as_it_came(&mut self, series: &SeriesView<'_>, token: u32) {
        if series.newest_ms > self.newest_ms {
            return self.add_rebuilt(series, series.labels, token);
        }
        let partition = self.splitter.ring.partition_of(token);
        let added = self.splitter.records.add_series(partition, &[series.raw]);
        self.conclude(series, series.labels, u64::from(series.samples), added);
    }

    /// The slow path: parses and checks the labels, and remembers the verdict where the bytes are canonical.
    fn add_unknown(&mut self, scanned: &Scanned<'_>) {
        let Scanned { series, fingerprint } = scanned;
        if !series.labels_scattered
            && let Some(reason) = self.splitter.refused.find(*fingerprint)
            && self.tally.has_example_of(reason)
        {
            self.tally.hits += 1;
            return self.tally.refuse(series, reason, String::new);
        }
        self.tally.misses += 1;
        let mut canonical = std::mem::take(&mut self.splitter.canonical);
        match self.check_labels(series, &mut canonical) {
            Ok(()) => {
                let token = series_token(self.tenant.as_str(), &canonical);
                if !series.labels_scattered && series.labels == canonical {
                    self.splitter.tokens.keep(*fingerprint, token);
                    self.add_as_it_came(series, token);
                } else {
                    self.add_rebuilt(series, &canonical, token);
                }
            }
            Err(LabelRefusal { reason, message }) => {
                if !series.labels_scattered {
                    self.splitter.refused.keep(*fingerprint, reason);
                }
                self.tally.refuse(series, reason, || message);
            }
        }
        self.splitter.canonical = canonical;
    }

    fn check_labels(&mut self, series: &SeriesView<'_>, canonical: &mut Vec<u8>) -> Result<(), LabelRefusal> {
        let Splitter { options, gathered, .. } = &mut *self.splitter;
        if !series.labels_scattered {
            return canonicalize(series.labels, &options.labels, canonical);
        }
        series.gather_labels(gathered);
        canonicalize(gathered, &options.labels, canonical)
    }

    /// A series that cannot be copied as it is: other label bytes, or samples from the future, which are refused one by
    /// one.
    fn add_rebuilt(&mut self, series: &SeriesView<'_>, canonical: &[u8], token: u32) {
        let mut rest = std::mem::take(&mut self.splitter.rest);
        rest.clear();
        let newest_ms = self.newest_ms;
        let kept = series.copy_rest(&mut rest, |sample| sample.timestamp_ms <= newest_ms);
        let refused = u64::from(series.samples) - kept;
        if refused > 0 {
            let grace_ms = self.splitter.options.grace_ms;
            self.tally.refuse_samples(refused, RejectReason::TooFarInFuture, || {
                let labels = show_labels(CanonicalLabels::new(canonical));
                format!("a sample at {} ms is more than {grace_ms} ms in the future: {labels}", series.newest_ms)
            });
        }
        // Without its samples an exemplar says nothing, but a histogram is a sample of its own.
        if refused == 0 || kept > 0 || series.noted.histograms > 0 {
            let partition = self.splitter.ring.partition_of(token);
            let added = self.splitter.records.add_series(partition, &[canonical, &rest]);
            self.conclude(series, canonical, kept, added);
        }
        self.splitter.rest = rest;
    }

    fn conclude(&mut self, series: &SeriesView<'_>, canonical: &[u8], samples: u64, added: Result<(), TooLarge>) {
        let Err(TooLarge { bytes }) = added else {
            self.tally.samples_accepted += samples;
            return;
        };
        let bytes_max = self.splitter.options.record_bytes_max;
        self.tally.refuse_samples(samples, RejectReason::SeriesTooLarge, || {
            let (count, labels) = (series.samples, show_labels(CanonicalLabels::new(canonical)));
            format!("a series with {count} samples takes {bytes} bytes, the limit of a record is {bytes_max}: {labels}")
        });
    }

    /// Metadata goes to the partition of its family's name, which need not be that of the family's series.
    fn add_metadata(&mut self, raw: &[u8], family: &[u8]) {
        let counters = &self.splitter.counters;
        counters.metadata_received.add(1);
        let added = std::str::from_utf8(family).is_ok_and(|family| {
            let token = metadata_token(self.tenant.as_str(), family);
            let partition: PartitionId = self.splitter.ring.partition_of(token);
            self.splitter.records.add_metadata(partition, raw).is_ok()
        });
        if !added {
            counters.metadata_refused.add(1);
        }
    }
}
