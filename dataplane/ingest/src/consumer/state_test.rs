//! The published state of partitions: when a reader stops waiting, what counts as lag, what readiness says.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use model::{Offset, PartitionId};

use super::state::STALL_MAX;
use super::{Health, PartitionState};

struct Case {
    health: Health,
    executor: Option<Health>,
    is_caught_up: bool,
    stalled: Duration,
}

const MOVING: Duration = Duration::ZERO;

fn case(health: Health, is_caught_up: bool, stalled: Duration) -> Case {
    Case { health, executor: None, is_caught_up, stalled }
}

/// `expected`: a part of the sentence, or "" for ready.
#[track_caller]
fn check(case: Case, expected: &str) {
    let state = PartitionState::new(PartitionId(4));
    state.set_companion_health(case.health);
    state.set_executor_health(case.executor);
    state.companion.is_caught_up.store(case.is_caught_up, Ordering::Relaxed);
    state.companion.stalled_ms.store(case.stalled.as_millis() as u64, Ordering::Relaxed);
    state.companion.high_watermark.set(Offset(100));
    state.executor.applied.set(Offset(58));
    let said = state.ready().map_or_else(|error| error.to_string(), |()| String::new());
    assert!(if expected.is_empty() { said.is_empty() } else { said.contains(expected) }, "{said:?}, not {expected:?}");
}

/// Red before the first catch-up and where this node alone is at fault; an outage of Kafka leaves it green.
#[test]
fn ready_follows_the_rule() {
    let stuck = || Health::Stuck { why: "the disk is full".to_owned() };
    let gone = || Health::BrokerGone { since: Instant::now(), why: "no route".to_owned() };
    let unknown = || Health::UnknownTopic { since: Instant::now() };
    check(case(Health::Starting, false, MOVING), "partition 4 is starting");
    check(case(Health::CatchingUp, false, MOVING), "42 records to go");
    check(case(Health::Consuming, true, MOVING), "");
    check(case(Health::Consuming, true, STALL_MAX - Duration::from_secs(1)), "");
    check(case(Health::Consuming, true, STALL_MAX), "for 30 s");
    check(case(gone(), true, STALL_MAX), "");
    check(case(gone(), false, MOVING), "never caught up and Kafka does not answer: no route");
    check(case(unknown(), true, MOVING), "");
    check(case(unknown(), false, MOVING), "the topic is unknown");
    check(case(stuck(), true, MOVING), "stuck: the disk is full");
    check(Case { executor: Some(stuck()), ..case(gone(), true, MOVING) }, "stuck: the disk is full");
}

#[test]
fn a_snapshot_shows_marks_and_lag() {
    let state = PartitionState::new(PartitionId(1));
    let snapshot = state.snapshot();
    assert_eq!((snapshot.applied, snapshot.lag, snapshot.last_record_ms), (None, None, None));
    assert_eq!(snapshot.health.as_label(), "starting");
    state.executor.applied.set(Offset(0));
    state.companion.high_watermark.set(Offset(7));
    assert_eq!((state.snapshot().applied, state.snapshot().lag), (Some(Offset(0)), Some(7)));
    // The end that was heard of may be older than what is applied.
    state.executor.applied.set(Offset(9));
    assert_eq!(state.snapshot().lag, Some(0));
}
