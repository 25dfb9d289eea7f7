//! The property that everything rests on: what was acknowledged is there after any crash, what was never appended is not,
//! and each partition's records follow each other without a gap or an overlap, wherever the partition lived.

use std::collections::BTreeMap;
use std::path::Path;

use disk::{SimDisk, Unsynced};
use futures_lite::future::block_on;
use model::{PartitionId, ShardId};

use super::log_fixture::{OPTIONS, ROOT, Seen, add_record};
use super::{RecoveryError, Survey, survey};
use crate::wal::{Turn, Wal, WalError};

const SEEDS: u64 = 300;
const LIVES: u64 = 8;
const PARTITIONS: i32 = 5;

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

/// What the outside knows of one partition.
#[derive(Default, Debug)]
struct Known {
    /// Samples of each record that was ever put into a turn since the last recovery, by offset.
    submitted: Vec<u32>,
    acknowledged: usize,
}

struct Story {
    dice: Dice,
    disk: SimDisk,
    known: BTreeMap<PartitionId, Known>,
    seed: u64,
}

enum End {
    PowerCut,
    Full,
}

impl Story {
    /// One process: recover, check, open, write until the power goes.
    async fn live(&mut self) -> Result<(), End> {
        let survey = survey(&self.disk, Path::new(ROOT)).await.map_err(|error| self.end(&error))?;
        let seen = Seen::all(&self.disk, &survey).await.map_err(|error| self.end(&error))?;
        self.check(&seen);
        let shard_count = 1 + self.dice.below(3) as u16;
        let mut wals = Vec::new();
        for shard in 0..shard_count {
            let folder = survey.folder(Path::new(ROOT), ShardId(shard));
            wals.push(Wal::open(self.disk.clone(), &folder, OPTIONS).await.map_err(|error| self.end_wal(&error))?);
        }
        loop {
            let shard = self.dice.below(shard_count.into()) as usize;
            let (mut turn, marks) = self.fill_turn(&survey, shard as u16, shard_count);
            if turn.is_empty() {
                continue;
            }
            wals[shard].append(&mut turn).await.map_err(|error| self.end_wal(&error))?;
            for (partition, offset) in marks {
                self.known.get_mut(&partition).unwrap().acknowledged = offset;
            }
        }
    }

    fn fill_turn(&mut self, survey: &Survey, shard: u16, shard_count: u16) -> (Turn, Vec<(PartitionId, usize)>) {
        let mut turn = Turn::new();
        let mut marks = Vec::new();
        for partition in (0..PARTITIONS).filter(|partition| *partition as u16 % shard_count == shard).map(PartitionId) {
            if self.dice.below(2) == 0 {
                continue;
            }
            // Up to several parts and over the end of a segment.
            let count = self.dice.below([4, 40, 3000][self.dice.0 as usize % 3]) as u32;
            let known = self.known.entry(partition).or_default();
            let offset = known.submitted.len();
            add_record(&mut turn, partition, survey.epoch(partition, ShardId(shard)), offset as i64, count);
            known.submitted.push(count);
            marks.push((partition, offset + 1));
        }
        (turn, marks)
    }

    fn check(&mut self, seen: &Seen) {
        for (partition, known) in &mut self.known {
            let records = seen.records.get(partition).map_or(&[][..], Vec::as_slice);
            let expected: Vec<(i64, u32)> = (0..).zip(known.submitted.iter().copied()).take(records.len()).collect();
            assert_eq!(records, expected, "seed {}, partition {partition}", self.seed);
            assert!(
                records.len() >= known.acknowledged,
                "seed {}: {partition} lost {known:?} {}",
                self.seed,
                records.len()
            );
            // The rest was never acknowledged and is consumed anew. What is there is now known to be.
            known.submitted.truncate(records.len());
            known.acknowledged = records.len();
        }
    }

    fn end(&self, error: &RecoveryError) -> End {
        assert!(error.to_string().contains("the power is gone"), "seed {}: {error}", self.seed);
        End::PowerCut
    }

    fn end_wal(&self, error: &WalError) -> End {
        if error.is_refusal() {
            return End::Full;
        }
        assert!(error.to_string().contains("the power is gone"), "seed {}: {error}", self.seed);
        End::PowerCut
    }
}

fn check_story(seed: u64) -> usize {
    let mut story = Story { dice: Dice(seed), disk: SimDisk::new(seed), known: BTreeMap::new(), seed };
    for _ in 0..LIVES {
        let operations = 1 + story.dice.below([20, 60, 300][story.dice.0 as usize % 3]);
        story.disk.cut_power_after(operations);
        match block_on(story.live()) {
            Err(End::PowerCut) => {}
            Err(End::Full) | Ok(()) => panic!("seed {seed}: only a power cut ends a life"),
        }
        let crash_seed = story.dice.below(u64::MAX);
        match story.dice.below(6) {
            0 => story.disk = story.disk.crash_with(Unsynced::Kept, crash_seed),
            1 => story.disk = story.disk.crash_with(Unsynced::Lost, crash_seed),
            // The process was killed, the device works on and may still lose what was never synced.
            2 | 3 => story.disk.revive(),
            _ => story.disk = story.disk.crash(crash_seed),
        }
    }
    story.disk.revive();
    let survey = block_on(survey(&story.disk, Path::new(ROOT))).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let seen = block_on(Seen::all(&story.disk, &survey)).unwrap();
    story.check(&seen);
    story.known.values().map(|known| known.acknowledged).sum()
}

#[test]
fn crashes_lose_nothing_acknowledged_and_double_nothing() {
    let records: usize = (0..SEEDS).map(check_story).sum();
    assert!(records as u64 > 20 * SEEDS, "the stories are long enough to mean something: {records}");
}

/// A survey is made once and goes to every shard's thread.
const _: fn() = || {
    fn is_send<T: Send + Clone>() {}
    is_send::<Survey>();
};
