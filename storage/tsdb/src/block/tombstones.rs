//! Tombstones: ranges of single series that were deleted from a block and are still in it.
//!
//! Format: `tsdb/docs/format/tombstones.md` of Prometheus, and its `tsdb/tombstones`: the checksum is over the entries alone,
//! neither magic nor version are in it, and there is no offset at the end of the file.

use model::TimeRange;

use super::{BlockError, BlockFile, SeriesEntryRef};
use crate::wal::{Fields, put_signed, put_varint};

const MAGIC: u32 = 0x0130_BA30;
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 5;
const CHECKSUM_BYTES: usize = 4;

/// Samples of one series within a closed range that readers must not see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tombstone {
    pub series: SeriesEntryRef,
    pub range: TimeRange,
}

/// The whole file.
#[must_use]
pub fn encode_tombstones(tombstones: &[Tombstone]) -> Vec<u8> {
    let mut bytes = MAGIC.to_be_bytes().to_vec();
    bytes.push(VERSION);
    for tombstone in tombstones {
        put_varint(tombstone.series.0.into(), &mut bytes);
        put_signed(tombstone.range.min_ms, &mut bytes);
        put_signed(tombstone.range.max_ms, &mut bytes);
    }
    let checksum = crc32c::crc32c(&bytes[HEADER_BYTES..]);
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes
}

/// Reads the whole file.
///
/// # Errors
/// The bytes are not a tombstones file.
pub fn decode_tombstones(bytes: &[u8]) -> Result<Vec<Tombstone>, BlockError> {
    let damaged = |offset: usize, reason: &str| BlockError::damaged(BlockFile::Tombstones, offset as u64, reason);
    let Some((head, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Err(damaged(0, "it is too short"));
    };
    let Some((entries, checksum)) = rest.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Err(damaged(0, "it is too short"));
    };
    if head[..4] != MAGIC.to_be_bytes() || head[4] != VERSION {
        return Err(damaged(0, "it does not begin with magic 0x0130BA30 and version 1"));
    }
    if crc32c::crc32c(entries) != u32::from_be_bytes(*checksum) {
        return Err(damaged(HEADER_BYTES, "the checksum differs"));
    }
    let mut fields = Fields::new(entries);
    let mut tombstones = Vec::new();
    while !fields.is_empty() {
        let offset = bytes.len() - CHECKSUM_BYTES - fields.rest().len();
        let mut next = || {
            let series = SeriesEntryRef(fields.number("a series")?);
            let range = TimeRange { min_ms: fields.signed()?, max_ms: fields.signed()? };
            Ok(Tombstone { series, range })
        };
        let read: Result<Tombstone, crate::wal::Malformed> = next();
        tombstones.push(read.map_err(|malformed| damaged(offset, &malformed.to_string()))?);
    }
    Ok(tombstones)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_empty_file_is_what_prometheus_writes() {
        assert_eq!(encode_tombstones(&[]), [0x01, 0x30, 0xBA, 0x30, 1, 0, 0, 0, 0]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(3), ..ProptestConfig::default() })]

        #[test]
        fn tombstones_come_back_and_damage_is_told(
            written in proptest::collection::vec((any::<u32>(), any::<i64>(), any::<i64>()), 0..20),
            flip in any::<(usize, u8)>(),
            other in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let tombstone = |(series, min_ms, max_ms)| Tombstone { series: SeriesEntryRef(series), range: TimeRange { min_ms, max_ms } };
            let written: Vec<Tombstone> = written.into_iter().map(tombstone).collect();
            let mut bytes = encode_tombstones(&written);
            prop_assert_eq!(decode_tombstones(&bytes).unwrap(), written);
            let at = flip.0 % bytes.len();
            bytes[at] ^= flip.1 | 1;
            prop_assert!(decode_tombstones(&bytes).is_err());
            prop_assert!(decode_tombstones(&other).is_err());
        }
    }
}
