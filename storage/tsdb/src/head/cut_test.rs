//! Cuts and the heads that follow them, against a model that keeps every sample with the cut that took it.

use std::collections::BTreeMap;

use model::{MatchOp, Matcher, Offset, SeriesRef};
use proptest::prelude::*;

use super::fixture::{Decoded, EVER, Tenant, canonical, decode, decoded, sample};
use super::{Appended, CHUNK_RANGE_MS, CutNumber, Head, Horizon, OpenCut};

const SERIES: usize = 5;

/// Of one series: value bits and cut (0: none) by time. Forgotten samples are gone.
type Held = BTreeMap<i64, (u64, u32)>;

#[derive(Clone, Debug)]
enum Step {
    /// Series, and how far from its newest sample.
    Append(usize, i64),
    /// Up to so many ranges before the newest sample of all.
    Cut(i64),
    /// All cuts but the last so many.
    Forget(u32),
}

fn any_step() -> impl Strategy<Value = Step> {
    let distance = prop_oneof![10 => Just(400_000i64), 2 => -9_000_000i64..0, 1 => Just(CHUNK_RANGE_MS + 7)];
    prop_oneof![
        40 => (0..SERIES, distance).prop_map(|(series, distance)| Step::Append(series, distance)),
        1 => (0i64..3).prop_map(Step::Cut),
        1 => (0u32..3).prop_map(Step::Forget),
    ]
}

fn labels(series: usize) -> [(&'static str, &'static str); 2] {
    [("__name__", "m"), ("s", ["a", "b", "c", "d", "e"][series])]
}

fn open_cut(number: CutNumber, before_ms: i64) -> OpenCut {
    OpenCut { number, block: u128::from(number.0), before_ms, next: Offset(0) }
}

struct World {
    tenant: Tenant,
    held: Vec<Held>,
    newest_ms: i64,
    forgotten: u32,
}

impl World {
    fn new() -> Self {
        Self { tenant: Tenant::new(), held: vec![Held::new(); SERIES], newest_ms: 0, forgotten: 0 }
    }

    fn series(&self, series: usize) -> Option<SeriesRef> {
        let mut found = Vec::new();
        self.tenant.head.find(&[self.tenant.key.fingerprint(&canonical(&labels(series)))], &mut found);
        found[0]
    }

    fn append(&mut self, series: usize, distance: i64) {
        let last = self.held[series].last_key_value().map(|(at, _)| *at);
        // A series comes back where all of its are: an append goes near the others.
        let at_ms = last.unwrap_or(self.newest_ms) + distance;
        let value = (at_ms / 1000) as f64;
        let own = self.tenant.define(&labels(series));
        let outcome = self.tenant.head.append(own, sample(at_ms, value), Horizon::NONE);
        let expected = match self.held[series].get(&at_ms) {
            Some(_) => Appended::Equal,
            None if last.is_none_or(|last| at_ms > last) => Appended::InOrder,
            None => Appended::Late,
        };
        assert_eq!(outcome, Ok(expected), "series {series} at {at_ms}");
        self.held[series].entry(at_ms).or_insert((value.to_bits(), 0));
        self.newest_ms = self.newest_ms.max(at_ms);
    }

    fn cut(&mut self, ranges: i64) {
        let before_ms = (self.newest_ms.div_euclid(CHUNK_RANGE_MS) - ranges) * CHUNK_RANGE_MS;
        let uncut = |(at, (_, cut)): (&i64, &(u64, u32))| (*at < before_ms && *cut == 0).then_some(());
        let has_uncut = self.held.iter().flatten().any(|entry| uncut(entry).is_some());
        let has_before = |head: &Head| head.uncut_min_ms().is_some_and(|min_ms| min_ms < before_ms);
        assert_eq!(has_before(&self.tenant.head), has_uncut);
        let cut = self.tenant.head.last_cut().next();
        let size = self.tenant.head.cut(open_cut(cut, before_ms));
        let expected: Vec<Decoded> = self.held.iter_mut().map(|held| take_cut(held, before_ms, cut.0)).collect();
        for (series, expected) in expected.iter().enumerate() {
            let Some(own) = self.series(series) else { continue };
            let chunks = self.tenant.head.cut_chunks(own.0, cut);
            let mut found: Decoded = chunks.iter().flat_map(|chunk| decode(&chunk.bytes)).collect();
            found.sort_by_key(|sample| sample.0);
            assert_eq!(found, *expected, "what a cut hands over");
        }
        assert_eq!(size.series, expected.iter().filter(|samples| !samples.is_empty()).count() as u64);
        assert!(!has_before(&self.tenant.head));
    }

