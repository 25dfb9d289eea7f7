//! Histogram chunks that were shortened, changed or made up: an error, or samples, but never a panic nor memory for a claim.

use model::{NativeHistogram, Span, bucket_indexes};
use proptest::prelude::*;

use super::golden_test::open;
use super::script::{Kind, Step, cases};
use super::*;
use crate::chunk::{ChunkError, CounterResetHeader};

fn chunks() -> Vec<(Kind, Vec<u8>)> {
    let mut chunks = Vec::new();
    for case in cases() {
        chunks.extend(case.steps.into_iter().filter_map(|step| match step {
            Step::Chunk(bytes) => Some((case.kind, bytes)),
            _ => None,
        }));
    }
    chunks
}

/// Reads the bytes in all ways, and appends to what could be read.
fn check_damaged<C: ChunkCount>(kind: Kind, bytes: &[u8]) -> Result<(), ChunkError> {
    let mut columns = HistogramColumns::default();
    let decoded = decode_histograms(open::<C>(kind, bytes)?, &mut columns);
    let error = decoded.as_ref().err().copied();
    assert!(error.is_none() || columns.is_empty());
    // Every sample has at least a bit for each of its fields and buckets.
    assert!(columns.bucket_counts.len() <= bytes.len() * 8 * usize::from(u8::MAX));
    assert!(columns.positive_len + columns.negative_len <= bytes.len() * 8);
    assert!(columns.layout.positive_spans.len() <= bytes.len() * 8);

    let mut reader = open::<C>(kind, bytes)?;
    let mut last = NativeHistogram::default();
    let stepped = loop {
        match reader.next_timestamp_ms() {
            Ok(Some(_)) => reader.histogram_in(&mut last),
            Ok(None) => break None,
            Err(first) => {
                assert_eq!(reader.next_timestamp_ms(), Err(first), "the same error comes again");
                break Some(first);
            }
        }
    };
    assert_eq!(stepped, error);
    if let Ok(mut appender) = HistogramAppender::<C>::resume(bytes) {
        check_goes_on(&mut appender, bytes, &last);
    }
    error.map_or(Ok(()), Err)
}

fn check_goes_on<C: ChunkCount>(appender: &mut HistogramAppender<C>, bytes: &[u8], last: &NativeHistogram<C>) {
    let mut scratch = HistogramScratch::default();
    if appender.count() == 0 {
        return;
    }
    let mut same = last.clone();
    same.counter_reset_hint = appender.header().hint_of(2);
    let mut wider = same.clone();
    if !last.is_stale_marker() && bucket_indexes(&last.layout.positive_spans).last().is_none_or(|index| index < 1 << 20)
    {
        wider.layout.positive_spans.push(Span { offset: 3, length: 2 });
        wider.positive_buckets.extend([C::Bucket::default(); 2]);
    }
    let mut narrower = same.clone();
    narrower.compact(0);
    for histogram in [last.clone(), same, wider, narrower] {
        let mut bytes = bytes.to_vec();
        match appender.clone().append(&mut scratch, &mut bytes, 5, &histogram) {
            HistogramAppend::Appended => drop(HistogramAppender::<C>::resume(&bytes).unwrap()),
            HistogramAppend::Recoded(bytes) => drop(HistogramAppender::<C>::resume(&bytes).unwrap()),
            HistogramAppend::NewChunkNeeded { .. } => {}
        }
    }
}

fn check_any(kind: Kind, bytes: &[u8]) -> Result<(), ChunkError> {
    match kind {
        Kind::Int | Kind::IntWithStart => check_damaged::<u64>(kind, bytes),
        Kind::Float | Kind::FloatWithStart => check_damaged::<f64>(kind, bytes),
    }
}

#[test]
fn shortened_chunks_are_errors() {
    for (kind, bytes) in chunks().into_iter().filter(|(_, bytes)| bytes.len() < 400) {
        assert_eq!(check_any(kind, &bytes), Ok(()));
        for len in 0..bytes.len() {
            assert!(check_any(kind, &bytes[..len]).is_err(), "{kind:?} {len} of {}", bytes.len());
        }
    }
}

