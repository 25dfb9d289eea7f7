//! What the simulated device may lose, and what it must keep.

use std::collections::BTreeSet;
use std::path::Path;

use futures_lite::future::{block_on, zip};

use super::*;
use crate::BLOCK_BYTES;

const DIR: &str = "/d";
const FILE: &str = "/d/f";

async fn open(disk: &SimDisk) -> SimFile {
    disk.open(FILE.as_ref(), OpenMode::ReadWrite, Access::Buffered).await.unwrap()
}

/// A disk with one file of four durable sectors of `a`.
async fn disk_with_file() -> SimDisk {
    let disk = SimDisk::new(7);
    disk.create_dir(DIR.as_ref()).await.unwrap();
    let file = disk.open(FILE.as_ref(), OpenMode::CreateNew, Access::Buffered).await.unwrap();
    file.write_at(0, &[b'a'; 2048]).await.unwrap();
    file.sync().await.unwrap();
    disk.sync_dir(DIR.as_ref()).await.unwrap();
    disk
}

async fn sectors(disk: &SimDisk) -> String {
    let bytes = open(disk).await.read_at(0, 1 << 20).await.unwrap();
    bytes
        .chunks(512)
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is written whole or not at all");
            if sector[0] == 0 { '.' } else { char::from(sector[0]) }
        })
        .collect()
}

/// All contents that crashes with many seeds leave behind.
fn outcomes(disk: &SimDisk) -> BTreeSet<String> {
    (0..400).map(|seed| block_on(sectors(&disk.crash(seed)))).collect()
}

#[test]
fn unsynced_sectors_survive_in_any_combination() {
    block_on(async {
        let disk = disk_with_file().await;
        let file = open(&disk).await;
        file.write_at(512, &[b'b'; 1024]).await.unwrap();
        file.write_at(1024, &[b'c'; 512]).await.unwrap();
        assert_eq!(sectors(&disk).await, "abca");
        let expected = ["aaaa", "abaa", "aaba", "aaca", "abba", "abca"];
        assert_eq!(outcomes(&disk), expected.map(str::to_owned).into());
        assert_eq!(sectors(&disk.crash_with(Unsynced::Lost, 0)).await, "aaaa");
        assert_eq!(sectors(&disk.crash_with(Unsynced::Kept, 0)).await, "abca");
        file.sync().await.unwrap();
        assert_eq!(outcomes(&disk), ["abca".to_owned()].into());
    });
}

#[test]
fn an_append_can_leave_length_without_bytes_and_never_bytes_without_length() {
    block_on(async {
        let disk = disk_with_file().await;
        let file = open(&disk).await;
        file.write_at(2048, &[b'b'; 512]).await.unwrap();
        file.truncate(512).await.unwrap();
        file.allocate(1024).await.unwrap();
        let expected = ["a", "a.", "aaaa", "aaaa.", "aaaab"];
        assert_eq!(outcomes(&disk), expected.map(str::to_owned).into());
    });
}

#[test]
fn crashes_repeat_by_seed() {
    block_on(async {
        let disk = disk_with_file().await;
        open(&disk).await.write_at(0, &[b'x'; 2048]).await.unwrap();
        for seed in 0..50 {
            assert_eq!(sectors(&disk.crash(seed)).await, sectors(&disk.crash(seed)).await, "seed {seed}");
        }
    });
}

async fn names(disk: &SimDisk) -> String {
    let entries = disk.list(DIR.as_ref()).await.unwrap();
    entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>().join(" ")
}

#[test]
fn names_are_durable_after_a_folder_sync_only() {
    block_on(async {
        let disk = disk_with_file().await;
        disk.open("/d/new".as_ref(), OpenMode::CreateNew, Access::Direct).await.unwrap().sync().await.unwrap();
        disk.rename(FILE.as_ref(), "/d/g".as_ref()).await.unwrap();
        let seen: BTreeSet<String> = (0..200).map(|seed| block_on(names(&disk.crash(seed)))).collect();
        assert_eq!(seen, ["f", "f new", "g", "g new"].map(str::to_owned).into());
        disk.sync_dir(DIR.as_ref()).await.unwrap();
        disk.remove_dir(DIR.as_ref()).await.unwrap();
        let lost = disk.crash_with(Unsynced::Lost, 0);
        assert_eq!(names(&lost).await, "g new");
        disk.sync_dir("/".as_ref()).await.unwrap();
        let gone = disk.crash_with(Unsynced::Random, 3).list(DIR.as_ref()).await;
        assert_eq!(gone.unwrap_err().kind, DiskErrorKind::NotFound);
    });
}

