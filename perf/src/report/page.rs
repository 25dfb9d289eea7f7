//! A report as one HTML page that needs nothing else: figures, plots over time, latency percentiles, CPU by thread.

use serde_json::Value;

use super::plot::{self, Axes, Line, escaped};
use super::table::{COMPARISON_COLUMNS, LATENCY_COLUMNS, number};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:860px;margin:2em auto;padding:0 1em;color:#222}\
h1{font-size:1.5em;margin-bottom:0}h2{font-size:1.1em;margin:1.8em 0 .4em}p{color:#666;margin:.2em 0}\
table{border-collapse:collapse}td,th{padding:.15em .9em .15em 0;text-align:right;border-bottom:1px solid #eee}\
td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto;font:12px system-ui,sans-serif}\
svg .grid{stroke:#ddd;stroke-width:1}svg .end{text-anchor:end}svg .middle{text-anchor:middle}.wrong{color:#b00020}";

/// The whole page.
pub fn render(document: &Value) -> String {
    let scenario = document["scenario"].as_str().unwrap_or_default();
    let mut body = format!("<h1>wellperf {}</h1>", escaped(scenario));
    for key in ["settings", "target", "machine"] {
        let parts: Vec<String> = pairs(&document[key])
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
            .collect();
        body.push_str(&format!("<p>{}</p>", escaped(&parts.join(", "))));
    }
    let at = document["at_ms"].as_i64().and_then(chrono::DateTime::from_timestamp_millis);
    body.push_str(&format!("<p>{}</p>", at.map(|at| format!("{at:?}")).unwrap_or_default()));
    body.push_str(&checks(&document["checks"]));
    section(&mut body, "Comparison", &comparison(&document["comparison"]));
    section(&mut body, "Samples per second", &over_time(document, "samples_per_second", "samples/s"));
    section(&mut body, "Busy cores by thread", &cores(document));
    section(&mut body, "Resident memory", &over_time(document, "resident_bytes", "bytes"));
    section(&mut body, "Latency", &latencies(&document["latencies"]));
    section(&mut body, "CPU time by thread", &threads(&document["threads"]));
    let figures: Vec<Vec<String>> =
        pairs(&document["figures"]).map(|(name, value)| vec![name.clone(), number(value)]).collect();
    section(&mut body, "Figures", &table(&["figure", "value"], &figures));
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>wellperf {}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escaped(scenario)
    )
}

fn section(body: &mut String, title: &str, content: &str) {
    if !content.is_empty() {
        body.push_str(&format!("<h2>{title}</h2>{content}"));
    }
}

fn pairs(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten()
}

fn rows(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn points(document: &Value, value: impl Fn(&Value) -> Option<f64>) -> Vec<(f64, f64)> {
    rows(&document["timeline"]).filter_map(|row| Some((row["at_seconds"].as_f64()?, value(row)?))).collect()
}

fn over_time(document: &Value, key: &str, unit: &str) -> String {
    let points = points(document, |row| row[key].as_f64());
    let axes = Axes { x: "seconds", y: unit, x_names: &[] };
    plot::lines(&axes, &[Line { name: String::new(), points }])
}

fn cores(document: &Value) -> String {
    // In the order of their share in the whole run; the small ones would only hide each other.
    let lines = rows(&document["threads"])
        .take(8)
        .filter_map(|thread| thread["thread"].as_str())
        .map(|name| Line { name: name.to_owned(), points: points(document, |row| row["cores"][name].as_f64()) });
    plot::lines(&Axes { x: "seconds", y: "cores", x_names: &[] }, &lines.collect::<Vec<_>>())
}

/// Nines as equal steps: 90 % at 1, 99 % at 2, 99.9 % at 3.
fn latencies(latencies: &Value) -> String {
    let place = |percentile: f64| -(1.0 - percentile / 100.0).max(1e-5).log10();
    let lines: Vec<Line> = rows(latencies)
        .map(|row| Line {
            name: row["latency"].as_str().unwrap_or_default().to_owned(),
            points: rows(&row["percentiles"])
                .filter_map(|point| Some((place(point["percentile"].as_f64()?), point["ms"].as_f64()?)))
                .collect(),
        })
        .collect();
    let names = [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (0.9999, "99.99 %"), (1.0, "max")];
    let names: Vec<(f64, String)> =
        names.iter().map(|(share, name)| (place(share * 100.0), (*name).to_owned())).collect();
    let svg = plot::lines(&Axes { x: "share of requests", y: "ms", x_names: &names }, &lines);
    let cells = cells(latencies, &LATENCY_COLUMNS);
    if cells.is_empty() { String::new() } else { svg + &table(&LATENCY_COLUMNS, &cells) }
}

fn comparison(comparison: &Value) -> String {
    let cells = cells(comparison, &COMPARISON_COLUMNS);
    if cells.is_empty() { String::new() } else { table(&COMPARISON_COLUMNS, &cells) }
}

fn cells(array: &Value, columns: &[&str]) -> Vec<Vec<String>> {
    rows(array).map(|row| columns.iter().map(|column| number(&row[*column])).collect()).collect()
}

fn threads(threads: &Value) -> String {
    let bars: Vec<(String, f64)> = rows(threads)
        .filter_map(|row| Some((row["thread"].as_str()?.to_owned(), row["cpu_ns_per_sample"].as_f64()?)))
        .collect();
    if bars.is_empty() { String::new() } else { plot::bars("ns/sample", &bars) }
}

fn checks(checks: &Value) -> String {
    rows(checks)
        .map(|check| {
            let class = if check["holds"] == true { "" } else { " class=\"wrong\"" };
            let name = escaped(check["check"].as_str().unwrap_or_default());
            let (found, expected) = (number(&check["found"]), number(&check["expected"]));
            format!("<p{class}>{name}: {found} of {expected}</p>")
        })
        .collect()
}

fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let head: String = titles.iter().map(|title| format!("<th>{}</th>", escaped(title))).collect();
    let lines = rows.iter().map(|row| {
        let cells: String = row.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
        format!("<tr>{cells}</tr>")
    });
    format!("<table><tr>{head}</tr>{}</table>", lines.collect::<String>())
}
