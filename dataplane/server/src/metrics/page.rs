//! The page: every name that the node exposes stands here. Names are Mimir's where the meaning is the same, so that its
//! dashboards and alerts keep working.

use std::time::Duration;

use ingest::consumer::{PartitionSnapshot, ShardReport};
use model::RejectReason;

use super::{Exposition, Kind, Latencies, process};
use crate::node::{Core, Node};

impl Node {
    /// Collects from all parts. Shards are asked by message and answer between two steps of their work; one that does not
    /// answer in time is left out.
    pub async fn metrics(&self) -> Exposition {
        let reports = self.reports().await;
        let mut page = Exposition::default();
        let labels = [("version", env!("CARGO_PKG_VERSION"))];
        page.family("wellhead_build_info", Kind::Gauge, "Always 1; the labels tell the build.").sample(&labels, 1.0);
        let ready = f64::from(u8::from(self.readiness().0));
        page.single("wellhead_node_ready", Kind::Gauge, "1 if /ready is green.", ready);
        let missing = self.topic_growth();
        page.single(
            "wellhead_topic_unconsumed_partitions",
            Kind::Gauge,
            "Partitions that the topic got after the start.",
            f64::from(missing),
        );
        distributors(&self.cores, &mut page);
        producers(&self.cores, &mut page);
        let states: Vec<PartitionSnapshot> =
            self.shards.iter().flat_map(|shard| shard.partitions()).map(|state| state.snapshot()).collect();
        partitions(&states, &mut page);
        stores(&reports, &mut page);
        refusals(&self.cores, &mut page);
        queries(self, &mut page);
        if let Some(broker) = &self.broker {
            super::broker::expose(broker.counters(), &mut page);
        }
        Latencies::expose(self.cores.iter().map(|core| &*core.latencies), &mut page);
        process::expose(&mut page, self.started_unix_ms);
        page
    }

    /// The figures of all shards that answer in time.
    pub async fn reports(&self) -> Vec<ShardReport> {
        const ANSWER_MAX: Duration = Duration::from_secs(2);
        let asked: Vec<_> = self.shards.iter().filter_map(|shard| shard.report().ok()).collect();
        let mut reports = Vec::with_capacity(asked.len());
        for reply in asked {
            if let Ok(Ok(report)) = tokio::time::timeout(ANSWER_MAX, reply.answer()).await {
                reports.push(report);
            }
        }
        reports
    }
}

/// The query threads.
fn queries(node: &Node, page: &mut Exposition) {
    let counters = node.queries.counters();
    page.single("wellhead_query_finished_total", Kind::Counter, "Queries answered.", counters.finished as f64);
    page.single(
        "wellhead_query_refused_total",
        Kind::Counter,
        "Queries refused because too many waited.",
        counters.refused as f64,
    );
    page.single(
        "wellhead_query_abandoned_total",
        Kind::Counter,
        "Queries whose client left before they began.",
        counters.abandoned as f64,
    );
    page.single("wellhead_query_running", Kind::Gauge, "Queries being evaluated.", counters.running as f64);
    page.single("wellhead_query_waiting", Kind::Gauge, "Queries that wait for a thread.", counters.waiting as f64);
    page.single("wellhead_inflight_push_bytes", Kind::Gauge, "Bytes of pushes in flight.", node.inflight.used() as f64);
}

fn sum(cores: &[Core], value: impl Fn(&Core) -> u64) -> f64 {
    cores.iter().map(value).sum::<u64>() as f64
}

fn distributors(cores: &[Core], page: &mut Exposition) {
    let mut count = |name, help, value: fn(&Core) -> u64| {
        page.single(name, Kind::Counter, help, sum(cores, value));
    };
    count("cortex_distributor_requests_in_total", "Pushes received.", |core| core.distributor.requests.get());
    count("wellhead_distributor_failed_requests_total", "Pushes that were not stored.", |core| {
        core.distributor.requests_failed.get()
    });
    count("wellhead_distributor_body_bytes_total", "Bytes of pushes as received.", |core| {
        core.distributor.body_bytes.get()
    });
    count("wellhead_distributor_inflated_bytes_total", "Bytes of pushes inflated.", |core| {
        core.distributor.inflated_bytes.get()
    });
    count("cortex_distributor_samples_in_total", "Samples in pushes, refused ones included.", |core| {
        core.distributor.samples_received.get()
    });
    count("cortex_distributor_received_samples_total", "Samples that Kafka acknowledged.", |core| {
        core.distributor.samples_accepted.get()
    });
    count("cortex_distributor_exemplars_in_total", "Exemplars in pushes.", |core| {
        core.distributor.exemplars_received.get()
    });
    count("cortex_distributor_metadata_in_total", "Metadata in pushes.", |core| {
        core.distributor.metadata_received.get()
    });
    count("wellhead_distributor_token_cache_hits_total", "Series whose token was known.", |core| {
        core.distributor.cache_hits.get()
    });
    count("wellhead_distributor_token_cache_misses_total", "Series that took the slow path.", |core| {
        core.distributor.cache_misses.get()
    });
    let name = "wellhead_distributor_token_cache_series";
    page.single(
        name,
        Kind::Gauge,
        "Series whose token is kept.",
        sum(cores, |core| core.distributor.cache_series.get()),
    );
}

