//! The log as its callers see it, on the simulated disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use disk::{Disk, DiskErrorKind, Fault, Operation, SimDisk, Unsynced};
use futures_lite::future::{block_on, zip};
use tokio::sync::oneshot;

use super::BrokerLog;
use super::log_fixture::{
    batch, begin_fetch, commit, committed, fetch_partition, options, produce, read_all, topic, with_log,
};
use super::request::{
    Change, CreateMode, FetchPartition, NewTopic, OffsetAnswer, OffsetAt, OffsetQuery, ProduceBatch, ProduceRequest,
    Read, Request, TopicRef,
};
use super::topic_configs::TopicConfigs;
use crate::batch::{BatchHeader, RecordBatch};
use crate::error::{BrokerError, Refusal};
use crate::handle::channel;
use crate::options::{BrokerOptions, LogBudget, Retention, RetentionFloor};

#[test]
fn produced_batches_are_read_back_over_segments_and_starts() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut expected = Vec::new();
        for start in 0..3 {
            let (ended, _) = with_log(&disk, &options(), async |handle| {
                handle.create_topic("a", 2).await.unwrap();
                assert_eq!(read_all(&handle, "a", 0).await.unwrap(), expected, "start {start}");
                for round in 0..20 {
                    let offset = produce(&handle, "a", 0, batch(3, round + 1, 700)).await.unwrap();
                    expected.push((offset, 3, round as u8 + 1));
                }
                assert_eq!(read_all(&handle, "a", 0).await.unwrap(), expected);
                // From the middle of a batch, the whole batch.
                assert_eq!(read_all(&handle, "a", 31).await.unwrap(), expected[10..]);
                handle.shutdown().await;
            })
            .await;
            ended.unwrap();
        }
        assert_eq!(expected.last().unwrap().0, 177);
        let segments = disk.list(&partition_dir(&disk).await).await.unwrap();
        assert!(segments.len() > 10, "{segments:?}");
    });
}

async fn partition_dir(disk: &SimDisk) -> PathBuf {
    let topics = disk.list(Path::new("/broker/topics")).await.unwrap();
    Path::new("/broker/topics").join(&topics[0].name).join("0")
}

#[test]
fn all_that_waits_shares_one_sync_for_each_file() {
    block_on(async {
        let disk = SimDisk::new(1);
        let options = BrokerOptions { segment_bytes_max: 1 << 20, ..options() };
        let (ended, _) = with_log(&disk, &options, async |handle| {
            handle.create_topic("a", 2).await.unwrap();
            produce(&handle, "a", 0, batch(1, 1, 10)).await.unwrap();
            let before = handle.counters().read();
            let mut answers = Vec::new();
            for round in 0..100 {
                let batch = RecordBatch::check(batch(1, 1, 10)).unwrap();
                let batches = vec![ProduceBatch { topic: topic("a"), partition: round % 2, batch }];
                let (answer, answered) = oneshot::channel();
                handle.send(Request::Change(Change::Produce(ProduceRequest { batches, answer }))).await.unwrap();
                answers.push(answered);
            }
            for (round, answered) in answers.into_iter().enumerate() {
                let offset = answered.await.unwrap()[0].unwrap().base_offset;
                assert_eq!(offset, round as i64 / 2 + if round % 2 == 0 { 1 } else { 0 });
            }
            let after = handle.counters().read();
            assert_eq!(after.produced_batches - before.produced_batches, 100);
            assert!(after.syncs - before.syncs <= 4, "{} syncs", after.syncs - before.syncs);
            handle.shutdown().await;
        })
        .await;
        ended.unwrap();
    });
}

