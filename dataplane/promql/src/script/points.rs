//! Series with their points: `name{label="value"} 1 2+3x4 _x2 stale {{schema:1 sum:2}}x3`.

use model::{Label, Labels, METRIC_NAME, stale_marker};

use super::Point;
use crate::number::parse_float;
use crate::text::unquote;

/// Most points of one line; a few characters can ask for any number.
const POINTS_MAX: usize = 1_000_000;

/// Labels and points of one line.
pub(super) fn parse_series(line: &str) -> Result<(Labels, Vec<Point>), String> {
    let (labels, rest) = parse_metric(line)?;
    if !rest.is_empty() && !rest.starts_with([' ', '\t']) {
        return Err(format!("expected a space before the values in {line:?}"));
    }
    Ok((labels, parse_points(rest)?))
}

/// The labels that a line begins with, and what follows them.
pub(super) fn parse_metric(line: &str) -> Result<(Labels, &str), String> {
    let name_end = line.find(|character: char| !is_metric_character(character)).unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_end);
    let mut labels = Vec::new();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(format!("expected a series in {line:?}"));
    }
    if !name.is_empty() {
        labels.push(Label::new(METRIC_NAME, name));
    }
    let before_space = rest.trim_start();
    if before_space.starts_with('{') && !before_space.starts_with("{{") {
        rest = parse_braces(&before_space[1..], &mut labels)?;
    } else if name.is_empty() {
        return Err(format!("expected a series in {line:?}"));
    }
    Ok((Labels::new(labels), rest))
}

fn is_metric_character(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | ':')
}

fn parse_braces<'a>(text: &'a str, labels: &mut Vec<Label>) -> Result<&'a str, String> {
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok(after);
        }
        let (name, is_quoted, after) = parse_name(rest)?;
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix('=') {
            let (literal, after) = split_literal(after.trim_start())?;
            let value = unquote(literal).ok_or_else(|| format!("bad string {literal}"))?;
            labels.push(Label::new(name, value));
            rest = after.trim_start();
        } else if is_quoted {
            labels.push(Label::new(METRIC_NAME, name));
        } else {
            return Err(format!("expected '=' before {rest:?}"));
        }
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
        } else if !rest.starts_with('}') {
            return Err(format!("expected ',' or '}}' before {rest:?}"));
        }
    }
}

fn parse_name(text: &str) -> Result<(String, bool, &str), String> {
    if text.starts_with(['"', '\'', '`']) {
        let (literal, rest) = split_literal(text)?;
        let name = unquote(literal).ok_or_else(|| format!("bad string {literal}"))?;
        return Ok((name, true, rest));
    }
    let end = text.find(|character: char| !is_metric_character(character)).unwrap_or(text.len());
    if end == 0 {
        return Err(format!("expected a label before {text:?}"));
    }
    Ok((text[..end].to_owned(), false, &text[end..]))
}

/// A quoted string, quotes included.
fn split_literal(text: &str) -> Result<(&str, &str), String> {
    let delimiter = text.chars().next().filter(|first| matches!(first, '"' | '\'' | '`'));
    let delimiter = delimiter.ok_or_else(|| format!("expected a string before {text:?}"))?;
    let mut is_escaped = false;
    for (index, character) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if character == '\\' && delimiter != '`' {
            is_escaped = true;
        } else if character == delimiter {
            return Ok(text.split_at(index + 1));
        }
    }
    Err(format!("a string does not end: {text}"))
}

fn parse_points(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = item_end(rest)?;
        parse_item(&rest[..end], &mut points)?;
        rest = rest[end..].trim_start();
    }
    Ok(points)
}

/// Items end at a space, but histograms have spaces inside.
fn item_end(text: &str) -> Result<usize, String> {
    let mut end = 0;
    loop {
        let rest = &text[end..];
        if rest.starts_with("{{") {
            end += rest.find("}}").ok_or_else(|| format!("a histogram does not end: {text}"))? + 2;
        } else {
            match rest.chars().next() {
                None | Some(' ' | '\t') => return Ok(end),
                Some(character) => end += character.len_utf8(),
            }
        }
    }
}

