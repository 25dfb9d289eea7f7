//! Has the topic grown since the start? Partitions that came later are not consumed by this node: it says so and does not answer
//! queries as if it had everything. A restart takes them up.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kafka::{Client, KafkaOptions};

use super::Node;

const INTERVAL: Duration = Duration::from_secs(10);

/// The number of partitions that the topic was last seen with.
#[derive(Debug)]
pub struct SeenPartitions(AtomicU32);

impl SeenPartitions {
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self(AtomicU32::new(count))
    }

    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Node {
    /// How many partitions the topic got since the start.
    #[must_use]
    pub fn topic_growth(&self) -> u32 {
        self.seen_partitions.get().saturating_sub(self.topic.partitions)
    }

    /// One sentence where this node holds only a part of the topic.
    #[must_use]
    pub fn missing_partitions(&self) -> Option<String> {
        let (consumed, seen) = (self.topic.partitions, self.seen_partitions.get());
        (seen > consumed).then(|| missing(&self.options.kafka.topic, consumed, seen))
    }
}

fn missing(topic: &str, consumed: u32, seen: u32) -> String {
    let which = match seen - consumed {
        1 => format!("partition {consumed} is"),
        _ => format!("partitions {consumed} to {} are", seen - 1),
    };
    format!("topic {topic} has grown to {seen} partitions and {which} not consumed by this node; restart it")
}

/// Looks again and again; ends only with the node. An outage is shown elsewhere.
pub async fn watch_topic(node: &Node, kafka: KafkaOptions) {
    let mut client = Client::new(kafka);
    loop {
        tokio::time::sleep(INTERVAL).await;
        match client.topic_info().await {
            Ok(topic) => {
                let before = node.seen_partitions.0.swap(topic.partitions, Ordering::Relaxed);
                if topic.partitions != before
                    && let Some(sentence) = node.missing_partitions()
                {
                    tracing::error!("{sentence}");
                }
            }
            Err(_) => client.reset(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_names_what_is_missing() {
        assert_eq!(
            missing("ingest", 4, 5),
            "topic ingest has grown to 5 partitions and partition 4 is not consumed by this node; restart it"
        );
        assert!(missing("ingest", 4, 8).contains("partitions 4 to 7 are not consumed"));
    }
}
