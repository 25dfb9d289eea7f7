//! Spans: from runs of buckets to bucket indexes and back. Knows nothing of what is counted.

use super::{HistogramCount, Span};

/// The index of each bucket that the spans name, in their order.
#[must_use]
pub fn bucket_indexes(spans: &[Span]) -> BucketIndexes<'_> {
    BucketIndexes { spans: spans.iter(), next: 0, left: 0 }
}

#[derive(Clone, Debug)]
pub struct BucketIndexes<'a> {
    spans: std::slice::Iter<'a, Span>,
    /// 64 bits, so that no sum of 32-bit fields overflows.
    next: i64,
    left: u32,
}

impl Iterator for BucketIndexes<'_> {
    type Item = i64;

    #[inline]
    fn next(&mut self) -> Option<i64> {
        while self.left == 0 {
            let span = self.spans.next()?;
            self.next += i64::from(span.offset);
            self.left = span.length;
        }
        self.left -= 1;
        self.next += 1;
        Some(self.next - 1)
    }
}

/// Buckets that the spans name.
#[must_use]
pub fn bucket_total(spans: &[Span]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}

/// Spans that name every bucket of either side, in the shortest form: no span is empty, none touches the next. Both sides
/// passed [`super::check_spans`].
#[must_use]
pub fn merge_spans(left: &[Span], right: &[Span]) -> Vec<Span> {
    let (mut left, mut right) = (bucket_indexes(left).peekable(), bucket_indexes(right).peekable());
    let mut merged = SpanBuilder::default();
    loop {
        let index = match (left.peek(), right.peek()) {
            (None, None) => return merged.spans,
            (Some(index), None) | (None, Some(index)) => *index,
            (Some(of_left), Some(of_right)) => *of_left.min(of_right),
        };
        left.next_if(|of_left| *of_left == index);
        right.next_if(|of_right| *of_right == index);
        merged.push(index);
    }
}

/// Spans in the shortest form, made from ascending bucket indexes.
#[derive(Default)]
pub(super) struct SpanBuilder {
    pub(super) spans: Vec<Span>,
    next: i64,
}

impl SpanBuilder {
    pub(super) fn push(&mut self, index: i64) {
        let offset = i32::try_from(index - self.next).expect("spans were checked");
        match self.spans.last_mut() {
            Some(last) if offset == 0 => last.length += 1,
            _ => self.spans.push(Span { offset, length: 1 }),
        }
        self.next = index + 1;
    }
}

/// Writes `buckets`, which lie as `from` says, behind what `out` holds, as `to` says: buckets that `from` lacks are empty.
/// `to` must name all that `from` names; what it does not name is left out.
pub fn spread_buckets<C: HistogramCount>(from: &[Span], buckets: &[C::Bucket], to: &[Span], out: &mut Vec<C::Bucket>) {
    let mut source = bucket_indexes(from).zip(super::NativeHistogram::<C>::absolutes(buckets)).peekable();
    let mut before = C::Bucket::default();
    for index in bucket_indexes(to) {
        let absolute = match source.next_if(|(of_source, _)| *of_source == index) {
            Some((_, absolute)) => absolute,
            None => C::Bucket::default(),
        };
        out.push(C::written(before, absolute));
        before = absolute;
    }
}