fn producers(cores: &[Core], page: &mut Exposition) {
    use std::sync::atomic::Ordering::Relaxed;
    let mut count = |name, help, value: fn(&Core) -> u64| {
        page.single(name, Kind::Counter, help, sum(cores, value));
    };
    count("cortex_ingest_storage_writer_produce_records_enqueued_total", "Records given to the producer.", |core| {
        core.distributor.records.get()
    });
    count("cortex_ingest_storage_writer_input_bytes_total", "Bytes of these records.", |core| {
        core.distributor.record_bytes.get()
    });
    count("wellhead_producer_requests_total", "Produce requests, retries included.", |core| {
        core.producer.requests.load(Relaxed)
    });
    count("wellhead_producer_retries_total", "Produce requests that were tried again.", |core| {
        core.producer.retries.load(Relaxed)
    });
    count("wellhead_producer_failed_batches_total", "Batches that Kafka did not confirm in time.", |core| {
        core.producer.failures.load(Relaxed)
    });
    count("wellhead_producer_refused_pushes_total", "Pushes refused because too much was waiting.", |core| {
        core.producer.refused_full.load(Relaxed)
    });
    let name = "cortex_ingest_storage_writer_buffered_produce_bytes";
    page.single(
        name,
        Kind::Gauge,
        "Bytes waiting for Kafka.",
        sum(cores, |core| core.producer.buffered_bytes.load(Relaxed)),
    );
}

fn partitions(states: &[PartitionSnapshot], page: &mut Exposition) {
    let mut each = |name, kind, help, value: &dyn Fn(&PartitionSnapshot) -> Option<f64>| {
        page.family(name, kind, help);
        for state in states {
            if let Some(value) = value(state) {
                page.sample(&[("partition", &state.partition.to_string())], value);
            }
        }
    };
    let last = |offset: Option<model::Offset>| offset.map(|next| next.0 as f64 - 1.0);
    let count = |value: u64| Some(value as f64);
    each(
        "cortex_ingest_storage_reader_last_consumed_offset",
        Kind::Gauge,
        "Last applied record; -1 before the first.",
        &|state| last(state.applied),
    );
    each("cortex_ingest_storage_reader_last_committed_offset", Kind::Gauge, "Last record told to Kafka.", &|state| {
        last(state.committed)
    });
    each(
        "wellhead_consumer_durable_offset",
        Kind::Gauge,
        "Next offset that is not in the write-ahead log.",
        &|state| state.durable.map(|offset| offset.0 as f64),
    );
    each("wellhead_consumer_high_watermark_offset", Kind::Gauge, "End of the log by the last fetch.", &|state| {
        state.high_watermark.map(|offset| offset.0 as f64)
    });
    each("wellhead_consumer_lag_records", Kind::Gauge, "Records to go.", &|state| state.lag.map(|lag| lag as f64));
    each("wellhead_consumer_records_total", Kind::Counter, "Records applied.", &|state| count(state.records));
    each("cortex_ingest_storage_reader_fetches_total", Kind::Counter, "Fetches.", &|state| count(state.fetches));
    each("cortex_ingest_storage_reader_fetch_errors_total", Kind::Counter, "Fetches that failed.", &|state| {
        count(state.fetch_errors)
    });
    each("wellhead_consumer_fetched_bytes_total", Kind::Counter, "Bytes fetched.", &|state| count(state.fetched_bytes));
    each(
        "cortex_ingest_storage_reader_offset_commit_requests_total",
        Kind::Counter,
        "Commits to the group.",
        &|state| count(state.commits),
    );
    each("wellhead_consumer_resets_total", Kind::Counter, "Orders that moved the partition.", &|state| {
        count(state.resets)
    });
    each(
        "wellhead_consumer_orders_refused_total",
        Kind::Counter,
        "Orders in the group beyond the end of the log, not obeyed.",
        &|state| count(state.orders_refused),
    );
    each(
        "wellhead_consumer_foreign_commits_total",
        Kind::Counter,
        "Commits of other nodes found in this node's group.",
        &|state| count(state.foreign_commits),
    );
    each(
        "cortex_ingest_storage_reader_offset_commit_failures_total",
        Kind::Counter,
        "Commits that failed.",
        &|state| count(state.commit_failures),
    );
    each(
        "cortex_ingest_storage_reader_missed_records_total",
        Kind::Counter,
        "Offsets that the log did not hold any more.",
        &|state| count(state.counters.missed_offsets),
    );
    each("wellhead_consumer_quarantined_records_total", Kind::Counter, "Records that could not be read.", &|state| {
        count(state.counters.quarantined_records)
    });
    each("wellhead_consumer_quarantined_batches_total", Kind::Counter, "Batches that could not be read.", &|state| {
        count(state.counters.quarantined_batches)
    });
    each(
        "wellhead_head_equal_samples_total",
        Kind::Counter,
        "Samples that were there already, to the bit.",
        &|state| count(state.counters.samples_equal),
    );
    each("wellhead_head_stored_samples_total", Kind::Counter, "Samples stored.", &|state| {
        count(state.counters.samples_stored)
    });
    page.family("wellhead_consumer_health", Kind::Gauge, "1 for the state that the partition is in.");
    for state in states {
        page.sample(&[("partition", &state.partition.to_string()), ("state", state.health.as_label())], 1.0);
    }
}

