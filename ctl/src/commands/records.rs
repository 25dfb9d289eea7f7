//! `wellctl records`: what is in the log, decoded.

use std::io::Write;
use std::time::Duration;

use clap::Subcommand;
use kafka::batch::{BatchReader, Batches};
use kafka::{FetchLimits, FetchPosition, Fetcher, OffsetAt, OffsetFound};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::context::Context;
use crate::failure::Failure;
use crate::output::{Column, Format, table};
use crate::progress::Progress;
use crate::records::{Choice, Decoder};
use crate::time;

const FETCH: FetchLimits = FetchLimits { bytes_max: 4 << 20, wait_max: Duration::from_millis(500) };
/// Samples of a series that a table shows.
const SAMPLES_SHOWN_MAX: usize = 3;

/// Records of a topic, decoded.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show the series of records, a row each.
    #[command(after_help = "\
With -o json and -o yaml each series is a document of its own, JSON on a line of its own.

Examples:
  wellctl records dump --since -5m --match '{job=\"node\"}'
  wellctl records dump --partition 3 --from 1200 --to 1210 -o json
  wellctl records dump --tenant team-a --until 2026-11-23T16:05:00Z --limit 1000")]
    Dump(Dump),
}

#[derive(clap::Args, Debug)]
struct Dump {
    /// Topic; the node's own unless given.
    #[arg(long)]
    topic: Option<String>,
    /// Partitions, several with commas; all unless given.
    #[arg(long, value_name = "PARTITIONS", value_delimiter = ',', value_parser = clap::value_parser!(i32).range(0..))]
    partition: Vec<i32>,
    /// First offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..), conflicts_with = "since")]
    from: Option<i64>,
    /// Offset to stop before.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    to: Option<i64>,
    /// Records of this time or later: RFC 3339, unix ms, or -5m.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Records before this time.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Records of this tenant.
    #[arg(long)]
    tenant: Option<String>,
    /// Series that a selector chooses, as in PromQL.
    #[arg(long = "match", value_name = "SELECTOR")]
    selector: Option<String>,
    /// Rows to show at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    limit: u64,
}

const COLUMNS: &[Column] = &[
    Column("PARTITION", "partition"),
    Column("OFFSET", "offset"),
    Column("TIME", "record_time_ms"),
    Column("TENANT", "tenant"),
    Column("SERIES", "series"),
    Column("SAMPLES", "samples_shown"),
];

/// What to walk over in a partition, and what to show of it.
struct Walk<'a> {
    partition: i32,
    offsets: std::ops::Range<i64>,
    until_ms: Option<i64>,
    choice: &'a Choice,
}

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let Command::Dump(dump) = &self.command;
        dump.run(context).await
    }
}

impl Dump {
    async fn run(&self, context: &Context) -> Result<(), Failure> {
        let time = |name: &str, text: &Option<String>| {
            let parse = |text: &String| time::parse_time(text, context.now_ms);
            text.as_ref().map(parse).transpose().map_err(|wrong| Failure::usage(format!("--{name}: {wrong}")))
        };
        let (since_ms, until_ms) = (time("since", &self.since)?, time("until", &self.until)?);
        let matchers = self.selector.as_deref().map(promql::parser::parse_selector).transpose();
        let matchers = matchers.map_err(|wrong| Failure::usage(format!("--match: {wrong}")))?.unwrap_or_default();
        let choice = Choice { tenant: self.tenant.clone(), matchers };
        let mut cluster = context.cluster(&context.topic(self.topic.as_deref())?)?;
        let partitions = cluster.partitions(&self.partition).await?;
        let mut walks = self.walks(&mut cluster, &partitions, since_ms, &choice).await?;
        walks.iter_mut().for_each(|walk| walk.until_ms = until_ms);
        let mut show = Show { context, rows: Vec::new(), left: self.limit };
        let records = walks.iter().map(|walk| (walk.offsets.end - walk.offsets.start).max(0) as u64).sum();
        let mut progress = Progress::new("reading records", records);
        let mut fetcher = Fetcher::new(cluster.options().clone());
        for walk in &walks {
            dump(&mut fetcher, walk, &mut show, &mut progress).await?;
        }
        drop(progress);
        show.end(self.limit)
    }

    async fn walks<'a>(
        &self,
        cluster: &mut Cluster,
        partitions: &[i32],
        since_ms: Option<i64>,
        choice: &'a Choice,
    ) -> Result<Vec<Walk<'a>>, Failure> {
        let bounds = cluster.bounds(partitions).await?;
        let since = match since_ms {
            Some(unix_ms) => {
                Some(cluster.ask(async |client| client.offsets_at(partitions, OffsetAt::Time { unix_ms }).await).await?)
            }
            None => None,
        };
        let mut walks = Vec::new();
        for (partition, log) in bounds {
            // Only one partition in view: then an offset outside of its log is a mistake; with several it may hold in one.
            let is_outside = self.from.is_some_and(|from| from < log.start || from > log.end);
            if is_outside && partitions.len() == 1 {
                return Err(Failure::refused(format!(
                    "offset {} is outside of the log of partition {partition}, which holds {} to {}",
                    self.from.unwrap_or_default(),
                    log.start,
                    log.end
                )));
            }
            let start = match since.as_ref().map(|since| since[&partition]) {
                Some(OffsetFound::At(offset)) => offset,
                Some(OffsetFound::NoRecordThatLate) => log.end,
                None => self.from.unwrap_or(log.start),
            };
            let end = self.to.unwrap_or(log.end).min(log.end);
            walks.push(Walk { partition, offsets: start.max(log.start)..end, until_ms: None, choice });
        }
        Ok(walks)
    }
}

