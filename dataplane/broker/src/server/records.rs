//! Looks into a batch for one record's offset and timestamp, without keeping what is decompressed.
//!
//! A batch that cannot be read to the record, or that inflates beyond the limit, answers with its first offset: a reader that starts
//! there misses nothing.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use bytes::{Buf, Bytes};

use crate::batch::{BatchHeader, HEADER_BYTES};

const INFLATED_BYTES_MAX: u64 = 512 << 20;
/// Snappy inflates a block as a whole.
const SNAPPY_BLOCK_BYTES_MAX: usize = 64 << 20;
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const XERIAL_HEADER_BYTES: usize = 16;

/// Which record of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wanted {
    /// The first whose timestamp is not before.
    NotBefore(i64),
    /// The first with the largest timestamp.
    Newest,
}

/// Offset and timestamp of the wanted record; those before `start_offset` were deleted.
pub(super) fn find_record(batch: &Bytes, wanted: Wanted, start_offset: i64) -> (i64, i64) {
    let Some(header) = BatchHeader::read(batch) else { return (-1, -1) };
    let timestamp = match wanted {
        Wanted::NotBefore(timestamp) => timestamp,
        Wanted::Newest => header.max_timestamp,
    };
    search(batch, &header, timestamp, start_offset).unwrap_or_else(|error| {
        tracing::debug!(%error, offset = header.base_offset, "a batch cannot be searched by time");
        (header.base_offset.max(start_offset), header.base_timestamp)
    })
}

fn search(batch: &Bytes, header: &BatchHeader, timestamp: i64, start_offset: i64) -> io::Result<(i64, i64)> {
    let records = batch.slice(HEADER_BYTES..);
    let inflated: Box<dyn Read> = match header.codec() {
        0 => Box::new(Cursor::new(records)),
        1 => Box::new(flate2::read::MultiGzDecoder::new(records.reader())),
        2 => snappy(&records)?,
        3 => Box::new(lz4_flex::frame::FrameDecoder::new(records.reader())),
        4 => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(records.reader())?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
        codec => return Err(invalid(format!("no compression has the number {codec}"))),
    };
    let mut reader = BufReader::with_capacity(64 << 10, inflated.take(INFLATED_BYTES_MAX));
    for _ in 0..header.record_count {
        let (offset_delta, timestamp_delta) = next_record(&mut reader)?;
        let found = header.base_timestamp.saturating_add(timestamp_delta);
        let offset = header.base_offset.saturating_add(offset_delta);
        if found >= timestamp && offset >= start_offset {
            return Ok((offset, found));
        }
    }
    Err(invalid("no record has the timestamp that the header tells"))
}

/// Reads the beginning of a record and skips the rest.
fn next_record(reader: &mut impl BufRead) -> io::Result<(i64, i64)> {
    let (len, _) = varint(reader)?;
    reader.read_exact(&mut [0])?;
    let (timestamp_delta, timestamp_bytes) = varint(reader)?;
    let (offset_delta, offset_bytes) = varint(reader)?;
    let read = 1 + timestamp_bytes + offset_bytes;
    let rest = u64::try_from(len).ok().and_then(|len| len.checked_sub(read));
    let rest = rest.ok_or_else(|| invalid("a record is shorter than its fields"))?;
    let skipped = io::copy(&mut reader.take(rest), &mut io::sink())?;
    if skipped < rest { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok((offset_delta, timestamp_delta)) }
}

/// A zigzag varint and how many bytes it took.
fn varint(reader: &mut impl Read) -> io::Result<(i64, u64)> {
    let mut value = 0u64;
    for place in 0..10 {
        let mut byte = [0];
        reader.read_exact(&mut byte)?;
        value |= u64::from(byte[0] & 0x7f) << (place * 7);
        if byte[0] < 0x80 {
            return Ok(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), place + 1));
        }
    }
    Err(invalid("a number has more than ten bytes"))
}

/// Raw snappy, or the framing of the Java clients: a header, then blocks with their lengths.
fn snappy(records: &Bytes) -> io::Result<Box<dyn Read>> {
    if !records.starts_with(XERIAL_MAGIC) {
        return Ok(Box::new(Cursor::new(inflate_block(records)?)));
    }
    let blocks = records.get(XERIAL_HEADER_BYTES..).map(|_| records.slice(XERIAL_HEADER_BYTES..));
    let blocks = blocks.ok_or_else(|| invalid("the header of the snappy blocks is cut"))?;
    Ok(Box::new(SnappyBlocks { blocks, block: Cursor::new(Vec::new()) }))
}

