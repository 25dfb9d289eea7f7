//! Cuts through the door of a shard: facts, orders, reading what is frozen, forgetting, restarting.

use disk::SimDisk;
use futures_lite::future::block_on;
use model::{Offset, PartitionId, TenantId};
use tsdb::head::{CHUNK_RANGE_MS, CutNumber};
use tsdb::store::CutRefusal;

use super::shard_fixture::{
    LocalSlots, MadeRecord, batch, beside, fetched, open, options, read, samples_of, settle, start_at_zero,
};
use super::{CutOrder, HeadFacts, ShardHandle};

const P0: PartitionId = PartitionId(0);
const RECORDS: i64 = 40;
/// Between two records.
const STEP_MS: i64 = 900_000;

fn tenant() -> TenantId {
    TenantId::new("a").unwrap()
}

/// Records of one series each, a quarter of an hour apart.
async fn fill(handle: &ShardHandle, slots: &LocalSlots, offsets: std::ops::Range<i64>) {
    for offset in offsets {
        let record = MadeRecord::at(offset, offset * STEP_MS, "a", &[("up", offset as f64)]);
        slots.put(0, fetched(P0, offset, offset + 1, &[batch(&[record], offset + 1)]));
    }
    settle(handle, slots).await;
}

async fn facts(handle: &ShardHandle) -> HeadFacts {
    let facts = handle.head_facts().unwrap().answer().await.unwrap();
    facts.into_iter().find(|facts| facts.partition == P0).unwrap()
}

fn values(offsets: std::ops::Range<i64>) -> Vec<(i64, f64)> {
    offsets.map(|offset| (offset * STEP_MS, offset as f64)).collect()
}

#[test]
fn a_cut_is_read_and_forgotten_and_outlives_a_restart() {
    let disk = SimDisk::new(1);
    let before_ms = 2 * CHUNK_RANGE_MS;
    let of_cut = before_ms / STEP_MS;
    block_on(async {
        let (handle, slots, shard) = open(&disk, 1, options(1 << 30)).await.unwrap();
        beside(shard, async {
            start_at_zero(&handle).await;
            fill(&handle, &slots, 0..RECORDS).await;
            assert_eq!((facts(&handle).await.uncut_min_ms, facts(&handle).await.series), (Some(0), 1));
            let orders = vec![
                CutOrder::Cut { tenant: tenant(), partition: P0, before_ms, block: 77 },
                CutOrder::Cut { tenant: TenantId::new("nobody").unwrap(), partition: P0, before_ms, block: 77 },
            ];
            let outcomes = handle.cut(orders).unwrap().answer().await.unwrap();
            let (cut, size) = outcomes[0].unwrap().unwrap();
            assert_eq!((cut.number, cut.block, cut.next), (CutNumber(1), 77, Offset(RECORDS)));
            assert_eq!((size.series, outcomes[1]), (1, Err(CutRefusal::NoHead)));
            let found = facts(&handle).await;
            assert_eq!((found.uncut_min_ms, found.open_cuts), (Some(before_ms), vec![cut]));
            handle.shutdown().unwrap().answer().await.unwrap();
        })
        .await;

        let (handle, slots, shard) = open(&disk, 1, options(1 << 30)).await.unwrap();
        beside(shard, async {
            assert_eq!(facts(&handle).await.open_cuts[0].block, 77);
            let mut stream = handle.read_cut(tenant(), P0, CutNumber(1)).unwrap();
            let mut frozen = Vec::new();
            while let Some(piece) = stream.next_piece_async().await.unwrap() {
                frozen.extend(piece);
            }
            assert_eq!((frozen.len(), samples_of(&frozen[0])), (1, values(0..of_cut)));
            assert_eq!(read(&handle, "a").await.unwrap()["up"], values(0..RECORDS), "a cut is still answered");
            let forget = |cut| vec![CutOrder::Forget { tenant: tenant(), partition: P0, cut: CutNumber(cut) }];
            let outcomes = handle.cut(forget(2)).unwrap().answer().await.unwrap();
            assert_eq!(outcomes, [Err(CutRefusal::NoCut)]);
            let outcomes = handle.cut(forget(1)).unwrap().answer().await.unwrap();
            assert_eq!(outcomes, [Ok(None)]);
            assert_eq!(read(&handle, "a").await.unwrap()["up"], values(of_cut..RECORDS));
            fill(&handle, &slots, RECORDS..RECORDS + 2).await;
            handle.shutdown().unwrap().answer().await.unwrap();
        })
        .await;

        let (handle, _slots, shard) = open(&disk, 1, options(1 << 30)).await.unwrap();
        beside(shard, async {
            assert_eq!(read(&handle, "a").await.unwrap()["up"], values(of_cut..RECORDS + 2));
            assert_eq!(facts(&handle).await.open_cuts, []);
            handle.shutdown().unwrap().answer().await.unwrap();
        })
        .await;
    });
}
