//! The samples of one owner in a frame: columns of refs, times and values. Byte layout: `FORMAT.md`, sections 2 and 7.
//!
//! Only section 7 is written. Neighbours of one scrape have refs one apart and the same time, so that runs of them take next to
//! nothing; of a value the bytes up to the last that is not 0 are kept, which is half of them for counters.

use model::{Sample, SeriesRef};

use super::fields::{Fields, Malformed, put_bytes, put_signed, put_varint};
use super::section::{Owner, end_of, take_owner, take_ref};

/// Columns that are being filled. Reused: once its buffers have grown, it allocates nothing.
#[derive(Default, Debug)]
pub(super) struct SampleColumns {
    count: u64,
    last_ref: u32,
    last_timestamp_ms: i64,
    /// Further samples of the run that is open: refs one apart, the same time.
    refs_following: u64,
    times_following: u64,
    refs: Vec<u8>,
    timestamps: Vec<u8>,
    /// Bytes of each value, two in a byte.
    widths: Vec<u8>,
    values: Vec<u8>,
}

impl SampleColumns {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    #[inline]
    pub(super) fn push(&mut self, series: SeriesRef, sample: Sample) {
        let is_first = self.count == 0;
        if !is_first && series.0.wrapping_sub(self.last_ref) == 1 {
            self.refs_following += 1;
        } else {
            if !is_first {
                put_varint(self.refs_following, &mut self.refs);
            }
            put_signed(i64::from(series.0) - i64::from(self.last_ref), &mut self.refs);
            self.refs_following = 0;
        }
        if !is_first && sample.timestamp_ms == self.last_timestamp_ms {
            self.times_following += 1;
        } else {
            if !is_first {
                put_varint(self.times_following, &mut self.timestamps);
            }
            put_signed(sample.timestamp_ms.wrapping_sub(self.last_timestamp_ms), &mut self.timestamps);
            self.times_following = 0;
        }
        self.push_value(sample.value.to_bits());
        self.last_ref = series.0;
        self.last_timestamp_ms = sample.timestamp_ms;
        self.count += 1;
    }

    #[inline]
    fn push_value(&mut self, bits: u64) {
        let width = 8 - (bits.trailing_zeros() / 8) as usize;
        if self.count.is_multiple_of(2) {
            self.widths.push(width as u8);
        } else if let Some(pair) = self.widths.last_mut() {
            *pair |= (width as u8) << 4;
        }
        // A copy of fixed length and a cut: less than a copy of any length.
        let len = self.values.len() + width;
        self.values.extend_from_slice(&bits.to_be_bytes());
        self.values.truncate(len);
    }

    /// Appends all but the values; [`SampleColumns::values`] go behind.
    pub(super) fn put(&mut self, out: &mut Vec<u8>) {
        put_varint(self.refs_following, &mut self.refs);
        put_varint(self.times_following, &mut self.timestamps);
        put_varint(self.count, out);
        put_bytes(&self.refs, out);
        put_bytes(&self.timestamps, out);
        out.extend_from_slice(&self.widths);
    }

    pub(super) fn values(&self) -> &[u8] {
        &self.values
    }

    pub(super) fn byte_len(&self) -> usize {
        self.refs.len() + self.timestamps.len() + self.widths.len() + self.values.len()
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        [&self.refs, &self.timestamps, &self.widths, &self.values].iter().map(|buffer| buffer.capacity()).sum()
    }

    pub(super) fn clear(&mut self) {
        [&mut self.refs, &mut self.timestamps, &mut self.widths, &mut self.values].into_iter().for_each(Vec::clear);
        (self.count, self.last_ref, self.last_timestamp_ms) = (0, 0, 0);
        (self.refs_following, self.times_following) = (0, 0);
    }
}

/// Samples that are being read.
#[derive(Clone, Copy, Debug)]
pub struct Samples<'a> {
    pub owner: Owner<'a>,
    count_left: u64,
    last_ref: u32,
    last_timestamp_ms: i64,
    refs: Fields<'a>,
    timestamps: Fields<'a>,
    values: Fields<'a>,
    /// Absent in section 2.
    runs: Option<Runs<'a>>,
}

/// What section 7 has more.
#[derive(Clone, Copy, Debug)]
struct Runs<'a> {
    refs_following: u64,
    times_following: u64,
    widths: Fields<'a>,
    /// The second half of a byte of `widths`.
    next_width: Option<u8>,
}

