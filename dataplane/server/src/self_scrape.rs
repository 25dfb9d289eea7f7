//! The node records its own metrics through its own write path, as job `wellhead`: the first query has an answer, and an
//! operator finds the node's history where all other history is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ingest::distributor::Distributor;
use model::TenantId;

use crate::clock::now_ms;
use crate::metrics::Line;
use crate::node::Node;

const JOB: &str = "wellhead";
/// Names that a scrape adds, as Prometheus does.
const UP: &str = "up";
const SCRAPE_SECONDS: &str = "scrape_duration_seconds";
const SCRAPE_SAMPLES: &str = "scrape_samples_scraped";

/// Records every `interval` until dropped. A push that fails is logged and not repeated: the next one comes soon.
pub async fn record_own_metrics(
    node: Arc<Node>,
    distributor: std::rc::Rc<Distributor>,
    tenant: TenantId,
    interval: Duration,
) {
    let instance = node.http_address.to_string();
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let begin = Instant::now();
        let page = node.metrics().await;
        let mut lines = page.lines().to_vec();
        let count = lines.len() as f64;
        for (name, value) in [(UP, 1.0), (SCRAPE_SECONDS, begin.elapsed().as_secs_f64()), (SCRAPE_SAMPLES, count)] {
            lines.push(Line { name: name.to_owned(), labels: Vec::new(), value });
        }
        let body = encode(&lines, &instance, now_ms());
        match distributor.push(&tenant, &body, now_ms()).await {
            Ok(outcome) => {
                if let Some(reason) = outcome.refusal_text() {
                    tracing::warn!(reason, "part of the node's own metrics was refused");
                }
            }
            Err(error) => tracing::warn!(%error, "the node's own metrics were not recorded"),
        }
    }
}

/// A snappy-compressed remote write 1 request of one sample per line.
fn encode(lines: &[Line], instance: &str, now_ms: i64) -> Vec<u8> {
    let mut request = Vec::new();
    let mut series = Vec::new();
    for line in lines {
        series.clear();
        let mut labels: Vec<(&str, &str)> = line.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        labels.extend([("__name__", line.name.as_str()), ("instance", instance), ("job", JOB)]);
        labels.retain(|(_, value)| !value.is_empty());
        labels.sort_unstable();
        model::encode_labels(labels.into_iter(), &mut series);
        wire::encode_sample(model::Sample { timestamp_ms: now_ms, value: line.value }, &mut series);
        wire::RecordWriter(&mut request).series(&[&series]);
    }
    snap::raw::Encoder::new().compress_vec(&request).expect("a page of metrics is far below 4 GiB")
}
