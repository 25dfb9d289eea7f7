//! Lines to commands. A comment or an empty line ends a block.

use regex_automata::meta::Regex;

use super::points::{parse_metric, parse_series};
use super::{Command, Evaluation, Expectation, Expected, Load, LoadedSeries, Pattern, Point, ScriptError, Times};
use crate::RangeTimes;
use crate::number::parse_float;
use crate::parser::number::parse_duration;
use crate::text::unquote;

type Parsed<T> = Result<T, String>;

/// Most points that all `load` commands together may ask for.
const SCRIPT_POINTS_MAX: usize = 4_000_000;

pub(super) fn parse(text: &str) -> Result<Vec<Command>, ScriptError> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).map(|line| if line.starts_with('#') { "" } else { line }).collect();
    let mut commands = Vec::new();
    let (mut next, mut points) = (0, 0);
    while let Some(line) = lines.get(next) {
        if line.is_empty() {
            next += 1;
            continue;
        }
        let block_end = lines[next..].iter().position(|line| line.is_empty()).map_or(lines.len(), |count| next + count);
        let block = Block { lines: &lines[next..block_end], first: next + 1 };
        let (command, used) = block.command()?;
        if let Command::Load(load) = &command {
            points += load.series.iter().map(|series| series.points.len()).sum::<usize>();
            if points > SCRIPT_POINTS_MAX {
                return Err(block.error(0, format!("more than {SCRIPT_POINTS_MAX} points in the script")));
            }
        }
        commands.push(command);
        next += used;
    }
    Ok(commands)
}

/// Lines up to the next empty one, beginning with a command.
struct Block<'a> {
    lines: &'a [&'a str],
    /// Number of the first line.
    first: usize,
}

impl Block<'_> {
    fn error(&self, index: usize, message: String) -> ScriptError {
        ScriptError { line: self.first + index, message }
    }

    /// The command and how many lines it has.
    fn command(&self) -> Result<(Command, usize), ScriptError> {
        let word = self.lines[0].split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        if word == "clear" {
            return Ok((Command::Clear, 1));
        }
        if word.starts_with("load") {
            return self.load().map(|load| (Command::Load(load), self.lines.len()));
        }
        if word.starts_with("eval") {
            let mut evaluation = parse_evaluation(self.lines[0], self.first).map_err(|error| self.error(0, error))?;
            for (index, line) in self.lines.iter().enumerate().skip(1) {
                parse_expected(line, &mut evaluation.expected).map_err(|error| self.error(index, error))?;
            }
            return Ok((Command::Evaluate(Box::new(evaluation)), self.lines.len()));
        }
        Err(self.error(0, format!("no command: {}", self.lines[0])))
    }

    fn load(&self) -> Result<Load, ScriptError> {
        let mut words = self.lines[0].split_whitespace();
        let with_custom_buckets = words.next() == Some("load_with_nhcb");
        let step = words.next().unwrap_or_default();
        let step_ms = parse_duration(step).map_err(|error| self.error(0, error))?;
        let mut load = Load { step_ms, series: Vec::new(), with_custom_buckets };
        let mut has_start_timestamps = false;
        for (index, line) in self.lines.iter().enumerate().skip(1) {
            if is_start_timestamp_line(line) {
                has_start_timestamps = true;
                continue;
            }
            let (labels, points) = parse_series(line).map_err(|error| self.error(index, error))?;
            load.series.push(LoadedSeries { labels, points, has_start_timestamps });
            has_start_timestamps = false;
        }
        Ok(load)
    }
}

/// `metric{...}@st -1m ...`: start timestamps of the series in the line below.
fn is_start_timestamp_line(line: &str) -> bool {
    parse_metric(line).is_ok_and(|(_, rest)| rest.starts_with("@st"))
}

