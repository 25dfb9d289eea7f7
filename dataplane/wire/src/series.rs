//! One `TimeSeries` of remote write 1: its label bytes as they came, its samples, and a note of what else it holds.

use model::Sample;

use crate::fields::{Fields, Malformed, Value, put_varint};

const LABELS: u32 = 1;
const SAMPLES: u32 = 2;
const EXEMPLARS: u32 = 3;
const HISTOGRAMS: u32 = 4;

/// What a series holds besides float samples.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Noted {
    pub exemplars: u32,
    pub histograms: u32,
}

/// A borrowed series.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    /// The whole message.
    pub raw: &'a [u8],
    /// The `labels` fields as they came, where they stand together at the start; else empty and [`Self::labels_scattered`].
    pub labels: &'a [u8],
    /// Labels stand between other fields: only the slow path can gather them.
    pub labels_scattered: bool,
    pub samples: u32,
    /// The newest of the samples; `i64::MIN` where there is none.
    pub newest_ms: i64,
    pub noted: Noted,
    after_labels: &'a [u8],
}

impl<'a> SeriesView<'a> {
    /// Walks the message once: structure is checked here, so that the iterators below cannot fail halfway.
    ///
    /// # Errors
    /// No message of this shape.
    #[inline]
    pub fn parse(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut label_bytes = plain_label_bytes(raw);
        let mut fields = Fields::new(&raw[label_bytes..]);
        let (mut scattered, mut are_labels_over) = (false, false);
        let (mut samples, mut newest_ms, mut noted) = (0, i64::MIN, Noted::default());
        while let Some((number, value)) = fields.next_field()? {
            match number {
                LABELS => {
                    value.bytes()?;
                    scattered |= are_labels_over;
                    if !are_labels_over {
                        label_bytes = raw.len() - fields.rest().len();
                    }
                    continue;
                }
                SAMPLES => {
                    newest_ms = newest_ms.max(parse_sample(value)?.timestamp_ms);
                    samples += 1;
                }
                EXEMPLARS => {
                    value.bytes()?;
                    noted.exemplars += 1;
                }
                HISTOGRAMS => {
                    value.bytes()?;
                    noted.histograms += 1;
                }
                _ => {}
            }
            are_labels_over = true;
        }
        let (labels, after_labels) = raw.split_at(label_bytes);
        Ok(Self { raw, labels, labels_scattered: scattered, samples, newest_ms, noted, after_labels })
    }

    /// The float samples in their order.
    #[must_use]
    pub fn samples(&self) -> SampleIter<'a> {
        SampleIter(Fields::new(self.after_labels))
    }

    /// The `labels` fields gathered from wherever they stand, in their order.
    pub fn gather_labels(&self, out: &mut Vec<u8>) {
        out.clear();
        for message in label_messages(self.raw) {
            out.push(0x0a);
            put_varint(message.len() as u64, out);
            out.extend_from_slice(message);
        }
    }

    /// Appends everything but the labels, and of the samples those that `keep` wants; gives their number.
    pub fn copy_rest(&self, out: &mut Vec<u8>, mut keep: impl FnMut(&Sample) -> bool) -> u64 {
        let mut kept = 0;
        let mut fields = Fields::new(self.raw);
        let mut start = self.raw.len();
        while let Ok(Some((number, value))) = fields.next_field() {
            let begin = self.raw.len() - start;
            start = fields.rest().len();
            let is_kept = match number {
                LABELS => false,
                SAMPLES => parse_sample(value).is_ok_and(|sample| keep(&sample)),
                _ => true,
            };
            kept += u64::from(is_kept && number == SAMPLES);
            if is_kept {
                out.extend_from_slice(&self.raw[begin..self.raw.len() - start]);
            }
        }
        kept
    }
}

/// Bytes at the start of `raw` that are `labels` fields with lengths of one or two bytes. Nearly every series consists of
/// such a run and one sample, so it is passed over without looking at each field's kind; where this ends, the general walk
/// goes on, and it is the one that judges.
#[inline]
fn plain_label_bytes(raw: &[u8]) -> usize {
    let mut at = 0;
    while let Some(&[0x0a, low]) = raw.get(at..at + 2) {
        let end = match (low, raw.get(at + 2)) {
            (0..0x80, _) => at + 2 + usize::from(low),
            (_, Some(&high @ 0..0x80)) => at + 3 + (usize::from(low & 0x7f) | usize::from(high) << 7),
            _ => break,
        };
        if end > raw.len() {
            break;
        }
        at = end;
    }
    at
}

/// The label messages of a series, or of a run of `labels` fields.
pub(crate) fn label_messages(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut fields = Fields::new(bytes);
    std::iter::from_fn(move || {
        loop {
            if let (LABELS, Value::Bytes(message)) = fields.next_field().ok()?? {
                return Some(message);
            }
        }
    })
}

