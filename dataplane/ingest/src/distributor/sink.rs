//! Where a push's records go, and how records of version 1 look to Kafka: key, header, time.

use std::future::Future;

use bytes::Bytes;
use kafka::{ProduceError, ProduceRecord, Producer};
use model::TenantId;
use wire::{RecordVersion, VERSION_HEADER};

use super::records::PartitionRecord;

/// Why records were not, or perhaps not, stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SinkError {
    /// Nothing was sent: too much is waiting already. Retry later.
    #[error("the producer's buffer is full; retry")]
    BufferFull,
    /// The broker takes no message of this size: retrying is useless.
    #[error("the broker refuses a record of this size: {0}")]
    TooLarge(String),
    /// Time ran out or the broker failed; part may have been stored.
    #[error("{0}")]
    Failed(String),
}

/// Where records go. Resolves when all are durable.
pub trait RecordSink {
    fn produce(
        &self,
        tenant: &TenantId,
        records: Vec<PartitionRecord>,
        now_ms: i64,
    ) -> impl Future<Output = Result<(), SinkError>>;
}

impl RecordSink for Producer {
    async fn produce(&self, tenant: &TenantId, records: Vec<PartitionRecord>, now_ms: i64) -> Result<(), SinkError> {
        let key = Bytes::copy_from_slice(tenant.as_str().as_bytes());
        let records = records.into_iter().map(|record| kafka_record(key.clone(), record, now_ms)).collect();
        Self::produce(self, records).await.map_err(SinkError::from)
    }
}

/// Envelope of a record as Mimir has it: the key is the tenant, a header the version.
fn kafka_record(key: Bytes, record: PartitionRecord, timestamp_ms: i64) -> ProduceRecord {
    let version = RecordVersion::V1.header().map(|version| (VERSION_HEADER, Bytes::copy_from_slice(&version)));
    ProduceRecord {
        partition: record.partition.0,
        key,
        value: record.value,
        headers: version.into_iter().collect(),
        timestamp_ms,
    }
}

impl From<ProduceError> for SinkError {
    fn from(error: ProduceError) -> Self {
        match error {
            ProduceError::BufferFull => Self::BufferFull,
            ProduceError::TooLarge => Self::TooLarge(error.to_string()),
            ProduceError::TimedOut { .. } | ProduceError::Refused(_) | ProduceError::Stopping => {
                Self::Failed(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::PartitionId;

    use super::*;

    #[test]
    fn records_carry_tenant_and_version() {
        let record = PartitionRecord { partition: PartitionId(3), value: Bytes::from_static(b"value") };
        let made = kafka_record(Bytes::from_static(b"team-a"), record, 17);
        assert_eq!(
            (made.partition, &made.key[..], &made.value[..], made.timestamp_ms),
            (3, &b"team-a"[..], &b"value"[..], 17)
        );
        assert_eq!(made.headers, [("Version", Bytes::from_static(&[0, 0, 0, 1]))]);
    }
}