/// `eval instant at 5m query` or `eval range from 0 to 10m step 1m query`
fn parse_evaluation(line: &str, number: usize) -> Parsed<Evaluation> {
    let mut words = Words { rest: line };
    let command = words.next();
    let mut expected = Expected::default();
    match command.strip_prefix("eval").unwrap_or_default() {
        "" => {}
        "_fail" => expected.failure = Some(Expectation::Anything),
        "_warn" => expected.warnings.push(Expectation::Anything),
        "_info" => expected.infos.push(Expectation::Anything),
        "_ordered" => expected.is_ordered = true,
        _ => return Err(format!("no command: {command}")),
    }
    let times = match words.next() {
        "instant" => {
            words.expect("at")?;
            Times::Instant(parse_duration(words.next())?)
        }
        "range" => Times::Range(parse_range(&mut words)?),
        other => return Err(format!("expected 'instant' or 'range', not {other:?}")),
    };
    let query = words.rest.trim().to_owned();
    Ok(Evaluation { line: number, query, times, expected })
}

fn parse_range(words: &mut Words<'_>) -> Parsed<RangeTimes> {
    words.expect("from")?;
    let start_ms = parse_duration(words.next())?;
    words.expect("to")?;
    let end_ms = parse_duration(words.next())?;
    words.expect("step")?;
    let step_ms = parse_duration(words.next())?;
    Ok(RangeTimes { start_ms, end_ms, step_ms })
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        let (word, rest) = text.split_at(end);
        self.rest = rest;
        word
    }

    fn expect(&mut self, expected: &str) -> Parsed<()> {
        let word = self.next();
        if word == expected { Ok(()) } else { Err(format!("expected {expected:?}, not {word:?}")) }
    }
}

fn parse_expected(line: &str, expected: &mut Expected) -> Parsed<()> {
    if let Some(message) = line.strip_prefix("expected_fail_message") {
        expected.failure = Some(Expectation::Message(message.trim().to_owned()));
        return Ok(());
    }
    if let Some(pattern) = line.strip_prefix("expected_fail_regexp") {
        expected.failure = Some(compile(pattern.trim())?);
        return Ok(());
    }
    if line.split_whitespace().next() == Some("expect") {
        return parse_expect(line["expect".len()..].trim(), expected);
    }
    if let Some(value) = parse_float(line) {
        expected.scalar = Some(Point::Float(value));
        return Ok(());
    }
    expected.series.push(parse_series(line)?);
    Ok(())
}

fn parse_expect(text: &str, expected: &mut Expected) -> Parsed<()> {
    let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let rest = rest.trim();
    match kind {
        "ordered" => expected.is_ordered = true,
        "no_warn" => expected.no_warnings = true,
        "no_info" => expected.no_infos = true,
        "fail" => expected.failure = Some(parse_expectation(rest)?),
        "warn" => expected.warnings.push(parse_expectation(rest)?),
        "info" => expected.infos.push(parse_expectation(rest)?),
        "string" => {
            let string = unquote(rest).filter(|_| !rest.starts_with('\''));
            expected.string = Some(string.ok_or_else(|| format!("bad string {rest}"))?);
        }
        "range" => {
            let mut words = Words { rest };
            words.expect("vector")?;
            expected.range_vector = Some(parse_range(&mut words)?);
        }
        _ => return Err(format!("nothing to expect: {text}")),
    }
    Ok(())
}

fn parse_expectation(text: &str) -> Parsed<Expectation> {
    if let Some(message) = text.strip_prefix("msg:") {
        return Ok(Expectation::Message(message.trim().to_owned()));
    }
    if let Some(pattern) = text.strip_prefix("regex:") {
        return compile(pattern.trim());
    }
    if text.is_empty() { Ok(Expectation::Anything) } else { Err(format!("expected 'msg:' or 'regex:', not {text:?}")) }
}

fn compile(text: &str) -> Parsed<Expectation> {
    let regex = Regex::new(text).map_err(|error| error.to_string())?;
    Ok(Expectation::Pattern(Pattern { text: text.to_owned(), regex }))
}