#[test]
fn a_sync_covers_what_was_written_before_it_was_asked_for() {
    block_on(async {
        let disk = disk_with_file().await;
        let file = open(&disk).await;
        let write = async { file.write_at(0, &[b'z'; 512]).await };
        let (synced, written) = zip(file.sync(), write).await;
        synced.and(written).unwrap();
        assert_eq!(sectors(&disk.crash_with(Unsynced::Lost, 0)).await, "aaaa");
    });
}

#[test]
fn a_failed_sync_loses_its_writes_for_good() {
    block_on(async {
        let disk = disk_with_file().await;
        let fault =
            |nth| Fault { operation: Operation::Sync, path_contains: "/f".into(), nth, kind: DiskErrorKind::Other };
        disk.inject(fault(2));
        let file = open(&disk).await;
        file.sync().await.unwrap();
        file.write_at(0, &[b'z'; 512]).await.unwrap();
        assert_eq!(file.sync().await.unwrap_err().operation, Operation::Sync);
        file.sync().await.unwrap();
        assert_eq!(sectors(&disk).await, "zaaa");
        assert_eq!(outcomes(&disk), ["aaaa".to_owned()].into());
    });
}

#[test]
fn at_a_power_cut_the_last_write_may_reach_the_device() {
    block_on(async {
        let disk = disk_with_file().await;
        let file = open(&disk).await;
        disk.cut_power_after(1);
        file.write_at(0, &[b'b'; 512]).await.unwrap();
        file.write_at(512, &[b'c'; 512]).await.unwrap_err();
        file.write_at(1024, &[b'd'; 512]).await.unwrap_err();
        file.sync().await.unwrap_err();
        assert_eq!(outcomes(&disk), ["aaaa", "baaa", "acaa", "bcaa"].map(str::to_owned).into());
        assert_eq!(sectors(&disk.crash_with(Unsynced::Kept, 0)).await, "bcaa");
        disk.revive();
        assert_eq!(sectors(&disk).await, "bcaa");
        assert_eq!(sectors(&disk.crash_with(Unsynced::Lost, 0)).await, "aaaa", "a dead process syncs nothing");
    });
}

#[test]
fn a_full_device_refuses() {
    block_on(async {
        let disk = disk_with_file().await;
        disk.set_capacity(3 * BLOCK_BYTES as u64);
        let file = open(&disk).await;
        file.allocate(2 * BLOCK_BYTES as u64).await.unwrap();
        assert_eq!(disk.space(Path::new(DIR)).await.unwrap(), (BLOCK_BYTES as u64, 3 * BLOCK_BYTES as u64));
        assert_eq!(file.allocate(4 * BLOCK_BYTES as u64).await.unwrap_err().kind, DiskErrorKind::NoSpace);
        file.write_at(BLOCK_BYTES as u64, &[1; BLOCK_BYTES]).await.unwrap();
        file.write_at(2 * BLOCK_BYTES as u64, &[1; BLOCK_BYTES]).await.unwrap();
        assert_eq!(file.write_at(3 * BLOCK_BYTES as u64, &[1]).await.unwrap_err().kind, DiskErrorKind::NoSpace);
        disk.remove(FILE.as_ref()).await.unwrap();
        assert_eq!(disk.space(Path::new(DIR)).await.unwrap().0, 3 * BLOCK_BYTES as u64);
    });
}

#[test]
fn rot_reaches_the_stored_bytes() {
    block_on(async {
        let disk = disk_with_file().await;
        disk.rot(FILE.as_ref(), 600, 2);
        let stored = disk.crash_with(Unsynced::Lost, 0);
        let bytes = open(&stored).await.read_at(0, 2048).await.unwrap();
        let bad: Vec<usize> = (0..2048).filter(|at| bytes[*at] != b'a').collect();
        assert_eq!(bad, [600, 601]);
        assert!(bad.iter().all(|at| (bytes[*at] ^ b'a').count_ones() == 1));
    });
}