fn parse_item(item: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let bad = || format!("bad value {item:?}");
    if item.starts_with("{{") {
        let after = item.rfind("}}").map_or("", |end| &item[end + 2..]);
        let count = after.strip_prefix('x').map_or(Ok(0), parse_count)?;
        return push_points(points, count + 1, |_| Point::Histogram);
    }
    let (body, count) = match item.rsplit_once('x') {
        Some((body, count)) => (body, Some(parse_count(count)?)),
        None => (item, None),
    };
    if body == "_" {
        return push_points(points, count.unwrap_or(1), |_| Point::Omitted);
    }
    let (start, increment) = split_increment(body).ok_or_else(bad)?;
    if count.is_none() && increment.is_some() {
        return Err(bad());
    }
    let mut value = start;
    push_points(points, count.unwrap_or(0) + 1, |_| {
        let point = Point::Float(value);
        value += increment.unwrap_or(0.0);
        point
    })
}

fn push_points(points: &mut Vec<Point>, count: usize, point: impl FnMut(usize) -> Point) -> Result<(), String> {
    if points.len() + count > POINTS_MAX {
        return Err(format!("more than {POINTS_MAX} points"));
    }
    points.extend((0..count).map(point));
    Ok(())
}

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse::<u32>().map_err(|_| format!("bad repetition {text:?}"))?;
    Ok(count as usize)
}

/// `1e-3+2` is a value and an increment; the sign of an exponent belongs to the value.
fn split_increment(body: &str) -> Option<(f64, Option<f64>)> {
    if body == "stale" {
        return Some((stale_marker(), None));
    }
    let bytes = body.as_bytes();
    let is_split =
        |index: &usize| matches!(bytes[*index], b'+' | b'-') && !matches!(bytes[index - 1], b'e' | b'E' | b'+' | b'-');
    match (1..bytes.len()).find(is_split) {
        None => parse_number(body).map(|value| (value, None)),
        Some(index) => Some((parse_number(&body[..index])?, Some(parse_number(&body[index..])?))),
    }
}

/// A number, or a duration in seconds.
fn parse_number(text: &str) -> Option<f64> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1.0, digits),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let duration = || crate::parser::number::parse_duration(digits).ok().map(|milliseconds| milliseconds as f64 / 1e3);
    parse_float(digits).or_else(duration).map(|value| sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_expand() {
        let (labels, points) =
            parse_series(r#"m{a="x y", 'b.c'="}"} 1 2+3x2 _ _x2 -1-1x1 5x1 stale {{sum:1 count:2}}x1"#).unwrap();
        assert_eq!(labels, Labels::from_pairs(&[("__name__", "m"), ("a", "x y"), ("b.c", "}")]));
        let float = Point::Float;
        let expected = [float(1.0), float(2.0), float(5.0), float(8.0), Point::Omitted, Point::Omitted, Point::Omitted];
        assert_eq!(points[..7], expected);
        assert_eq!(points[7..11], [float(-1.0), float(-2.0), float(5.0), float(5.0)]);
        assert!(matches!(points[11], Point::Float(value) if model::is_stale_marker(value)));
        assert_eq!(points[12..], [Point::Histogram, Point::Histogram]);
    }

    #[test]
    fn numbers_have_signs_and_exponents() {
        let (_, points) = parse_series("{} 1e-3+2e+1x1 -Inf NaN +Inf 0x2").unwrap();
        assert_eq!(points[..3], [Point::Float(0.001), Point::Float(20.001), Point::Float(f64::NEG_INFINITY)]);
        assert_eq!(points.len(), 8);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in ["", "1", "m 1x", "m 1+2", "m{a} 1", "m{a=\"b} 1", "m 1x99999999", "m {{", "m{}1"] {
            assert!(parse_series(line).is_err(), "{line}");
        }
    }
}
