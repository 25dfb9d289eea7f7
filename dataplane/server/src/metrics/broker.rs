//! What the embedded broker counts.

use broker::{BrokerCounters, RefusalReason};

use super::{Exposition, Kind};

/// The broker's part of the page.
pub fn expose(counters: &BrokerCounters, page: &mut Exposition) {
    let read = counters.read();
    let mut count = |name, help, value: u64| {
        page.single(name, Kind::Counter, help, value as f64);
    };
    count("wellhead_broker_produced_batches_total", "Record batches appended and synced.", read.produced_batches);
    count("wellhead_broker_produced_bytes_total", "Bytes of these batches.", read.produced_bytes);
    count("wellhead_broker_produced_records_total", "Records of these batches.", read.produced_records);
    count("wellhead_broker_turns_total", "Turns of the log that wrote something.", read.turns);
    count("wellhead_broker_syncs_total", "Syncs of segment and offset files.", read.syncs);
    count("wellhead_broker_fetches_total", "Fetches answered.", read.fetches);
    count("wellhead_broker_fetched_bytes_total", "Bytes of batches given out.", read.fetched_bytes);
    count("wellhead_broker_commits_total", "Offsets that groups committed.", read.commits);
    count("wellhead_broker_requests_total", "Requests of any kind.", read.requests);
    count("wellhead_broker_connections_total", "Connections accepted.", read.connections);
    count("wellhead_broker_deleted_segments_total", "Segments deleted by retention.", read.segments_deleted);
    count("wellhead_broker_damaged_batches_total", "Batches found damaged when read.", read.damaged_batches);
    let mut gauge = |name, help, value: u64| {
        page.single(name, Kind::Gauge, help, value as f64);
    };
    gauge("wellhead_broker_open_connections", "Connections now.", read.connections_open);
    gauge("wellhead_broker_log_bytes", "Bytes of all segments.", read.log_bytes);
    gauge("wellhead_broker_log_limit_bytes", "What they may reach; then produce is refused.", read.log_bytes_max);
    page.family("wellhead_broker_refused_total", Kind::Counter, "Requests and batches refused, by reason.");
    for (reason, count) in RefusalReason::ALL.into_iter().zip(read.refusals) {
        if count > 0 {
            page.sample(&[("reason", reason.label())], count as f64);
        }
    }
}
