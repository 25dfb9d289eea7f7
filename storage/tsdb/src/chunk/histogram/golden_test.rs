//! Histogram chunks against the bytes and decisions of Prometheus (`golden.txt`), and what is read back from them.

use model::NativeHistogram;

use super::script::{Case, Kind, ScriptSample, Step, cases};
use super::*;
use crate::chunk::ChunkError;

/// Appends as a head does, and goes on from the bytes alone where `resumes` says so.
struct Writer<C: ChunkCount> {
    appender: HistogramAppender<C>,
    scratch: HistogramScratch<C>,
    bytes: Vec<u8>,
    /// The chunk before was cut: the next sample asks it for its header.
    is_cut: bool,
    done: Vec<Vec<u8>>,
}

impl<C: ChunkCount> Writer<C> {
    fn new() -> Self {
        Self {
            appender: HistogramAppender::new(),
            scratch: HistogramScratch::default(),
            bytes: Vec::new(),
            is_cut: false,
            done: Vec::new(),
        }
    }

    fn finish(&mut self) {
        self.done.push(std::mem::take(&mut self.bytes));
    }

    fn append(&mut self, timestamp_ms: i64, histogram: &NativeHistogram<C>) -> &'static str {
        if std::mem::take(&mut self.is_cut) {
            self.appender.restart(self.appender.header_behind(histogram));
        }
        let before = self.bytes.clone();
        match self.appender.append(&mut self.scratch, &mut self.bytes, timestamp_ms, histogram) {
            HistogramAppend::Appended => "appended",
            HistogramAppend::Recoded(bytes) => {
                assert_eq!(self.bytes, before, "the old bytes are untouched");
                self.bytes = bytes;
                "recoded"
            }
            HistogramAppend::NewChunkNeeded { header, .. } => {
                assert_eq!(self.bytes, before, "the chunk is as before");
                self.finish();
                self.appender.restart(header);
                let again = self.appender.append(&mut self.scratch, &mut self.bytes, timestamp_ms, histogram);
                assert_eq!(again, HistogramAppend::Appended);
                "new"
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Between {
    /// The appender is kept.
    Keep,
    /// The appender is made from the bytes before each sample.
    Resume,
}

fn check_written<C: ChunkCount>(case: &Case, samples: &[ScriptSample<NativeHistogram<C>>], between: Between) {
    let mut writer = Writer::<C>::new();
    let mut golden = Vec::new();
    for step in &case.steps {
        match step {
            Step::Append(index, outcome) => {
                let ScriptSample { timestamp_ms, histogram, .. } = &samples[*index];
                if between == Between::Resume && !writer.bytes.is_empty() {
                    writer.appender = HistogramAppender::resume(&writer.bytes).unwrap();
                }
                assert_eq!(writer.append(*timestamp_ms, histogram), *outcome, "{} sample {index}", case.name);
            }
            Step::Cut => {
                writer.finish();
                writer.is_cut = true;
            }
            Step::Chunk(bytes) => golden.push(bytes.clone()),
        }
    }
    writer.finish();
    assert_eq!(writer.done.len(), golden.len(), "{}", case.name);
    for (index, (ours, theirs)) in writer.done.iter().zip(&golden).enumerate() {
        assert_eq!(hex(ours), hex(theirs), "{:?} {} chunk {index} {between:?}", case.kind, case.name);
    }
}

/// Every sample comes back from the golden bytes, with the empty buckets that its chunk added.
fn check_read<C: ChunkCount>(case: &Case, samples: &[ScriptSample<NativeHistogram<C>>]) {
    let mut expected = samples.iter();
    let mut columns = HistogramColumns::default();
    let mut out = NativeHistogram::default();
    for step in &case.steps {
        let Step::Chunk(bytes) = step else { continue };
        let mut reader = open::<C>(case.kind, bytes).unwrap();
        decode_histograms(open::<C>(case.kind, bytes).unwrap(), &mut columns).unwrap();
        assert_eq!(columns.len(), usize::from(reader.count()));
        let mut row = 0;
        while let Some(timestamp_ms) = reader.next_timestamp_ms().unwrap() {
            let sample = expected.next().expect("no more samples than were appended");
            let context = format!("{:?} {} at {timestamp_ms}", case.kind, case.name);
            assert_eq!(
                (timestamp_ms, reader.start_timestamp_ms()),
                (sample.timestamp_ms, sample.start_ms),
                "{context}"
            );
            reader.histogram_in(&mut out);
            check_row(&columns, row, &reader, &out);
            let hint = out.counter_reset_hint;
            let mut wanted = sample.histogram.clone();
            assert_eq!(out.is_stale_marker(), wanted.is_stale_marker(), "{context}");
            out.compact(0);
            wanted.compact(0);
            assert!(out.is_same_value(&wanted), "{context}\n{out:?}\n{wanted:?}");
            assert!(out.is_stale_marker() || hint == columns.hint(row), "{context}");
            row += 1;
        }
    }
    assert!(expected.next().is_none(), "{}", case.name);
}

fn check_row<C: ChunkCount>(
    columns: &HistogramColumns<C>,
    row: usize,
    reader: &HistogramReader<'_, C>,
    sample: &NativeHistogram<C>,
) {
    assert_eq!(columns.start_timestamps_ms[row], reader.start_timestamp_ms());
    assert_eq!(columns.sums[row].to_bits(), sample.sum.to_bits());
    assert_eq!(columns.counts[row].count_bits(), sample.count.count_bits());
    assert_eq!(columns.zero_counts[row].count_bits(), sample.zero_count.count_bits());
    if sample.is_stale_marker() {
        let (positive, negative) = columns.row(row);
        return assert!(positive.iter().chain(negative).all(|count| *count == C::Bucket::default()));
    }
    assert_eq!(columns.layout, sample.layout);
    let absolutes = |buckets| NativeHistogram::<C>::absolutes(buckets).collect::<Vec<_>>();
    let (positive, negative) = columns.row(row);
    assert_eq!(positive, absolutes(&sample.positive_buckets));
    assert_eq!(negative, absolutes(&sample.negative_buckets));
}

pub fn open<C: ChunkCount>(kind: Kind, bytes: &[u8]) -> Result<HistogramReader<'_, C>, ChunkError> {
    match kind {
        Kind::Int | Kind::Float => HistogramReader::new(bytes),
        Kind::IntWithStart | Kind::FloatWithStart => HistogramReader::with_start_timestamps(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn bytes_and_decisions_are_those_of_prometheus() {
    for case in cases() {
        for between in [Between::Keep, Between::Resume] {
            match case.kind {
                Kind::Int => check_written(&case, &case.ints, between),
                Kind::Float => check_written(&case, &case.floats, between),
                Kind::IntWithStart | Kind::FloatWithStart => {}
            }
        }
    }
}

#[test]
fn what_prometheus_wrote_is_read() {
    for case in cases() {
        match case.kind {
            Kind::Int | Kind::IntWithStart => check_read(&case, &case.ints),
            Kind::Float | Kind::FloatWithStart => check_read(&case, &case.floats),
        }
    }
}

/// The vectors would prove little if they did not come by everything.
#[test]
fn the_vectors_cover_every_outcome() {
    let cases = cases();
    for kind in [Kind::Int, Kind::Float] {
        let steps = || cases.iter().filter(|case| case.kind == kind).flat_map(|case| &case.steps);
        for wanted in ["appended", "recoded", "new"] {
            let found = steps().filter(|step| matches!(step, Step::Append(_, outcome) if *outcome == wanted)).count();
            assert!(found > 50, "{kind:?} {wanted}: {found}");
        }
        for header in 0..4 {
            let found = steps().filter(|step| matches!(step, Step::Chunk(bytes) if bytes[2] >> 6 == header)).count();
            assert!(found > 5, "{kind:?} header {header}: {found}");
        }
    }
}
