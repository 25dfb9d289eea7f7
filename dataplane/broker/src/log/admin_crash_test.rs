//! Power cuts between and within what operators change: each change is there as a whole or not at all, and what was answered is there.

use std::cell::Cell;

use disk::{SimDisk, Unsynced};
use futures_lite::future::block_on;

use super::log_fixture::{batch, commit, committed, options, produce, topic, with_log};
use super::request::{
    AlterConfigs, Change, CreateMode, DeleteBefore, DeleteOffsets, DeleteRecords, MorePartitions, Read, Request,
    StoredGroup,
};
use super::topic_configs::TopicSetting;
use crate::error::Refusal;
use crate::handle::BrokerHandle;

async fn grow(handle: &BrokerHandle, partition_count: i32) -> Result<(), Refusal> {
    let more = MorePartitions { topic: topic("a"), partition_count, assignment_count: None, mode: CreateMode::Create };
    handle.ask(|answer| Request::Change(Change::CreatePartitions(more, answer))).await?
}

async fn delete_group(handle: &BrokerHandle, group: &str) -> Result<(), Refusal> {
    handle.ask(|answer| Request::Change(Change::DeleteGroup(group.into(), answer))).await?
}

async fn delete_offset(handle: &BrokerHandle, group: &str) -> Result<(), Refusal> {
    let wanted = DeleteOffsets { group: group.into(), partitions: vec![(topic("a"), 0)] };
    handle.ask(|answer| Request::Change(Change::DeleteOffsets(wanted, answer))).await??[0]
}

async fn save_group(handle: &BrokerHandle, name: &str) -> Result<(), Refusal> {
    let group = StoredGroup { name: name.into(), protocol_type: "consumer".into(), generation: 3 };
    handle.ask(|answer| Request::Change(Change::SaveGroup(group, answer))).await?
}

async fn alter(handle: &BrokerHandle, retention_ms: i64) -> Result<(), Refusal> {
    let changes = vec![(TopicSetting::RetentionMs, Some(retention_ms))];
    let wanted = AlterConfigs { topic: topic("a"), changes, mode: CreateMode::Create };
    handle.ask(|answer| Request::Change(Change::AlterConfigs(wanted, answer))).await?
}

async fn delete_records(handle: &BrokerHandle, offset: i64) -> Result<(), Refusal> {
    let before = DeleteBefore::Offset(offset);
    let wanted = DeleteRecords { topic: topic("a"), partition: 0, before };
    handle.ask(|answer| Request::Change(Change::DeleteRecords(wanted, answer))).await?.map(drop)
}

async fn produce_many(handle: &BrokerHandle) -> Result<(), Refusal> {
    for _ in 0..8 {
        produce(handle, "a", 0, batch(5, 1, 1_000)).await?;
    }
    Ok(())
}

async fn groups(handle: &BrokerHandle) -> Vec<String> {
    let stored = handle.ask(|answer| Request::Read(Read::Groups(answer))).await.unwrap();
    stored.iter().map(|group| group.name.to_string()).collect()
}

/// A step and what can be seen of it: before it was begun, and once it was answered.
struct Step {
    act: &'static (dyn Fn(&BrokerHandle) -> Outcome<'_> + Sync),
    is_done: &'static (dyn Fn(&Seen) -> bool + Sync),
}

type Outcome<'a> = futures_util::future::LocalBoxFuture<'a, Result<(), Refusal>>;

/// What is there after a crash.
#[derive(Debug)]
struct Seen {
    partition_count: i32,
    groups: Vec<String>,
    offset: Option<i64>,
    start_offset: i64,
    retention_ms: Option<i64>,
}

