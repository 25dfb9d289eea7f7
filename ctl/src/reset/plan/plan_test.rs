//! The table of resets: what is committed, what the log holds, what is wanted, what happens.

use super::*;

const NOW_MS: i64 = 1_795_000_000_000;
const LOG: Bounds = Bounds { start: 100, end: 200 };
const EMPTY: Bounds = Bounds { start: 200, end: 200 };
const WHOLE: Bounds = Bounds { start: 0, end: 200 };

#[track_caller]
fn check(log: Bounds, next_offset: Option<i64>, target: &str, found: Option<TimeFound>, expected: &str) {
    let facts = Facts { partition: 3, next_offset, log, time_found: found };
    let target = Target::parse(target, NOW_MS).unwrap();
    let outcome = match plan(&facts, target, NOW_MS) {
        Ok(planned) => {
            let effect = planned.effect();
            let range = effect.range().map(|range| format!(" {range:?}")).unwrap_or_default();
            let last = planned.last_consumed().map_or("before the first".to_owned(), |last| format!("last {last}"));
            format!("to {}, {last}, {}{range}", planned.to, effect.name())
        }
        Err(refusal) => refusal.to_string(),
    };
    assert_eq!(outcome, expected);
}

#[test]
fn ends_of_the_log() {
    check(LOG, Some(150), "earliest", None, "to 100, last 99, reads again 100..150");
    check(LOG, Some(150), "latest", None, "to 200, last 199, skips 150..200");
    check(LOG, Some(200), "latest", None, "to 200, last 199, nothing");
    check(LOG, None, "earliest", None, "to 100, last 99, sets");
    check(WHOLE, Some(50), "earliest", None, "to 0, before the first, reads again 0..50");
    check(WHOLE, None, "earliest", None, "to 0, before the first, sets");
    check(EMPTY, Some(200), "earliest", None, "to 200, last 199, nothing");
}

#[test]
fn what_retention_took_counts_for_nothing() {
    check(LOG, Some(20), "offset:120", None, "to 120, last 119, skips 100..120");
    check(LOG, Some(20), "earliest", None, "to 100, last 99, nothing");
    check(LOG, Some(900), "offset:120", None, "to 120, last 119, reads again 120..200");
}

#[test]
fn offsets_and_shifts() {
    check(LOG, Some(150), "offset:100", None, "to 100, last 99, reads again 100..150");
    check(LOG, Some(150), "offset:200", None, "to 200, last 199, skips 150..200");
    check(LOG, Some(150), "shift:-10", None, "to 140, last 139, reads again 140..150");
    check(LOG, Some(150), "shift:10", None, "to 160, last 159, skips 150..160");
    check(LOG, Some(150), "shift:0", None, "to 150, last 149, nothing");
    let outside = |offset: i64| {
        format!(
            "offset {offset} is outside of the log of partition 3, which holds 100 to 200 (200 being the next to be written)"
        )
    };
    check(LOG, Some(150), "offset:99", None, &outside(99));
    check(LOG, Some(150), "offset:201", None, &outside(201));
    check(LOG, Some(150), "shift:-51", None, &outside(99));
    check(LOG, Some(150), "shift:51", None, &outside(201));
    check(LOG, Some(150), "shift:9223372036854775807", None, &outside(i64::MAX));
    let nothing = "the group has committed nothing for partition 3, so there is nothing to shift";
    check(LOG, None, "shift:-1", None, nothing);
}

#[test]
fn times() {
    let at = |offset| Some(TimeFound::At(offset));
    check(LOG, Some(150), "time:-2h", at(120), "to 120, last 119, reads again 120..150");
    check(LOG, Some(150), "time:-0s", at(170), "to 170, last 169, skips 150..170");
    check(EMPTY, Some(150), "time:-2h", None, "to 200, last 199, nothing");
    let none = Some(TimeFound::NoRecordThatLate { newest_ms: Some(1_794_000_000_000) });
    let refusal = "partition 3 has no record of 2026-11-18T10:51:40Z or later, its newest is of 2026-11-06T21:20:00Z: \
                   name an earlier time, or say --to latest for its end";
    check(LOG, Some(150), "time:-15m", none, refusal);
    let future = "2026-11-18T11:06:41Z lies in the future: now is 2026-11-18T11:06:40Z";
    check(LOG, Some(150), "time:1795000001000", at(150), future);
}

#[test]
fn what_is_no_target_is_told() {
    for (text, reason) in [
        ("", "is no target"),
        ("begin", "is no target"),
        ("earliest:1", "is no target"),
        ("offset", "is no number"),
        ("offset:-1", "is negative"),
        ("offset:x", "is no number"),
        ("shift:99999999999999999999", "is no number"),
        ("time:", "is no time"),
        ("time:soon", "is no time"),
    ] {
        let refusal = Target::parse(text, NOW_MS).unwrap_err();
        assert!(refusal.contains(reason), "{text}: {refusal}");
    }
}
