//! Crash stories of whole stores: records go in, the device dies, and what a reader finds afterwards is compared, sample by
//! sample, with what the records up to the marks say.

use std::collections::BTreeMap;
use std::path::Path;

use disk::{SimDisk, Unsynced};
use futures_lite::future::block_on;
use model::{Offset, PartitionId, ShardId};

use super::cut_fixture::Cuts;
use super::store_fixture::{ROOT, fill, options, partitions_of, read_all, tenant_of};
use super::{CheckpointStep, ShardStore, StoreError, StoreOptions};
use crate::checkpoint::Checkpoint;
use crate::recovery::{RecoveryError, survey};
use crate::wal::WalError;

/// More with `WELLHEAD_TEST_SEEDS`.
const SEEDS: u64 = 60;
const LIVES: u64 = 6;
const PARTITIONS: i32 = 4;

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

struct Story {
    seed: u64,
    dice: Dice,
    disk: SimDisk,
    /// The highest mark that was ever told to be durable.
    durable: BTreeMap<PartitionId, Offset>,
    samples_checked: usize,
    /// Checkpoints that were finished, those that recovery made heads from, segments that were given up.
    published: usize,
    restored: usize,
    released: u64,
    cuts: Cuts,
}

/// The power went.
struct PowerCut;

impl Story {
    async fn live(&mut self) -> Result<(), PowerCut> {
        let shard_count = 1 + self.dice.below(3) as u16;
        let mut stores = self.open(shard_count).await?;
        let mut checkpoints: Vec<Option<Checkpoint<SimDisk>>> = (0..shard_count).map(|_| None).collect();
        loop {
            let shard = self.dice.below(shard_count.into()) as usize;
            let store = &mut stores[shard];
            for _ in 0..self.dice.below(4) {
                self.go_on_with(store, &mut checkpoints[shard]).await?;
            }
            let partitions: Vec<PartitionId> = store.partitions().keys().copied().collect();
            if partitions.is_empty() {
                continue;
            }
            for _ in 0..1 + self.dice.below(3) {
                let partition = partitions[self.dice.below(partitions.len() as u64) as usize];
                self.consume(store, partition);
                self.cut_or_forget(store, partition);
            }
            let Some(commit) = store.start_commit() else { continue };
            if self.dice.below(2) == 0 {
                // The next turn fills while this one is on its way.
                self.consume(store, partitions[0]);
            }
            if self.dice.below(4) == 0 {
                // A piece may be taken while the frame that it has samples of is on its way.
                self.go_on_with(store, &mut checkpoints[shard]).await?;
            }
            let committed = commit.run().await;
            let result = store.finish_commit(committed);
            result.map_err(|error| self.check_cut(&error))?;
            self.released = self.released.max(store.counters().wal.map_or(0, |wal| wal.segments_released));
            self.cuts.note_durable(store);
            for (partition, marks) in store.partitions() {
                if let Some(durable) = marks.durable() {
                    self.durable.insert(*partition, durable);
                }
            }
        }
    }

    /// One step of a checkpoint, of a new one if none is under way.
    async fn go_on_with(
        &mut self,
        store: &mut ShardStore<SimDisk>,
        checkpoint: &mut Option<Checkpoint<SimDisk>>,
    ) -> Result<(), PowerCut> {
        // Cuts wait for checkpoints: there must be times without one.
        let begins = checkpoint.is_none() && self.dice.below(4) == 0;
        let begun = if begins { store.start_checkpoint() } else { None };
        let Some(next) = checkpoint.take().or(begun) else { return Ok(()) };
        match store.advance_checkpoint(next) {
            CheckpointStep::Wait(waiting) => *checkpoint = Some(waiting),
            CheckpointStep::Published => self.published += 1,
            CheckpointStep::Run(running) => {
                let (running, result) = running.run().await;
                result.map_err(|error| self.check_cut(&error.into()))?;
                *checkpoint = Some(running);
            }
        }
        Ok(())
    }

    async fn open(&mut self, shard_count: u16) -> Result<Vec<ShardStore<SimDisk>>, PowerCut> {
        let root = Path::new(ROOT);
        let survey = survey(&self.disk, root).await.map_err(|error| self.check_cut_recovery(&error))?;
        self.restored += survey.checkpoints_of(&partitions_of(ShardId(0), 1, PARTITIONS)).len();
        let mut stores = Vec::new();
        for shard in 0..shard_count {
            let partitions = partitions_of(ShardId(shard), shard_count, PARTITIONS);
            let options = StoreOptions { shard: ShardId(shard), ..options() };
            let store = match ShardStore::open(self.disk.clone(), root, &survey, &partitions, options).await {
                Ok(store) => store,
                Err(StoreError::Wal(error)) => return Err(self.check_cut(&error)),
                Err(StoreError::Recovery(error)) => return Err(self.check_cut_recovery(&error)),
            };
            self.check(&store);
            stores.push(store);
        }
        Ok(stores)
    }