const STEPS: &[Step] = &[
    Step {
        act: &|handle| Box::pin(async { handle.create_topic("a", 1).await.map(drop) }),
        is_done: &|seen| seen.partition_count >= 1,
    },
    Step {
        act: &|handle| Box::pin(commit(handle, "kept", "a", 5)),
        is_done: &|seen| seen.groups.contains(&"kept".to_owned()),
    },
    Step { act: &|handle| Box::pin(grow(handle, 3)), is_done: &|seen| seen.partition_count >= 3 },
    Step {
        act: &|handle| Box::pin(async { produce(handle, "a", 2, batch(1, 1, 100)).await.map(drop) }),
        is_done: &|seen| seen.partition_count >= 3,
    },
    Step { act: &|handle| Box::pin(grow(handle, 4)), is_done: &|seen| seen.partition_count >= 4 },
    Step { act: &|handle| Box::pin(commit(handle, "left", "a", 9)), is_done: &|_| true },
    Step {
        act: &|handle| Box::pin(delete_group(handle, "left")),
        is_done: &|seen| !seen.groups.contains(&"left".to_owned()),
    },
    Step { act: &|handle| Box::pin(commit(handle, "bare", "a", 9)), is_done: &|_| true },
    Step {
        act: &|handle| Box::pin(delete_offset(handle, "bare")),
        is_done: &|seen| !seen.groups.contains(&"bare".to_owned()),
    },
    Step { act: &|handle| Box::pin(commit(handle, "kept", "a", 6)), is_done: &|seen| seen.offset == Some(6) },
    Step {
        act: &|handle| Box::pin(save_group(handle, "alone")),
        is_done: &|seen| seen.groups.contains(&"alone".to_owned()),
    },
    Step { act: &|handle| Box::pin(alter(handle, 60_000)), is_done: &|seen| seen.retention_ms.is_some() },
    Step { act: &|handle| Box::pin(alter(handle, 7)), is_done: &|seen| seen.retention_ms == Some(7) },
    Step { act: &|handle| Box::pin(produce_many(handle)), is_done: &|_| true },
    Step { act: &|handle| Box::pin(delete_records(handle, 3)), is_done: &|seen| seen.start_offset >= 3 },
    Step { act: &|handle| Box::pin(delete_records(handle, 33)), is_done: &|seen| seen.start_offset >= 33 },
];

async fn see(handle: &BrokerHandle) -> Seen {
    let offsets = handle.offsets().await.unwrap();
    let partition_count = offsets.first().map_or(0, |(_, partitions)| partitions.len() as i32);
    let offset = if partition_count == 0 { None } else { committed(handle, "kept", "a").await };
    let start_offset = offsets.first().map_or(0, |(_, partitions)| partitions[0].start);
    let configs = handle.ask(|answer| Request::Read(Read::Configs(topic("a"), answer))).await.unwrap();
    let retention_ms = configs.ok().and_then(|configs| configs.get(TopicSetting::RetentionMs));
    Seen { partition_count, groups: groups(handle).await, offset, start_offset, retention_ms }
}

#[test]
fn what_operators_change_survives_every_crash() {
    block_on(async {
        let mut finished = 0;
        for operations in 0..300 {
            let disk = SimDisk::new(operations);
            disk.cut_power_after(operations);
            let done = Cell::new(0);
            let _ = with_log(&disk, &options(), async |handle| {
                for step in STEPS {
                    if (step.act)(&handle).await.is_err() {
                        return;
                    }
                    done.set(done.get() + 1);
                }
                handle.shutdown().await;
            })
            .await;
            finished += usize::from(done.get() == STEPS.len());
            for (name, crashed) in [
                ("random", disk.crash(operations)),
                ("lost", disk.crash_with(Unsynced::Lost, operations)),
                ("killed", disk.crash_with(Unsynced::Kept, operations)),
            ] {
                let context = format!("{operations} operations, {} steps, unsynced writes {name}", done.get());
                // A second crash falls into the recovery from the first.
                crashed.cut_power_after(operations % 30);
                let _ = with_log(&crashed, &options(), async |handle| handle.shutdown().await).await;
                let (ended, _) = with_log(&crashed.crash(operations + 1), &options(), async |handle| {
                    let seen = see(&handle).await;
                    for (place, step) in STEPS.iter().enumerate().take(done.get()) {
                        assert!((step.is_done)(&seen), "{context}: step {place}, {seen:?}");
                    }
                    assert!([0, 1, 3, 4].contains(&seen.partition_count), "{context}: {seen:?}");
                    assert!([0, 3, 33].contains(&seen.start_offset), "{context}: {seen:?}");
                    // It goes on from there.
                    handle.create_topic("a", 1).await.unwrap();
                    assert_eq!(grow(&handle, 6).await, Ok(()), "{context}");
                    produce(&handle, "a", 5, batch(1, 1, 100)).await.unwrap();
                    handle.shutdown().await;
                })
                .await;
                ended.unwrap_or_else(|error| panic!("{context}: {error}"));
            }
        }
        assert!((20..280).contains(&finished), "{finished} lives came to their end");
    });
}