#[test]
fn a_long_poll_is_answered_by_the_produce_it_waited_for() {
    block_on(async {
        let disk = SimDisk::new(1);
        let (ended, _) = with_log(&disk, &options(), async |handle| {
            handle.create_topic("a", 3).await.unwrap();
            let partitions = (0..3).map(|at| fetch_partition("a", at, 0)).collect();
            let mut waiting = begin_fetch(&handle, partitions, 1 << 20, 200).await;
            produce(&handle, "a", 1, batch(1, 5, 50)).await.unwrap();
            assert!(waiting.try_recv().is_err(), "111 bytes are fewer than 200");
            produce(&handle, "a", 2, batch(1, 5, 50)).await.unwrap();
            let answer = waiting.await.unwrap();
            let lens: Vec<usize> =
                answer.partitions.iter().map(|fetched| fetched.as_ref().unwrap().records.len()).collect();
            assert_eq!(lens, [0, 111, 111]);
            // A deleted topic ends the wait as well.
            let waiting = begin_fetch(&handle, vec![fetch_partition("a", 0, 0)], 1 << 20, 1).await;
            let delete = |answer| Request::Change(Change::DeleteTopic(topic("a"), answer));
            handle.ask(delete).await.unwrap().unwrap();
            assert_eq!(waiting.await.unwrap().partitions[0].as_ref().err(), Some(&Refusal::UnknownTopic));
            handle.shutdown().await;
        })
        .await;
        ended.unwrap();
    });
}

#[test]
fn abandoned_waiters_do_not_pile_up() {
    block_on(async {
        let disk = SimDisk::new(1);
        let (handle, inbox) = channel();
        let log = BrokerLog::open(disk, PathBuf::from("/broker"), &options(), inbox).await.unwrap();
        let inner = std::rc::Rc::clone(&log.log);
        let work = async {
            handle.create_topic("quiet", 1).await.unwrap();
            for _ in 0..20_000 {
                drop(begin_fetch(&handle, vec![fetch_partition("quiet", 0, 0)], 1 << 20, 1).await);
            }
            handle.offsets().await.unwrap();
            let waiters = inner.topics.borrow().partitions()[0].waiters.borrow().len();
            assert!(waiters <= 2_100, "{waiters} waiters");
            handle.shutdown().await;
        };
        zip(log.run(), work).await.0.unwrap();
    });
}

#[test]
fn limits_of_a_fetch_hold_except_for_the_first_batch() {
    block_on(async {
        let disk = SimDisk::new(1);
        let options = BrokerOptions { segment_bytes_max: 1 << 20, ..options() };
        let (ended, _) = with_log(&disk, &options, async |handle| {
            handle.create_topic("a", 2).await.unwrap();
            for partition in [0, 0, 0, 1, 1] {
                produce(&handle, "a", partition, batch(1, 5, 939)).await.unwrap();
            }
            // (offset in partition 0, its limit, limit of all) -> (bytes of 0, bytes of 1)
            for ((offset, partition_max, bytes_max), expected) in [
                ((0, 1 << 20, 1 << 20), [3_000, 2_000]),
                ((0, 2_500, 1 << 20), [2_000, 2_000]),
                ((0, 10, 1 << 20), [1_000, 2_000]),
                ((0, 10, 1_500), [1_000, 0]),
                ((0, 1 << 20, 0), [1_000, 0]),
                ((3, 1 << 20, 10), [0, 1_000]),
                ((2, 1 << 20, 2_100), [1_000, 1_000]),
            ] {
                for _ in 0..2 {
                    let first = FetchPartition { bytes_max: partition_max, ..fetch_partition("a", 0, offset) };
                    let partitions = vec![first, fetch_partition("a", 1, 0)];
                    let answer = begin_fetch(&handle, partitions, bytes_max, 1).await.await.unwrap();
                    let lens: Vec<usize> =
                        answer.partitions.iter().map(|fetched| fetched.as_ref().unwrap().records.len()).collect();
                    assert_eq!(lens, expected, "offset {offset}, limits {partition_max} and {bytes_max}");
                }
            }
            handle.shutdown().await;
        })
        .await;
        ended.unwrap();
    });
}

