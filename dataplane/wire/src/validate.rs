//! The slow path of a label set that was not seen before: parse, check, and give its canonical form.

use std::borrow::Cow;
use std::cmp::Ordering;

use model::{CanonicalLabels, METRIC_NAME, RejectReason, encode_labels};

use crate::fields::{Fields, Malformed};
use crate::series::label_messages;

/// What a label set may be. Labels without a value do not count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LabelLimits {
    pub labels_max: usize,
    pub name_bytes_max: usize,
    pub value_bytes_max: usize,
}

impl LabelLimits {
    /// For a consumer: the distributor has already decided, and what Kafka holds is taken.
    pub const NONE: Self = Self { labels_max: usize::MAX, name_bytes_max: usize::MAX, value_bytes_max: usize::MAX };
}

/// A label set that is refused, with a sentence that shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LabelRefusal {
    pub reason: RejectReason,
    pub message: String,
}

/// Labels of one series that are looked at, whatever the limits: a message of some megabytes can claim millions of empty ones.
const LABELS_SEEN_MAX: usize = 1 << 16;

/// Writes the canonical form of a run of `labels` fields into `canonical` (cleared first); it equals the run where the run
/// is canonical already. Labels with an empty value are dropped, as Prometheus treats them as absent.
///
/// # Errors
/// The first rule that the labels break.
pub fn canonicalize(label_run: &[u8], limits: &LabelLimits, canonical: &mut Vec<u8>) -> Result<(), LabelRefusal> {
    canonical.clear();
    if is_canonical(label_run, limits) {
        canonical.extend_from_slice(label_run);
        return Ok(());
    }
    let labels = parse(label_run, limits)?;
    check(&labels, limits)?;
    encode_labels(labels.into_iter(), canonical);
    Ok(())
}

/// Holds for what nearly every sender sends; what it denies, the slow way judges and names.
fn is_canonical(label_run: &[u8], limits: &LabelLimits) -> bool {
    let mut labels = CanonicalLabels::new(label_run);
    let (mut previous, mut count, mut has_metric_name) = ("", 0, false);
    for (name, value) in labels.by_ref() {
        let is_fine = previous < name
            && !value.is_empty()
            && name.len() <= limits.name_bytes_max
            && value.len() <= limits.value_bytes_max;
        if !is_fine {
            return false;
        }
        has_metric_name |= name == METRIC_NAME;
        previous = name;
        count += 1;
    }
    labels.is_clean() && has_metric_name && count <= limits.labels_max.min(LABELS_SEEN_MAX)
}

/// The labels that have a value, in their order.
fn parse<'a>(label_run: &'a [u8], limits: &LabelLimits) -> Result<Vec<(&'a str, &'a str)>, LabelRefusal> {
    let labels_max = limits.labels_max.min(LABELS_SEEN_MAX);
    let mut labels = Vec::with_capacity(16);
    let mut surplus = 0;
    for message in label_messages(label_run) {
        let (name, value) = parse_label(message)?;
        match value.is_empty() {
            true => {}
            false if labels.len() < labels_max => labels.push((name, value)),
            false => surplus += 1,
        }
    }
    if surplus > 0 {
        let what = format!("the series has {} labels, the limit is {labels_max}", labels.len() + surplus);
        return Err(refusal_of(RejectReason::TooManyLabels, &what, &labels));
    }
    Ok(labels)
}

/// `LabelPair`: 1 name, 2 value.
fn parse_label(message: &[u8]) -> Result<(&str, &str), LabelRefusal> {
    let refuse = |reason, message: String| Err(LabelRefusal { reason, message });
    let Ok((name, value)) = split_label(message) else {
        return refuse(RejectReason::InvalidLabelName, "a label is no valid message".to_owned());
    };
    let Ok(name) = std::str::from_utf8(name) else {
        let shown = lossy(name);
        return refuse(RejectReason::InvalidLabelName, format!("the label name {shown:?} is not valid UTF-8"));
    };
    let Ok(value) = std::str::from_utf8(value) else {
        let shown = lossy(value);
        return match name {
            METRIC_NAME => {
                refuse(RejectReason::InvalidMetricName, format!("the metric name {shown:?} is not valid UTF-8"))
            }
            _ => refuse(
                RejectReason::InvalidLabelValue,
                format!("the value {shown:?} of the label {:?} is not valid UTF-8", cut(name)),
            ),
        };
    };
    Ok((name, value))
}