/// Takes rows, up to the limit.
struct Show<'a> {
    context: &'a Context,
    rows: Vec<Value>,
    left: u64,
}

impl Show<'_> {
    fn take(&mut self, rows: Vec<Value>) -> Result<(), Failure> {
        for row in rows.into_iter().take(self.left as usize) {
            self.left -= 1;
            match self.context.output.format {
                Format::Json => self.context.output.raw(&format!("{row}\n"))?,
                Format::Yaml => {
                    self.context.output.raw("---\n")?;
                    self.context.output.show(&row, String::new)?;
                }
                Format::Table => self.rows.push(with_shown_samples(row)),
            }
        }
        Ok(())
    }

    fn end(self, limit: u64) -> Result<(), Failure> {
        if self.context.output.format == Format::Table {
            self.context.output.raw(&table(COLUMNS, &self.rows))?;
        }
        if self.left == 0 {
            // Nobody is left to tell where stderr is closed.
            let _ = writeln!(std::io::stderr(), "wellctl: these are the first {limit} rows; --limit shows more");
        }
        Ok(())
    }
}

/// Samples as a table shows them: `1.5@2026-11-23T16:05:00Z`.
fn with_shown_samples(mut row: Value) -> Value {
    if let Some(error) = row["error"].as_str() {
        row["samples_shown"] = json!(format!("cannot be read: {error}"));
        return row;
    }
    let samples = row["samples"].as_array().map(Vec::as_slice).unwrap_or_default();
    let shown = samples.iter().take(SAMPLES_SHOWN_MAX).map(|sample| {
        let time = time::rfc3339(sample["timestamp_ms"].as_i64().unwrap_or_default());
        format!("{}@{time}", sample["value"].as_str().unwrap_or_default())
    });
    let mut text = shown.collect::<Vec<_>>().join(" ");
    if samples.len() > SAMPLES_SHOWN_MAX {
        text.push_str(&format!(" and {} more", samples.len() - SAMPLES_SHOWN_MAX));
    }
    for (count, what) in [(&row["histograms"], "histograms"), (&row["exemplars"], "exemplars")] {
        if count.as_u64().unwrap_or_default() > 0 {
            text.push_str(&format!(" +{count} {what}"));
        }
    }
    row["samples_shown"] = json!(text.trim());
    row
}

/// Reads a partition's records in turn until the walk's end or the limit.
async fn dump(
    fetcher: &mut Fetcher,
    walk: &Walk<'_>,
    show: &mut Show<'_>,
    progress: &mut Progress,
) -> Result<(), Failure> {
    let (mut reader, mut decoder) = (BatchReader::new(), Decoder::default());
    let mut next = walk.offsets.start;
    while next < walk.offsets.end && show.left > 0 {
        let fetched = fetcher.fetch(FetchPosition { partition: walk.partition, offset: next }, FETCH).await?;
        let before = next;
        let mut batches = Batches::new(&fetched.records);
        while let Some(batch) = batches.next_batch() {
            let batch = match batch {
                Ok(batch) => batch,
                Err(broken) => {
                    show.take(vec![unreadable(walk.partition, broken.base_offset, &broken.error.to_string())])?;
                    next = broken.next_offset.unwrap_or(broken.base_offset + 1).max(next);
                    continue;
                }
            };
            // Transaction markers hold no records of anybody.
            if !batch.is_control && batch.next_offset > next {
                match reader.open(&batch) {
                    Ok(mut records) => loop {
                        match records.next_record() {
                            Ok(Some(record)) if is_wanted(walk, next, &record) => {
                                show.take(decoder.rows(walk.partition, &record, walk.choice))?;
                            }
                            Ok(Some(_)) => {}
                            Ok(None) => break,
                            Err(error) => {
                                show.take(vec![unreadable(walk.partition, batch.base_offset, &error.to_string())])?;
                                break;
                            }
                        }
                    },
                    Err(error) => show.take(vec![unreadable(walk.partition, batch.base_offset, &error.to_string())])?,
                }
            }
            next = batch.next_offset.max(next);
            if next >= walk.offsets.end || show.left == 0 {
                break;
            }
        }
        if next == before {
            let topic_end = fetched.high_watermark;
            return Err(Failure::failed(format!(
                "Kafka gives nothing for offset {next} of partition {}, whose log ends at {topic_end}",
                walk.partition
            )));
        }
        progress.step((next - before) as u64);
    }
    Ok(())
}

fn is_wanted(walk: &Walk<'_>, next: i64, record: &kafka::batch::Record<'_>) -> bool {
    record.offset >= next
        && record.offset < walk.offsets.end
        && walk.until_ms.is_none_or(|until_ms| record.timestamp_ms < until_ms)
}

fn unreadable(partition: i32, offset: i64, error: &str) -> Value {
    json!({"partition": partition, "offset": offset, "record_time_ms": null, "tenant": null, "error": error})
}