#[test]
fn refusals_name_what_is_wrong() {
    block_on(async {
        let disk = SimDisk::new(1);
        let (ended, _) = with_log(&disk, &options(), async |handle| {
            let id = handle.create_topic("a", 1).await.unwrap().id;
            assert_eq!(handle.create_topic("a", 5).await.unwrap().partition_count, 1);
            let new = NewTopic {
                name: "a".into(),
                partition_count: 1,
                configs: TopicConfigs::default(),
                mode: CreateMode::Create,
            };
            let ask = |answer| Request::Change(Change::CreateTopic(new, answer));
            assert_eq!(handle.ask(ask).await.unwrap(), Err(Refusal::TopicExists));
            assert_eq!(handle.create_topic("a/b", 1).await, Err(Refusal::TopicName));
            assert_eq!(handle.create_topic("b", 0).await, Err(Refusal::PartitionCount));
            assert_eq!(handle.create_topic("b", 10_000).await, Err(Refusal::TooMany));
            assert_eq!(produce(&handle, "b", 0, batch(1, 5, 1)).await, Err(Refusal::UnknownTopic));
            assert_eq!(produce(&handle, "a", 1, batch(1, 5, 1)).await, Err(Refusal::UnknownPartition));
            assert_eq!(produce(&handle, "a", -1, batch(1, 5, 1)).await, Err(Refusal::UnknownPartition));
            produce(&handle, "a", 0, batch(1, 5, 1)).await.unwrap();
            let by_id = |id| FetchPartition { topic: TopicRef::Id(id), ..fetch_partition("", 0, 0) };
            for (partition, expected) in [
                (fetch_partition("a", 0, 0), None),
                (fetch_partition("a", 0, 1), None),
                (by_id(id), None),
                (by_id(uuid::Uuid::nil()), Some(Refusal::UnknownTopicId)),
                (fetch_partition("a", 0, 2), Some(Refusal::OffsetOutOfRange)),
                (fetch_partition("a", 0, -1), Some(Refusal::OffsetOutOfRange)),
                (fetch_partition("a", 9, 0), Some(Refusal::UnknownPartition)),
                (FetchPartition { leader_epoch: 1, ..fetch_partition("a", 0, 0) }, Some(Refusal::NewLeaderEpoch)),
                (FetchPartition { leader_epoch: 0, ..fetch_partition("a", 0, 0) }, None),
            ] {
                let answer = begin_fetch(&handle, vec![partition], 1 << 20, 0).await.await.unwrap();
                assert_eq!(answer.partitions[0].as_ref().err(), expected.as_ref());
            }
            handle.shutdown().await;
            assert_eq!(produce(&handle, "a", 0, batch(1, 5, 1)).await, Err(Refusal::Stopping));
        })
        .await;
        ended.unwrap();
    });
}

#[test]
fn a_full_log_refuses_and_is_still_read() {
    block_on(async {
        for is_device in [false, true] {
            let disk = SimDisk::new(1);
            let budget = if is_device { 1 << 30 } else { 400 << 10 };
            let options = BrokerOptions {
                segment_bytes_max: 128 << 10,
                log_budget: LogBudget::Bytes(budget),
                retention: Retention { age: Some(Duration::ZERO), partition_bytes: None, floor: RetentionFloor::Given },
                ..options()
            };
            let (ended, _) = with_log(&disk, &options, async |handle| {
                handle.create_topic("a", 1).await.unwrap();
                if is_device {
                    disk.set_capacity(400 << 10);
                }
                let mut written = 0;
                let refusal = loop {
                    match produce(&handle, "a", 0, batch(1, 5, 10_000)).await {
                        Ok(_) => written += 1,
                        Err(refusal) => break refusal,
                    }
                };
                assert_eq!(refusal, Refusal::NoSpace);
                assert!((30..=39).contains(&written), "{written} batches");
                assert_eq!(read_all(&handle, "a", 0).await.unwrap().len(), written);
                if !is_device {
                    assert!(handle.counters().read().log_bytes <= budget);
                }
                commit(&handle, "g", "a", 17).await.unwrap();
                // Retention waits for the floor; what it frees can be written again.
                handle.send(Request::Change(Change::Retain { now_ms: 1_000_000 })).await.unwrap();
                assert_eq!(handle.offsets().await.unwrap()[0].1[0].start, 0);
                handle.set_retention_floor("a", 0, 20).await.unwrap();
                handle.send(Request::Change(Change::Retain { now_ms: 1_000_000 })).await.unwrap();
                produce(&handle, "a", 0, batch(1, 5, 10_000)).await.unwrap();
                let start = handle.offsets().await.unwrap()[0].1[0].start;
                assert!((1..=20).contains(&start), "start {start}");
                assert_eq!(read_all(&handle, "a", 0).await, Err(Refusal::OffsetOutOfRange));
                assert_eq!(read_all(&handle, "a", start).await.unwrap().len() as i64, written as i64 + 1 - start);
                handle.shutdown().await;
            })
            .await;
            ended.unwrap();
            disk.set_capacity(u64::MAX);
            let (ended, _) = with_log(&disk, &options, async |handle| {
                assert_eq!(handle.counters().read().log_bytes, segment_bytes(&disk).await);
                handle.shutdown().await;
            })
            .await;
            ended.unwrap();
        }
    });
}

