//! What is fixed at compile time: no bytes from outside make anything larger than this.

/// The largest record batch, header included: what Apache Kafka is given as `message.max.bytes` beside Mimir.
pub const MESSAGE_BYTES_MAX: usize = 16_000_000;

/// The largest request: one message and room for what stands around it.
pub const FRAME_BYTES_MAX: usize = 17_000_000;

/// Elements (array items, strings in arrays, tagged fields) of one request.
///
/// The decoder keeps at most about 200 bytes for an element, so a request costs its frame and at most 20 MB more.
pub const REQUEST_ELEMENTS_MAX: usize = 100_000;

/// The most bytes of records in one answer to a fetch, except for a larger first batch.
pub const FETCH_BYTES_MAX: usize = 32 << 20;

/// Topics of one broker.
pub const TOPICS_MAX: usize = 1_000;

/// Partitions of all topics: each keeps one file open.
pub const PARTITIONS_MAX: usize = 10_000;

/// Length of a topic's name, Kafka's rule.
pub const TOPIC_NAME_BYTES_MAX: usize = 249;

/// Idempotent producers that a partition remembers.
pub const PARTITION_PRODUCERS_MAX: usize = 1_000;

/// Committed offsets of all groups.
pub const GROUP_OFFSETS_MAX: usize = 200_000;

/// Groups whose membership is kept, and groups with members.
pub const GROUPS_MAX: usize = 10_000;

/// Members of one group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;

/// Members of all groups.
pub const MEMBERS_MAX: usize = 5_000;

/// What all members have said, and what they were assigned.
pub const COORDINATOR_BYTES_MAX: usize = 128 << 20;

/// Length of a group's name.
pub const GROUP_NAME_BYTES_MAX: usize = 1_024;

/// The string beside a committed offset, Kafka's `offset.metadata.max.bytes`.
pub const COMMIT_METADATA_BYTES_MAX: usize = 4_096;

/// Requests of one connection that wait for their answer.
pub const CONNECTION_REQUESTS_MAX: usize = 64;

/// Requests between the network and the log.
pub const INBOX_REQUESTS_MAX: usize = 1_024;

const _: () = assert!(MESSAGE_BYTES_MAX < FRAME_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= FETCH_BYTES_MAX);
