//! Frames, segments and limits of one log.

use disk::{Disk, DiskErrorKind, Fault, Operation, SimDisk};
use futures_lite::future::block_on;
use model::{PartitionId, ShardId};

use super::*;
use crate::recovery::log_fixture::{BLOCK, OPTIONS, add_record, dir};
use crate::recovery::survey_folder;

async fn create(disk: &SimDisk, options: WalOptions) -> Result<Wal<SimDisk>, WalError> {
    Wal::create(disk.clone(), &dir(0), ShardId(0), options).await
}

fn turn_of(offset: i64, samples: u32) -> Turn {
    let mut turn = Turn::new();
    add_record(&mut turn, PartitionId(0), Epoch(1), offset, samples);
    turn
}

#[test]
fn a_turn_is_one_write_and_one_sync() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut wal = create(&disk, OPTIONS).await.unwrap();
        let before = disk.operations_done();
        wal.append(&mut turn_of(0, 10)).await.unwrap();
        wal.append(&mut turn_of(1, 1200)).await.unwrap();
        assert_eq!(disk.operations_done() - before, 4);
        let counters = wal.counters();
        assert_eq!((counters.frames, counters.samples, wal.synced()), (2, 1210, Lsn(2)));
        assert_eq!(counters.frame_bytes, 5 * BLOCK, "one block, and two parts of three blocks and one");
        assert_eq!(wal.bytes(), 2 * OPTIONS.segment_bytes);
        assert_eq!(create(&disk, OPTIONS).await.err(), Some(WalError::NotEmpty(dir(0))));
    });
}

#[test]
fn at_its_limit_the_log_refuses_before_it_writes() {
    block_on(async {
        let disk = SimDisk::new(1);
        let bytes_max = 2 * OPTIONS.segment_bytes;
        let mut wal = create(&disk, WalOptions { bytes_max, ..OPTIONS }).await.unwrap();
        for offset in 0..13 {
            wal.append(&mut turn_of(offset, 1)).await.unwrap();
        }
        let mut large = turn_of(13, 1000);
        let before = disk.operations_done();
        assert_eq!(wal.append(&mut large).await, Err(WalError::Full { bytes: bytes_max, bytes_max }));
        assert_eq!(disk.operations_done(), before);
        assert_eq!(wal.counters().refusals, 1);
        wal.append(&mut turn_of(13, 1)).await.unwrap();
        assert!(wal.append(&mut turn_of(14, 1)).await.unwrap_err().is_refusal());
        assert_eq!(survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap().accepted(), Lsn(14));
    });
}

#[test]
fn a_full_disk_holds_and_then_goes_on() {
    block_on(async {
        let disk = SimDisk::new(1);
        disk.set_capacity(2 * OPTIONS.segment_bytes + BLOCK);
        let mut wal = create(&disk, OPTIONS).await.unwrap();
        for offset in 0..14 {
            wal.append(&mut turn_of(offset, 1)).await.unwrap();
        }
        let mut turn = turn_of(14, 1);
        for _ in 0..3 {
            let error = wal.append(&mut turn).await.unwrap_err();
            assert!(matches!(error, WalError::NoSpace(_)), "{error}");
        }
        assert_eq!(disk.list(&dir(0)).await.unwrap().len(), 2, "what could not be allocated is gone again");
        disk.set_capacity(u64::MAX);
        assert_eq!(wal.append(&mut turn).await, Ok(Lsn(15)));
        wal.replenish().await.unwrap();
        assert_eq!(disk.list(&dir(0)).await.unwrap().len(), 4);
    });
}

/// Once a live file failed, nothing is written any more, whatever the caller does.
fn check_fatal(operation: Operation) {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut wal = create(&disk, OPTIONS).await.unwrap();
        let fault = Fault { operation, path_contains: ".wal".into(), nth: 2, kind: DiskErrorKind::NoSpace };
        disk.inject(fault);
        wal.append(&mut turn_of(0, 1)).await.unwrap();
        assert!(
            matches!(wal.append(&mut turn_of(1, 1)).await, Err(WalError::Disk(error)) if error.operation == operation)
        );
        assert_eq!(wal.append(&mut turn_of(1, 1)).await, Err(WalError::Failed));
    });
}

#[test]
fn a_failed_write_or_sync_is_the_end() {
    check_fatal(Operation::Write);
    check_fatal(Operation::Sync);
}

#[test]
fn restarts_without_frames_do_not_eat_the_disk() {
    block_on(async {
        let disk = SimDisk::new(1);
        create(&disk, OPTIONS).await.unwrap().append(&mut turn_of(0, 1)).await.unwrap();
        for _ in 0..10 {
            let folder = survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap();
            assert_eq!(folder.accepted(), Lsn(1));
            let wal = Wal::open(disk.clone(), &folder, OPTIONS).await.unwrap();
            assert!(wal.bytes() <= 2 * OPTIONS.segment_bytes + 14 * BLOCK, "{}", wal.bytes());
        }
    });
}

/// A log without room opens, so that what it holds can be read, and takes frames again when there is room.
#[test]
fn a_log_without_room_opens_for_reading() {
    // The reserve that was left is too short for segments of the new length, and there is no space to make it longer.
    let longer = WalOptions { segment_bytes: 4 * OPTIONS.segment_bytes, ..OPTIONS };
    block_on(async {
        let disk = SimDisk::new(1);
        let mut wal = create(&disk, OPTIONS).await.unwrap();
        for offset in 0..9 {
            wal.append(&mut turn_of(offset, 1)).await.unwrap();
        }
        drop(wal);
        for _ in 0..3 {
            disk.set_capacity(3 * OPTIONS.segment_bytes + BLOCK);
            let folder = survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap();
            assert_eq!(folder.accepted(), Lsn(9));
            let mut wal = Wal::open(disk.clone(), &folder, longer).await.unwrap();
            assert!(wal.append(&mut turn_of(9, 1)).await.unwrap_err().is_refusal());
            wal.replenish().await.unwrap();
            assert_eq!(wal.bytes(), survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap().bytes());
        }
        disk.set_capacity(u64::MAX);
        let folder = survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap();
        let mut wal = Wal::open(disk.clone(), &folder, longer).await.unwrap();
        assert_eq!(wal.append(&mut turn_of(9, 1)).await, Ok(Lsn(10)));
        let folder = survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap();
        assert_eq!((folder.accepted(), folder.bytes()), (Lsn(10), wal.bytes()));
        let crashed = survey_folder(&disk.crash(3), &dir(0), ShardId(0)).await.unwrap();
        assert_eq!(crashed.accepted(), Lsn(10));
    });
}

#[test]
fn a_log_at_its_limit_opens_for_reading() {
    block_on(async {
        let tight = WalOptions { reserve_segments: 0, bytes_max: OPTIONS.segment_bytes, ..OPTIONS };
        let disk = SimDisk::new(1);
        let mut wal = create(&disk, tight).await.unwrap();
        for offset in 0..7 {
            wal.append(&mut turn_of(offset, 1)).await.unwrap();
        }
        drop(wal);
        let folder = survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap();
        let mut wal = Wal::open(disk.clone(), &folder, tight).await.unwrap();
        assert!(matches!(wal.append(&mut turn_of(7, 1)).await, Err(WalError::Full { .. })));
        assert_eq!(survey_folder(&disk, &dir(0), ShardId(0)).await.unwrap().accepted(), Lsn(7));
    });
}
