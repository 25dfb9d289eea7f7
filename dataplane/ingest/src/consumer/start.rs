//! What a start asks Kafka: the bounds of a log, the offset of a time, and whether the log is the one that was consumed.
//!
//! Before anything is fetched, the last consumed record is read again and compared: offsets mean nothing in another log. Which
//! of all that is known decides where to start: [`super::orders`].

use kafka::batch::{BatchReader, Batches};
use kafka::{Client, FetchError, FetchLimits, FetchPosition, Fetcher, KafkaError, OffsetAt, OffsetFound};
use model::{Offset, PartitionId};
use tsdb::wal::{RecordIdentity, StartupPosition};

/// The configured position. All but `LastOffset` are orders that are obeyed once per value, whatever is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartPosition {
    /// The first record that Kafka still has.
    Start,
    /// Only what comes from now on.
    End,
    /// Where consuming stopped, else the start.
    LastOffset,
    /// The first record of this time or later.
    Timestamp { unix_ms: i64 },
}

impl StartPosition {
    /// The place that is ordered; none where consuming just goes on.
    pub(super) fn configured(self) -> Option<StartupPosition> {
        match self {
            Self::LastOffset => None,
            Self::Start => Some(StartupPosition::Start),
            Self::End => Some(StartupPosition::End),
            Self::Timestamp { unix_ms } => Some(StartupPosition::Timestamp { unix_ms }),
        }
    }
}

/// The configured time lies in the future: taking that for the end would skip records in silence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the configured time {unix_ms} (ms since 1970) to consume from lies {} s in the future; {}: correct \
     --ingest-storage.kafka.consume-from-timestamp-at-startup, or choose the position `end`", (.unix_ms - .now_ms) / 1000,
    match .newest_ms {
        Some(newest_ms) => format!("the newest record of partition {} is of {newest_ms}", .partition),
        None => format!("partition {} has no record", .partition),
    }
)]
pub struct NoSuchTime {
    pub partition: PartitionId,
    pub unix_ms: i64,
    pub now_ms: i64,
    pub newest_ms: Option<i64>,
}

const ADVICE: &str = "the topic was made anew or cut, or another broker answers at this address. \
    Bring the former log back; or, to consume this one from its start, stop the node, move its `wal` folder away \
    and delete the group's committed offsets (in a topic of the same id, `wellctl offsets reset` decides as well)";

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

/// The timestamp of the last record; none where the log holds none that can be read.
pub(super) async fn newest_record_ms(
    fetcher: &mut Fetcher,
    limits: FetchLimits,
    partition: PartitionId,
    bounds: LogBounds,
) -> Result<Option<i64>, FetchError> {
    if bounds.end <= bounds.start {
        return Ok(None);
    }
    let position = FetchPosition { partition: partition.0, offset: bounds.end.0 - 1 };
    let fetched = fetcher.fetch(position, limits).await?;
    let mut batches = Batches::new(&fetched.records);
    let times = std::iter::from_fn(|| batches.next_batch()).filter_map(|batch| Some(batch.ok()?.max_timestamp_ms));
    Ok(times.max())
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
