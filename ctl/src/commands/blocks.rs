//! `wellctl blocks`: blocks in a folder, looked into without a node. Reads only; Prometheus' own blocks are as good.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use disk::PlainDisk;
use model::{Matcher, Sample, TimeRange};
use serde_json::{Value, json};
use tsdb::block::{
    Block, BlockCursor, BlockError, BlockFile, BlockMeta, BlockSeries, FolderSource, Ulid, Verification, verify,
};
use tsdb::chunk::{ChunkEncoding, Xor2Reader, XorReader};

use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::{Column, Format, table};
use crate::progress::Progress;
use crate::records::value_text;
use crate::time;

/// Series that are read at a time.
const STEP: usize = 64;

/// Look into blocks in a folder.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// The blocks of a folder, a row each, oldest first.
    #[command(after_help = "\
Folders without meta.json are blocks that were not finished; they are left out.

Examples:
  wellctl blocks ls /var/lib/prometheus
  wellctl -o json blocks ls ./blocks")]
    Ls {
        /// Folder with blocks, or the folder of one.
        folder: PathBuf,
    },
    /// One block: where it comes from, its files, its labels.
    #[command(after_help = "\
Labels are those with the most values.

Examples:
  wellctl blocks inspect ./blocks/01HF7Y7S0000000000000000")]
    Inspect {
        /// Folder of a block.
        block: PathBuf,
        /// Labels to show at most.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=100_000))]
        labels: u64,
    },
    /// Is all of it intact? Exits with 6 where it is not, and tells every finding.
    #[command(after_help = "\
Reads everything: checksums, the order of series and samples, what refers to what, and what meta.json says.

Examples:
  wellctl blocks verify ./blocks
  wellctl -o json blocks verify ./blocks/01HF7Y7S0000000000000000")]
    Verify {
        /// Folder with blocks, or the folder of one.
        folder: PathBuf,
    },
    /// The samples of a block, a line each, series by series.
    #[command(after_help = "\
With -o json and -o yaml each series is a document of its own, JSON on a line of its own. Histograms are told by their number.

Examples:
  wellctl blocks dump ./blocks/01HF7Y7S0000000000000000 --match '{job=\"node\"}' --limit 10
  wellctl -o json blocks dump ./blocks/01HF7Y7S0000000000000000 --since 2026-11-23T16:05:00Z")]
    Dump(Dump),
}

#[derive(clap::Args, Debug)]
struct Dump {
    /// Folder of a block.
    block: PathBuf,
    /// Series that a selector chooses, as in PromQL.
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// Samples of this time or later: RFC 3339, unix ms, or -5m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Samples before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Series to show at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    limit: u64,
}

const BLOCKS: &[Column] = &[
    Column("BLOCK", "block"),
    Column("FROM", "min_time_ms"),
    Column("TO", "end_time_ms"),
    Column("SERIES", "series"),
    Column("SAMPLES", "samples"),
    Column("CHUNKS", "chunks"),
    Column("LEVEL", "level"),
    Column("SOURCE", "source"),
    Column("SIZE", "size_bytes"),
];
const FILES: &[Column] = &[Column("FILE", "file"), Column("SIZE", "size_bytes")];
const LABELS: &[Column] = &[Column("LABEL", "label"), Column("VALUES", "values")];
const SOURCES: &[Column] =
    &[Column("PARTITION", "partition"), Column("FIRST", "first_offset"), Column("NEXT", "next_offset")];
const VERIFIED: &[Column] = &[
    Column("BLOCK", "block"),
    Column("SERIES", "series"),
    Column("SAMPLES", "samples"),
    Column("CHUNKS", "chunks"),
    Column("FINDINGS", "findings_total"),
];
const FINDINGS: &[Column] =
    &[Column("BLOCK", "block"), Column("FILE", "file"), Column("BYTE", "offset"), Column("FINDING", "finding")];

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        match &self.command {
            Command::Ls { folder } => list(context, folder),
            Command::Inspect { block, labels } => inspect(context, block, *labels as usize).await,
            Command::Verify { folder } => verify_all(context, folder).await,
            Command::Dump(dump) => dump.run(context).await,
        }
    }
}

fn list(context: &Context, folder: &Path) -> Result<(), Failure> {
    let mut metas = Vec::new();
    for block in blocks_of(folder)? {
        metas.push((read_meta(&block)?, block));
    }
    metas.sort_by_key(|(meta, _)| (meta.min_time_ms, meta.ulid));
    let rows: Vec<Value> = metas.iter().map(|(meta, block)| meta_row(meta, block)).collect();
    context.output.show(&json!({"blocks": rows}), || table(BLOCKS, &rows))
}

