//! A report as lines of text.

use serde_json::Value;

/// What is shown of a latency.
pub const LATENCY_COLUMNS: [&str; 8] =
    ["latency", "count", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms", "cpu_ms_each"];
/// What is shown of a comparison.
pub const COMPARISON_COLUMNS: [&str; 8] =
    ["figure", "target", "median", "min", "max", "ratio", "ratio_min", "ratio_max"];

/// All that a terminal should show: figures, latencies, threads, checks.
pub fn render(document: &Value) -> String {
    let mut text = format!("wellperf {}", text_of(&document["scenario"]));
    for (name, value) in pairs(&document["settings"]).filter(|(_, value)| !value.is_null()) {
        text.push_str(&format!("  {name}={}", text_of(value)));
    }
    text.push_str("\n\n");
    let figures = pairs(&document["figures"]).map(|(name, value)| vec![name.clone(), number(value)]);
    let figures: Vec<_> = figures.collect();
    if !figures.is_empty() {
        text.push_str(&lines(&["FIGURE", "VALUE"], &figures));
    }
    section(&mut text, &document["latencies"], &LATENCY_COLUMNS);
    section(&mut text, &document["comparison"], &COMPARISON_COLUMNS);
    section(&mut text, &document["threads"], &["thread", "cpu_seconds", "cpu_ns_per_sample"]);
    section(&mut text, &document["checks"], &["check", "expected", "found", "holds"]);
    text
}

fn section(text: &mut String, rows: &Value, columns: &[&str]) {
    let is_known = |column: &&&str| rows.as_array().into_iter().flatten().any(|row| !row[**column].is_null());
    let columns: Vec<&str> = columns.iter().filter(is_known).copied().collect();
    let rows: Vec<Vec<String>> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| columns.iter().map(|column| number(&row[*column])).collect())
        .collect();
    if !rows.is_empty() {
        let titles: Vec<String> = columns.iter().map(|column| column.to_uppercase()).collect();
        text.push('\n');
        text.push_str(&lines(&titles.iter().map(String::as_str).collect::<Vec<_>>(), &rows));
    }
}

fn pairs(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Thousands are set apart; unknown is a dash.
pub fn number(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(holds) => if *holds { "ok" } else { "WRONG" }.to_owned(),
        Value::Number(number) => match number.as_u64() {
            Some(number) => thousands(&number.to_string()),
            None => {
                let number = number.as_f64().unwrap_or(f64::NAN);
                let digits = if number.abs() >= 1000.0 { 0 } else { 3 };
                let text = format!("{number:.digits$}");
                let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
                thousands(whole) + rest
            }
        },
        other => text_of(other).chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
    }
}

fn thousands(digits: &str) -> String {
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        let left = digits.len() - index;
        if index > 0 && left.is_multiple_of(3) && !text.ends_with('-') {
            text.push('_');
        }
        text.push(digit);
    }
    text
}

/// The first column to the left, all others to the right.
fn lines(titles: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..titles.len())
        .map(|index| rows.iter().map(|row| row[index].chars().count()).chain([titles[index].len()]).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    let titles: Vec<String> = titles.iter().map(|title| (*title).to_owned()).collect();
    for row in std::iter::once(&titles).chain(rows) {
        for (index, cell) in row.iter().enumerate() {
            let width = widths[index];
            text.push_str(&if index == 0 { format!("{cell:<width$}") } else { format!("  {cell:>width$}") });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_can_be_read() {
        let cases = [
            (json!(1_234_567), "1_234_567"),
            (json!(-1234.5), "-1_234"),
            (json!(0.25), "0.250"),
            (json!(123_456.7), "123_457"),
            (json!(null), "-"),
            (json!("a\u{1b}b"), "a\u{fffd}b"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(&value), expected, "{value}");
        }
    }
}