/// Spans of 2^32 buckets, 2^64 spans, 2^64 bounds: believed only as far as there are bits.
#[test]
fn claims_are_not_believed() {
    let all_ones = [&[0, 1, 0, 0][..], &[0xff; 64]].concat();
    assert!(check_any(Kind::Int, &all_ones).is_err());
    let long_span = {
        let mut bytes = vec![0, 1, 0];
        let mut writer = crate::chunk::varbit::BitWriter::new(&mut bytes, 24);
        writer.put(0, 8);
        writer.put_varbit_int(3);
        writer.put_varbit_uint(1);
        writer.put_varbit_uint(u64::from(u32::MAX));
        writer.put_varbit_int(0);
        writer.finish();
        bytes.extend([0; 64]);
        bytes
    };
    assert_eq!(check_any(Kind::Int, &long_span), Err(ChunkError::Malformed { sample: 0, count: 1 }));
    assert_eq!(check_any(Kind::Float, &long_span), Err(ChunkError::Malformed { sample: 0, count: 1 }));
}

#[test]
fn a_chunk_that_goes_on_cannot_be_resumed() {
    let (_, mut bytes) = chunks().into_iter().find(|(kind, _)| *kind == Kind::Int).unwrap();
    bytes.push(0);
    let error = HistogramAppender::<u64>::resume(&bytes).err();
    assert_eq!(error, Some(ChunkError::Overlong { bytes: bytes.len() }));
}

/// Once warm, a steady series takes no memory but that of its bytes.
#[test]
fn a_steady_series_keeps_its_memory() {
    let mut appender = HistogramAppender::<u64>::new();
    let (mut scratch, mut bytes) = (HistogramScratch::default(), Vec::with_capacity(1 << 16));
    let case = cases().into_iter().find(|case| case.name == "steady").unwrap();
    let mut histogram = case.ints[0].histogram.clone();
    let append = |appender: &mut HistogramAppender<u64>, scratch: &mut _, bytes: &mut _, histogram: &_, at_ms| {
        assert_eq!(appender.append(scratch, bytes, at_ms, histogram), HistogramAppend::Appended);
    };
    append(&mut appender, &mut scratch, &mut bytes, &histogram, 0);
    let memory_bytes = appender.memory_bytes();
    for at_ms in 1..500 {
        histogram.count += 1;
        histogram.positive_buckets[0] += 1;
        append(&mut appender, &mut scratch, &mut bytes, &histogram, at_ms);
    }
    assert_eq!((appender.memory_bytes(), bytes.capacity()), (memory_bytes, 1 << 16));
    appender.restart(CounterResetHeader::Unknown);
    append(&mut appender, &mut scratch, &mut Vec::new(), &histogram, 0);
    assert_eq!(appender.memory_bytes(), memory_bytes);
}

/// The count of samples is 16 bits wide; the sample behind the last one is refused in time.
#[test]
fn a_full_chunk_asks_for_another() {
    let mut appender = HistogramAppender::<u64>::new();
    let (mut scratch, mut bytes) = (HistogramScratch::default(), Vec::new());
    let histogram = NativeHistogram::default();
    for at_ms in 0..i64::from(u16::MAX) {
        assert_eq!(appender.append(&mut scratch, &mut bytes, at_ms, &histogram), HistogramAppend::Appended);
    }
    let full =
        HistogramAppend::NewChunkNeeded { reason: NewChunkReason::Full, header: CounterResetHeader::NotCounterReset };
    assert_eq!(appender.append(&mut scratch, &mut bytes, 0, &histogram), full);
    assert_eq!(HistogramReader::<u64>::new(&bytes).unwrap().count(), u16::MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), few in 0u8..8) {
        for kind in [Kind::Int, Kind::Float, Kind::IntWithStart, Kind::FloatWithStart] {
            let _ = check_any(kind, &bytes);
            // A believable header, threshold and schema, so that what is behind them is reached.
            let _ = check_any(kind, &[&[0, few, 0, 0, 0b1010_0000][..], &bytes].concat());
        }
    }
}

#[test]
fn mutated_chunks_never_panic() {
    let chunks = chunks();
    let mut random = 88_172_645_463_325_252u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 16) as usize % below
    };
    let mut survived = 0;
    for _ in 0..4_000 {
        let (kind, mut bytes) = chunks[next(chunks.len())].clone();
        for _ in 0..=next(3) {
            let at = if next(2) == 0 { next(bytes.len().min(24)) } else { next(bytes.len()) };
            bytes[at] ^= 1 << next(8);
        }
        survived += usize::from(check_any(kind, &bytes).is_ok());
    }
    assert!((100..3_900).contains(&survived), "{survived}");
}
