//! A storage of real heads, for tests: as many as partitions, walked in small steps, charged like a shard's.

use std::sync::Arc;

use model::{FingerprintKey, Labels, Sample, TenantId, TimeRange, encode_labels};
use tsdb::head::{Head, HeadOptions, Horizon, Symbols};
use tsdb::read::{NamesCursor, SelectCursor, SelectRequest, SeriesSnapshot};

use super::{Batches, NamesRequest, ReadError, ReadScope, Storage};

const SERIES_PER_STEP: usize = 2;

pub(crate) struct HeadStorage {
    key: FingerprintKey,
    /// Of the one tenant that has anything.
    pub tenant: TenantId,
    heads: Vec<(Symbols, Head)>,
}

impl HeadStorage {
    pub fn new(heads: usize) -> Self {
        let key = FingerprintKey::new(7);
        let options = HeadOptions { series_max: u32::MAX, future_grace_ms: 0, out_of_order_window_ms: 0 };
        let head = |_| (Symbols::new(key.clone()), Head::new(options));
        Self { tenant: TenantId::anonymous(), heads: (0..heads).map(head).collect(), key }
    }

    /// Appends in order; equal samples are welcome, as they are to a head.
    pub fn append(&mut self, head: usize, labels: &[(&str, &str)], samples: impl IntoIterator<Item = (i64, f64)>) {
        let mut canonical = Vec::new();
        encode_labels(labels.iter().copied(), &mut canonical);
        let fingerprint = self.key.fingerprint(&canonical);
        let (symbols, head) = &mut self.heads[head];
        let series = head.define(symbols, fingerprint, &canonical).expect("labels of a test are canonical");
        for (timestamp_ms, value) in samples {
            head.append(series, Sample { timestamp_ms, value }, Horizon::NONE).expect("samples of a test are in order");
        }
    }

    /// The heads of whoever asks.
    fn of(&self, tenant: &TenantId) -> &[(Symbols, Head)] {
        if *tenant == self.tenant { &self.heads } else { &[] }
    }

    fn walk<'a, T: 'a>(
        &'a self,
        request: &SelectRequest,
        scope: &Arc<ReadScope>,
        step: impl Fn(&mut SelectCursor, &Head, &Symbols, &mut Vec<T>) + 'a,
    ) -> Batches<'a, T> {
        let scope = scope.clone();
        let matchers = request.matchers.clone();
        let range = request.range;
        let open = move |(symbols, head): &'a (Symbols, Head)| {
            (SelectCursor::open(head, symbols, &matchers, range), symbols, head)
        };
        let mut cursors = self.of(&request.tenant).iter().map(open);
        let mut current = cursors.next();
        Box::new(std::iter::from_fn(move || {
            let (cursor, symbols, head) = current.as_mut()?;
            if scope.interrupt().is_some() {
                return Some(Err(ReadError::Interrupted));
            }
            let mut found = Vec::new();
            let charged = scope
                .charge(cursor.cost(head, SERIES_PER_STEP))
                .and_then(|()| scope.charge_series(cursor.remaining().min(SERIES_PER_STEP)));
            if let Err(error) = charged {
                return Some(Err(error));
            }
            step(cursor, head, symbols, &mut found);
            if cursor.is_done() {
                current = cursors.next();
            }
            Some(Ok(found))
        }))
    }
}

impl Storage for HeadStorage {
    fn select<'a>(&'a self, request: &SelectRequest, scope: &Arc<ReadScope>) -> Batches<'a, SeriesSnapshot> {
        self.walk(request, scope, |cursor, head, symbols, found| cursor.next(head, symbols, SERIES_PER_STEP, found))
    }

    fn series<'a>(&'a self, request: &SelectRequest, scope: &Arc<ReadScope>) -> Batches<'a, Labels> {
        self.walk(request, scope, |cursor, head, symbols, found| {
            cursor.next_labels(head, symbols, SERIES_PER_STEP, found);
        })
    }

    fn names(&self, request: &NamesRequest, scope: &Arc<ReadScope>) -> Result<Vec<Arc<str>>, ReadError> {
        let mut texts = Vec::new();
        for (symbols, head) in self.of(&request.tenant) {
            let mut cursor = NamesCursor::open(head, symbols, &request.question, &request.matchers, request.range);
            while !cursor.is_done() {
                if scope.interrupt().is_some() {
                    return Err(ReadError::Interrupted);
                }
                cursor.step(head, SERIES_PER_STEP);
            }
            texts.extend(cursor.into_texts(symbols));
        }
        Ok(texts)
    }
}

pub(crate) const EVER: TimeRange = TimeRange { min_ms: i64::MIN, max_ms: i64::MAX };
