//! Batches made by the codec crate, read by ours; and bytes that are no batches.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, Record as Made, RecordBatchEncoder,
    RecordEncodeOptions, TimestampType,
};
use proptest::prelude::*;

use super::*;

fn made(offset: i64, value: &[u8]) -> Made {
    let mut headers = IndexMap::new();
    headers.insert(StrBytes::from_static_str("Version"), Some(Bytes::from_static(&[0, 0, 0, 1])));
    Made {
        delete_horizon: false,
        transactional: false,
        control: false,
        partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
        producer_id: NO_PRODUCER_ID,
        producer_epoch: NO_PRODUCER_EPOCH,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: offset as i32,
        timestamp: 1_700_000_000_000 + offset,
        key: Some(Bytes::from_static(b"tenant")),
        value: Some(Bytes::copy_from_slice(value)),
        headers,
    }
}

fn encoded(compression: Compression, values: &[&[u8]]) -> Vec<u8> {
    let records: Vec<Made> = values.iter().zip(5..).map(|(value, offset)| made(offset, value)).collect();
    let mut out = BytesMut::new();
    RecordBatchEncoder::encode(&mut out, &records, &RecordEncodeOptions { version: 2, compression }).unwrap();
    out.to_vec()
}

/// Reads all, as `offset@time key=value`.
fn shown(bytes: &[u8]) -> Result<Vec<String>, BatchError> {
    let mut reader = BatchReader::new();
    let mut batches = Batches::new(bytes);
    let mut lines = Vec::new();
    while let Some(batch) = batches.next_batch() {
        let batch = batch.map_err(|broken| broken.error)?;
        let mut records = reader.open(&batch)?;
        while let Some(record) = records.next_record()? {
            assert_eq!(record.header("Version"), Some(&[0, 0, 0, 1][..]));
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap()).into_owned();
            lines.push(format!(
                "{}@{} {}={}",
                record.offset,
                record.timestamp_ms,
                text(record.key),
                text(record.value)
            ));
        }
    }
    Ok(lines)
}

#[test]
fn every_codec_is_read() {
    let long = "x".repeat(100_000);
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let bytes = encoded(compression, &[b"a", long.as_bytes()]);
        let expected = vec!["5@1700000000005 tenant=a".to_owned(), format!("6@1700000000006 tenant={long}")];
        assert_eq!(shown(&bytes), Ok(expected), "{compression:?}");
        // A second batch that the fetch cut off is no error.
        let twice = [bytes.as_slice(), &bytes[..bytes.len() - 1]].concat();
        assert_eq!(shown(&twice).unwrap().len(), 2);
    }
}

#[test]
fn xerial_frames_are_read() {
    let mut framed = XERIAL.to_vec();
    for part in [&b"hello "[..], b"world"] {
        let block = snap::raw::Encoder::new().compress_vec(part).unwrap();
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    assert_eq!(Decompressor::default().inflate(2, &framed, 100).unwrap(), b"hello world");
    assert_eq!(Decompressor::default().inflate(2, &framed, 8), Err(BatchError::TooLarge));
}

const XERIAL: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];

#[test]
fn damage_is_told() {
    let bytes = encoded(Compression::None, &[b"abc"]);
    let with = |at: usize, byte: u8| {
        let mut bytes = bytes.clone();
        bytes[at] = byte;
        shown(&bytes).unwrap_err()
    };
    assert_eq!(with(16, 1), BatchError::Magic(1));
    assert!(matches!(with(bytes.len() - 1, 9), BatchError::Crc { .. }));
    assert!(matches!(with(8, 0xff), BatchError::Header("its length")));
    assert!(matches!(with(57, 0xff), BatchError::Header("its record count")));
    assert!(matches!(with(23, 0xff), BatchError::Header("its offsets")));
}

#[test]
fn a_bomb_is_not_inflated() {
    let zeros = vec![0u8; INFLATED_BYTES_MAX + 1];
    let bomb = zstd::encode_all(&zeros[..], 1).unwrap();
    assert_eq!(Decompressor::default().inflate(4, &bomb, INFLATED_BYTES_MAX), Err(BatchError::TooLarge));
}

/// Gives a batch its right CRC again, so that what is behind the check is reached.
fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() > 21 {
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    bytes
}

fn walk(bytes: &[u8]) {
    let mut reader = BatchReader::new();
    let mut batches = Batches::new(bytes);
    while let Some(batch) = batches.next_batch() {
        let Ok(batch) = batch else { continue };
        assert!(batch.next_offset > batch.base_offset);
        if let Ok(mut records) = reader.open(&batch) {
            while let Ok(Some(record)) = records.next_record() {
                let _ = record.headers().count();
            }
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        walk(&bytes);
        walk(&with_crc(bytes));
    }

    #[test]
    fn damaged_batches_never_panic(codec in 0usize..5, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let codecs = [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
        let mut bytes = encoded(codecs[codec], &[b"a value", b"another value, another value"]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        walk(&bytes);
        walk(&with_crc(bytes));
    }
}
