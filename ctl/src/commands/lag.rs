//! `wellctl lag`: how far behind, in records and in seconds, once or again and again.

use std::io::IsTerminal;
use std::time::Duration;

use serde_json::{Value, json};

use super::offsets;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::node::Node;
use crate::output::{Column, Format, table};
use crate::time;

/// How far behind each partition is, in records and in seconds.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Without --group the node is asked; with it, Kafka: then the seconds are the age of the next record to consume.
With --watch, JSON is one document a round.

Examples:
  wellctl lag
  wellctl lag --watch --interval 5s
  wellctl lag --max 30s
  wellctl --kafka-address kafka-1:9092 lag --group wellhead-0 --topic ingest --max 10000")]
pub struct Arguments {
    /// Look at this group in Kafka instead of asking the node.
    #[arg(long)]
    group: Option<String>,
    /// Topic; the node's own unless given.
    #[arg(long, requires = "group")]
    topic: Option<String>,
    /// Show it again and again until interrupted.
    #[arg(long)]
    watch: bool,
    /// Time between two rounds of --watch.
    #[arg(long, value_name = "DURATION", default_value = "2s", requires = "watch")]
    interval: String,
    /// Rounds of --watch; endless unless given.
    #[arg(long, value_name = "COUNT", requires = "watch", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
    /// Exit with 6 where a partition is further behind: records (5000) or time (30s).
    #[arg(long, value_name = "RECORDS|DURATION")]
    max: Option<String>,
}

/// What is too far behind.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Max {
    Records(i64),
    Seconds(f64),
}

const COLUMNS: &[Column] = &[
    Column("GROUP", "group"),
    Column("TOPIC", "topic"),
    Column("PARTITION", "partition"),
    Column("NEXT", "next_offset"),
    Column("LOG END", "log_end"),
    Column("LAG", "lag_records"),
    Column("LAG SECONDS", "lag_seconds"),
];

impl Max {
    fn parse(text: &str) -> Result<Self, Failure> {
        if let Ok(records) = text.parse::<u32>() {
            return Ok(Self::Records(records.into()));
        }
        let wrong = |_| Failure::usage(format!("--max {text:?} cannot be used: write records (5000) or a time (30s)"));
        time::parse_duration_ms(text).map(|ms| Self::Seconds(ms as f64 / 1000.0)).map_err(wrong)
    }

    /// Why a row is too far behind. What is not known is too far: nobody has said that it is not.
    fn exceeded_by(self, row: &Value) -> Option<String> {
        let (lag, max, unit) = match self {
            Self::Records(max) => (row["lag_records"].as_f64(), max as f64, "records"),
            Self::Seconds(max) => (row["lag_seconds"].as_f64(), max, "seconds"),
        };
        match lag {
            Some(lag) if lag <= max => None,
            Some(lag) => Some(format!("partition {} is {lag} {unit} behind, more than {max}", row["partition"])),
            None => Some(format!("nobody knows how far partition {} is behind", row["partition"])),
        }
    }
}

impl Arguments {
    pub async fn run(&self, context: &Context) -> Result<(), Failure> {
        let max = self.max.as_deref().map(Max::parse).transpose()?;
        let pause = time::parse_duration_ms(&self.interval).map_err(Failure::usage)?.max(100);
        let mut round = 0u32;
        loop {
            let rows = self.rows(context).await?;
            self.show(context, &rows)?;
            if let Some(max) = max {
                let exceeded = rows.iter().filter_map(|row| max.exceeded_by(row)).collect::<Vec<_>>();
                if let Some(first) = exceeded.first() {
                    let more =
                        if exceeded.len() > 1 { format!("; {} more", exceeded.len() - 1) } else { String::new() };
                    return Err(Failure::new(Kind::CheckSaysNo, format!("{first}{more}")));
                }
            }
            round += 1;
            if !self.watch || self.rounds.is_some_and(|rounds| round >= rounds) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(pause as u64)).await;
        }
    }

    async fn rows(&self, context: &Context) -> Result<Vec<Value>, Failure> {
        let Some(group) = &self.group else { return node_rows(context) };
        let topic = context.topic(self.topic.as_deref())?;
        let mut cluster = context.cluster(&topic)?;
        let partitions = cluster.partitions(&[]).await?;
        cluster.known_group(group).await?;
        offsets::rows(&mut cluster, group, &partitions, offsets::Depth::Times).await
    }

    fn show(&self, context: &Context, rows: &[Value]) -> Result<(), Failure> {
        let rows: Vec<Value> = rows.iter().map(narrowed).collect();
        let document = json!({"time_ms": time::now_ms(), "lag": rows});
        if !self.watch {
            return context.output.show(&document, || table(COLUMNS, &rows));
        }
        match context.output.format {
            Format::Json => context.output.raw(&format!("{document}\n")),
            Format::Yaml => context.output.raw("---\n").and_then(|()| context.output.show(&document, String::new)),
            Format::Table => {
                // On a terminal each round takes the place of the one before.
                let clear = if std::io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
                let text = table(COLUMNS, &rows);
                context.output.raw(&format!("{clear}{}\n{text}\n", time::rfc3339(time::now_ms())))
            }
        }
    }
}

/// A row with the keys of this command only.
fn narrowed(row: &Value) -> Value {
    COLUMNS.iter().map(|column| (column.1.to_owned(), row[column.1].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// A node that does not answer is no reason to know nothing.
fn hinted(failure: &Failure) -> Failure {
    Failure::new(failure.kind, format!("{}; with --group Kafka is asked instead", failure.message))
}

/// As the node tells it. Asked anew each round.
fn node_rows(context: &Context) -> Result<Vec<Value>, Failure> {
    let status = context.node().and_then(Node::status).map_err(|failure| hinted(&failure))?;
    let partitions = status.document["partitions"].as_array().cloned().unwrap_or_default();
    let row = |partition: &Value| {
        json!({
            "group": status.kafka.group.replace("<partition>", &partition["partition"].to_string()),
            "topic": status.kafka.topic,
            "partition": partition["partition"],
            "next_offset": partition["durable"],
            "log_end": partition["high_watermark"],
            "lag_records": partition["lag_records"],
            "lag_seconds": partition["lag_seconds"],
        })
    };
    Ok(partitions.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_records_or_times() {
        let row = json!({"partition": 3, "lag_records": 10, "lag_seconds": 2.5});
        let unknown = json!({"partition": 3, "lag_records": null, "lag_seconds": null});
        for (max, row, expected) in [
            ("10", &row, None),
            ("9", &row, Some("partition 3 is 10 records behind, more than 9")),
            ("2500ms", &row, None),
            ("2s", &row, Some("partition 3 is 2.5 seconds behind, more than 2")),
            ("1000", &unknown, Some("nobody knows how far partition 3 is behind")),
        ] {
            assert_eq!(Max::parse(max).unwrap().exceeded_by(row).as_deref(), expected, "{max}");
        }
        for wrong in ["", "-1", "a", "10x"] {
            assert_eq!(Max::parse(wrong).unwrap_err().kind, Kind::Usage, "{wrong}");
        }
    }
}
