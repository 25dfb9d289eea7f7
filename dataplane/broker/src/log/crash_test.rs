//! Power cuts at every kind of moment: what was acknowledged is there, nothing is there that was not sent, nothing unsynced was seen.

use std::cell::RefCell;

use disk::{SimDisk, Unsynced};
use futures_lite::future::{block_on, zip};

use super::log_fixture::{
    batch, begin_fetch, commit, committed, fetch_partition, options, produce, read_all, with_log,
};
use crate::batch::BatchHeader;
use crate::handle::BrokerHandle;

const CRASHES: u64 = 400;

/// What the world outside knows.
#[derive(Default)]
struct Known {
    /// Payload byte by base offset of acknowledged batches.
    acknowledged: Vec<(i64, u8)>,
    /// Payload byte by base offset of batches that a reader saw.
    seen: Vec<(i64, u8)>,
    acknowledged_commit: Option<i64>,
    last_commit: Option<i64>,
}

/// Two producers, a reader that waits for every batch, and a group that commits; until the power is gone.
async fn live(handle: &BrokerHandle, known: &RefCell<Known>, seed: u64) {
    if handle.create_topic("a", 1).await.is_err() {
        return;
    }
    let writer = async |first: u8| {
        for round in 0..30u8 {
            let tag = first + round;
            let len = usize::from(tag).wrapping_mul(37 + seed as usize) % 1_500;
            let Ok(offset) = produce(handle, "a", 0, batch(2, i64::from(tag), len + 1)).await else { return };
            known.borrow_mut().acknowledged.push((offset, tag));
        }
    };
    let reader = async {
        let mut offset = known.borrow().seen.last().map_or(0, |(offset, _)| offset + 2);
        loop {
            let answered = begin_fetch(handle, vec![fetch_partition("a", 0, offset)], 1 << 20, 1).await;
            let Ok(answer) = answered.await else { return };
            let Ok(fetched) = &answer.partitions[0] else { panic!("the reader's offset {offset} is gone") };
            let mut rest = &fetched.records[..];
            while let Some(header) = BatchHeader::read(rest) {
                known.borrow_mut().seen.push((header.base_offset, rest[61]));
                rest = &rest[header.bytes..];
                offset = header.next_offset();
            }
            let done = known.borrow().acknowledged.len();
            if done >= 60 && offset as usize >= 2 * done {
                return;
            }
        }
    };
    let committer = async {
        let first = known.borrow().last_commit.map_or(0, |offset| offset + 1);
        for offset in first..first + 20 {
            known.borrow_mut().last_commit = Some(offset);
            if commit(handle, "g", "a", offset).await.is_err() {
                return;
            }
            known.borrow_mut().acknowledged_commit = Some(offset);
        }
    };
    let writers = async { zip(writer(1), writer(101)).await };
    zip(zip(writers, reader), committer).await;
}

async fn check(disk: &SimDisk, known: &Known, context: &str) {
    let (ended, _) = with_log(disk, &options(), async |handle| {
        let topic = handle.create_topic("a", 1).await.unwrap();
        assert_eq!(topic.partition_count, 1);
        let found = read_all(&handle, "a", 0).await.unwrap();
        let mut expected_offset = 0;
        for (offset, count, _) in &found {
            assert_eq!((*offset, *count), (expected_offset, 2), "{context}");
            expected_offset += 2;
        }
        for (offset, tag) in known.acknowledged.iter().chain(&known.seen) {
            assert_eq!(found.get(*offset as usize / 2).map(|batch| batch.2), Some(*tag), "{context}, offset {offset}");
        }
        let mut tags: Vec<u8> = found.iter().map(|batch| batch.2).collect();
        tags.sort_unstable();
        assert!(tags.iter().all(|tag| (1..=30).contains(tag) || (101..=130).contains(tag)), "{context}");
        let at = committed(&handle, "g", "a").await;
        assert!(at >= known.acknowledged_commit && at <= known.last_commit, "{context}: {at:?}");
        handle.shutdown().await;
    })
    .await;
    ended.unwrap_or_else(|error| panic!("{context}: {error}"));
}

#[test]
fn what_was_acknowledged_survives_every_crash() {
    block_on(async {
        let mut crashes_with_data = 0;
        for seed in 0..CRASHES {
            let disk = SimDisk::new(seed);
            disk.cut_power_after(seed * 3 % 700);
            let known = RefCell::new(Known::default());
            let _ = with_log(&disk, &options(), async |handle| {
                live(&handle, &known, seed).await;
                handle.shutdown().await;
            })
            .await;
            let known = known.into_inner();
            crashes_with_data += u64::from(known.acknowledged.len() > 3);
            for (name, crashed) in [
                ("random", disk.crash(seed)),
                ("lost", disk.crash_with(Unsynced::Lost, seed)),
                ("killed", disk.crash_with(Unsynced::Kept, seed)),
            ] {
                let context = format!("seed {seed}, unsynced writes {name}");
                // A second crash falls into the recovery from the first.
                for operations in [seed % 40, u64::MAX / 2] {
                    crashed.cut_power_after(operations);
                    let _ = with_log(&crashed, &options(), async |handle| handle.shutdown().await).await;
                    check(&crashed.crash(seed + 1), &known, &context).await;
                    crashed.revive();
                }
            }
        }
        assert!(crashes_with_data > CRASHES / 4, "{crashes_with_data} crashes came after some batches");
    });
}

#[test]
fn a_log_goes_on_after_many_crashes() {
    block_on(async {
        for seed in 0..40 {
            let mut disk = SimDisk::new(seed);
            let mut expected: Vec<(i64, i32, u8)> = Vec::new();
            for life in 0..8u8 {
                let context = format!("seed {seed}, life {life}");
                let (_, found) = with_log(&disk, &options(), async |handle| {
                    handle.create_topic("a", 1).await.unwrap();
                    let found = read_all(&handle, "a", 0).await.unwrap();
                    disk.cut_power_after(10 + seed * 7 % 60);
                    let mut acknowledged = found.clone();
                    for round in 0..20u8 {
                        match produce(&handle, "a", 0, batch(1, i64::from(life * 20 + round), 900)).await {
                            Ok(offset) => acknowledged.push((offset, 1, life * 20 + round)),
                            Err(_) => break,
                        }
                    }
                    handle.shutdown().await;
                    (found, acknowledged)
                })
                .await;
                let (found, acknowledged) = found.expect("it opens");
                assert_eq!(found[..expected.len()], expected, "{context}");
                assert!(found.len() <= expected.len() + 1, "{context}: one batch was on its way");
                expected = acknowledged;
                disk = disk.crash(seed + u64::from(life));
            }
        }
    });
}
