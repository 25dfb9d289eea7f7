//! Compaction: the same counts in fewer buckets and spans. Never changes what a histogram says.

use super::{HistogramCount, NativeHistogram, Span, bucket_indexes, spans::SpanBuilder};

impl<C: HistogramCount> NativeHistogram<C> {
    /// Leaves out empty buckets, but keeps runs of at most `empty_run_max` of them between others: a span more costs more
    /// than a few empty buckets. Spans come out in the shortest form. For histograms that passed [`Self::check`].
    pub fn compact(&mut self, empty_run_max: u32) {
        for (spans, buckets) in [
            (&mut self.layout.positive_spans, &mut self.positive_buckets),
            (&mut self.layout.negative_spans, &mut self.negative_buckets),
        ] {
            compact_side::<C>(spans, buckets, i64::from(empty_run_max));
        }
    }
}

fn compact_side<C: HistogramCount>(spans: &mut Vec<Span>, buckets: &mut Vec<C::Bucket>, empty_run_max: i64) {
    let empty = C::Bucket::default();
    let mut kept = SpanBuilder::default();
    let mut written = Vec::with_capacity(buckets.len());
    let mut before = empty;
    let mut last_index = None;
    for (index, absolute) in bucket_indexes(spans).zip(NativeHistogram::<C>::absolutes(buckets)) {
        if absolute == empty {
            continue;
        }
        if let Some(last_index) = last_index.replace(index)
            && index - last_index - 1 <= empty_run_max
        {
            for between in last_index + 1..index {
                kept.push(between);
                written.push(C::written(before, empty));
                before = empty;
            }
        }
        kept.push(index);
        written.push(C::written(before, absolute));
        before = absolute;
    }
    *spans = kept.spans;
    *buckets = written;
}
