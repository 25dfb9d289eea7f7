//! Crash stories of a shard's loop: a log is consumed over several lives on a simulated disk, each ended by a power cut at a
//! random moment. In the end everything is there, nothing twice, and the damaged records stand in the quarantine.

use std::path::Path;

use disk::{SimDisk, Unsynced};
use futures_lite::future::{self, block_on};
use model::{Offset, PartitionId, ShardId};

use super::shard_fixture::{
    MadeRecord, QUARANTINE_DIR, Shown, batch, fetched, open, options, read, settle, start_at_zero,
};
use super::{QuarantineReader, ShardError, ShardHandle, quarantine_path};
use disk::{Access, Disk, OpenMode};

const PARTITIONS: i32 = 3;
const RECORDS: i64 = 120;
const SEEDS: u64 = 200;
const LIVES_MAX: u64 = 60;

/// SplitMix64, as the disk's own dice.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn is_damaged(partition: PartitionId, offset: i64) -> bool {
    (offset + i64::from(partition.0)) % 29 == 17
}

/// The record that a producer once wrote at this place.
fn record(partition: PartitionId, offset: i64) -> MadeRecord {
    let names = [format!("m{}_{}", partition.0, offset % 7), format!("n{}_{}", partition.0, offset % 11)];
    let series: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), offset as f64)).collect();
    let record = MadeRecord::of(offset, "a", &series);
    if is_damaged(partition, offset) { MadeRecord { key: None, ..record } } else { record }
}

fn expected() -> Shown {
    let mut shown = Shown::new();
    for partition in (0..PARTITIONS).map(PartitionId) {
        for offset in (0..RECORDS).filter(|offset| !is_damaged(partition, *offset)) {
            for name in [format!("m{}_{}", partition.0, offset % 7), format!("n{}_{}", partition.0, offset % 11)] {
                shown.entry(name).or_default().push((offset * 1000, offset as f64));
            }
        }
    }
    shown
}

/// What a broker would hand out from an offset on: batches of four records, however the last fetch ended.
fn fetch(partition: PartitionId, from: i64, batches: i64) -> (i64, Vec<Vec<u8>>) {
    let first = from / 4;
    let last = (first + batches).min(RECORDS / 4);
    let made = |index: i64| {
        let records: Vec<_> = (index * 4..index * 4 + 4).map(|offset| record(partition, offset)).collect();
        batch(&records, index * 4 + 4)
    };
    (last * 4, (first..last).map(made).collect())
}

/// One life. True if the whole log was consumed.
async fn live(disk: &SimDisk, dice: &mut Dice, seed: u64) -> Result<bool, ShardError> {
    let (handle, slots, shard) = open(disk, PARTITIONS, options(1 << 30)).await?;
    let feed = async {
        start_at_zero(&handle).await;
        let mut at: Vec<i64> = handle.partitions().iter().map(|state| state.applied().unwrap().0).collect();
        while at.iter().any(|at| *at < RECORDS) {
            let slot = dice.below(PARTITIONS as u64) as usize;
            let partition = PartitionId(slot as i32);
            if at[slot] < RECORDS {
                let (next, batches) = fetch(partition, at[slot], 1 + dice.below(3) as i64);
                slots.put(slot, fetched(partition, at[slot], next, &batches));
                at[slot] = next;
            }
            for _ in 0..dice.below(40) {
                future::yield_now().await;
            }
        }
        settle(&handle, &slots).await;
        check_end(&handle, seed).await;
        handle.shutdown().unwrap().answer().await.unwrap();
        // The loop's end decides how the life ended.
        future::pending::<Result<(), ShardError>>().await
    };
    future::or(shard.run(), feed).await.map(|()| true)
}

async fn check_end(handle: &ShardHandle, seed: u64) {
    assert_eq!(read(handle, "a").await.unwrap(), expected(), "seed {seed}");
    let report = handle.report().unwrap().answer().await.unwrap();
    assert!(report.tenants.iter().all(|tenant| tenant.samples_equal == 0 && tenant.rejected.is_empty()), "seed {seed}");
    assert_eq!((report.store.replayed.samples_equal, report.store.replayed.samples_rejected), (0, 0), "seed {seed}");
    for state in handle.partitions() {
        let snapshot = state.snapshot();
        assert_eq!(snapshot.durable, Some(Offset(RECORDS)), "seed {seed}");
        assert_eq!((snapshot.counters.samples_equal, snapshot.counters.missed_offsets), (0, 0), "seed {seed}");
    }
}

/// Every damaged record is there; one that was put aside twice is the price of a crash between the two syncs.
async fn check_quarantine(disk: &SimDisk, seed: u64) {
    let path = quarantine_path(Path::new(QUARANTINE_DIR), ShardId(0));
    let file = disk.open(&path, OpenMode::Read, Access::Buffered).await.unwrap();
    let mut reader = QuarantineReader::open(&file).await.unwrap();
    let mut found = Vec::new();
    while let Some(entry) = reader.next_entry().await.unwrap() {
        found.push((entry.partition, entry.first.0));
    }
    found.sort();
    found.dedup();
    let all =
        (0..PARTITIONS).map(PartitionId).flat_map(|partition| (0..RECORDS).map(move |offset| (partition, offset)));
    let expected: Vec<_> = all.filter(|(partition, offset)| is_damaged(*partition, *offset)).collect();
    assert_eq!(found, expected, "seed {seed}");
}

fn check_story(seed: u64) -> u64 {
    let mut dice = Dice(seed);
    let mut disk = SimDisk::new(seed);
    for life in 0..LIVES_MAX {
        // Recovery reads more with every life, so later lives last longer.
        disk.cut_power_after(20 + dice.below(80 + 20 * life));
        match block_on(live(&disk, &mut dice, seed)) {
            Ok(is_over) => {
                assert!(is_over);
                disk.revive();
                block_on(check_quarantine(&disk, seed));
                return life;
            }
            Err(error) => assert!(error.to_string().contains("the power is gone"), "seed {seed}: {error}"),
        }
        let crash_seed = dice.below(u64::MAX);
        disk = match dice.below(4) {
            0 => disk.crash_with(Unsynced::Kept, crash_seed),
            1 => disk.crash_with(Unsynced::Lost, crash_seed),
            _ => disk.crash(crash_seed),
        };
    }
    panic!("seed {seed}: the log was not consumed in {LIVES_MAX} lives");
}

#[test]
fn nothing_is_lost_and_nothing_comes_twice() {
    let crashes: u64 = (0..SEEDS).map(check_story).sum();
    assert!(crashes > SEEDS, "the stories must have crashes in them: {crashes}");
    eprintln!("{crashes} crashes");
}
