//! Coarser buckets: a histogram of one exponential schema told in another. What it counts stays; where is told less exactly.

use super::{HistogramCount, NativeHistogram, SCHEMA_CUSTOM, Span, bucket_indexes, spans::SpanBuilder};

impl<C: HistogramCount> NativeHistogram<C> {
    /// Merges buckets until the schema is `schema`. Readers of chunks need it for the finer schemas that the formats reserve.
    /// Spans come out in the shortest form; empty buckets stay. For histograms whose spans passed their check.
    ///
    /// # Panics
    /// One of both schemas is that of custom buckets, or `schema` is finer than the histogram: there is no way back.
    pub fn reduce_resolution(&mut self, schema: i32) {
        let from = self.layout.schema;
        assert!(from != SCHEMA_CUSTOM && schema != SCHEMA_CUSTOM, "custom buckets have no resolution");
        let halvings = u32::try_from(from - schema).expect("buckets cannot be split");
        reduce_side::<C>(&mut self.layout.positive_spans, &mut self.positive_buckets, halvings);
        reduce_side::<C>(&mut self.layout.negative_spans, &mut self.negative_buckets, halvings);
        self.layout.schema = schema;
    }
}

fn reduce_side<C: HistogramCount>(spans: &mut Vec<Span>, buckets: &mut Vec<C::Bucket>, halvings: u32) {
    let mut reduced = SpanBuilder::default();
    let mut counts: Vec<C::Bucket> = Vec::with_capacity(buckets.len());
    let mut last_index = None;
    for (index, absolute) in bucket_indexes(spans).zip(NativeHistogram::<C>::absolutes(buckets)) {
        // Bucket i ends at base^i, so i of the finer schema lies in the bucket that ends at the next whole multiple.
        let index = ((index - 1) >> halvings.min(63)) + 1;
        match counts.last_mut() {
            Some(count) if last_index == Some(index) => *count = C::together(*count, absolute),
            _ => {
                reduced.push(index);
                counts.push(absolute);
            }
        }
        last_index = Some(index);
    }
    let mut before = C::Bucket::default();
    for count in &mut counts {
        let absolute = *count;
        *count = C::written(before, absolute);
        before = absolute;
    }
    *spans = reduced.spans;
    *buckets = counts;
}
