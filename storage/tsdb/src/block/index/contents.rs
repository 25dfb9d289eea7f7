//! The table of contents at the end of an index, and what all its parts have in common: a length, so many bytes, a checksum.

use std::ops::Range;

use super::{MAGIC, VERSION};
use crate::block::items::{Area, Look};
use crate::block::source::read_exact;
use crate::block::{BlockError, BlockFile, BlockSource};

/// Six places and a checksum.
const CONTENTS_BYTES: usize = 6 * 8 + 4;
const HEADER_BYTES: usize = 5;
/// The length in front of a part, and the checksum behind it.
const FRAME_BYTES: usize = 8;

/// Where the parts begin; 0 for one that is not there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::block) struct Contents {
    pub(in crate::block) symbols_at: u64,
    pub(in crate::block) series_at: u64,
    pub(in crate::block) label_indices_at: u64,
    pub(in crate::block) label_table_at: u64,
    pub(in crate::block) postings_at: u64,
    pub(in crate::block) postings_table_at: u64,
    /// Where the table itself begins: no part reaches beyond.
    pub(in crate::block) end: u64,
}

impl Contents {
    pub(in crate::block) async fn read<S: BlockSource>(source: &S) -> Result<Self, BlockError> {
        let length = source.length(&BlockFile::Index).await?;
        let Some(end) = length.checked_sub(CONTENTS_BYTES as u64).filter(|end| *end >= HEADER_BYTES as u64) else {
            return Err(damaged(0, format!("{length} bytes are too few for an index")));
        };
        let header = read_exact(source, BlockFile::Index, 0, HEADER_BYTES).await?;
        if header[..4] != MAGIC.to_be_bytes() {
            return Err(damaged(0, "it does not begin with the magic number of an index"));
        }
        if header[4] != VERSION {
            return Err(damaged(4, format!("version {} of the index is not known to this release", header[4])));
        }
        let bytes = read_exact(source, BlockFile::Index, end, CONTENTS_BYTES).await?;
        Self::decode(&bytes, end)
    }

    fn decode(bytes: &[u8], end: u64) -> Result<Self, BlockError> {
        let (places, checksum) = bytes.split_at(CONTENTS_BYTES - 4);
        if crc32c::crc32c(places).to_be_bytes() != checksum {
            return Err(damaged(end, "the checksum of the table of contents differs"));
        }
        let place = |nth: usize| {
            let at = u64::from_be_bytes(places[8 * nth..][..8].try_into().expect("eight bytes"));
            let is_inside = at == 0 || (HEADER_BYTES as u64..=end).contains(&at);
            if is_inside { Ok(at) } else { Err(damaged(end, format!("the table of contents points to byte {at}"))) }
        };
        Ok(Self {
            symbols_at: place(0)?,
            series_at: place(1)?,
            label_indices_at: place(2)?,
            label_table_at: place(3)?,
            postings_at: place(4)?,
            postings_table_at: place(5)?,
            end,
        })
    }

    /// Bytes with series: up to whatever comes next.
    pub(in crate::block) fn series(&self) -> Range<u64> {
        let places = [self.symbols_at, self.label_indices_at, self.label_table_at, self.postings_at];
        let behind = places.into_iter().chain([self.postings_table_at]).filter(|place| *place > self.series_at);
        self.series_at..behind.min().unwrap_or(self.end)
    }

    /// All in front of the table of contents.
    pub(in crate::block) fn area(&self) -> Area {
        Area { file: BlockFile::Index, end: self.end }
    }

    /// Reads a part that is read as a whole. Its length is checked before it is believed.
    pub(in crate::block) async fn read_part<S: BlockSource>(&self, source: &S, at: u64) -> Result<Vec<u8>, BlockError> {
        let room = self.end.saturating_sub(at);
        if room < FRAME_BYTES as u64 {
            return Err(damaged(at, "it is cut off"));
        }
        let head = read_exact(source, BlockFile::Index, at, 4).await?;
        let length = u32::from_be_bytes(head[..4].try_into().expect("four bytes"));
        if u64::from(length) > room - FRAME_BYTES as u64 {
            return Err(damaged(at, format!("it claims {length} bytes")));
        }
        let mut bytes = read_exact(source, BlockFile::Index, at + 4, length as usize + 4).await?;
        let checksum = bytes.split_off(length as usize);
        if crc32c::crc32c(&bytes).to_be_bytes()[..] != checksum {
            return Err(damaged(at, "the checksum differs"));
        }
        Ok(bytes)
    }
}

/// A part among others, as far as its bytes are there: what stands between length and checksum.
pub(super) fn look_at_part(at: u64, bytes: &[u8]) -> Result<Look<&[u8]>, BlockError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else {
        return Err(damaged(at, "it is cut off"));
    };
    let length = u32::from_be_bytes(*length) as usize;
    let Some((payload, checksum)) = rest.get(..length + 4).map(|rest| rest.split_at(length)) else {
        return Ok(Look::Needs { bytes: (length + FRAME_BYTES) as u64 });
    };
    if crc32c::crc32c(payload).to_be_bytes() != checksum {
        return Err(damaged(at, "the checksum differs"));
    }
    Ok(Look::Whole(payload))
}

/// The count in front of a part's entries.
pub(super) fn split_count(at: u64, part: &[u8]) -> Result<(u32, &[u8]), BlockError> {
    let (count, rest) = part.split_first_chunk::<4>().ok_or_else(|| damaged(at, "it has no count"))?;
    Ok((u32::from_be_bytes(*count), rest))
}

pub(super) fn damaged(at: u64, reason: impl Into<String>) -> BlockError {
    BlockError::damaged(BlockFile::Index, at, reason)
}