impl<'a> Samples<'a> {
    /// Section 2: every ref and time as a difference, values whole.
    pub(super) fn of_differences(fields: Fields<'a>) -> Result<Self, Malformed> {
        Self::new(fields, |_, _| Ok(None))
    }

    /// Section 7.
    pub(super) fn of_runs(fields: Fields<'a>) -> Result<Self, Malformed> {
        Self::new(fields, |count, fields| {
            let bytes = usize::try_from(count.div_ceil(2)).map_err(|_| Malformed::Truncated)?;
            let widths = Fields::new(fields.take(bytes)?);
            Ok(Some(Runs { refs_following: 0, times_following: 0, widths, next_width: None }))
        })
    }

    fn new(
        mut fields: Fields<'a>,
        take_runs: impl Fn(u64, &mut Fields<'a>) -> Result<Option<Runs<'a>>, Malformed>,
    ) -> Result<Self, Malformed> {
        let owner = take_owner(&mut fields)?;
        let count_left = fields.varint()?;
        let refs = Fields::new(fields.bytes()?);
        let timestamps = Fields::new(fields.bytes()?);
        let runs = take_runs(count_left, &mut fields)?;
        Ok(Self { owner, count_left, last_ref: 0, last_timestamp_ms: 0, refs, timestamps, values: fields, runs })
    }

    /// The next sample, or none at the end.
    ///
    /// # Errors
    /// The bytes break the format.
    pub fn next_sample(&mut self) -> Result<Option<(SeriesRef, Sample)>, Malformed> {
        if self.count_left == 0 {
            end_of::<()>(self.refs)?;
            end_of::<()>(self.timestamps)?;
            self.runs.map_or(Ok(()), |runs| runs.end())?;
            return end_of(self.values);
        }
        self.count_left -= 1;
        let bits = match &mut self.runs {
            None => {
                self.last_ref = take_ref(&mut self.refs, self.last_ref)?;
                self.last_timestamp_ms = self.last_timestamp_ms.wrapping_add(self.timestamps.signed()?);
                u64::from_le_bytes(self.values.array()?)
            }
            Some(runs) => {
                self.last_ref = runs.next_ref(self.last_ref, &mut self.refs)?;
                self.last_timestamp_ms = runs.next_time(self.last_timestamp_ms, &mut self.timestamps)?;
                runs.next_bits(&mut self.values)?
            }
        };
        let sample = Sample { timestamp_ms: self.last_timestamp_ms, value: f64::from_bits(bits) };
        Ok(Some((SeriesRef(self.last_ref), sample)))
    }
}

impl Runs<'_> {
    #[inline]
    fn next_ref(&mut self, last: u32, refs: &mut Fields<'_>) -> Result<u32, Malformed> {
        if self.refs_following > 0 {
            self.refs_following -= 1;
            return last.checked_add(1).ok_or(Malformed::OutOfRange { what: "a series ref" });
        }
        let next = take_ref(refs, last)?;
        self.refs_following = refs.varint()?;
        Ok(next)
    }

    #[inline]
    fn next_time(&mut self, last_ms: i64, timestamps: &mut Fields<'_>) -> Result<i64, Malformed> {
        if self.times_following > 0 {
            self.times_following -= 1;
            return Ok(last_ms);
        }
        let next_ms = last_ms.wrapping_add(timestamps.signed()?);
        self.times_following = timestamps.varint()?;
        Ok(next_ms)
    }

    #[inline]
    fn next_bits(&mut self, values: &mut Fields<'_>) -> Result<u64, Malformed> {
        let width = match self.next_width.take() {
            Some(width) => width,
            None => {
                let pair = self.widths.byte()?;
                self.next_width = Some(pair >> 4);
                pair & 0xf
            }
        };
        if width > 8 {
            return Err(Malformed::OutOfRange { what: "the width of a value" });
        }
        let mut bytes = [0; 8];
        bytes[..usize::from(width)].copy_from_slice(values.take(width.into())?);
        Ok(u64::from_be_bytes(bytes))
    }

    /// No run goes on behind the last sample.
    fn end(&self) -> Result<(), Malformed> {
        let is_even = self.next_width.is_none_or(|width| width == 0);
        if self.refs_following == 0 && self.times_following == 0 && is_even {
            return end_of::<()>(self.widths).map(|_| ());
        }
        Err(Malformed::OutOfRange { what: "the length of a run" })
    }
}