    fn forget(&mut self, but: u32) {
        let last = self.tenant.head.last_cut().0;
        let cut = CutNumber(last.saturating_sub(but).max(self.forgotten));
        self.forgotten = cut.0;
        let before = self.tenant.head.series_count();
        let (head, survivors) = self.tenant.head.without(&mut self.tenant.symbols, cut);
        assert_eq!(survivors.iter().map(|(dropped, kept)| dropped + kept).sum::<u32>(), before);
        assert_eq!(survivors.iter().map(|(_, kept)| kept).sum::<u32>(), head.series_count());
        std::mem::replace(&mut self.tenant.head, head).dissolve(&mut self.tenant.symbols);
        let uncut = self.held.iter().flatten().filter(|(_, (_, cut))| *cut == 0).map(|(at, _)| *at).min();
        assert_eq!(self.tenant.head.uncut_min_ms(), uncut);
        let open = self.tenant.head.open_cuts().iter().map(|open| open.number.0);
        assert!(open.eq(cut.0 + 1..=last), "cuts that are not forgotten");
        for held in &mut self.held {
            held.retain(|_, (_, in_cut)| *in_cut == 0 || *in_cut > cut.0);
        }
    }

    fn check(&self) {
        let mut alive = 0;
        for (series, held) in self.held.iter().enumerate() {
            let expected: Decoded = held.iter().map(|(at, (bits, _))| (*at, *bits)).collect();
            let found = self.series(series).map_or(Vec::new(), |own| decoded(&self.tenant, own));
            assert_eq!(found, expected, "series {series}");
            alive += u32::from(!held.is_empty());
        }
        let all = [Matcher::new("__name__", MatchOp::Equal, "m").unwrap()];
        assert_eq!(self.tenant.select(&all, EVER).remaining() as u32, self.tenant.head.series_count());
        assert_eq!(self.tenant.head.series_count(), alive, "series without samples are not kept");
        // A name, and a value for each series.
        let texts = if alive == 0 { 0 } else { u64::from(alive) + 3 };
        assert_eq!(self.tenant.symbols.count(), texts, "texts that nobody uses are not kept");
    }
}

/// Marks what a cut takes and tells it.
fn take_cut(held: &mut Held, before_ms: i64, cut: u32) -> Decoded {
    let uncut = held.iter_mut().filter(|(at, entry)| **at < before_ms && entry.1 == 0);
    uncut
        .map(|(at, entry)| {
            entry.1 = cut;
            (*at, entry.0)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(5), ..ProptestConfig::default() })]

    #[test]
    fn what_is_cut_is_handed_over_once_and_forgotten_once(steps in proptest::collection::vec(any_step(), 0..700)) {
        let mut world = World::new();
        for step in steps {
            match step {
                Step::Append(series, distance) => world.append(series, distance),
                Step::Cut(ranges) => world.cut(ranges),
                Step::Forget(but) => {
                    world.forget(but);
                    world.check();
                }
            }
        }
        world.forget(0);
        world.check();
    }
}

/// A week of churn: a tenth of the series ends every hour, as many begin, and every two hours are cut and forgotten.
#[test]
fn churn_leaves_memory_flat() {
    const SERIES: i64 = 500;
    let mut tenant = Tenant::new();
    let mut bytes = Vec::new();
    for hour in 0..7 * 24i64 {
        for series in hour * SERIES / 10..hour * SERIES / 10 + SERIES {
            let own = tenant.define(&[("__name__", "m"), ("pod", &format!("pod-{series}")), ("zone", "a")]);
            for minute in 0..4 {
                let at_ms = (hour * 60 + minute * 15) * 60_000;
                let _ = tenant.head.append(own, sample(at_ms, series as f64), Horizon::NONE);
            }
        }
        if hour % 2 == 1 {
            let cut = tenant.head.last_cut().next();
            tenant.head.cut(open_cut(cut, (hour - 1) * 3_600_000));
            let (head, _) = tenant.head.without(&mut tenant.symbols, cut);
            std::mem::replace(&mut tenant.head, head).dissolve(&mut tenant.symbols);
            bytes.push(tenant.head.counters().bytes.total() + tenant.symbols.bytes());
        }
    }
    let (early, late) = (bytes[5], bytes[bytes.len() - 1]);
    assert!(late < early + early / 10, "{early} bytes became {late}");
    assert!(tenant.head.series_count() < 700, "{}", tenant.head.series_count());
}
