//! Are all samples there? Waits until a node has consumed everything, and counts a run's samples by query.

use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::fleet::{FleetOptions, NAMES, RUN_LABEL, STEP_MS, metric_name};
use crate::http::{Endpoints, Http, scalar};
use crate::report::Check;
use crate::target::{Status, status_of};

const CONSUMED_WITHIN: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(5);

/// Waits until all that Kafka has is durable in the node.
///
/// # Errors
/// It takes more than five minutes, or the node does not answer.
pub fn wait_until_durable(url: &str, http: &Http) -> Result<Status, Failure> {
    let begin = Instant::now();
    loop {
        let status = status_of(http, url)?;
        if status.ready && status.is_durable() {
            return Ok(status);
        }
        if begin.elapsed() > CONSUMED_WITHIN {
            let lag: i64 = status.partitions.iter().filter_map(|one| one.lag_records).sum();
            let seconds = CONSUMED_WITHIN.as_secs();
            return Err(Failure::failed(format!("the node still has {lag} records to consume after {seconds} s")));
        }
        std::thread::sleep(POLL);
    }
}

/// Samples of a run that a receiver has.
///
/// # Errors
/// It does not answer.
pub fn count_samples(http: &Http, endpoints: &Endpoints, fleet: &FleetOptions) -> Result<u64, Failure> {
    let window_ms = fleet.span_ms() + STEP_MS / 2;
    let mut total = 0;
    for name in 0..NAMES {
        let metric = metric_name(name);
        let query = format!("sum(count_over_time({metric}{{{RUN_LABEL}=\"{}\"}}[{window_ms}ms]))", fleet.run);
        let data = http.instant(endpoints, &query, fleet.end_ms)?;
        total += scalar(&data).unwrap_or(0.0) as u64;
    }
    Ok(total)
}

/// The check that all are there and none twice.
///
/// # Errors
/// The receiver does not answer.
pub fn check_samples(http: &Http, endpoints: &Endpoints, fleet: &FleetOptions) -> Result<Check, Failure> {
    let found = count_samples(http, endpoints, fleet)?;
    Ok(Check { name: "samples_by_query".to_owned(), expected: fleet.samples(), found })
}
