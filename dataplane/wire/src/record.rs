//! A Kafka record's value, in the versions 0, 1 and 2 that Mimir writes, as a stream of series.
//!
//! Versions 0 and 1 hold remote write 1 fields; version 2 holds symbols and references. A record mixes neither. Source of
//! the format and its limits: Mimir's ingest storage records; vectors in the tests were printed by a real Mimir.

mod symbolized;
mod writer;

use crate::fields::{Fields, Malformed, Value};
use crate::series::{Noted, SampleIter, SeriesView};

pub use writer::{RecordWriter, field_bytes};

/// Name of the record header that holds the version, four bytes, big-endian.
pub const VERSION_HEADER: &str = "Version";

/// How a record's value is encoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordVersion {
    /// No header: the same bytes as version 1.
    V0,
    V1,
    V2,
}

impl RecordVersion {
    /// The header's value for a record of this version; `None` is no header at all.
    #[must_use]
    pub fn header(self) -> Option<[u8; 4]> {
        match self {
            Self::V0 => None,
            Self::V1 => Some(1u32.to_be_bytes()),
            Self::V2 => Some(2u32.to_be_bytes()),
        }
    }

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

/// Who wrote the samples of a record.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Source {
    #[default]
    Api,
    Rule,
}

/// What a record holds besides series.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecordNotes {
    pub source: Source,
    /// Families whose type, help or unit the record tells.
    pub metadata: u32,
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
) -> Result<RecordNotes, RecordError> {
    match version {
        RecordVersion::V0 | RecordVersion::V1 => Ok(walk_v1(value, scratch, visitor)?),
        RecordVersion::V2 => Ok(symbolized::walk(value, scratch, visitor)?),
    }
}

fn walk_v1(value: &[u8], scratch: &mut Vec<u8>, visitor: &mut impl RecordVisitor) -> Result<RecordNotes, Malformed> {
    let mut notes = RecordNotes::default();
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
            2 => notes.source = source_of(value)?,
            3 => {
                value.bytes()?;
                notes.metadata += 1;
            }
            4 | 5 => return Err(Malformed("fields of version 2 in a record of version 0 or 1")),
            _ => {}
        }
    }
    Ok(notes)
}

/// `SourceEnum`: 0 API, 1 RULE; what is not known counts as the API.
fn source_of(value: Value<'_>) -> Result<Source, Malformed> {
    Ok(if value.varint()? == 1 { Source::Rule } else { Source::Api })
}

#[cfg(test)]
mod record_test;
