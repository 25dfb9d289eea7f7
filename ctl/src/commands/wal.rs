//! `wellctl wal`: the write-ahead logs of a data folder, as recovery sees them. Reads only; a stopped node's folder is enough.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use disk::PlainDisk;
use model::ShardId;
use serde_json::{Value, json};
use tsdb::recovery::{FolderInspection, Inspection, SegmentRole, SegmentState, inspect};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::{Column, table};

/// Look into the write-ahead logs of a data folder.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The segments of each shard, and what recovery makes of each.
    #[command(after_help = "\
A segment is kept (frames in it count), void (a later one took over) or in reserve. Of a folder that recovery refuses, only
the refusal is shown.

Examples:
  wellctl wal ls --data-dir /var/lib/wellhead
  wellctl -o json wal ls --data-dir /var/lib/wellhead --shard 3")]
    Ls(Selection),
    /// Would a start accept the logs? Exits with 6 where it would not, with the sentence that it would give.
    #[command(after_help = "\
Changes nothing. Reads every segment and every checkpoint; not the .series and .chunks files, and not whether the frames
follow from each other: a start may still refuse for what is in those. With --shard the other shards are left out, and with
them contradictions between shards.

Examples:
  wellctl wal verify --data-dir /var/lib/wellhead
  wellctl wal verify --data-dir /var/lib/wellhead --shard 0")]
    Verify(Selection),
}

#[derive(clap::Args, Debug)]
struct Selection {
    /// Only this shard's folder.
    #[arg(long)]
    shard: Option<u16>,
}

const SEGMENTS: &[Column] = &[
    Column("SHARD", "shard"),
    Column("SEGMENT", "segment"),
    Column("FIRST LSN", "first_lsn"),
    Column("LAST LSN", "last_lsn"),
    Column("FRAMES", "frames"),
    Column("BYTES", "file_bytes"),
    Column("END", "end_offset"),
    Column("ROLE", "role"),
];

const SHARDS: &[Column] = &[
    Column("SHARD", "shard"),
    Column("LAST LSN", "accepted_lsn"),
    Column("CHECKPOINT", "checkpoint"),
    Column("CHECKPOINT LSN", "checkpoint_lsn"),
    Column("THE LOG", "end"),
];

const SOURCES: &[Column] =
    &[Column("PARTITION", "partition"), Column("FROM SHARD", "shard"), Column("CHECKPOINT", "checkpoint")];

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let (Command::Ls(selection) | Command::Verify(selection)) = &self.command;
        let data_dir = context
            .data_dir()
            .ok_or_else(|| Failure::usage("say which data folder with --data-dir: logs are read from the disk"))?;
        let warning = is_locked(data_dir).then_some(WARNING);
        let root = data_dir.join("wal");
        let only = selection.shard.map(ShardId);
        if !root.is_dir() {
            return Err(Failure::not_found(format!("there are no logs: {} is no folder", root.display())));
        }
        let inspection = inspect(&PlainDisk, &root, only).await.map_err(|error| Failure::failed(error.to_string()))?;
        if let (Some(shard), true) = (only, inspection.folders.is_empty()) {
            return Err(Failure::not_found(format!("shard {shard} has no folder in {}", root.display())));
        }
        match self.command {
            Command::Ls(_) => list(context, &inspection, warning),
            Command::Verify(_) => verify(context, &inspection, warning),
        }
    }
}

const WARNING: &str =
    "a node runs on this folder: its logs grow while they are read, so ends move, and a refusal may be due to that";

fn list(context: &Context, inspection: &Inspection, warning: Option<&str>) -> Result<(), Failure> {
    let segments: Vec<Value> = inspection.folders.iter().flat_map(segment_rows).collect();
    let shards: Vec<Value> = inspection.folders.iter().map(shard_row).collect();
    context.output.show(&json!({"warning": warning, "shards": shards, "segments": segments}), || {
        format!("{}{}\n{}", warning_line(warning), table(SEGMENTS, &segments), table(SHARDS, &shards))
    })
}

fn verify(context: &Context, inspection: &Inspection, warning: Option<&str>) -> Result<(), Failure> {
    let shards: Vec<Value> = inspection.folders.iter().map(shard_row).collect();
    let refusal = inspection.outcome.as_ref().err().map(ToString::to_string);
    let sources: Vec<Value> = inspection.outcome.iter().flat_map(source_rows).collect();
    let document = json!({
        "warning": warning, "would_start": refusal.is_none(), "refusal": refusal, "shards": shards, "sources": sources,
    });
    context.output.show(&document, || {
        format!("{}{}\n{}", warning_line(warning), table(SHARDS, &shards), table(SOURCES, &sources))
    })?;
    refusal.map_or(Ok(()), |refusal| Err(Failure::new(Kind::CheckSaysNo, refusal)))
}

fn warning_line(warning: Option<&str>) -> String {
    warning.map_or_else(String::new, |warning| format!("WARNING: {warning}\n"))
}

fn segment_rows(folder: &FolderInspection) -> Vec<Value> {
    let row = |segment: SegmentState| {
        let (role, last, end) = match segment.role {
            SegmentRole::Kept { last, end } => ("kept", Some(last.0), Some(end)),
            SegmentRole::Void => ("void", None, None),
            SegmentRole::Reserve => ("reserve", None, None),
        };
        json!({
            "shard": folder.shard.0, "segment": segment.id.0, "first_lsn": segment.first.map(|lsn| lsn.0),
            "last_lsn": last, "frames": segment.frame_count, "file_bytes": segment.file_bytes, "end_offset": end,
            "role": role,
        })
    };
    folder.outcome.iter().flat_map(|survey| survey.segment_states()).map(row).collect()
}

fn shard_row(folder: &FolderInspection) -> Value {
    let survey = match &folder.outcome {
        Ok(survey) => survey,
        Err(refusal) => return json!({"shard": folder.shard.0, "end": format!("refused: {refusal}")}),
    };
    let mut end = survey.torn_tail().map_or("clean end".to_owned(), |torn| {
        let (segment, offset) = (torn.segment.0, torn.offset);
        format!("torn tail in segment {segment} at offset {offset}: {:?}, {:?}", torn.finding, torn.evidence)
    });
    for damage in survey.damaged_checkpoints() {
        end.push_str(&format!("; passed over: {damage}"));
    }
    let newest = survey.checkpoint_states().next();
    json!({
        "shard": folder.shard.0, "accepted_lsn": survey.accepted().0, "checkpoint": newest.map(|it| it.number),
        "checkpoint_lsn": newest.map(|it| it.lsn.0), "end": end,
    })
}

fn source_rows(survey: &tsdb::recovery::Survey) -> Vec<Value> {
    let row = |partition: model::PartitionId| {
        let source = survey.source_of(partition);
        json!({"partition": partition.0, "shard": source.map(|it| it.0.0), "checkpoint": source.map(|it| it.1)})
    };
    survey.partitions().into_iter().map(row).collect()
}

/// Whether a process holds the folder's lock. Asks the kernel's list instead of trying the lock: a node that starts at that
/// moment would find it taken.
fn is_locked(data_dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let lock: PathBuf = data_dir.join("lock");
    let (Ok(metadata), Ok(locks)) = (lock.metadata(), std::fs::read_to_string("/proc/locks")) else { return false };
    let inode = format!(":{}", metadata.ino());
    let is_it = |line: &str| line.contains(" FLOCK ") && line.split_whitespace().any(|field| field.ends_with(&inode));
    locks.lines().any(is_it)
}