fn inflate_block(block: &[u8]) -> io::Result<Vec<u8>> {
    let len = snap::raw::decompress_len(block).map_err(invalid)?;
    if len > SNAPPY_BLOCK_BYTES_MAX {
        return Err(invalid("a snappy block is too large"));
    }
    snap::raw::Decoder::new().decompress_vec(block).map_err(invalid)
}

struct SnappyBlocks {
    blocks: Bytes,
    block: Cursor<Vec<u8>>,
}

impl Read for SnappyBlocks {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.block.read(out)?;
            if count > 0 || out.is_empty() || self.blocks.is_empty() {
                return Ok(count);
            }
            let len = self.blocks.try_get_u32().map_err(invalid)? as usize;
            if len > self.blocks.len() {
                return Err(invalid("a snappy block is cut"));
            }
            self.block = Cursor::new(inflate_block(&self.blocks.split_to(len))?);
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use kafka_protocol::indexmap::IndexMap;
    use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
    use proptest::prelude::*;

    use super::*;

    fn batch(compression: Compression, timestamps: &[i64]) -> Vec<u8> {
        let record = |(offset, timestamp): (usize, &i64)| Record {
            transactional: false,
            control: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset: offset as i64,
            sequence: offset as i32,
            timestamp: *timestamp,
            key: None,
            value: Some(vec![offset as u8; 300].into()),
            headers: IndexMap::new(),
            delete_horizon: false,
        };
        let records: Vec<Record> = timestamps.iter().enumerate().map(record).collect();
        let mut bytes = BytesMut::new();
        RecordBatchEncoder::encode(&mut bytes, &records, &RecordEncodeOptions { version: 2, compression }).unwrap();
        let mut bytes = bytes.to_vec();
        bytes[..8].copy_from_slice(&1_000i64.to_be_bytes());
        bytes
    }

    const CODECS: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[test]
    fn records_are_found_by_time_in_every_compression() {
        for compression in CODECS {
            let bytes = Bytes::from(batch(compression, &[50, 70, 60, 90, 90, 80]));
            for (wanted, expected) in [
                (Wanted::NotBefore(0), (1_000, 50)),
                (Wanted::NotBefore(51), (1_001, 70)),
                (Wanted::NotBefore(70), (1_001, 70)),
                (Wanted::NotBefore(71), (1_003, 90)),
                (Wanted::Newest, (1_003, 90)),
                // The header lies: the first offset is the answer that loses nothing.
                (Wanted::NotBefore(91), (1_000, 50)),
            ] {
                assert_eq!(find_record(&bytes, wanted, 0), expected, "{compression:?} {wanted:?}");
            }
        }
    }

    #[test]
    fn snappy_comes_in_blocks_too() {
        let plain = batch(Compression::None, &[50, 70, 60]);
        let mut bytes = plain[..HEADER_BYTES].to_vec();
        bytes[22] = 2;
        bytes.extend_from_slice(b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
        for block in plain[HEADER_BYTES..].chunks(400) {
            let block = snap::raw::Encoder::new().compress_vec(block).unwrap();
            bytes.extend_from_slice(&(block.len() as u32).to_be_bytes());
            bytes.extend_from_slice(&block);
        }
        assert_eq!(find_record(&bytes.into(), Wanted::NotBefore(51), 0), (1_001, 70));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(
            codec in 0u8..8,
            records in proptest::collection::vec(any::<u8>(), 0..300),
            at in any::<prop::sample::Index>(),
            flip in any::<u8>(),
        ) {
            let mut bytes = batch(CODECS[usize::from(codec) % 5], &[50, 70])[..HEADER_BYTES].to_vec();
            bytes[22] = codec;
            bytes.extend_from_slice(&records);
            find_record(&bytes.into(), Wanted::NotBefore(60), 0);
            let mut bytes = batch(CODECS[usize::from(codec) % 5], &[50, 70, 60]);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            find_record(&bytes.into(), Wanted::NotBefore(65), 0);
        }
    }
}
