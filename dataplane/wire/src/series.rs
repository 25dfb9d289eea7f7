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
    pub noted: Noted,
    after_labels: &'a [u8],
}

impl<'a> SeriesView<'a> {
    /// Walks the message once: structure is checked here, so that the iterators below cannot fail halfway.
    ///
    /// # Errors
    /// No message of this shape.
    pub fn parse(raw: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(raw);
        let mut label_bytes = 0;
        let (mut scattered, mut are_labels_over) = (false, false);
        let (mut samples, mut noted) = (0, Noted::default());
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
                    parse_sample(value)?;
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
        Ok(Self { raw, labels, labels_scattered: scattered, samples, noted, after_labels })
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

/// `Sample`: 1 double value, 2 int64 milliseconds; absent fields are 0.
pub(crate) fn parse_sample(value: Value<'_>) -> Result<Sample, Malformed> {
    let mut fields = Fields::new(value.bytes()?);
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