async fn inspect(context: &Context, folder: &Path, labels_max: usize) -> Result<(), Failure> {
    let block = open(folder).await?;
    let meta = block.meta();
    let files: Vec<Value> =
        files_of(folder).into_iter().map(|(file, bytes)| json!({"file": file, "size_bytes": bytes})).collect();
    let mut counts: Vec<(usize, &str)> =
        block.label_names().map(|name| (block.label_values(name).count(), name)).collect();
    let label_count = counts.len();
    counts.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let labels: Vec<Value> =
        counts.iter().take(labels_max).map(|(values, name)| json!({"label": name, "values": values})).collect();
    let sources = meta.wellhead.iter().flat_map(|wellhead| &wellhead.sources);
    let sources: Vec<Value> = sources
        .map(|it| json!({"partition": it.partition.0, "first_offset": it.first.0, "next_offset": it.next.0}))
        .collect();
    let row = meta_row(meta, folder);
    let whole: Value = serde_json::from_slice(&meta.encode()).expect("it was written as JSON");
    let document = json!({
        "block": row, "meta": whole, "files": files, "label_names": label_count, "labels": labels, "sources": sources,
    });
    context.output.show(&document, || {
        let mut text = format!("{}\n{}\n{}", table(BLOCKS, &[row]), table(FILES, &files), table(LABELS, &labels));
        if labels.len() < label_count {
            text.push_str(&format!("and {} other labels; --labels shows more\n", label_count - labels.len()));
        }
        if !sources.is_empty() {
            text.push_str(&format!("\n{}", table(SOURCES, &sources)));
        }
        text
    })
}

async fn verify_all(context: &Context, folder: &Path) -> Result<(), Failure> {
    let blocks = blocks_of(folder)?;
    let mut progress = Progress::new("verifying blocks", blocks.len() as u64);
    let (mut rows, mut findings, mut bad) = (Vec::new(), Vec::new(), 0);
    for block in &blocks {
        let source = FolderSource::new(PlainDisk, block.clone());
        let found = verify(&source).await.map_err(|error| failure(block, &error))?;
        let name = name_of(block);
        rows.push(verified_row(&name, &found));
        findings.extend(found.findings.iter().map(|finding| {
            let file = finding.file.path();
            json!({"block": name, "file": file, "offset": finding.offset, "finding": finding.reason})
        }));
        bad += u64::from(!found.is_clean());
        progress.step(1);
    }
    drop(progress);
    let document = json!({"intact": bad == 0, "blocks": rows, "findings": findings});
    context.output.show(&document, || {
        let found = if findings.is_empty() { String::new() } else { format!("\n{}", table(FINDINGS, &findings)) };
        format!("{}{found}", table(VERIFIED, &rows))
    })?;
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::new(Kind::CheckSaysNo, format!("{bad} of {} blocks are not intact", blocks.len())))
}

impl Dump {
    async fn run(&self, context: &Context) -> Result<(), Failure> {
        let time = |name: &str, text: &Option<String>| {
            let parse = |text: &String| time::parse_time(text, context.now_ms);
            text.as_ref().map(parse).transpose().map_err(|wrong| Failure::usage(format!("--{name}: {wrong}")))
        };
        let min_ms = time("since", &self.since)?.unwrap_or(i64::MIN);
        let max_ms = time("until", &self.until)?.map_or(i64::MAX, |until_ms| until_ms.saturating_sub(1));
        let range = TimeRange { min_ms, max_ms };
        let matchers = self.selector.as_deref().map(promql::parser::parse_selector).transpose();
        let matchers: Vec<Matcher> =
            matchers.map_err(|wrong| Failure::usage(format!("--match: {wrong}")))?.unwrap_or_default();
        let block = open(&self.block).await?;
        let told = |error| failure(&self.block, &error);
        let mut cursor: BlockCursor = block.select(&matchers, range).await.map_err(told)?;
        let mut left = self.limit as usize;
        while !cursor.is_done() && left > 0 {
            let mut found = Vec::new();
            cursor.next(&block, STEP.min(left), &mut found).await.map_err(told)?;
            for series in &found {
                let text = shown(series, range, context.output.format)
                    .map_err(|reason| Failure::failed(format!("{}: {reason}", self.block.display())))?;
                left -= usize::from(!text.is_empty());
                context.output.raw(&text)?;
            }
        }
        if left == 0 && !cursor.is_done() {
            // Nobody is left to tell where stderr is closed.
            let _ =
                writeln!(std::io::stderr(), "wellctl: these are the first {} series; --limit shows more", self.limit);
        }
        Ok(())
    }
}