fn split_label(message: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next_field()? {
        match number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            _ => {}
        }
    }
    Ok((name, value))
}

fn check(labels: &[(&str, &str)], limits: &LabelLimits) -> Result<(), LabelRefusal> {
    let refuse = |reason, what: String| Err(refusal_of(reason, &what, labels));
    let mut previous = None;
    for (name, value) in labels.iter().copied() {
        if name.is_empty() {
            return refuse(RejectReason::InvalidLabelName, "a label has no name".to_owned());
        }
        if name.len() > limits.name_bytes_max {
            let (bytes, bytes_max) = (name.len(), limits.name_bytes_max);
            let what = format!("the label name {:?} has {bytes} bytes, the limit is {bytes_max}", cut(name));
            return refuse(RejectReason::LabelNameTooLong, what);
        }
        if value.len() > limits.value_bytes_max {
            let (bytes, bytes_max) = (value.len(), limits.value_bytes_max);
            let what = format!("the value of the label {:?} has {bytes} bytes, the limit is {bytes_max}", cut(name));
            return refuse(RejectReason::LabelValueTooLong, what);
        }
        match previous.map(|previous: &str| previous.cmp(name)) {
            None | Some(Ordering::Less) => {}
            Some(Ordering::Equal) => {
                return refuse(RejectReason::DuplicateLabelName, format!("the label {:?} stands twice", cut(name)));
            }
            Some(Ordering::Greater) => {
                let what = format!("labels must be sorted by name, and {:?} is not in order", cut(name));
                return refuse(RejectReason::LabelsNotSorted, what);
            }
        }
        previous = Some(name);
    }
    match labels.iter().any(|(name, _)| *name == METRIC_NAME) {
        true => Ok(()),
        false => refuse(RejectReason::MissingMetricName, "the series has no metric name".to_owned()),
    }
}

/// A name or value in a message is cut after this many bytes, a whole series after some of them.
const SHOWN_BYTES_MAX: usize = 200;
const SHOWN_SERIES_BYTES_MAX: usize = 400;

fn refusal_of(reason: RejectReason, what: &str, labels: &[(&str, &str)]) -> LabelRefusal {
    LabelRefusal { reason, message: format!("{what}: {}", show_labels(labels.iter().copied())) }
}

/// The labels for a message, cut to a bearable length.
pub fn show_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::from("{");
    for (name, value) in labels {
        let comma = if text.len() == 1 { "" } else { ", " };
        if text.len() > SHOWN_SERIES_BYTES_MAX {
            text.push_str(", ...");
            break;
        }
        text.push_str(&format!("{comma}{}={:?}", cut(name), cut(value)));
    }
    text.push('}');
    text
}

fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)])
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= SHOWN_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}...", &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_refused(labels: &[(&str, &str)], expected: RejectReason) {
        let mut run = Vec::new();
        encode_labels(labels.iter().copied(), &mut run);
        let limits = LabelLimits { labels_max: 3, name_bytes_max: 10, value_bytes_max: 10 };
        let refusal = canonicalize(&run, &limits, &mut Vec::new()).expect_err("it breaks a rule");
        assert_eq!(refusal.reason, expected, "{}", refusal.message);
    }

    #[test]
    fn rules_are_held() {
        let name = ("__name__", "up");
        check_refused(&[], RejectReason::MissingMetricName);
        check_refused(&[("__name__", "")], RejectReason::MissingMetricName);
        check_refused(&[name, ("a", "1"), ("b", "1"), ("c", "1")], RejectReason::TooManyLabels);
        check_refused(&[name, ("", "1")], RejectReason::InvalidLabelName);
        check_refused(&[name, ("a1234567890", "1")], RejectReason::LabelNameTooLong);
        check_refused(&[name, ("a", "12345678901")], RejectReason::LabelValueTooLong);
        check_refused(&[name, ("a", "1"), ("a", "2")], RejectReason::DuplicateLabelName);
        check_refused(&[name, ("b", "1"), ("a", "2")], RejectReason::LabelsNotSorted);
    }

    #[test]
    fn limits_are_reached_but_not_passed() {
        let (mut run, mut canonical) = (Vec::new(), Vec::new());
        // Three labels with a value, and one that counts for nothing.
        encode_labels([("__name__", "1234567890"), ("a234567890", "1"), ("b", ""), ("c", "1")].into_iter(), &mut run);
        let limits = LabelLimits { labels_max: 3, name_bytes_max: 10, value_bytes_max: 10 };
        assert_eq!(canonicalize(&run, &limits, &mut canonical), Ok(()));
        assert_eq!(CanonicalLabels::new(&canonical).count(), 3);
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        #[track_caller]
        fn check_bytes(run: &[u8], expected: RejectReason) {
            assert_eq!(canonicalize(run, &LabelLimits::NONE, &mut Vec::new()).unwrap_err().reason, expected);
        }
        check_bytes(b"\x0a\x07\x0a\x01a\x12\x02\xff\xff", RejectReason::InvalidLabelValue);
        check_bytes(b"\x0a\x06\x0a\x01\xff\x12\x01a", RejectReason::InvalidLabelName);
        check_bytes(b"\x0a\x0d\x0a\x08__name__\x12\x01\xff", RejectReason::InvalidMetricName);
        check_bytes(b"\x0a\x02\x0a\x05", RejectReason::InvalidLabelName);
    }

    #[test]
    fn messages_stay_short() {
        let (long, mut run) = ("ä".repeat(100_000), Vec::new());
        encode_labels([("__name__", "up"), (&long, &long)].into_iter(), &mut run);
        let limits = LabelLimits { value_bytes_max: 100, ..LabelLimits::NONE };
        let too_long = canonicalize(&run, &limits, &mut Vec::new()).unwrap_err();
        let mut broken = vec![0x0a, 0xa2, 0x9c, 0x01, 0x0a, 0x9e, 0x9c, 0x01];
        broken.resize(broken.len() + 19_998, 0xff);
        let no_text = canonicalize(&broken, &LabelLimits::NONE, &mut Vec::new()).unwrap_err();
        assert_eq!(
            (too_long.reason, no_text.reason),
            (RejectReason::LabelValueTooLong, RejectReason::InvalidLabelName)
        );
        for message in [too_long.message, no_text.message] {
            assert!(message.len() < 2000, "{}", message.len());
        }
    }

    #[test]
    fn no_more_labels_are_kept_than_the_limit() {
        let one = b"\x0a\x06\x0a\x01a\x12\x01b";
        let refusal = canonicalize(&one.repeat(LABELS_SEEN_MAX + 5), &LabelLimits::NONE, &mut Vec::new()).unwrap_err();
        assert_eq!(refusal.reason, RejectReason::TooManyLabels);
        assert!(refusal.message.contains("has 65541 labels"), "{}", refusal.message);
    }

    proptest! {
        /// The quick judgement and the slow one never differ.
        #[test]
        fn quick_and_slow_judgement_agree(picks in proptest::collection::vec((0usize..7, 0usize..5), 0..6)) {
            let names = ["", "__name__", "a", "b", "c", "name567890", "name5678901"];
            let values = ["", "1", "value", "value67890", "value678901"];
            let (mut run, mut canonical) = (Vec::new(), Vec::new());
            encode_labels(picks.iter().map(|(name, value)| (names[*name], values[*value])), &mut run);
            let limits = LabelLimits { labels_max: 3, name_bytes_max: 10, value_bytes_max: 10 };
            let slow = parse(&run, &limits).and_then(|labels| check(&labels, &limits).map(|()| labels));
            if let Ok(labels) = &slow {
                encode_labels(labels.iter().copied(), &mut canonical);
            }
            prop_assert_eq!(is_canonical(&run, &limits), slow.is_ok() && canonical == run);
        }
    }

    #[test]
    fn other_encodings_become_canonical() {
        let (mut canonical, mut expected) = (Vec::new(), Vec::new());
        // A length in two bytes, value before name, an empty label.
        let run = b"\x0a\x8e\x00\x0a\x08__name__\x12\x02up\x0a\x07\x12\x01x\x0a\x02jo\x0a\x04\x0a\x02zz";
        canonicalize(run, &LabelLimits::NONE, &mut canonical).unwrap();
        encode_labels([("__name__", "up"), ("jo", "x")].into_iter(), &mut expected);
        assert_eq!(canonical, expected);
    }
}
