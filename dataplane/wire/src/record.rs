//! A Kafka record's value, in the versions 0, 1 and 2 that Mimir writes, as a stream of series.
//!
//! Versions 0 and 1 hold remote write 1 fields; version 2 holds symbols and references. A record mixes neither. Source of
//! the format and its limits: Mimir's ingest storage records; vectors in the tests were printed by a real Mimir.

use crate::fields::{Fields, Malformed, put_varint};
use crate::series::{Noted, SampleIter, SeriesView, parse_sample};
use crate::symbols::resolve;

/// Name of the record header that holds the version, four bytes, big-endian.
pub const VERSION_HEADER: &str = "Version";

/// Bytes that the labels of one series may take once their references are resolved: a record of some megabytes could name
/// its longest symbol a million times.
const LABEL_BYTES_MAX: usize = 1 << 20;

/// How a record's value is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordVersion {
    /// No header: the same bytes as version 1.
    V0,
    V1,
    V2,
}

impl RecordVersion {
    /// From the header's value, where there is one.
    ///
    /// # Errors
    /// A version that this release does not know, or no version at all.
    pub fn from_header(value: Option<&[u8]>) -> Result<Self, RecordError> {
        let Some(value) = value else { return Ok(Self::V0) };
        let bytes: [u8; 4] = value.try_into().map_err(|_| RecordError::BadVersionHeader { bytes: value.len() })?;
        match u32::from_be_bytes(bytes) {
            0 => Ok(Self::V0),
            1 => Ok(Self::V1),
            2 => Ok(Self::V2),
            version => Err(RecordError::UnknownVersion { version }),
        }
    }
}

/// Why a record cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecordError {
    #[error("record version {version} is not known; this release reads 0, 1 and 2")]
    UnknownVersion { version: u32 },
    #[error("the header Version has {bytes} bytes instead of 4")]
    BadVersionHeader { bytes: usize },
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

/// One series of a record.
#[derive(Clone, Debug)]
pub struct RecordSeries<'a> {
    /// Its `labels` fields in remote write 1 encoding, in the record's order; canonical for all that we produced.
    pub labels: &'a [u8],
    pub samples: SampleIter<'a>,
    pub sample_count: u32,
    pub noted: Noted,
}

/// Takes what a record holds. Series without samples carry metadata only.
pub trait RecordVisitor {
    fn series(&mut self, series: RecordSeries<'_>);
}

/// Walks a record. `scratch` is used again from record to record.
///
/// # Errors
/// The record is not of its version; the visitor may have seen part of it.
pub fn walk_record(
    version: RecordVersion,
    value: &[u8],
    scratch: &mut Vec<u8>,
    visitor: &mut impl RecordVisitor,
) -> Result<(), RecordError> {
    match version {
        RecordVersion::V0 | RecordVersion::V1 => walk_v1(value, scratch, visitor)?,
        RecordVersion::V2 => walk_v2(value, scratch, visitor)?,
    }
    Ok(())
}

fn walk_v1(value: &[u8], scratch: &mut Vec<u8>, visitor: &mut impl RecordVisitor) -> Result<(), Malformed> {
    let mut fields = Fields::new(value);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => {
                let series = SeriesView::parse(value.bytes()?)?;
                if series.labels_scattered {
                    series.gather_labels(scratch);
                }
                let labels = if series.labels_scattered { scratch.as_slice() } else { series.labels };
                let (samples, sample_count, noted) = (series.samples(), series.samples, series.noted);
                visitor.series(RecordSeries { labels, samples, sample_count, noted });
            }
            4 | 5 => return Err(Malformed("fields of version 2 in a record of version 0 or 1")),
            _ => {}
        }
    }
    Ok(())
}

fn walk_v2(value: &[u8], scratch: &mut Vec<u8>, visitor: &mut impl RecordVisitor) -> Result<(), Malformed> {
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut fields = Fields::new(value);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 | 3 => return Err(Malformed("fields of version 1 in a record of version 2")),
            4 => {
                let symbol = value.bytes()?;
                if symbols.is_empty() && !symbol.is_empty() {
                    return Err(Malformed("the first symbol is not the empty one"));
                }
                symbols.push(symbol);
            }
            _ => {}
        }
    }
    let mut fields = Fields::new(value);
    while let Some((number, value)) = fields.next_field()? {
        if number == 5 {
            series_v2(value.bytes()?, &symbols, scratch, visitor)?;
        }
    }
    Ok(())
}

/// `TimeSeriesRW2`: 1 packed references, 2 samples, 3 histograms, 4 exemplars, 5 metadata.
fn series_v2(
    raw: &[u8],
    symbols: &[&[u8]],
    scratch: &mut Vec<u8>,
    visitor: &mut impl RecordVisitor,
) -> Result<(), Malformed> {
    scratch.clear();
    let (mut sample_count, mut noted) = (0, Noted::default());
    let mut fields = Fields::new(raw);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => labels_v2(value.bytes()?, symbols, scratch)?,
            2 => {
                parse_sample(value)?;
                sample_count += 1;
            }
            3 => noted.histograms += 1,
            4 => noted.exemplars += 1,
            _ => {}
        }
    }
    let samples = SampleIter(Fields::new(raw));
    visitor.series(RecordSeries { labels: scratch, samples, sample_count, noted });
    Ok(())
}

/// Writes the labels of references as `labels` fields of remote write 1.
fn labels_v2(packed: &[u8], symbols: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut references = Fields::new(packed);
    let mut next = || -> Result<Option<u32>, Malformed> {
        if references.rest().is_empty() {
            return Ok(None);
        }
        u32::try_from(references.varint()?).map(Some).map_err(|_| Malformed("a symbol reference is too large"))
    };
    while let Some(name) = next()? {
        let value = next()?.ok_or(Malformed("an odd number of symbol references"))?;
        let (name, value) = (resolve(name, symbols)?, resolve(value, symbols)?);
        let (name_head, value_head) = (prefix(0x0a, name.len()), prefix(0x12, value.len()));
        let inner = name_head.len() + name.len() + value_head.len() + value.len();
        if out.len() + inner > LABEL_BYTES_MAX {
            return Err(Malformed("the labels of a series are too long"));
        }
        for part in [&prefix(0x0a, inner), &name_head, name, &value_head, value] {
            out.extend_from_slice(part);
        }
    }
    Ok(())
}

/// A tag and a length.
fn prefix(tag: u8, len: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(6);
    bytes.push(tag);
    put_varint(len as u64, &mut bytes);
    bytes
}

#[cfg(test)]
mod record_test;
