//! Where a partition starts, and whether the log at the broker is the one that was consumed.
//!
//! The write-ahead log wins; without it the group's commit counts; without that the configured position. Before anything is
//! fetched, the last consumed record is read again and compared: offsets mean nothing in another log.

use kafka::batch::{BatchReader, Batches};
use kafka::{Client, FetchError, FetchLimits, FetchPosition, Fetcher, KafkaError, OffsetAt, OffsetFound};
use model::{Offset, PartitionId};
use tsdb::store::PartitionMarks;
use tsdb::wal::RecordIdentity;

/// From where to consume a partition of which nothing is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartPosition {
    /// The first record that Kafka still has.
    Start,
    /// Only what comes from now on.
    End,
    /// After the last record that the group has committed, else the start.
    LastOffset,
    /// The first record of this time or later, else the end.
    Timestamp { unix_ms: i64 },
}

const ADVICE: &str = "the topic was made anew or cut, or another broker answers at this address. \
    Bring the former log back; or, to consume this one from its start, stop the node, move its `wal` folder away \
    and delete the group's committed offsets";

/// The log at the broker is not the one that was consumed: going on would lose or double samples.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LogMismatch {
    #[error("{what}: {ADVICE}")]
    OtherTopic { what: String },
    #[error("partition {partition} was consumed up to offset {next} and its log ends at {end}: {ADVICE}")]
    Cut { partition: PartitionId, next: Offset, end: Offset },
    #[error(
        "partition {partition} holds another record at offset {} than was consumed there (timestamp {found_ms} and batch CRC \
         {found_crc:#010x} instead of {} and {:#010x}): {ADVICE}", .last.offset, .last.timestamp_ms, .last.batch_crc
    )]
    OtherRecord { partition: PartitionId, last: RecordIdentity, found_ms: i64, found_crc: u32 },
}

/// A log's bounds, as next offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LogBounds {
    pub start: Offset,
    pub end: Offset,
}

/// Where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Start {
    /// Where the write-ahead log stands.
    Resume(Offset),
    /// The store does not know the partition yet and must be told.
    At(Offset),
}

/// Decides where to start. `committed` is the last consumed record that the group knows; `at_time` the offset of the
/// configured timestamp.
pub(super) fn choose(
    marks: &PartitionMarks,
    committed: Option<i64>,
    position: StartPosition,
    bounds: LogBounds,
    at_time: Option<Offset>,
    partition: PartitionId,
) -> Result<Start, LogMismatch> {
    let chosen = match (marks.applied(), committed) {
        (Some(applied), _) => Start::Resume(applied),
        (None, Some(last)) => Start::At(Offset(last + 1)),
        (None, None) => Start::At(match position {
            StartPosition::Start | StartPosition::LastOffset => bounds.start,
            StartPosition::End => bounds.end,
            StartPosition::Timestamp { .. } => at_time.unwrap_or(bounds.end),
        }),
    };
    let (Start::Resume(next) | Start::At(next)) = chosen;
    if next > bounds.end {
        return Err(LogMismatch::Cut { partition, next, end: bounds.end });
    }
    Ok(chosen)
}

/// Asks for the bounds of a log.
pub(super) async fn bounds(client: &mut Client, partition: PartitionId) -> Result<LogBounds, KafkaError> {
    let start = offset_at(client, partition, OffsetAt::Start).await?;
    let end = offset_at(client, partition, OffsetAt::End).await?;
    // An empty log may tell no start.
    let end = end.or(start).unwrap_or(Offset(0));
    Ok(LogBounds { start: start.unwrap_or(end), end })
}

/// The offset, or none where Kafka has no such record.
pub(super) async fn offset_at(
    client: &mut Client,
    partition: PartitionId,
    at: OffsetAt,
) -> Result<Option<Offset>, KafkaError> {
    match client.offset_at(partition.0, at).await? {
        OffsetFound::At(offset) => Ok(Some(Offset(offset))),
        OffsetFound::NoRecordThatLate => Ok(None),
    }
}

/// What reading the last consumed record again has shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Recognized {
    Same,
    /// Retention or compaction has removed it: nothing speaks against the log.
    Gone,
}

/// Looks for a record in fetched bytes and compares.
///
/// # Errors
/// Another record stands there.
pub(super) fn recognize(
    partition: PartitionId,
    last: &RecordIdentity,
    fetched: &[u8],
) -> Result<Recognized, LogMismatch> {
    let mut batches = Batches::new(fetched);
    while let Some(frame) = batches.next_batch() {
        // What cannot be read was quarantined when it was consumed: it never was `last`.
        let Ok(batch) = frame else { continue };
        if batch.next_offset <= last.offset.0 {
            continue;
        }
        let other = |found_ms| LogMismatch::OtherRecord { partition, last: *last, found_ms, found_crc: batch.crc };
        if batch.base_offset > last.offset.0 {
            return Ok(Recognized::Gone);
        }
        let mut reader = BatchReader::new();
        let Ok(mut records) = reader.open(&batch) else { return Err(other(batch.max_timestamp_ms)) };
        while let Ok(Some(record)) = records.next_record() {
            if record.offset == last.offset.0 {
                let is_same = record.timestamp_ms == last.timestamp_ms && batch.crc == last.batch_crc;
                return if is_same { Ok(Recognized::Same) } else { Err(other(record.timestamp_ms)) };
            }
        }
        return Ok(Recognized::Gone);
    }
    Ok(Recognized::Gone)
}

/// Why a log could not be verified.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum VerifyError {
    #[error(transparent)]
    Mismatch(#[from] LogMismatch),
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Reads the last consumed record again and compares it.
pub(super) async fn verify(
    fetcher: &mut Fetcher,
    limits: FetchLimits,
    partition: PartitionId,
    last: &RecordIdentity,
) -> Result<Recognized, VerifyError> {
    let position = FetchPosition { partition: partition.0, offset: last.offset.0 };
    match fetcher.fetch(position, limits).await {
        Ok(fetched) if fetched.records.is_empty() => {
            // At the end: the record itself is not in the log.
            let (next, end) = (Offset(last.offset.0 + 1), Offset(fetched.high_watermark));
            if end < next { Err(LogMismatch::Cut { partition, next, end }.into()) } else { Ok(Recognized::Gone) }
        }
        Ok(fetched) => Ok(recognize(partition, last, &fetched.records)?),
        // The bounds were compared before, so it can only be below the start.
        Err(FetchError::OffsetOutOfRange { .. }) => Ok(Recognized::Gone),
        Err(error) => Err(error.into()),
    }
}
