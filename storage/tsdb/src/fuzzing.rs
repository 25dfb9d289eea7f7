//! Ways into the decoders of bytes from disk, for fuzzers: `storage/fuzz`. A decoder may refuse; it must not panic, and must not
//! take memory for what the bytes claim. What it accepts must read back the same.

use model::{FingerprintKey, NativeHistogram, Sample, SeriesRef};

use crate::chunk::{
    ChunkCount, HistogramAppender, HistogramColumns, HistogramReader, SAMPLE_BYTES_MAX, Xor2Reader, XorAppender,
    XorReader, decode_histograms, decode_xor, decode_xor2,
};
use crate::head::{Head, HeadOptions, Symbols};
use crate::wal::{Fields, Part, Section, Sections, SegmentHeader, SegmentId};

/// A chunk of every encoding in turn.
pub fn chunk(bytes: &[u8]) {
    let (mut timestamps_ms, mut values) = (Vec::new(), Vec::new());
    let decoded = decode_xor(bytes, &mut timestamps_ms, &mut values);
    assert_eq!(timestamps_ms.len(), values.len());
    if decoded.is_ok() {
        goes_on(bytes, timestamps_ms.len());
    }
    let _ = decode_xor2(bytes, &mut timestamps_ms, &mut values);
    if let Ok(mut reader) = Xor2Reader::new(bytes) {
        while let Ok(Some(_)) = reader.next_sample() {}
    }
    histograms::<u64>(bytes);
    histograms::<f64>(bytes);
}

/// What was read is gone on with as a head would.
fn goes_on(bytes: &[u8], count: usize) {
    let Ok(mut appender) = XorAppender::resume(bytes) else { return };
    assert_eq!(usize::from(appender.count()), count);
    if count == 0 || appender.count() == u16::MAX {
        return;
    }
    let mut longer = bytes.to_vec();
    longer.truncate(appender.byte_len());
    longer.resize(appender.byte_len() + SAMPLE_BYTES_MAX, 0);
    let sample = Sample { timestamp_ms: appender.last_timestamp_ms().wrapping_add(1), value: 1.5 };
    appender.append(&mut longer, sample);
    appender.finish(&mut longer);
    let mut reader = XorReader::new(&longer).expect("a count is there");
    let mut last = None;
    while let Some(found) = reader.next_sample().expect("what was appended to can be read") {
        last = Some(found);
    }
    assert_eq!(last, Some(sample));
}

fn histograms<C: ChunkCount>(bytes: &[u8]) {
    for open in [HistogramReader::<C>::new, HistogramReader::<C>::with_start_timestamps] {
        let Ok(reader) = open(bytes) else { continue };
        let mut columns = HistogramColumns::default();
        let _ = decode_histograms(reader, &mut columns);
        let Ok(mut reader) = open(bytes) else { continue };
        let mut histogram = NativeHistogram::default();
        while let Ok(Some(_)) = reader.next_timestamp_ms() {
            reader.histogram_in(&mut histogram);
        }
    }
    let _ = HistogramAppender::<C>::resume(bytes);
}

/// A block of a segment. The checksum of a part is made right, or nothing would be reached.
pub fn wal_block(bytes: &[u8]) {
    let segment = SegmentId(1);
    let _ = SegmentHeader::judge(bytes, segment);
    let mut bytes = bytes.to_vec();
    Part::make_right(&mut bytes, segment);
    if let Ok(part) = Part::decode(&bytes, segment) {
        wal_payload(part.payload);
    }
}

/// The payload of a frame.
pub fn wal_payload(bytes: &[u8]) {
    let mut sections = Sections::new(bytes);
    while let Ok(Some(section)) = sections.next_section() {
        match section {
            Section::Definitions(mut definitions) => while let Ok(Some(_)) = definitions.next_definition() {},
            Section::Samples(mut samples) => while let Ok(Some(_)) = samples.next_sample() {},
            _ => {}
        }
    }
}

/// Definitions of up to 255 series, then what they hold, as a checkpoint has them. What is accepted is written and read again.
pub fn checkpoint(bytes: &[u8]) {
    let Some((count, rest)) = bytes.split_first() else { return };
    let key = FingerprintKey::new(1);
    let mut symbols = Symbols::new(key.clone());
    let new_head = || Head::new(HeadOptions { series_max: u32::MAX, future_grace_ms: 0, out_of_order_window_ms: 0 });
    let mut head = new_head();
    let mut fields = Fields::new(rest);
    if head.take_definitions(&mut symbols, &key, u32::from(*count), &mut fields).is_err() {
        return;
    }
    for series in 0..head.series_count() {
        if head.take_contents(SeriesRef(series), &mut fields, &|_, _| None).is_err() {
            return;
        }
    }
    if head.take_late(&mut fields, &|_, _| None).is_err() {
        return;
    }
    let mut written = Vec::new();
    put_image(&head, &symbols, &mut written);
    let mut again = new_head();
    let mut fields = Fields::new(&written);
    again.take_definitions(&mut symbols, &key, head.series_count(), &mut fields).expect("own definitions");
    for series in 0..again.series_count() {
        again.take_contents(SeriesRef(series), &mut fields, &|_, _| None).expect("own contents");
    }
    again.take_late(&mut fields, &|_, _| None).expect("own late samples");
    let mut twice = Vec::new();
    put_image(&again, &symbols, &mut twice);
    assert_eq!(written, twice);
}

fn put_image(head: &Head, symbols: &Symbols, out: &mut Vec<u8>) {
    let series = 0..head.series_count();
    let mut files = Default::default();
    head.put_definitions(symbols, (0, series.end), &mut Default::default(), out);
    series.clone().for_each(|series| head.put_contents(series, &mut files, out));
    head.put_late(series, &mut files, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What fuzzers found worth keeping, again.
    #[test]
    fn the_kept_corpus_passes() {
        check("chunk", chunk);
        check("wal_block", wal_block);
        check("wal_payload", wal_payload);
        check("checkpoint", checkpoint);
    }

    fn check(name: &str, target: fn(&[u8])) {
        let folder = format!("{}/../fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 10, "{folder} holds {count} cases");
    }
}