/// Samples of a series whose structure was checked.
#[derive(Clone, Debug)]
pub struct SampleIter<'a>(pub(crate) Fields<'a>);

impl Iterator for SampleIter<'_> {
    type Item = Sample;

    #[inline]
    fn next(&mut self) -> Option<Sample> {
        loop {
            let (number, value) = self.0.next_field().ok()??;
            if number == SAMPLES {
                return parse_sample(value).ok();
            }
        }
    }
}

/// Appends a `samples` field of a `TimeSeries`: for whoever makes series instead of passing them on.
pub fn encode_sample(sample: Sample, out: &mut Vec<u8>) {
    let mut message = [0; 10];
    message[0] = 0x09;
    message[1..9].copy_from_slice(&sample.value.to_le_bytes());
    message[9] = 0x10;
    let mut time = Vec::with_capacity(10);
    put_varint(sample.timestamp_ms as u64, &mut time);
    out.extend_from_slice(&[0x12, (10 + time.len()) as u8]);
    out.extend_from_slice(&message);
    out.extend_from_slice(&time);
}

/// `Sample`: 1 double value, 2 int64 milliseconds; absent fields are 0.
#[inline]
pub(crate) fn parse_sample(value: Value<'_>) -> Result<Sample, Malformed> {
    let message = value.bytes()?;
    match parse_plain_sample(message) {
        Some(sample) => Ok(sample),
        None => parse_any_sample(message),
    }
}

/// The shape that every known sender writes: value, then time, both present.
#[inline]
fn parse_plain_sample(message: &[u8]) -> Option<Sample> {
    let (&[0x09, bits @ .., 0x10], time) = message.split_first_chunk::<10>()? else { return None };
    let mut timestamp_ms = 0u64;
    // Nine bytes hold any time from 1970 on; a negative one takes ten, and the general way.
    for (index, byte) in time.iter().enumerate().take(9) {
        timestamp_ms |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let is_whole = index + 1 == time.len();
            let value = f64::from_bits(u64::from_le_bytes(bits));
            return is_whole.then_some(Sample { timestamp_ms: timestamp_ms as i64, value });
        }
    }
    None
}

fn parse_any_sample(message: &[u8]) -> Result<Sample, Malformed> {
    let mut fields = Fields::new(message);
    let mut sample = Sample { timestamp_ms: 0, value: 0.0 };
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => sample.value = value.double()?,
            2 => sample.timestamp_ms = value.varint()? as i64,
            _ => {}
        }
    }
    Ok(sample)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The quick ways must say what the general walk says, on any bytes.
    fn check_sample(message: &[u8]) -> Result<(), TestCaseError> {
        if let Some(quick) = parse_plain_sample(message) {
            let general = parse_any_sample(message).expect("what the quick way takes, the general one takes");
            prop_assert_eq!(quick.timestamp_ms, general.timestamp_ms);
            prop_assert_eq!(quick.value.to_bits(), general.value.to_bits());
        }
        Ok(())
    }

    fn check_labels(raw: &[u8]) -> Result<(), TestCaseError> {
        let (mut fields, mut ends) = (Fields::new(raw), vec![0]);
        while let Ok(Some((LABELS, Value::Bytes(_)))) = fields.next_field() {
            ends.push(raw.len() - fields.rest().len());
        }
        prop_assert!(ends.contains(&plain_label_bytes(raw)), "{} {ends:?}", plain_label_bytes(raw));
        Ok(())
    }

    #[test]
    fn the_usual_sample_takes_the_quick_way() {
        let message = b"\x09\x00\x00\x00\x00\x00\x00\xf8\x3f\x10\x80\xd0\x95\xff\xbc\x31";
        assert_eq!(parse_plain_sample(message), Some(Sample { timestamp_ms: 1_700_000_000_000, value: 1.5 }));
        assert_eq!(parse_plain_sample(&[&message[..], &[0]].concat()), None);
    }

    proptest! {
        #[test]
        fn quick_and_general_samples_agree(bits in any::<u64>(), time in any::<i64>(), shift in 0u32..64, tail in proptest::collection::vec(any::<u8>(), 0..3)) {
            let mut message = vec![0x09];
            message.extend_from_slice(&bits.to_le_bytes());
            message.push(0x10);
            put_varint((time >> shift) as u64, &mut message);
            message.extend_from_slice(&tail);
            check_sample(&message)?;
        }

        #[test]
        fn quick_label_runs_end_between_fields(lens in proptest::collection::vec(0usize..300, 0..6), tail in proptest::collection::vec(any::<u8>(), 0..8)) {
            let mut raw = Vec::new();
            for len in lens {
                raw.push(0x0a);
                put_varint(len as u64, &mut raw);
                raw.resize(raw.len() + len, 0x0a);
            }
            let whole = raw.len();
            check_labels(&raw)?;
            prop_assert_eq!(plain_label_bytes(&raw), whole);
            raw.extend_from_slice(&tail);
            check_labels(&raw)?;
        }
    }
}
