//! Checkpoints of one store: what they save, what becomes of damaged ones, what does not count before its time.

use std::path::{Path, PathBuf};

use disk::{Access, Disk, DiskErrorKind, DiskFile, Fault, OpenMode, Operation, SimDisk};
use futures_lite::future::block_on;
use model::{Offset, PartitionId};
use proptest::prelude::*;

use super::store_fixture::{ROOT, Shown, expected_samples, fill, options, read_all};
use super::*;
use crate::recovery::survey;

const P0: PartitionId = PartitionId(0);
const DIR: &str = "/wal/shard-00000";

async fn try_open(disk: &SimDisk) -> Result<ShardStore<SimDisk>, String> {
    let survey = survey(disk, Path::new(ROOT)).await.map_err(|error| error.to_string())?;
    let store = ShardStore::open(disk.clone(), Path::new(ROOT), &survey, &[P0], options()).await;
    store.map_err(|error| error.to_string())
}

/// A store after so many records, with a checkpoint after each of `checkpoints`.
async fn filled(disk: &SimDisk, checkpoints: &[i64], end: i64) -> ShardStore<SimDisk> {
    let mut store = try_open(disk).await.unwrap();
    store.start_at(P0, Offset(0));
    for offset in 0..end {
        fill(&mut store, P0, offset..offset + 1);
        store.commit().await.unwrap();
        if checkpoints.contains(&offset) {
            store.checkpoint().await.unwrap();
        }
    }
    store
}

fn expected(next: i64) -> Shown {
    let mut shown = Shown::new();
    expected_samples(P0, next, &mut shown);
    shown
}

async fn files(disk: &SimDisk, suffix: &str) -> Vec<PathBuf> {
    let entries = disk.list(Path::new(DIR)).await.unwrap();
    let names = entries.into_iter().map(|entry| entry.name).filter(|name| name.ends_with(suffix));
    names.map(|name| Path::new(DIR).join(name)).collect()
}

#[test]
fn a_checkpoint_takes_the_place_of_the_log() {
    block_on(async {
        let disk = SimDisk::new(1);
        let store = filled(&disk, &[100, 200, 300], 310).await;
        let released = store.counters().wal.unwrap().segments_released;
        assert!(released > 5, "{released} segments given up");
        drop(store);
        assert_eq!(files(&disk, ".checkpoint").await.len(), 2);
        let again = try_open(&disk).await.unwrap();
        assert_eq!(read_all(&again), expected(310));
        let replayed = again.counters().replayed;
        assert!(replayed.samples > 0 && replayed.samples < 15 * 20, "the last 9 records only: {replayed:?}");
        assert_eq!((replayed.samples_equal, replayed.series), (0, 0));
        assert_eq!(again.marks(P0).durable(), Some(Offset(310)));
    });
}

#[test]
fn full_files_of_chunks_leave_memory() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = filled(&disk, &[], 1200).await;
        let before = store.bytes().chunks;
        store.checkpoint().await.unwrap();
        fill(&mut store, P0, 1200..1201);
        store.checkpoint().await.unwrap();
        let after = store.bytes().chunks;
        assert!(after < before * 3 / 4, "{before} bytes of chunks before, {after} after");
        assert_eq!(read_all(&store), expected(1201));
        drop(store);
        assert_eq!(read_all(&try_open(&disk).await.unwrap()), expected(1201));
    });
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    block_on(async {
        let disk = SimDisk::new(1);
        drop(filled(&disk, &[100, 200, 300], 310).await);
        let checkpoints = files(&disk, ".checkpoint").await;
        for offset in [3, 70, 400] {
            let hurt = disk.crash(7);
            hurt.rot(&checkpoints[1], offset, 1);
            let survey = survey(&hurt, Path::new(ROOT)).await.unwrap();
            assert_eq!(survey.folders()[0].damaged_checkpoints().len(), 1);
            assert_eq!(read_all(&try_open(&hurt).await.unwrap()), expected(310), "rot at {offset}");
        }
        disk.rot(&checkpoints[0], 70, 1);
        disk.rot(&checkpoints[1], 70, 1);
        let error = try_open(&disk).await.err().unwrap();
        assert!(error.contains(".checkpoint is damaged") && error.contains("no crash explains"), "{error}");
    });
}

