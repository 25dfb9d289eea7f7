//! An inspection says what a survey says, folder by folder.

use std::path::Path;

use disk::SimDisk;
use futures_lite::future::block_on;
use model::{PartitionId, ShardId};

use super::log_fixture::{BLOCK, OPTIONS, ROOT, add_record, dir, segment_path};
use super::{SegmentRole, inspect, survey};
use crate::wal::{Epoch, Lsn, Turn, Wal};

/// A header and seven one-block frames a segment.
async fn write_log(disk: &SimDisk, shard: u16, frames: i64) {
    let mut wal = Wal::create(disk.clone(), &dir(shard), ShardId(shard), OPTIONS).await.unwrap();
    for offset in 1..=frames {
        let mut turn = Turn::new();
        add_record(&mut turn, PartitionId(i32::from(shard)), Epoch(1), offset, 3);
        wal.append(&mut turn).await.unwrap();
    }
}

#[test]
fn segments_are_told_as_the_survey_has_them() {
    block_on(async {
        let disk = SimDisk::new(3);
        write_log(&disk, 0, 9).await;
        let inspection = inspect(&disk, Path::new(ROOT), None).await.unwrap();
        let folder = inspection.folders[0].outcome.as_ref().unwrap();
        let states: Vec<_> = folder.segment_states().map(|it| (it.id.0, it.first, it.frame_count, it.role)).collect();
        let kept = |last, blocks| SegmentRole::Kept { last: Lsn(last), end: blocks * BLOCK };
        assert_eq!(states[..2], [(1, Some(Lsn(1)), 7, kept(7, 8)), (2, Some(Lsn(8)), 2, kept(9, 3))]);
        assert!(states[2..].iter().all(|state| (state.1, state.2, state.3) == (None, 0, SegmentRole::Reserve)));
        let surveyed = survey(&disk, Path::new(ROOT)).await.unwrap();
        assert_eq!(&surveyed.folders()[0], folder);
    });
}

#[test]
fn a_damaged_folder_hides_no_other_and_says_what_a_start_would_say() {
    block_on(async {
        let disk = SimDisk::new(4);
        write_log(&disk, 0, 3).await;
        write_log(&disk, 1, 3).await;
        disk.rot(&segment_path(0, 1), 2 * BLOCK + 50, 1);
        let inspection = inspect(&disk, Path::new(ROOT), None).await.unwrap();
        let refusal = survey(&disk, Path::new(ROOT)).await.unwrap_err();
        assert_eq!(inspection.folders[0].outcome.as_ref().unwrap_err(), &refusal);
        assert_eq!(inspection.outcome.unwrap_err(), refusal);
        assert_eq!(inspection.folders[1].outcome.as_ref().unwrap().accepted(), Lsn(3));
        let only = inspect(&disk, Path::new(ROOT), Some(ShardId(1))).await.unwrap();
        assert_eq!((only.folders.len(), only.outcome.is_ok()), (1, true));
    });
}