fn stores(reports: &[ShardReport], page: &mut Exposition) {
    page.family("cortex_ingester_memory_series", Kind::Gauge, "Series in heads.");
    for report in reports {
        page.sample(&[("shard", &report.shard.to_string())], report.store.series as f64);
    }
    page.family("wellhead_memory_bytes", Kind::Gauge, "Memory of a shard by owner.");
    for report in reports {
        let shard = report.shard.to_string();
        let bytes = report.store.bytes;
        for (owner, bytes) in [
            ("series", bytes.series),
            ("symbols", bytes.symbols),
            ("postings", bytes.postings),
            ("chunks", bytes.chunks),
            ("wal", bytes.wal),
            ("scratch", bytes.scratch),
            ("decode", report.decode_bytes),
        ] {
            page.sample(&[("shard", &shard), ("owner", owner)], bytes as f64);
        }
    }
    page.family("wellhead_wal_turns_total", Kind::Counter, "Turns written to the log: one write and one sync each.");
    for report in reports {
        page.sample(&[("shard", &report.shard.to_string())], report.turns as f64);
    }
    page.family("wellhead_checkpoints_total", Kind::Counter, "Checkpoints taken.");
    for report in reports {
        page.sample(&[("shard", &report.shard.to_string())], report.checkpoints as f64);
    }
    page.family("wellhead_wal_file_bytes", Kind::Gauge, "Size of the write-ahead log.");
    for report in reports {
        if let Some(bytes) = report.store.wal_file_bytes {
            page.sample(&[("shard", &report.shard.to_string())], bytes as f64);
        }
    }
    late(reports, page);
    discarded(reports, page);
}

fn late(reports: &[ShardReport], page: &mut Exposition) {
    let help = "Samples stored that came after a later one of their series.";
    page.family("cortex_ingester_tsdb_out_of_order_samples_appended_total", Kind::Counter, help);
    for report in reports {
        let shard = report.shard.to_string();
        for tenant in &report.tenants {
            page.sample(&[("user", tenant.tenant.as_str()), ("shard", &shard)], tenant.samples_late as f64);
        }
    }
}

/// Late rejects of the consumer; the distributor's refusals are told to the client and counted there.
fn discarded(reports: &[ShardReport], page: &mut Exposition) {
    page.family("cortex_discarded_samples_total", Kind::Counter, "Samples refused after their push was answered.");
    for report in reports {
        let shard = report.shard.to_string();
        for tenant in &report.tenants {
            for (reason, count) in &tenant.rejected {
                let labels = [("reason", reason.as_label()), ("user", tenant.tenant.as_str()), ("shard", &shard)];
                page.sample(&labels, *count as f64);
            }
        }
    }
}

/// Refusals at the door, by reason; without a tenant, because a core counts all of them together.
fn refusals(cores: &[Core], page: &mut Exposition) {
    page.family("wellhead_distributor_refused_samples_total", Kind::Counter, "Samples refused in pushes, by reason.");
    for reason in RejectReason::ALL {
        let count = sum(cores, |core| core.distributor.rejected(reason).get());
        if count > 0.0 {
            page.sample(&[("reason", reason.as_label())], count);
        }
    }
}
