//! Is the node ready, and how is each of its parts?

use std::fmt::Write;

use ingest::consumer::Health;

use super::Node;

impl Node {
    /// What stands in the way of being ready; empty where nothing does.
    #[must_use]
    pub fn unready_reasons(&self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.is_stopping() {
            reasons.push("the node is stopping".to_owned());
        }
        let states = self.shards.iter().flat_map(|shard| shard.partitions());
        reasons.extend(states.filter_map(|state| state.ready().err()).map(|reason| reason.to_string()));
        reasons
    }

    /// What readers should know while Kafka is away: acknowledged samples may be there that this node could not fetch.
    #[must_use]
    pub fn staleness_warning(&self) -> Option<String> {
        let states = self.shards.iter().flat_map(|shard| shard.partitions());
        let away = states
            .filter(|state| matches!(state.health(), Health::BrokerGone { .. } | Health::UnknownTopic { .. }))
            .count();
        (away > 0).then(|| {
            format!(
                "{away} of {} partitions cannot be read from Kafka now: the newest samples may be missing",
                self.topic.partitions
            )
        })
    }

    /// Ready or not, and a page that tells the state of each role and partition.
    #[must_use]
    pub fn readiness(&self) -> (bool, String) {
        let reasons = self.unready_reasons();
        let states = || self.shards.iter().flat_map(|shard| shard.partitions());
        let is_ready = reasons.is_empty();
        let mut page = String::from(if is_ready { "ready\n" } else { "not ready\n" });
        // Pushes go on with a part of the topic, so it is no reason; queries are refused meanwhile.
        for sentence in reasons.into_iter().chain(self.missing_partitions()) {
            let _ = writeln!(page, "  {sentence}");
        }
        let _ = writeln!(page, "\nkafka      {} topic {}", self.kafka_address, self.options.kafka.topic);
        let _ = writeln!(
            page,
            "roles      distributor, consumer, querier{}",
            if self.broker.is_some() { ", broker" } else { "" }
        );
        let _ = writeln!(page, "\npartition  health        applied    durable  committed        end        lag");
        for state in states() {
            let one = state.snapshot();
            let mark =
                |offset: Option<model::Offset>| offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            let lag = one.lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
            let _ = writeln!(
                page,
                "{:<10} {:<12} {:>8} {:>10} {:>10} {:>10} {:>10}",
                one.partition,
                one.health.as_label(),
                mark(one.applied),
                mark(one.durable),
                mark(one.committed),
                mark(one.high_watermark),
                lag,
            );
        }
        (is_ready, page)
    }
}
