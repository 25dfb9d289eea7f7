//! What stands in front of a chunk's samples, and which encodings there are.
//!
//! - XOR: u16 sample count
//! - XOR2: u16 sample count, start byte
//! - histograms: u16 sample count, then the counter reset header in the top two bits of a byte
//! - histograms with start timestamps: counter reset header in the top two bits and 14 bits of sample count, start byte
//!
//! The start byte: bit 7 says that the first sample has a start timestamp, the rest is the index of the first sample whose
//! start differs from the one before (0: none). Source: Prometheus `tsdb/chunkenc` (`chunk.go`, `histogram.go`, `st.go`).

use model::CounterResetHint;

use super::ChunkError;

/// The encoding byte of a chunk in a block or a stream.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ChunkEncoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    Xor2 = 4,
    HistogramWithStart = 5,
    FloatHistogramWithStart = 6,
}

impl ChunkEncoding {
    pub const ALL: [Self; 6] = [
        Self::Xor,
        Self::Histogram,
        Self::FloatHistogram,
        Self::Xor2,
        Self::HistogramWithStart,
        Self::FloatHistogramWithStart,
    ];

    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|encoding| *encoding as u8 == byte)
    }

    /// Samples that a chunk says it holds: all that can be known without decoding.
    ///
    /// # Errors
    /// The bytes have no room for a header.
    pub fn count(self, bytes: &[u8]) -> Result<u16, ChunkError> {
        let header_bytes = match self {
            Self::Xor => XOR_HEADER_BYTES,
            Self::Xor2 => XOR2_HEADER_BYTES,
            _ => HISTOGRAM_HEADER_BYTES,
        };
        if bytes.len() < header_bytes {
            return Err(ChunkError::NoHeader { bytes: bytes.len() });
        }
        let word = u16::from_be_bytes([bytes[0], bytes[1]]);
        Ok(match self {
            Self::HistogramWithStart | Self::FloatHistogramWithStart => word & WITH_START_COUNT_MASK,
            _ => word,
        })
    }
}

pub const XOR_HEADER_BYTES: usize = 2;
pub const XOR2_HEADER_BYTES: usize = 3;
pub const HISTOGRAM_HEADER_BYTES: usize = 3;
pub const WITH_START_COUNT_MASK: u16 = 0x3fff;

/// What a histogram chunk says about a counter reset between the chunk before and itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
#[repr(u8)]
pub enum CounterResetHeader {
    #[default]
    Unknown = 0,
    NotCounterReset = 0b0100_0000,
    CounterReset = 0b1000_0000,
    /// All samples are gauges.
    Gauge = 0b1100_0000,
}

impl CounterResetHeader {
    pub(super) fn from_bits(byte: u8) -> Self {
        match byte >> 6 {
            0b00 => Self::Unknown,
            0b01 => Self::NotCounterReset,
            0b10 => Self::CounterReset,
            _ => Self::Gauge,
        }
    }

    pub(super) fn as_bits(self) -> u8 {
        self as u8
    }

    /// What a reader may say of the sample that is number `nth` from 1. Of the first one nothing: the chunk before may be gone
    /// or another one by now.
    pub(super) fn hint_of(self, nth: u16) -> CounterResetHint {
        match self {
            Self::Gauge => CounterResetHint::Gauge,
            _ if nth > 1 => CounterResetHint::NotCounterReset,
            _ => CounterResetHint::Unknown,
        }
    }
}
