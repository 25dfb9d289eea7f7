//! One core: its executor with store and log, its companion with HTTP, distributor, fetching and commits.

use std::path::PathBuf;
use std::rc::Rc;

use ingest::consumer::{RawBatch, ShardHandle, ShardLoop, ShardOptions, shard_channel};
use model::{FingerprintKey, PartitionId, ShardId};
use runtime::{Executor, ExecutorSpec, RingDisk, SlotSender, Slots, slots, spawn_executor};
use tokio::sync::oneshot;
use tsdb::checkpoint::CheckpointOptions;
use tsdb::head::HeadOptions;
use tsdb::recovery::Survey;
use tsdb::store::StoreOptions;
use tsdb::wal::WalOptions;

use super::slots::SlotSource;
use crate::signals::Obituaries;

/// Payload of a turn at which it is written before more is applied.
const TURN_BYTES_MAX: usize = 8 << 20;
const QUARANTINE_BYTES_MAX: u64 = 64 << 20;

/// What every shard of a node is told.
#[derive(Clone)]
pub struct ShardPlan {
    pub wal_root: PathBuf,
    pub quarantine_dir: PathBuf,
    pub key: FingerprintKey,
    pub wal: WalOptions,
    pub checkpoint: CheckpointOptions,
    pub head: HeadOptions,
    pub memory_bytes_max: u64,
    /// Fetched and not yet applied, per shard.
    pub fetched_bytes_max: usize,
}

/// A shard whose store is open and whose loop runs.
pub struct RunningShard {
    pub handle: ShardHandle,
    pub slots: SlotSender<RawBatch>,
    pub executor: Executor<()>,
}

/// Starts the executor of a shard; the receiver answers once its store is open.
///
/// # Errors
/// The thread cannot be started.
pub fn start_shard(
    shard: ShardId,
    cpu: usize,
    partitions: &[PartitionId],
    plan: &ShardPlan,
    survey: &Survey,
    obituaries: &Obituaries,
) -> Result<(RunningShard, oneshot::Receiver<Result<(), String>>), String> {
    let (handle, inbox) = shard_channel(shard, partitions);
    let (sender, slots): (_, Slots<RawBatch>) = slots(partitions.len(), plan.fetched_bytes_max);
    let (opened, is_open) = oneshot::channel();
    let (plan, survey, obituaries) = (plan.clone(), survey.clone(), obituaries.clone());
    let spec = ExecutorSpec { name: format!("shard-{shard}"), cpu: Some(cpu) };
    let executor = spawn_executor(spec, move || async move {
        let options = shard_options(shard, plan);
        let shard_loop = match ShardLoop::open(RingDisk, &survey, inbox, SlotSource(slots), options).await {
            Ok(shard_loop) => shard_loop,
            Err(error) => {
                let _ = opened.send(Err(error.to_string()));
                return;
            }
        };
        drop(survey);
        let _ = opened.send(Ok(()));
        if let Err(error) = shard_loop.run().await {
            obituaries.tell(&format!("shard {shard}"), &error.to_string());
        }
    })?;
    Ok((RunningShard { handle, slots: sender, executor }, is_open))
}

fn shard_options(shard: ShardId, plan: ShardPlan) -> ShardOptions {
    let ShardPlan { wal_root, quarantine_dir, key, wal, checkpoint, head, memory_bytes_max, .. } = plan;
    ShardOptions {
        store: StoreOptions { shard, wal, checkpoint, key, head, memory_bytes_max },
        wal_root,
        quarantine_dir,
        quarantine_bytes_max: QUARANTINE_BYTES_MAX,
        turn_bytes_max: TURN_BYTES_MAX,
        pause: Rc::new(|duration| Box::pin(runtime::sleep(duration))),
    }
}