#[test]
fn what_a_checkpoint_counts_on_must_be_there() {
    block_on(async {
        let disk = SimDisk::new(1);
        drop(filled(&disk, &[100, 200], 210).await);
        for (suffix, sentence) in [(".series", ".series is damaged"), (".chunks", ".chunks is damaged")] {
            let hurt = disk.crash(7);
            let oldest = files(&hurt, suffix).await.remove(0);
            hurt.remove(&oldest).await.unwrap();
            let error = try_open(&hurt).await.err().unwrap();
            assert!(error.contains(sentence) && error.contains("the file is missing"), "{error}");
        }
        for wal in files(&disk, ".wal").await {
            disk.remove(&wal).await.unwrap();
        }
        let error = try_open(&disk).await.err().unwrap();
        assert!(error.contains("the log ends with frame 0, but a checkpoint has frame"), "{error}");
    });
}

#[test]
fn what_is_applied_and_not_logged_waits() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = filled(&disk, &[], 10).await;
        let checkpoint = store.start_checkpoint().unwrap();
        assert!(store.start_checkpoint().is_none(), "one at a time");
        let CheckpointStep::Run(checkpoint) = store.advance_checkpoint(checkpoint) else { panic!("files are opened") };
        fill(&mut store, P0, 10..11);
        let (checkpoint, result) = checkpoint.run().await;
        result.unwrap();
        let CheckpointStep::Wait(checkpoint) = store.advance_checkpoint(checkpoint) else {
            panic!("not between turns")
        };
        // On its way into the log: pieces are taken, and count when it has arrived.
        let commit = store.start_commit().unwrap();
        let mut checkpoint = checkpoint;
        let waiting = loop {
            match store.advance_checkpoint(checkpoint) {
                CheckpointStep::Run(next) => {
                    let (next, result) = next.run().await;
                    result.unwrap();
                    checkpoint = next;
                }
                CheckpointStep::Wait(waiting) => break waiting,
                CheckpointStep::Published => panic!("its newest frame is not durable"),
            }
        };
        assert!(files(&disk, ".checkpoint").await.is_empty());
        store.finish_commit(commit.run().await).unwrap();
        assert!(matches!(store.advance_checkpoint(waiting), CheckpointStep::Run(_)));
    });
}

#[test]
fn a_full_disk_is_waited_for() {
    block_on(async {
        let disk = SimDisk::new(1);
        let mut store = filled(&disk, &[], 50).await;
        for (operation, path) in [(Operation::Write, ".checkpoint"), (Operation::Write, ".chunks")] {
            let kind = DiskErrorKind::NoSpace;
            disk.inject(Fault { operation, path_contains: path.to_owned(), nth: 1, kind });
        }
        let (mut refusals, mut checkpoint) = (0, store.start_checkpoint().unwrap());
        loop {
            match store.advance_checkpoint(checkpoint) {
                CheckpointStep::Run(next) => {
                    let (next, result) = next.run().await;
                    if let Err(error) = result {
                        assert!(crate::checkpoint::is_out_of_space(&error), "{error}");
                        refusals += 1;
                    }
                    checkpoint = next;
                }
                CheckpointStep::Wait(_) => panic!("all is committed"),
                CheckpointStep::Published => break,
            }
        }
        assert_eq!(refusals, 2);
        drop(store);
        assert_eq!(read_all(&try_open(&disk).await.unwrap()), expected(50));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bits flip in whatever file: an error, or all that was stored; never a panic.
    #[test]
    fn rot_is_found_or_harmless(file in 0usize..8, at in 0u64..6000, len in 1u64..40) {
        block_on(async {
            let disk = SimDisk::new(1);
            drop(filled(&disk, &[30, 60], 65).await);
            let mut all = files(&disk, ".checkpoint").await;
            all.extend(files(&disk, ".series").await);
            all.extend(files(&disk, ".chunks").await);
            let path = &all[file % all.len()];
            let size = disk.open(path, OpenMode::Read, Access::Buffered).await.unwrap().size().await.unwrap();
            let at = at % size;
            disk.rot(path, at, len.min(size - at));
            // Chunks are checked when they are read: by whoever reads them.
            let is_of_chunks = path.extension().is_some_and(|extension| extension == "chunks");
            if let Ok(store) = try_open(&disk).await && !is_of_chunks {
                prop_assert!(read_all(&store) == expected(65));
            }
            Ok(())
        })?;
    }
}
