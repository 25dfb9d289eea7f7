//! What is put aside is read back, within its bound.

use disk::{Access, Disk, DiskFile, OpenMode, SimDisk};
use futures_lite::future::block_on;
use model::{Offset, PartitionId, ShardId};
use tsdb::wal::Generation;

use super::quarantine::{Kept, Quarantine};
use super::{QuarantineReader, Quarantined, quarantine_path};

const SHARD: ShardId = ShardId(3);

fn entry(first: i64, payload_bytes: usize) -> Quarantined {
    Quarantined {
        partition: PartitionId(5),
        generation: Generation(2),
        first: Offset(first),
        next: Offset(first + 1),
        reason: format!("reason {first}"),
        payload: vec![first as u8; payload_bytes],
    }
}

async fn open(disk: &SimDisk, bytes_max: u64) -> Quarantine<SimDisk> {
    Quarantine::open(disk.clone(), "/data/quarantine".as_ref(), SHARD, bytes_max).await.unwrap()
}

async fn read(disk: &SimDisk) -> Vec<Quarantined> {
    let path = quarantine_path("/data/quarantine".as_ref(), SHARD);
    let file = disk.open(&path, OpenMode::Read, Access::Buffered).await.unwrap();
    let mut reader = QuarantineReader::open(&file).await.unwrap();
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry().await.unwrap() {
        entries.push(entry);
    }
    entries
}

#[test]
fn entries_outlive_a_crash_and_a_torn_end() {
    block_on(async {
        let disk = SimDisk::new(1);
        disk.create_dir("/data".as_ref()).await.unwrap();
        let mut file = open(&disk, 1 << 20).await;
        assert_eq!(file.keep(&[]).await.unwrap(), Kept::default());
        assert_eq!(file.keep(&[entry(1, 100), entry(2, 0)]).await.unwrap(), Kept { kept: 2, dropped: 0 });
        let path = quarantine_path("/data/quarantine".as_ref(), SHARD);
        let raw = disk.open(&path, OpenMode::ReadWrite, Access::Buffered).await.unwrap();
        raw.write_at(file.bytes(), &[1, 2, 3, 4, 5, 6, 7]).await.unwrap();
        raw.sync().await.unwrap();
        let disk = disk.crash(7);
        let mut file = open(&disk, 1 << 20).await;
        assert_eq!(file.keep(&[entry(3, 5)]).await.unwrap(), Kept { kept: 1, dropped: 0 });
        assert_eq!(read(&disk).await, [entry(1, 100), entry(2, 0), entry(3, 5)]);
    });
}

#[test]
fn a_full_file_drops_and_says_so() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut file = open(&disk, 400).await;
        let entries = [entry(1, 100), entry(2, 300), entry(3, 100)];
        assert_eq!(file.keep(&entries).await.unwrap(), Kept { kept: 2, dropped: 1 });
        assert_eq!(file.keep(&[entry(4, 100)]).await.unwrap(), Kept { kept: 0, dropped: 1 });
        assert_eq!(read(&disk).await, [entry(1, 100), entry(3, 100)]);
        assert!(file.bytes() <= 400);
    });
}

#[test]
fn nonsense_ends_the_walk() {
    block_on(async {
        let disk = SimDisk::new(1);
        open(&disk, 1 << 20).await.keep(&[entry(1, 10), entry(2, 10)]).await.unwrap();
        let path = quarantine_path("/data/quarantine".as_ref(), SHARD);
        let raw = disk.open(&path, OpenMode::ReadWrite, Access::Buffered).await.unwrap();
        let len = raw.size().await.unwrap();
        for at in 8..len {
            let byte = raw.read_at(at, 1).await.unwrap();
            raw.write_at(at, &[byte[0] ^ 0x55]).await.unwrap();
            let entries = read(&disk).await;
            assert!(entries.len() < 2 && entries.iter().all(|found| *found == entry(1, 10)), "byte {at}");
            raw.write_at(at, &byte).await.unwrap();
        }
        assert_eq!(read(&disk).await.len(), 2);
    });
}
