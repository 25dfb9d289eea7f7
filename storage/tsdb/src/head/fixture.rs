//! A tenant with one head, and short ways to fill and to read it. For tests only.

use model::{Fingerprint, FingerprintKey, Matcher, RejectReason, Sample, SeriesRef, TimeRange, encode_labels};

use super::{Head, HeadOptions, Symbols};
use crate::chunk::decode_xor;
use crate::read::{NamesCursor, NamesQuestion, SelectCursor};

pub(crate) const EVER: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };

pub(crate) struct Tenant {
    pub(crate) key: FingerprintKey,
    pub(crate) symbols: Symbols,
    pub(crate) head: Head,
}

/// Time and value bits.
pub(crate) type Decoded = Vec<(i64, u64)>;

impl Tenant {
    pub(crate) fn new() -> Self {
        Self::with_series_max(u32::MAX)
    }

    pub(crate) fn with_series_max(series_max: u32) -> Self {
        let key = FingerprintKey::new(5);
        let head = Head::new(HeadOptions { series_max, future_grace_ms: 600_000, out_of_order_window_ms: 0 });
        Self { symbols: Symbols::new(key.clone()), key, head }
    }

    pub(crate) fn define(&mut self, labels: &[(&str, &str)]) -> SeriesRef {
        let fingerprint = self.key.fingerprint(&canonical(labels));
        self.define_as(fingerprint, labels).expect("labels are good and the head has room")
    }

    pub(crate) fn define_as(
        &mut self,
        fingerprint: Fingerprint,
        labels: &[(&str, &str)],
    ) -> Result<SeriesRef, RejectReason> {
        self.head.define(&mut self.symbols, fingerprint, &canonical(labels))
    }

    /// Each chunk's range and samples.
    pub(crate) fn chunks(&self, series: SeriesRef, range: TimeRange) -> Vec<(TimeRange, Decoded)> {
        let chunks = self.head.chunks(series.0, range);
        chunks.into_iter().map(|chunk| (chunk.range, decode(&chunk.bytes))).collect()
    }

    pub(crate) fn select(&self, matchers: &[Matcher], range: TimeRange) -> SelectCursor {
        SelectCursor::open(&self.head, &self.symbols, matchers, range)
    }

    pub(crate) fn names(&self, question: &NamesQuestion, matchers: &[Matcher], range: TimeRange) -> Vec<String> {
        let mut cursor = NamesCursor::open(&self.head, &self.symbols, question, matchers, range);
        while !cursor.is_done() {
            cursor.step(&self.head, 2);
        }
        cursor.into_texts(&self.symbols).iter().map(|text| text.to_string()).collect()
    }
}

pub(crate) fn canonical(labels: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_labels(labels.iter().copied(), &mut bytes);
    bytes
}

pub(crate) fn sample(timestamp_ms: i64, value: f64) -> Sample {
    Sample { timestamp_ms, value }
}

pub(crate) fn decode(bytes: &[u8]) -> Decoded {
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    decode_xor(bytes, &mut timestamps_ms, &mut values).expect("the head's own bytes");
    timestamps_ms.into_iter().zip(values.into_iter().map(f64::to_bits)).collect()
}

/// All samples of a series, oldest first.
pub(crate) fn decoded(tenant: &Tenant, series: SeriesRef) -> Decoded {
    let mut samples: Decoded = tenant.chunks(series, EVER).into_iter().flat_map(|chunk| chunk.1).collect();
    samples.sort_by_key(|sample| sample.0);
    samples
}
