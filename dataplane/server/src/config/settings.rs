//! The table of settings: the one place that knows their names, defaults, units and help. Flags, YAML, environment, `--help`
//! and `/config` are all made from it.

/// One setting. Names are Mimir's where the meaning is the same.
#[derive(Debug)]
pub struct Setting {
    pub name: &'static str,
    pub group: &'static str,
    /// What stands for the value in `--help`; tells the unit.
    pub placeholder: &'static str,
    pub default: &'static str,
    pub help: &'static str,
}

const fn set(
    group: &'static str,
    name: &'static str,
    placeholder: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { name, group, placeholder, default, help }
}

const NODE: &str = "Node";
const HTTP: &str = "HTTP server";
const LOG: &str = "Logs";
const BROKER: &str = "Embedded broker (used while --ingest-storage.kafka.address is empty)";
const KAFKA: &str = "Kafka";
const WRITE: &str = "Write path and limits";
const STORAGE: &str = "Storage";
const QUERY: &str = "Queries";

/// All settings in the order of `--help`.
#[must_use]
pub fn settings() -> &'static [Setting] {
    SETTINGS
}

/// Looks a setting up by its flag name.
#[must_use]
pub fn setting(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// `ingest-storage.kafka.address` -> `ingest_storage.kafka.address`: where the setting stands in a YAML file.
#[must_use]
pub fn yaml_path(name: &str) -> String {
    name.replace('-', "_")
}

/// `ingest-storage.kafka.address` -> `WELLHEAD_INGEST_STORAGE_KAFKA_ADDRESS`.
#[must_use]
pub fn environment_name(name: &str) -> String {
    format!("WELLHEAD_{}", name.replace(['-', '.'], "_").to_uppercase())
}

#[rustfmt::skip]
const SETTINGS: &[Setting] = &[
    set(NODE, "target", "ROLE", "all", "The role of this process. `all`: every role. `broker`: only the embedded broker on the data folder, to see and move the groups of a stopped node. No other exists for now."),
    set(NODE, "data-dir", "FOLDER", "./wellhead-data", "Root of everything this node keeps on local disk. One process at a time may use it."),
    set(NODE, "cpus", "LIST", "", "CPUs to use, such as 0-3,6. Empty: all that the process may use (affinity mask and cgroup quota)."),
    set(NODE, "shards", "COUNT", "", "Number of shards, each pinned to one of the CPUs. Empty: one per CPU."),
    set(NODE, "memory-limit", "BYTES", "", "Memory that heads and buffers may take together, such as 4GiB. At the limit new series are refused and existing ones go on. Empty: 60 % of what the machine or its cgroup has."),
    set(NODE, "ingester.ring.instance-id", "NAME", "wellhead-0", "Name of this node; also its consumer group unless one is configured."),
    set(NODE, "auth.multitenancy-enabled", "BOOL", "false", "With true, every request must carry X-Scope-OrgID. With false, the header is ignored and everything belongs to the tenant `anonymous`."),
    set(NODE, "self-monitoring.enabled", "BOOL", "true", "Record this node's own metrics as job `wellhead` in the tenant of self-monitoring.tenant."),
    set(NODE, "self-monitoring.interval", "DURATION", "15s", "How often they are recorded."),
    set(NODE, "self-monitoring.tenant", "TENANT", "anonymous", "The tenant that owns them."),

    set(HTTP, "server.http-listen-address", "ADDRESS", "127.0.0.1", "Address of the HTTP API. Use 0.0.0.0 to be reached from other machines."),
    set(HTTP, "server.http-listen-port", "PORT", "8080", "Port of the HTTP API; 0 takes any free one (see node.json in the data folder)."),
    set(HTTP, "server.http-read-timeout", "DURATION", "30s", "Time a client has to send a whole request."),
    set(HTTP, "server.graceful-shutdown-timeout", "DURATION", "30s", "Time that a stop waits for requests in flight."),

    set(LOG, "log.level", "LEVEL", "info", "error, warn, info, debug or trace. Can be changed while running: POST /log_level?log_level=debug."),
    set(LOG, "log.format", "FORMAT", "logfmt", "logfmt or json."),

    set(BROKER, "broker.listen-address", "ADDRESS", "127.0.0.1", "Address of the embedded Kafka-protocol broker."),
    set(BROKER, "broker.listen-port", "PORT", "9092", "Its port; 0 takes any free one (see node.json in the data folder)."),
    set(BROKER, "broker.partitions", "COUNT", "", "Partitions of the topic; fixed at the first start. Empty: four per shard."),
    set(BROKER, "broker.retention-period", "DURATION", "0s", "Records older than this may be deleted once this node's durable mark has passed them. 0s: keep."),
    set(BROKER, "broker.disk-budget-percent", "PERCENT", "20", "Share of the file system that the log may fill; at the budget writes are refused with 5xx and reads go on."),

    set(KAFKA, "ingest-storage.kafka.address", "HOST:PORT,...", "", "Seed brokers of a real Kafka, separated by commas. Empty: the embedded broker."),
    set(KAFKA, "ingest-storage.kafka.topic", "TOPIC", "wellhead-ingest", "The topic that holds all records."),
    set(KAFKA, "ingest-storage.kafka.client-id", "TEXT", "wellhead", "Client id told to the brokers."),
    set(KAFKA, "ingest-storage.kafka.dial-timeout", "DURATION", "2s", "Time to connect to a broker."),
    set(KAFKA, "ingest-storage.kafka.write-timeout", "DURATION", "10s", "Time a write may take until the client gets 5xx."),
    set(KAFKA, "ingest-storage.kafka.producer-linger", "DURATION", "", "How long a record waits for company. Empty: 50ms on a real Kafka, 2ms on the embedded broker."),
    set(KAFKA, "ingest-storage.kafka.producer-compression", "CODEC", "lz4", "none, gzip, snappy, lz4 or zstd. Records repeat their label text: less to write costs less CPU, also on loopback."),
    set(KAFKA, "ingest-storage.kafka.producer-max-record-size-bytes", "BYTES", "15983616", "Largest record value; larger requests are split on series boundaries. 1 MiB to 15983616."),
    set(KAFKA, "ingest-storage.kafka.producer-max-buffered-bytes", "BYTES", "256MiB", "Bytes waiting for the broker's acknowledgement, over all cores; beyond it pushes get 5xx at once."),
    set(KAFKA, "ingest-storage.kafka.auto-create-topic-enabled", "BOOL", "true", "Create the topic where it is missing."),
    set(KAFKA, "ingest-storage.kafka.auto-create-topic-default-partitions", "COUNT", "-1", "Partitions of a topic created on a real Kafka. -1: the broker's own default."),
    set(KAFKA, "ingest-storage.kafka.consumer-group", "GROUP", "", "Group under which progress is committed. Empty: the instance id."),
    set(KAFKA, "ingest-storage.kafka.consumer-group-offset-commit-interval", "DURATION", "1s", "How often changed progress is committed."),
    set(KAFKA, "ingest-storage.kafka.consume-from-position-at-startup", "POSITION", "last-offset", "Where to begin without progress of our own: last-offset, start, end or timestamp."),
    set(KAFKA, "ingest-storage.kafka.consume-from-timestamp-at-startup", "MILLISECONDS", "0", "The time for position `timestamp`, in ms since 1970."),
    set(KAFKA, "ingest-storage.kafka.fetch-max-wait", "DURATION", "5s", "How long a broker may hold a fetch that finds nothing."),
    set(KAFKA, "ingest-storage.kafka.max-buffered-bytes", "BYTES", "128MiB", "Fetched but not yet applied bytes, over all cores."),

    set(WRITE, "distributor.max-recv-msg-size", "BYTES", "100MiB", "Largest push body, before and after decompression; larger ones get 413."),
    set(WRITE, "distributor.max-inflight-push-bytes", "BYTES", "512MiB", "Inflated bytes of pushes in flight, over all cores; beyond it pushes get 503 at once."),
    set(WRITE, "validation.create-grace-period", "DURATION", "10m", "How far in the future a sample may lie."),
    set(WRITE, "ingester.out-of-order-time-window", "DURATION", "0s", "How much older than its series' last sample a sample may be and still be stored. 0s: samples of a series must come in order."),
    set(WRITE, "validation.max-label-names-per-series", "COUNT", "30", "Labels of a series, its name included."),
    set(WRITE, "validation.max-length-label-name", "BYTES", "1024", "Bytes of a label name."),
    set(WRITE, "validation.max-length-label-value", "BYTES", "2048", "Bytes of a label value."),

    set(STORAGE, "wal.segment-size", "BYTES", "64MiB", "Size of a write-ahead log segment."),
    set(STORAGE, "wal.size-limit", "BYTES", "64GiB", "Bytes that all write-ahead logs may take. At the limit consuming holds, pushes still reach Kafka."),
    set(STORAGE, "wal.checkpoint-size", "BYTES", "32MiB", "Bytes that a core logs before it takes a checkpoint, which lets older segments go; never less than the last checkpoint had. Smaller: faster starts, more writing."),

    set(QUERY, "querier.lookback-delta", "DURATION", "5m", "How far back an instant selector looks for a sample."),
    set(QUERY, "querier.timeout", "DURATION", "2m", "Time a query may take."),
    set(QUERY, "querier.max-samples", "COUNT", "50000000", "Samples that one query may hold in memory."),
    set(QUERY, "querier.max-concurrent", "COUNT", "", "Queries evaluated at once. Empty: one per CPU."),
    set(QUERY, "querier.max-queued", "COUNT", "100", "Queries that may wait for their turn; more get 503."),
];
