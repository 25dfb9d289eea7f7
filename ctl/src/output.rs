//! What goes to stdout: one document, as a table for people, as JSON or YAML for programs.
//!
//! Rows are flat JSON objects in every format, so that a table can never show what JSON does not.

use std::io::Write;

use serde_json::Value;

use crate::failure::{Failure, Kind};
use crate::time;

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, clap::ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Yaml,
}

/// A column of a table: what stands above it, and the key of the rows that it shows.
#[derive(Clone, Copy, Debug)]
pub struct Column(pub &'static str, pub &'static str);

/// Writes to stdout.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub format: Format,
}

impl Output {
    /// Shows a document; `text` makes what the table format shows.
    ///
    /// # Errors
    /// Stdout takes no more.
    pub fn show(&self, document: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.raw(&text()),
            Format::Json => self.raw(&format!("{document:#}\n")),
            Format::Yaml => {
                let yaml = serde_saphyr::to_string(document)
                    .map_err(|error| Failure::failed(format!("cannot write YAML: {error}")))?;
                self.raw(&format!("{}\n", yaml.trim_end()))
            }
        }
    }

    /// Writes text as it is.
    ///
    /// # Errors
    /// Stdout takes no more.
    pub fn raw(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::new(Kind::ClosedPipe, ""),
            _ => Failure::failed(format!("cannot write to stdout: {error}")),
        })
    }
}

/// Lines up rows under their columns; numbers to the right. Ends with a line break.
pub fn table(columns: &[Column], rows: &[Value]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(column.1, &row[column.1])).collect()).collect();
    let is_number = |index: usize| {
        let key = columns[index].1;
        !key.ends_with("_ms")
            && rows.iter().any(|row| row[key].is_number())
            && rows.iter().all(|row| row[key].is_number() || row[key].is_null())
    };
    let widths: Vec<usize> = (0..columns.len())
        .map(|index| {
            let cells = cells.iter().map(|row| row[index].chars().count());
            cells.chain([columns[index].0.len()]).max().unwrap_or(0)
        })
        .collect();
    let titles = columns.iter().map(|column| column.0.to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&titles).chain(&cells) {
        let mut line = String::new();
        for (index, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[index] - cell.chars().count());
            let (before, after) = if is_number(index) { (padding.as_str(), "") } else { ("", padding.as_str()) };
            line.push_str(&format!("{}{before}{cell}{after}", if index == 0 { "" } else { "  " }));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// How a value stands in a table: times readable, unknown as a dash.
pub fn cell(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => printable(text),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_i64() {
            Some(ms) if key.ends_with("_ms") => time::rfc3339(ms),
            Some(bytes) if key.ends_with("_bytes") => mebibytes(bytes),
            None => number.as_f64().map_or_else(|| number.to_string(), |value| format!("{value:.1}")),
            Some(number) => number.to_string(),
        },
        Value::Array(items) => items.iter().map(|item| cell(key, item)).collect::<Vec<_>>().join(","),
        Value::Object(_) => value.to_string(),
    }
}

/// Names come from others: what could move a terminal's cursor does not reach it.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn mebibytes(bytes: i64) -> String {
    if bytes < 1 << 20 { format!("{bytes} B") } else { format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [
            json!({"group": "a", "lag": 5, "time_ms": 0, "memory_bytes": 12}),
            json!({"group": "long\u{1b}", "lag": null, "time_ms": null, "memory_bytes": 3 << 20}),
        ];
        let columns = [
            Column("GROUP", "group"),
            Column("LAG", "lag"),
            Column("TIME", "time_ms"),
            Column("MEMORY", "memory_bytes"),
        ];
        let expected = "\
GROUP  LAG  TIME                   MEMORY
a        5  1970-01-01T00:00:00Z     12 B
long\u{fffd}    -  -                     3.0 MiB
";
        assert_eq!(table(&columns, &rows), expected);
    }
}