/// A series as it goes to stdout; nothing where none of its samples is in the range.
fn shown(series: &BlockSeries, range: TimeRange, format: Format) -> Result<String, String> {
    let (mut samples, mut histograms) = (Vec::new(), 0u64);
    for chunk in &series.chunks {
        match floats(chunk.encoding, &chunk.bytes)? {
            Some(floats) => samples.extend(floats.into_iter().filter(|it| range.contains(it.timestamp_ms))),
            None => histograms += u64::from(chunk.encoding.count(&chunk.bytes).map_err(|error| error.to_string())?),
        }
    }
    if samples.is_empty() && histograms == 0 {
        return Ok(String::new());
    }
    if format == Format::Table {
        let line = |it: &Sample| format!("{} {} {}\n", series.labels, value_text(it.value), it.timestamp_ms);
        let mut text: String = samples.iter().map(line).collect();
        if histograms > 0 {
            text.push_str(&format!("{} chunks with {histograms} histograms\n", series.labels));
        }
        return Ok(text);
    }
    let labels: serde_json::Map<String, Value> =
        series.labels.iter().map(|label| (label.name.to_string(), Value::from(&*label.value))).collect();
    let sample = |it: &Sample| json!({"timestamp_ms": it.timestamp_ms, "value": value_text(it.value)});
    let samples: Vec<Value> = samples.iter().map(sample).collect();
    let document = json!({"series": labels, "samples": samples, "histograms": histograms});
    Ok(match format {
        Format::Yaml => {
            let yaml = serde_saphyr::to_string(&document).map_err(|error| error.to_string())?;
            format!("---\n{}\n", yaml.trim_end())
        }
        _ => format!("{document}\n"),
    })
}

/// None where a chunk holds histograms.
fn floats(encoding: ChunkEncoding, bytes: &[u8]) -> Result<Option<Vec<Sample>>, String> {
    let mut samples = Vec::new();
    match encoding {
        ChunkEncoding::Xor => {
            let mut reader = XorReader::new(bytes).map_err(|error| error.to_string())?;
            while let Some(sample) = reader.next_sample().map_err(|error| error.to_string())? {
                samples.push(sample);
            }
        }
        ChunkEncoding::Xor2 => {
            let mut reader = Xor2Reader::new(bytes).map_err(|error| error.to_string())?;
            while let Some(sample) = reader.next_sample().map_err(|error| error.to_string())? {
                samples.push(Sample { timestamp_ms: sample.timestamp_ms, value: sample.value });
            }
        }
        _ => return Ok(None),
    }
    Ok(Some(samples))
}

async fn open(folder: &Path) -> Result<Block<FolderSource<PlainDisk>>, Failure> {
    if !folder.join(BlockFile::Meta.path()).is_file() {
        return Err(Failure::not_found(format!("{} is no block: it has no meta.json", folder.display())));
    }
    Block::open(FolderSource::new(PlainDisk, folder.to_owned())).await.map_err(|error| failure(folder, &error))
}

/// The folder itself where it is a block, else the blocks in it.
fn blocks_of(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    if folder.join(BlockFile::Meta.path()).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Failure::not_found(format!("cannot list {}: {error}", folder.display())))?;
    let mut blocks = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| Failure::failed(format!("cannot list {}: {error}", folder.display())))?.path();
        if name_of(&path).parse::<Ulid>().is_ok() && path.join(BlockFile::Meta.path()).is_file() {
            blocks.push(path);
        }
    }
    blocks.sort();
    if blocks.is_empty() {
        return Err(Failure::not_found(format!("{} is no block and holds none", folder.display())));
    }
    Ok(blocks)
}

fn read_meta(block: &Path) -> Result<BlockMeta, Failure> {
    let path = block.join(BlockFile::Meta.path());
    let bytes =
        std::fs::read(&path).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))?;
    BlockMeta::decode(&bytes).map_err(|error| failure(block, &error))
}

fn meta_row(meta: &BlockMeta, block: &Path) -> Value {
    let size_bytes: u64 = files_of(block).iter().map(|(_, bytes)| bytes).sum();
    json!({
        "block": meta.ulid, "min_time_ms": meta.min_time_ms, "end_time_ms": meta.end_time_ms,
        "series": meta.stats.num_series, "samples": meta.stats.num_samples, "chunks": meta.stats.num_chunks,
        "level": meta.compaction.level, "source": meta.thanos.as_ref().map(|thanos| &thanos.source),
        "size_bytes": size_bytes,
    })
}

fn verified_row(name: &str, found: &Verification) -> Value {
    let counted = &found.counted;
    json!({
        "block": name, "series": counted.num_series, "samples": counted.num_samples, "chunks": counted.num_chunks,
        "findings_total": found.findings_total,
    })
}

/// The files of a block that are there, with their lengths.
fn files_of(block: &Path) -> Vec<(String, u64)> {
    let length = |file: BlockFile| Some((file.path(), block.join(file.path()).metadata().ok()?.len()));
    let segments = (1..).map_while(|segment| length(BlockFile::Chunks(segment)));
    let others = [BlockFile::Index, BlockFile::Meta, BlockFile::Tombstones].into_iter().filter_map(length);
    segments.chain(others).collect()
}

fn name_of(block: &Path) -> String {
    let whole = || block.canonicalize().ok()?.file_name().map(|name| name.to_string_lossy().into_owned());
    block.file_name().map(|name| name.to_string_lossy().into_owned()).or_else(whole).unwrap_or_default()
}

fn failure(block: &Path, error: &BlockError) -> Failure {
    let kind = match error {
        BlockError::Missing { .. } => Kind::NotFound,
        BlockError::Damaged { .. } => Kind::CheckSaysNo,
        _ => Kind::Failed,
    };
    Failure::new(kind, format!("{}: {error}", block.display()))
}
