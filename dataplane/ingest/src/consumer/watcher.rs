//! Watches the partitions of a shard: caught up once, and moving since.
//!
//! Caught up: an end of the log that is not older than a bound has been applied. With an older end the race begins anew, as a
//! log that is written to has no last end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use model::Offset;
use tokio::time::Instant;

use super::{FetchingError, Health, PartitionState, ShardHandle};

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What is remembered of a partition between two looks.
#[derive(Clone, Copy, Debug)]
struct Seen {
    target: Option<(Offset, Instant)>,
    applied: Option<Offset>,
    moved: Instant,
}

/// Looks on until the shard's executor is gone.
pub(super) async fn watch_progress(handle: &ShardHandle, age_max: Duration) -> Result<(), FetchingError> {
    let now = Instant::now();
    let mut seen = vec![Seen { target: None, applied: None, moved: now }; handle.partitions().len()];
    loop {
        if handle.is_ended() {
            return Err(FetchingError::ShardEnded);
        }
        for (state, seen) in handle.partitions().iter().zip(&mut seen) {
            look(state, seen, age_max);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look(state: &PartitionState, seen: &mut Seen, age_max: Duration) {
    let now = Instant::now();
    let (applied, end) = (state.applied(), state.companion.high_watermark.get());
    if applied != seen.applied {
        (seen.applied, seen.moved) = (applied, now);
    }
    let is_behind = applied.zip(end).is_none_or(|(applied, end)| applied < end);
    let stalled = if is_behind && !matches!(state.health(), Health::BrokerGone { .. } | Health::UnknownTopic { .. }) {
        seen.moved.elapsed()
    } else {
        seen.moved = now;
        Duration::ZERO
    };
    state.companion.stalled_ms.store(stalled.as_millis() as u64, Ordering::Relaxed);
    if state.companion.is_caught_up.load(Ordering::Relaxed) {
        return;
    }
    let (Some(applied), Some(end)) = (applied, end) else { return };
    let (target, since) = *seen.target.get_or_insert((end, now));
    if applied < target {
        return;
    }
    if since.elapsed() <= age_max {
        state.companion.is_caught_up.store(true, Ordering::Release);
        if state.health() == Health::CatchingUp {
            state.set_companion_health(Health::Consuming);
        }
        tracing::info!(partition = state.partition().0, offset = applied.0, "caught up");
    } else {
        seen.target = Some((end, now));
    }
}
