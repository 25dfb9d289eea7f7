//! The cursor over the series that matchers select, with their chunks or with labels only.

use model::{Labels, Matcher, SeriesRef, TimeRange};

use super::{SeriesSnapshot, StepCost};
use crate::head::{Head, Symbols};

/// A resolved selection in one head. Every step takes the head and the symbols that the cursor was opened with.
#[derive(Debug)]
pub struct SelectCursor {
    series: Vec<u32>,
    at: usize,
    range: TimeRange,
}

impl SelectCursor {
    /// Resolves the matchers: all set operations happen here, no sample is touched. Series that are defined later are not in.
    #[must_use]
    pub fn open(head: &Head, symbols: &Symbols, matchers: &[Matcher], range: TimeRange) -> Self {
        let is_covered = head.range().is_some_and(|held| held.overlaps(&range));
        let series = if is_covered { head.resolve(symbols, matchers) } else { Vec::new() };
        Self { series, at: 0, range }
    }

    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at == self.series.len()
    }

    /// Series still to be looked at.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.series.len() - self.at
    }

    /// What [`SelectCursor::next`] with the same `series_max` would hand out now.
    #[must_use]
    pub fn cost(&self, head: &Head, series_max: usize) -> StepCost {
        let mut cost = StepCost::default();
        for series in self.peek(series_max) {
            head.add_chunk_bytes(*series, self.range, &mut cost);
        }
        cost
    }

    /// Looks at up to `series_max` series and adds those with chunks in the range, which may be none before the end:
    /// [`SelectCursor::is_done`] tells.
    pub fn next(&mut self, head: &Head, symbols: &Symbols, series_max: usize, found: &mut Vec<SeriesSnapshot>) {
        for series in self.peek(series_max) {
            let chunks = head.chunks(*series, self.range);
            if !chunks.is_empty() {
                found.push(SeriesSnapshot { labels: head.labels(symbols, SeriesRef(*series)), chunks });
            }
        }
        self.advance(series_max);
    }

    /// Like [`SelectCursor::next`], labels only.
    pub fn next_labels(&mut self, head: &Head, symbols: &Symbols, series_max: usize, found: &mut Vec<Labels>) {
        let has_samples = |series: &&u32| head.has_chunk(**series, self.range);
        let labels = |series: &u32| head.labels(symbols, SeriesRef(*series));
        found.extend(self.peek(series_max).iter().filter(has_samples).map(labels));
        self.advance(series_max);
    }

    fn peek(&self, series_max: usize) -> &[u32] {
        &self.series[self.at..self.at + series_max.min(self.remaining())]
    }

    fn advance(&mut self, series_max: usize) {
        self.at += series_max.min(self.remaining());
    }
}
