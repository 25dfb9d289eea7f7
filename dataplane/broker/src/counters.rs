//! What the broker counts, readable from any thread without asking it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters and gauges of one broker, shared by its log, its network and whoever shows them.
        #[derive(Default, Debug)]
        pub struct BrokerCounters {
            $(pub(crate) $name: AtomicU64,)*
            refusals: [AtomicU64; RefusalReason::ALL.len()],
        }

        /// One reading of [`BrokerCounters`].
        #[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
        pub struct CounterValues {
            $($(#[$doc])* pub $name: u64,)*
            /// By [`RefusalReason::ALL`].
            pub refusals: [u64; RefusalReason::ALL.len()],
        }

        impl BrokerCounters {
            /// Each value is exact; together they may be of slightly different moments.
            #[must_use]
            pub fn read(&self) -> CounterValues {
                CounterValues {
                    $($name: self.$name.load(Relaxed),)*
                    refusals: std::array::from_fn(|index| self.refusals[index].load(Relaxed)),
                }
            }
        }
    };
}

counters! {
    /// Record batches that were appended and synced.
    produced_batches,
    /// Bytes of those batches.
    produced_bytes,
    /// Records of those batches, as their headers say.
    produced_records,
    /// Turns of the log that wrote something.
    turns,
    /// Syncs of segment and offset files.
    syncs,
    /// Fetch requests that were answered.
    fetches,
    /// Bytes of record batches given out.
    fetched_bytes,
    /// Offsets that groups committed.
    commits,
    /// Requests of any kind.
    requests,
    /// Connections that were accepted.
    connections,
    /// Gauge: connections now.
    connections_open,
    /// Gauge: bytes that all segments occupy.
    log_bytes,
    /// Gauge: what `log_bytes` may reach.
    log_bytes_max,
    /// Gauge: topics.
    topics,
    /// Gauge: partitions.
    partitions,
    /// Segments deleted by retention.
    segments_deleted,
    /// Batches that were found damaged when they were read.
    damaged_batches,
}

/// Why something was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RefusalReason {
    /// A frame that claims to be too large.
    FrameTooLarge,
    /// Bytes that are no request.
    Malformed,
    /// An API or version that is not spoken.
    Unsupported,
    /// A connection beyond the limit.
    ConnectionLimit,
    /// A batch with a wrong checksum or size.
    CorruptBatch,
    /// A batch beyond the limit.
    MessageTooLarge,
    /// A batch that this broker does not take.
    InvalidBatch,
    /// Topic or partition is not there.
    UnknownTopic,
    /// The log is at its budget or the disk is full.
    NoSpace,
    /// A fetch outside the log.
    OffsetOutOfRange,
}

impl RefusalReason {
    pub const ALL: [Self; 10] = [
        Self::FrameTooLarge,
        Self::Malformed,
        Self::Unsupported,
        Self::ConnectionLimit,
        Self::CorruptBatch,
        Self::MessageTooLarge,
        Self::InvalidBatch,
        Self::UnknownTopic,
        Self::NoSpace,
        Self::OffsetOutOfRange,
    ];

    /// The value of the metric's `reason` label.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::FrameTooLarge => "frame_too_large",
            Self::Malformed => "malformed",
            Self::Unsupported => "unsupported",
            Self::ConnectionLimit => "connection_limit",
            Self::CorruptBatch => "corrupt_batch",
            Self::MessageTooLarge => "message_too_large",
            Self::InvalidBatch => "invalid_batch",
            Self::UnknownTopic => "unknown_topic",
            Self::NoSpace => "no_space",
            Self::OffsetOutOfRange => "offset_out_of_range",
        }
    }
}

impl BrokerCounters {
    pub(crate) fn refuse(&self, reason: RefusalReason) {
        self.refusals[reason as usize].fetch_add(1, Relaxed);
    }
}

pub(crate) fn add(counter: &AtomicU64, count: usize) {
    counter.fetch_add(count as u64, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_place_and_label() {
        let counters = BrokerCounters::default();
        for (index, reason) in RefusalReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            counters.refuse(reason);
            assert_eq!(RefusalReason::ALL.iter().filter(|other| other.label() == reason.label()).count(), 1);
        }
        assert_eq!(counters.read().refusals, [1; RefusalReason::ALL.len()]);
    }
}
