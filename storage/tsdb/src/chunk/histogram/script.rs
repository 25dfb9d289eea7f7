//! Reads `golden.txt`: samples, what became of them, and the bytes of Prometheus. The format stands in its head.

use model::{CounterResetHint, FloatHistogram, HistogramLayout, IntHistogram, NativeHistogram, Span};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Int,
    Float,
    IntWithStart,
    FloatWithStart,
}

#[derive(Clone, Debug)]
pub struct ScriptSample<H> {
    pub start_ms: i64,
    pub timestamp_ms: i64,
    pub histogram: H,
}

/// One line of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// Which sample of the case, and what became of it.
    Append(usize, &'static str),
    Cut,
    Chunk(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub kind: Kind,
    pub name: &'static str,
    pub ints: Vec<ScriptSample<IntHistogram>>,
    pub floats: Vec<ScriptSample<FloatHistogram>>,
    pub steps: Vec<Step>,
}

/// All cases, in the order of the file.
pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("golden.txt").lines().filter(|line| !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("case ") {
            let case = open_case(title, cases.last());
            cases.push(case);
            continue;
        }
        let case = cases.last_mut().expect("a case before its lines");
        case.read(line);
    }
    cases
}

fn open_case(title: &'static str, before: Option<&Case>) -> Case {
    let (kind, name) = title.split_once(' ').unwrap();
    let kind = match kind {
        "int" => Kind::Int,
        "float" => Kind::Float,
        "int_start" => Kind::IntWithStart,
        "float_start" => Kind::FloatWithStart,
        _ => panic!("{title}"),
    };
    let mut case = Case { kind, name, ints: Vec::new(), floats: Vec::new(), steps: Vec::new() };
    if kind == Kind::Float {
        let before = before.unwrap();
        assert_eq!((before.kind, before.name), (Kind::Int, name));
        case.floats.extend(before.ints.iter().map(|sample| ScriptSample {
            start_ms: sample.start_ms,
            timestamp_ms: sample.timestamp_ms,
            histogram: sample.histogram.to_float(),
        }));
    }
    case
}

impl Case {
    fn read(&mut self, line: &'static str) {
        if let Some(bytes) = line.strip_prefix("chunk ") {
            return self.steps.push(Step::Chunk(unhex(bytes)));
        }
        if line == "cut" {
            return self.steps.push(Step::Cut);
        }
        let (sample, outcome) = line.split_once("= ").unwrap();
        let index = self.steps.iter().filter(|step| matches!(step, Step::Append(..))).count();
        match self.kind {
            Kind::Int | Kind::IntWithStart => self.ints.push(read_sample(sample, read_int, read_int)),
            Kind::FloatWithStart => self.floats.push(read_sample(sample, read_float, read_float)),
            Kind::Float => assert!(sample.is_empty()),
        }
        self.steps.push(Step::Append(index, outcome));
    }
}

fn read_sample<C: model::HistogramCount>(
    line: &str,
    count: impl Fn(&str) -> C,
    bucket: impl Fn(&str) -> C::Bucket,
) -> ScriptSample<NativeHistogram<C>> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [start, at, hint, schema, threshold, observed, zeros, sum, pspans, positive, nspans, negative, bounds] =
        fields[..].try_into().expect(line);
    let histogram = NativeHistogram {
        layout: HistogramLayout {
            schema: read_int(schema),
            zero_threshold: read_float(threshold),
            positive_spans: list(pspans, read_span),
            negative_spans: list(nspans, read_span),
            custom_bounds: list(bounds, read_float),
        },
        counter_reset_hint: match hint {
            "u" => CounterResetHint::Unknown,
            "c" => CounterResetHint::CounterReset,
            "n" => CounterResetHint::NotCounterReset,
            "g" => CounterResetHint::Gauge,
            _ => panic!("{hint}"),
        },
        count: count(observed),
        zero_count: count(zeros),
        sum: read_float(sum),
        positive_buckets: list(positive, &bucket),
        negative_buckets: list(negative, &bucket),
    };
    ScriptSample { start_ms: read_int(start), timestamp_ms: read_int(at), histogram }
}

fn list<T>(field: &str, read: impl Fn(&str) -> T) -> Vec<T> {
    if field == "-" { Vec::new() } else { field.split(',').map(read).collect() }
}

fn read_int<T: std::str::FromStr<Err = std::num::ParseIntError>>(field: &str) -> T {
    field.parse().unwrap()
}

fn read_float(field: &str) -> f64 {
    f64::from_bits(u64::from_str_radix(field, 16).unwrap())
}

fn read_span(field: &str) -> Span {
    let (offset, length) = field.split_once(':').unwrap();
    Span { offset: read_int(offset), length: read_int(length) }
}

pub fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}
