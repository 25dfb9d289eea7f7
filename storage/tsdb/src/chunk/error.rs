//! Why bytes are not the chunk that they should be.

/// Bytes that are not a chunk of the encoding that they were read as. Samples are counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChunkError {
    #[error("a chunk of {bytes} bytes has no header")]
    NoHeader { bytes: usize },
    #[error("a chunk ends within sample {sample} of {count}")]
    Truncated { sample: u16, count: u16 },
    #[error("sample {sample} of {count} of a chunk is malformed")]
    Malformed { sample: u16, count: u16 },
    #[error("a chunk of {bytes} bytes goes on behind its last sample")]
    Overlong { bytes: usize },
}