async fn segment_bytes(disk: &SimDisk) -> u64 {
    use disk::{Access, DiskFile, OpenMode};
    let (dir, mut bytes) = (partition_dir(disk).await, 0);
    for entry in disk.list(&dir).await.unwrap().iter().filter(|entry| entry.name.ends_with(".log")) {
        let file = disk.open(&dir.join(&entry.name), OpenMode::Read, Access::Buffered).await.unwrap();
        bytes += file.size().await.unwrap();
    }
    bytes
}

#[test]
fn an_old_quiet_partition_is_emptied_and_keeps_its_offsets() {
    block_on(async {
        let disk = SimDisk::new(1);
        let age = Some(Duration::from_millis(100));
        let retention = Retention { age, partition_bytes: None, floor: RetentionFloor::Free };
        let options = BrokerOptions { retention, ..options() };
        let (ended, _) = with_log(&disk, &options, async |handle| {
            handle.create_topic("a", 1).await.unwrap();
            for _ in 0..10 {
                produce(&handle, "a", 0, batch(1, 1_000, 1_000)).await.unwrap();
            }
            for (now_ms, expected) in [(1_100, 0), (1_101, 10), (5_000, 10)] {
                handle.send(Request::Change(Change::Retain { now_ms })).await.unwrap();
                // The produce is behind the retention.
                let _ = produce(&handle, "missing", 0, batch(1, 1, 1)).await;
                let offsets = handle.offsets().await.unwrap()[0].1[0];
                assert_eq!((offsets.start, offsets.high_watermark), (expected, 10), "at {now_ms}");
            }
            assert_eq!(produce(&handle, "a", 0, batch(1, 1, 1)).await, Ok(10));
            handle.shutdown().await;
        })
        .await;
        ended.unwrap();
    });
}

#[test]
fn times_are_looked_up_over_segments() {
    block_on(async {
        let disk = SimDisk::new(1);
        let (ended, _) = with_log(&disk, &options(), async |handle| {
            handle.create_topic("a", 1).await.unwrap();
            let at = async |at| {
                let query = OffsetQuery { topic: topic("a"), partition: 0, leader_epoch: -1, at };
                let ask = |answer| Request::Read(Read::Offsets(vec![query], answer));
                match handle.ask(ask).await.unwrap().pop().unwrap().unwrap() {
                    OffsetAnswer::Offset(offset) => offset,
                    OffsetAnswer::Nothing => -1,
                    OffsetAnswer::InBatch { batch, .. } => BatchHeader::read(&batch).unwrap().base_offset,
                }
            };
            assert_eq!(at(OffsetAt::Timestamp(0)).await, -1);
            assert_eq!(at(OffsetAt::MaxTimestamp).await, -1);
            let timestamps: Vec<i64> = (0..40).map(|place| 1_000 + 50 * (place % 9) + 10 * place).collect();
            for timestamp in &timestamps {
                produce(&handle, "a", 0, batch(2, *timestamp, 500)).await.unwrap();
            }
            for timestamp in (900..2_000).step_by(7) {
                let first = timestamps.iter().position(|at| *at >= timestamp);
                assert_eq!(at(OffsetAt::Timestamp(timestamp)).await, first.map_or(-1, |place| 2 * place as i64));
            }
            let newest = timestamps.iter().max().unwrap();
            let expected = timestamps.iter().position(|at| at == newest).unwrap() as i64 * 2;
            assert_eq!(at(OffsetAt::MaxTimestamp).await, expected);
            assert_eq!((at(OffsetAt::Start).await, at(OffsetAt::End).await), (0, 80));
            handle.shutdown().await;
        })
        .await;
        ended.unwrap();
    });
}

