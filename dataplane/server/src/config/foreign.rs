//! Keys of Mimir that a moved configuration may hold and that mean nothing here, or nothing yet.
//!
//! Ignoring one is fine where only speed or topology depends on it; where ignoring it would change what happens to data
//! (who may read it, how it is encrypted, how long it is kept), the start is refused.

/// What becomes of a known foreign key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Foreign {
    /// Accepted with one warning.
    Ignored,
    /// Refused: ignoring it would change what happens to data.
    Refused(&'static str),
}

/// How a key (flag name, or YAML path with dashes) of Mimir is treated; `None` for a key that nobody knows.
#[must_use]
pub fn foreign_key(name: &str) -> Option<Foreign> {
    if let Some((_, reason)) = REFUSED.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return Some(Foreign::Refused(reason));
    }
    let is_ignored = IGNORED_AREAS.iter().any(|area| name.starts_with(area)) || IGNORED_KEYS.contains(&name);
    is_ignored.then_some(Foreign::Ignored)
}

const REFUSED: &[(&str, &str)] = &[
    (
        "ingest-storage.kafka.tls-",
        "TLS towards Kafka is not supported yet, and going on in clear text would expose data",
    ),
    ("ingest-storage.kafka.sasl-", "SASL towards Kafka is not supported yet"),
    ("server.http-tls-", "TLS is not supported yet; put a TLS proxy in front and remove the key"),
    ("blocks-storage.", "blocks and object storage are not supported yet: samples stay in the head and its log"),
    ("compactor.blocks-retention-period", "retention of blocks is not supported yet"),
    ("ingest-storage.enabled", "wellhead always writes through Kafka: remove the key"),
    (
        "distributor.ha-tracker.",
        "de-duplication of HA replicas is not supported yet: every replica's samples would be stored",
    ),
    ("validation.enforce-metadata-metric-name", "this check is not supported yet"),
];

const IGNORED_AREAS: &[&str] = &[
    "memberlist.",
    "querier.",
    "query-frontend.",
    "query-scheduler.",
    "store-gateway.",
    "compactor.",
    "ruler.",
    "ruler-storage.",
    "alertmanager.",
    "alertmanager-storage.",
    "frontend.",
    "frontend-worker.",
    "ingester.ring.",
    "ingester.partition-ring.",
    "distributor.ring.",
    "distributor.instance-limits.",
    "ingester.instance-limits.",
    "ingester.active-series-",
    "usage-stats.",
    "tests.",
    "runtime-config.",
    "overrides-exporter.",
    "activity-tracker.",
    "vault.",
    "common.storage.",
    "server.grpc-",
    "server.log-",
    "ingest-storage.kafka.warpstream-",
    "ingest-storage.kafka.ingestion-concurrency-",
];

const IGNORED_KEYS: &[&str] = &[
    "api.skip-label-name-validation-header-enabled",
    "distributor.remote-timeout",
    "ingest-storage.kafka.backend",
    "ingest-storage.kafka.client-rack",
    "ingest-storage.kafka.consumer-group-offset-commit-file-enforced",
    "ingest-storage.kafka.fetch-concurrency-max",
    "ingest-storage.kafka.last-produced-offset-poll-interval",
    "ingest-storage.kafka.last-produced-offset-retry-timeout",
    "ingest-storage.kafka.max-consumer-lag-at-startup",
    "ingest-storage.kafka.producer-record-version",
    "ingest-storage.kafka.target-consumer-lag-at-startup",
    "ingest-storage.kafka.use-compressed-bytes-as-fetch-max-bytes",
    "ingest-storage.kafka.wait-strong-read-consistency-timeout",
    "ingest-storage.kafka.write-clients",
    "ingest-storage.kafka.write-timeout-overhead",
    "ingest-storage.read-consistency",
    "ingest-storage.write-logs-fsync-before-kafka-commit-concurrency",
    "ingester.push-grpc-method-enabled",
    "ingester.ring.replication-factor",
    "server.http-conn-limit",
    "server.http-idle-timeout",
    "server.http-listen-network",
    "server.http-write-timeout",
    "server.path-prefix",
    "server.register-instrumentation",
    "shutdown-delay",
    "max-separate-metrics-groups-per-user",
    "print.config",
    "enable-go-runtime-metrics",
];
