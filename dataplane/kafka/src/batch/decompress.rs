//! The five codecs of record batches, each under a cap, into one buffer that is used again.

use std::io::Read;

use super::BatchError;

/// Xerial's framing of snappy blocks, as Java clients write it: magic, two versions, then length-prefixed blocks.
const XERIAL_MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const XERIAL_HEAD_BYTES: usize = 16;

#[derive(Default)]
pub struct Decompressor {
    buffer: Vec<u8>,
    snappy: snap::raw::Decoder,
}

impl Decompressor {
    /// Gives the plain bytes: `payload` itself where nothing is compressed.
    pub fn inflate<'a>(&'a mut self, codec: u8, payload: &'a [u8], bytes_max: usize) -> Result<&'a [u8], BatchError> {
        self.buffer.clear();
        match codec {
            0 => return Ok(payload),
            1 => self.stream(flate2::read::MultiGzDecoder::new(payload), bytes_max, "gzip")?,
            2 => self.snappy(payload, bytes_max)?,
            3 => self.stream(lz4_flex::frame::FrameDecoder::new(payload), bytes_max, "lz4")?,
            4 => {
                let decoder =
                    zstd::stream::read::Decoder::with_buffer(payload).map_err(|_| BatchError::Inflate("zstd"))?;
                self.stream(decoder, bytes_max, "zstd")?;
            }
            unknown => return Err(BatchError::Codec(unknown)),
        }
        Ok(&self.buffer)
    }

    pub fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    fn stream(&mut self, reader: impl Read, bytes_max: usize, codec: &'static str) -> Result<(), BatchError> {
        let mut capped = reader.take(bytes_max as u64 + 1);
        capped.read_to_end(&mut self.buffer).map_err(|_| BatchError::Inflate(codec))?;
        if self.buffer.len() > bytes_max { Err(BatchError::TooLarge) } else { Ok(()) }
    }

    fn snappy(&mut self, payload: &[u8], bytes_max: usize) -> Result<(), BatchError> {
        const BROKEN: BatchError = BatchError::Inflate("snappy");
        if !payload.starts_with(&XERIAL_MAGIC) {
            return self.snappy_block(payload, bytes_max);
        }
        let mut rest = payload.get(XERIAL_HEAD_BYTES..).ok_or(BROKEN)?;
        while !rest.is_empty() {
            let (len, after) = rest.split_first_chunk::<4>().ok_or(BROKEN)?;
            let (block, after) = after.split_at_checked(u32::from_be_bytes(*len) as usize).ok_or(BROKEN)?;
            self.snappy_block(block, bytes_max)?;
            rest = after;
        }
        Ok(())
    }

    fn snappy_block(&mut self, block: &[u8], bytes_max: usize) -> Result<(), BatchError> {
        const BROKEN: BatchError = BatchError::Inflate("snappy");
        // One byte of snappy yields at most 64 bytes: larger claims are not allocated.
        let claimed = snap::raw::decompress_len(block).map_err(|_| BROKEN)?;
        if claimed > block.len().saturating_mul(64) {
            return Err(BROKEN);
        }
        let start = self.buffer.len();
        if start + claimed > bytes_max {
            return Err(BatchError::TooLarge);
        }
        self.buffer.resize(start + claimed, 0);
        let len = self.snappy.decompress(block, &mut self.buffer[start..]).map_err(|_| BROKEN)?;
        self.buffer.truncate(start + len);
        Ok(())
    }
}
