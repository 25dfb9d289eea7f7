//! Operations on sorted sets of series: slices of ascending, unique `u32`.

/// A sorted set as it is stored: most label pairs of a growing fleet belong to few series, so three fit without an allocation.
#[derive(Debug)]
pub(super) enum SeriesSet {
    Few { len: u8, series: [u32; 3] },
    Many(Vec<u32>),
}

impl SeriesSet {
    pub(super) const fn new() -> Self {
        Self::Few { len: 0, series: [0; 3] }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::Few { len, series } => &series[..usize::from(*len)],
            Self::Many(series) => series,
        }
    }

    /// Adds a series that is larger than all in the set: refs are given out in order.
    pub(super) fn push(&mut self, added: u32) {
        assert!(self.as_slice().last().is_none_or(|last| *last < added), "series come in the order of their refs");
        match self {
            Self::Few { len, series } if usize::from(*len) < series.len() => {
                series[usize::from(*len)] = added;
                *len += 1;
            }
            Self::Few { series, .. } => {
                let mut many = Vec::with_capacity(8);
                many.extend_from_slice(series);
                many.push(added);
                *self = Self::Many(many);
            }
            Self::Many(series) => {
                if series.len() == series.capacity() {
                    touch(series.len());
                    // By a quarter instead of twice: these sets are half of what a series costs beside its chunk.
                    series.reserve_exact(series.len() / 4 + 4);
                }
                series.push(added);
            }
        }
    }

    /// Memory beside the value itself.
    pub(super) fn heap_bytes(&self) -> u64 {
        match self {
            Self::Few { .. } => 0,
            Self::Many(series) => (series.capacity() * size_of::<u32>()) as u64,
        }
    }
}

/// Keeps what is in both.
pub(crate) fn intersect(kept: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    kept.retain(|series| {
        touch(1);
        rest = skip_below(rest, *series);
        rest.first() == Some(series)
    });
}

/// Keeps what is not in `other`.
pub(crate) fn subtract(kept: &mut Vec<u32>, other: &[u32]) {
    let mut rest = other;
    kept.retain(|series| {
        touch(1);
        rest = skip_below(rest, *series);
        rest.first() != Some(series)
    });
}

/// All that is in any of the sets; every element is below `bound`.
pub(super) fn union<'a>(mut sets: impl Iterator<Item = &'a [u32]>, bound: u32) -> Vec<u32> {
    let (Some(first), second) = (sets.next(), sets.next()) else { return Vec::new() };
    let Some(second) = second else { return first.to_vec() };
    let mut words = vec![0u64; bound.div_ceil(64) as usize];
    let mut count = 0;
    for set in [first, second].into_iter().chain(sets) {
        touch(set.len());
        count += set.len();
        for series in set {
            words[(series / 64) as usize] |= 1 << (series % 64);
        }
    }
    let mut all = Vec::with_capacity(count);
    for (index, mut word) in words.into_iter().enumerate() {
        while word != 0 {
            all.push(index as u32 * 64 + word.trailing_zeros());
            word &= word - 1;
        }
    }
    all
}

/// Gallops: steps double until they pass `bound`, then the last step is searched. Cheap where the next hit is near, and
/// logarithmic where a small set meets a large one.
fn skip_below(set: &[u32], bound: u32) -> &[u32] {
    let mut step = 1;
    while step <= set.len() && set[step - 1] < bound {
        step *= 2;
        touch(1);
    }
    let from = step / 2;
    let to = (step - 1).min(set.len());
    &set[from + set[from..to].partition_point(|series| *series < bound)..]
}

/// Counts set elements that were moved, read or compared: the measure of what a question costs.
#[inline]
fn touch(_elements: usize) {
    #[cfg(test)]
    TOUCHED.set(TOUCHED.get() + _elements as u64);
}

#[cfg(test)]
thread_local! {
    static TOUCHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
pub(super) fn elements_touched() -> u64 {
    TOUCHED.get()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_is_small_until_it_grows() {
        let mut set = SeriesSet::new();
        for series in 0..100 {
            assert_eq!(set.as_slice(), (0..series).collect::<Vec<u32>>());
            assert_eq!(set.heap_bytes() == 0, series <= 3);
            set.push(series);
        }
        assert!(set.heap_bytes() <= 100 * 4 * 5 / 4 + 16);
        assert!(size_of::<SeriesSet>() <= 24);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(2), ..ProptestConfig::default() })]

        #[test]
        fn sets_behave_like_sets(
            a in proptest::collection::btree_set(0u32..300, 0..80),
            b in proptest::collection::btree_set(0u32..300, 0..80),
            c in proptest::collection::btree_set(0u32..300, 0..3),
        ) {
            let list = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<u32>>();
            let (va, vb, vc) = (list(&a), list(&b), list(&c));
            for (x, y, vx, vy) in [(&a, &b, &va, &vb), (&a, &c, &va, &vc), (&c, &a, &vc, &va)] {
                let mut both = vx.clone();
                intersect(&mut both, vy);
                prop_assert_eq!(both, x.intersection(y).copied().collect::<Vec<u32>>());
                let mut without = vx.clone();
                subtract(&mut without, vy);
                prop_assert_eq!(without, x.difference(y).copied().collect::<Vec<u32>>());
            }
            let all: BTreeSet<u32> = a.iter().chain(&b).chain(&c).copied().collect();
            prop_assert_eq!(union([&va[..], &vb, &vc].into_iter(), 300), list(&all));
            prop_assert_eq!(union([&va[..]].into_iter(), 300), va);
        }
    }
}