    /// Applies up to three records of a partition.
    fn consume(&mut self, store: &mut ShardStore<SimDisk>, partition: PartitionId) {
        let first = store.marks(partition).applied().unwrap_or_else(|| {
            store.start_at(partition, Offset(0));
            Offset(0)
        });
        fill(store, partition, first.0..first.0 + 1 + self.dice.below(3) as i64);
    }

    fn check(&mut self, store: &ShardStore<SimDisk>) {
        let replayed = store.counters().replayed;
        assert_eq!((replayed.samples_equal, replayed.samples_rejected), (0, 0), "seed {}", self.seed);
        let mut expected = BTreeMap::new();
        for (partition, marks) in store.partitions() {
            assert_eq!(marks.applied(), marks.durable(), "seed {}: what is recovered is durable", self.seed);
            let next = marks.applied().unwrap_or(Offset(0));
            let durable = self.durable.get(partition).copied().unwrap_or(Offset(0));
            assert!(next >= durable, "seed {}: partition {partition} fell from {durable} to {next}", self.seed);
            self.durable.insert(*partition, next);
            self.cuts.recovered(store, *partition);
            self.cuts.expected(*partition, next.0, &mut expected);
        }
        let found = read_all(store);
        assert_eq!(found, expected, "seed {}", self.seed);
        self.samples_checked += found.values().map(Vec::len).sum::<usize>();
    }

    fn cut_or_forget(&mut self, store: &mut ShardStore<SimDisk>, partition: PartitionId) {
        let tenant = tenant_of(self.dice.below(2) as i64);
        match self.dice.below(6) {
            0 => self.cuts.cut(store, &tenant, partition, self.dice.below(3) as i64),
            1 => self.cuts.forget(store, &tenant, partition, self.dice.below(2) as u32),
            _ => {}
        }
    }

    fn check_cut(&self, error: &WalError) -> PowerCut {
        assert!(error.to_string().contains("the power is gone"), "seed {}: {error}", self.seed);
        PowerCut
    }

    fn check_cut_recovery(&self, error: &RecoveryError) -> PowerCut {
        assert!(error.to_string().contains("the power is gone"), "seed {}: {error}", self.seed);
        PowerCut
    }
}

fn check_story(seed: u64) -> Story {
    let disk = SimDisk::new(seed);
    let durable = BTreeMap::new();
    let dice = Dice(seed);
    let mut story = Story {
        seed,
        dice,
        disk,
        durable,
        samples_checked: 0,
        published: 0,
        restored: 0,
        released: 0,
        cuts: Cuts::default(),
    };
    for _ in 0..LIVES {
        let operations = 20 + story.dice.below([20, 120, 600][story.dice.0 as usize % 3]);
        story.disk.cut_power_after(operations);
        assert!(block_on(story.live()).is_err(), "only a power cut ends a life");
        let crash_seed = story.dice.below(u64::MAX);
        match story.dice.below(5) {
            0 => story.disk = story.disk.crash_with(Unsynced::Kept, crash_seed),
            1 => story.disk = story.disk.crash_with(Unsynced::Lost, crash_seed),
            2 => story.disk.revive(),
            _ => story.disk = story.disk.crash(crash_seed),
        }
    }
    story.disk.revive();
    assert!(block_on(story.open(1)).is_ok());
    story
}

#[test]
fn stores_come_back_with_what_was_durable_and_nothing_else() {
    let seeds = std::env::var("WELLHEAD_TEST_SEEDS").map_or(SEEDS, |seeds| seeds.parse().expect("a number of seeds"));
    let stories: Vec<Story> = (0..seeds).map(check_story).collect();
    let sum = |count: &dyn Fn(&Story) -> u64| stories.iter().map(count).sum::<u64>();
    let (samples, published) = (sum(&|story| story.samples_checked as u64), sum(&|story| story.published as u64));
    let (restored, released) = (sum(&|story| story.restored as u64), sum(&|story| story.released));
    let (cut, forgotten) = (sum(&|story| story.cuts.cut), sum(&|story| story.cuts.forgotten));
    println!("{cut} cuts, {forgotten} forgotten");
    assert!(cut > 5 * seeds && forgotten > 2 * seeds, "{cut} {forgotten}");
    println!("{samples} samples checked, {published} checkpoints, {restored} restored, {released} segments released");
    assert!(samples > 5000 * seeds, "the stories are long enough to mean something: {samples}");
    assert!(published > 2 * seeds && restored > seeds && released > seeds, "{published} {restored} {released}");
}
