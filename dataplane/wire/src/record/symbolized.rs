//! Records of version 2: a table of symbols, and series that name them.
//!
//! Every limit here bounds what a small record can stand for: references make text cheap to repeat.

use super::{RecordNotes, RecordSeries, RecordVisitor, source_of};
use crate::fields::{Fields, Malformed, put_varint, varint_bytes};
use crate::series::{Noted, SampleIter, parse_sample};
use crate::symbols::resolve;

/// Bytes that the labels of one series may take once their references are resolved: a record of some megabytes could name
/// its longest symbol a million times.
const LABEL_BYTES_MAX: usize = 1 << 20;

/// The same for all series of a record together: 16 MB of references could otherwise stand for terabytes of labels.
const RESOLVED_BYTES_MAX: usize = 1 << 30;

/// Symbols of one record: a slice for each is held while it is read, and a symbol takes as little as two bytes on the wire.
const SYMBOLS_MAX: usize = 1 << 20;

pub(super) fn walk(
    value: &[u8],
    scratch: &mut Vec<u8>,
    visitor: &mut impl RecordVisitor,
) -> Result<RecordNotes, Malformed> {
    let (symbols, source) = symbols_of(value)?;
    let mut notes = RecordNotes { source, metadata: 0 };
    let mut resolved_bytes = 0;
    let mut fields = Fields::new(value);
    while let Some((number, value)) = fields.next_field()? {
        if number == 5 {
            notes.metadata += u32::from(walk_series(value.bytes()?, &symbols, scratch, visitor)?);
            resolved_bytes += scratch.len();
            if resolved_bytes > RESOLVED_BYTES_MAX {
                return Err(Malformed("the labels of all series together are too long"));
            }
        }
    }
    Ok(notes)
}

/// Symbols may stand behind the series that name them, so they are gathered first.
fn symbols_of(value: &[u8]) -> Result<(Vec<&[u8]>, super::Source), Malformed> {
    let mut symbols: Vec<&[u8]> = Vec::new();
    let mut source = super::Source::Api;
    let mut fields = Fields::new(value);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 | 3 => return Err(Malformed("fields of version 1 in a record of version 2")),
            2 => source = source_of(value)?,
            4 => {
                let symbol = value.bytes()?;
                if symbols.is_empty() && !symbol.is_empty() {
                    return Err(Malformed("the first symbol is not the empty one"));
                }
                if symbols.len() == SYMBOLS_MAX {
                    return Err(Malformed("too many symbols"));
                }
                symbols.push(symbol);
            }
            _ => {}
        }
    }
    Ok((symbols, source))
}

/// `TimeSeriesRW2`: 1 packed references, 2 samples, 3 histograms, 4 exemplars, 5 metadata (present, but empty, where there
/// is none). Tells whether there is metadata.
fn walk_series(
    raw: &[u8],
    symbols: &[&[u8]],
    scratch: &mut Vec<u8>,
    visitor: &mut impl RecordVisitor,
) -> Result<bool, Malformed> {
    scratch.clear();
    let (mut sample_count, mut noted, mut has_metadata) = (0, Noted::default(), false);
    let mut fields = Fields::new(raw);
    while let Some((number, value)) = fields.next_field()? {
        match number {
            1 => resolve_labels(value.bytes()?, symbols, scratch)?,
            2 => {
                parse_sample(value)?;
                sample_count += 1;
            }
            3 => {
                value.bytes()?;
                noted.histograms += 1;
            }
            4 => {
                value.bytes()?;
                noted.exemplars += 1;
            }
            5 => has_metadata |= !value.bytes()?.is_empty(),
            _ => {}
        }
    }
    let samples = SampleIter(Fields::new(raw));
    visitor.series(RecordSeries { labels: scratch, samples, sample_count, noted });
    Ok(has_metadata)
}

/// Writes the labels of references as `labels` fields of remote write 1.
fn resolve_labels(packed: &[u8], symbols: &[&[u8]], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut references = Fields::new(packed);
    while !references.rest().is_empty() {
        let name = resolve(reference(&mut references)?, symbols)?;
        if references.rest().is_empty() {
            return Err(Malformed("an odd number of symbol references"));
        }
        let value = resolve(reference(&mut references)?, symbols)?;
        let inner = 2 + varint_bytes(name.len()) + name.len() + varint_bytes(value.len()) + value.len();
        if out.len() + inner > LABEL_BYTES_MAX {
            return Err(Malformed("the labels of a series are too long"));
        }
        out.push(0x0a);
        put_varint(inner as u64, out);
        for (tag, text) in [(0x0a, name), (0x12, value)] {
            out.push(tag);
            put_varint(text.len() as u64, out);
            out.extend_from_slice(text);
        }
    }
    Ok(())
}

fn reference(references: &mut Fields<'_>) -> Result<u32, Malformed> {
    u32::try_from(references.varint()?).map_err(|_| Malformed("a symbol reference is too large"))
}