#[test]
fn commits_belong_to_the_topic_and_survive_starts() {
    block_on(async {
        let disk = SimDisk::new(1);
        for start in 0..3 {
            let (ended, _) = with_log(&disk, &options(), async |handle| {
                handle.create_topic("a", 1).await.unwrap();
                handle.create_topic("kept", 1).await.unwrap();
                assert_eq!(committed(&handle, "g", "a").await, None, "a new topic has no offsets");
                assert_eq!(committed(&handle, "g", "kept").await, (start > 0).then_some(499));
                for offset in 0..500 {
                    commit(&handle, "g", "kept", offset).await.unwrap();
                }
                commit(&handle, "g", "a", 7).await.unwrap();
                assert_eq!(committed(&handle, "g", "a").await, Some(7));
                assert_eq!(commit(&handle, "g", "missing", 7).await, Err(Refusal::UnknownTopic));
                let delete = |answer| Request::Change(Change::DeleteTopic(topic("a"), answer));
                handle.ask(delete).await.unwrap().unwrap();
                assert_eq!(commit(&handle, "g", "a", 7).await, Err(Refusal::UnknownTopic));
                handle.shutdown().await;
            })
            .await;
            ended.unwrap();
        }
    });
}

#[test]
fn a_failing_device_ends_the_log() {
    for operation in [Operation::Write, Operation::Sync, Operation::Allocate, Operation::Read] {
        block_on(async {
            let disk = SimDisk::new(1);
            let (ended, _) = with_log(&disk, &options(), async |handle| {
                handle.create_topic("a", 1).await.unwrap();
                let path_contains = ".log".to_owned();
                disk.inject(Fault { operation, path_contains, nth: 1, kind: DiskErrorKind::Other });
                let produced = produce(&handle, "a", 0, batch(1, 5, 1)).await;
                if operation == Operation::Read {
                    produced.unwrap();
                    assert_eq!(read_all(&handle, "a", 0).await, Err(Refusal::Stopping));
                } else {
                    assert_eq!(produced, Err(Refusal::Stopping), "{operation:?}");
                }
            })
            .await;
            assert!(matches!(ended, Err(BrokerError::Disk(error)) if error.operation == operation));
        });
    }
}

#[test]
fn damage_to_what_was_acknowledged_is_named_and_never_cut() {
    block_on(async {
        let disk = SimDisk::new(1);
        with_log(&disk, &options(), async |handle| {
            handle.create_topic("a", 1).await.unwrap();
            for round in 0..10 {
                produce(&handle, "a", 0, batch(1, round, 1_000)).await.unwrap();
            }
            handle.shutdown().await;
        })
        .await
        .0
        .unwrap();
        let dir = partition_dir(&disk).await;
        // Batches of 1,061 bytes, three to a segment; the last segment holds one.
        for (segment, position, is_open_refused) in [(9, 4_096 + 100, true), (0, 4_096 + 1_061 + 100, false)] {
            let disk = disk.crash_with(Unsynced::Kept, 1);
            let path = dir.join(format!("{segment:020}.log"));
            disk.rot(&path, position, 1);
            let (ended, read) = with_log(&disk, &options(), async |handle| {
                let read = read_all(&handle, "a", 0).await;
                handle.shutdown().await;
                (read, handle.counters().read().damaged_batches)
            })
            .await;
            if is_open_refused {
                let error = ended.unwrap_err();
                assert!(matches!(&error, BrokerError::Damaged { path: at, .. } if *at == path), "{error}");
            } else {
                ended.unwrap();
                assert_eq!(read, Some((Err(Refusal::Damaged), 1)));
            }
            // Without its index an older segment is checked as a whole, and refused by name.
            disk.remove(&dir.join(format!("{segment:020}.index"))).await.ok();
            let (ended, _) = with_log(&disk, &options(), async |handle| handle.shutdown().await).await;
            assert!(matches!(ended, Err(BrokerError::Damaged { path: at, .. }) if at == path));
        }
    });
}
