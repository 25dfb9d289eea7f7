//! The slow path of a label set that was not seen before: parse, check, and give its canonical form.

use model::{METRIC_NAME, RejectReason, encode_labels};

use crate::fields::Fields;
use crate::series::label_messages;

/// What a label set may be.
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

/// Writes the canonical form of a run of `labels` fields into `canonical` (cleared first). Labels with an empty value are
/// dropped, as Prometheus treats them as absent.
///
/// # Errors
/// The first rule that the labels break.
pub fn canonicalize(label_run: &[u8], limits: &LabelLimits, canonical: &mut Vec<u8>) -> Result<(), LabelRefusal> {
    canonical.clear();
    let mut labels: Vec<(&str, &str)> = Vec::with_capacity(16);
    for message in label_messages(label_run) {
        labels.push(parse_label(message)?);
    }
    check(&labels, limits)?;
    encode_labels(labels.iter().copied().filter(|(_, value)| !value.is_empty()), canonical);
    Ok(())
}

/// `LabelPair`: 1 name, 2 value.
fn parse_label(message: &[u8]) -> Result<(&str, &str), LabelRefusal> {
    let refuse = |reason, message: &str| LabelRefusal { reason, message: message.to_owned() };
    let mut fields = Fields::new(message);
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    loop {
        match fields
            .next_field()
            .and_then(|field| field.map(|(number, value)| Ok((number, value.bytes()?))).transpose())
        {
            Ok(None) => break,
            Ok(Some((1, bytes))) => name = bytes,
            Ok(Some((2, bytes))) => value = bytes,
            Ok(Some(_)) => {}
            Err(_) => return Err(refuse(RejectReason::InvalidLabelName, "a label is no valid message")),
        }
    }
    let name = std::str::from_utf8(name).map_err(|_| {
        refuse(
            RejectReason::InvalidLabelName,
            &format!("the label name {:?} is not valid UTF-8", String::from_utf8_lossy(name)),
        )
    })?;
    let value = std::str::from_utf8(value).map_err(|_| {
        refuse(RejectReason::InvalidLabelValue, &format!("the value of label {name:?} is not valid UTF-8"))
    })?;
    Ok((name, value))
}

fn check(labels: &[(&str, &str)], limits: &LabelLimits) -> Result<(), LabelRefusal> {
    let refuse = |reason, what: &str| Err(LabelRefusal { reason, message: format!("{what}: {}", shown(labels)) });
    if labels.len() > limits.labels_max {
        let what = format!("the series has {} labels, the limit is {}", labels.len(), limits.labels_max);
        return refuse(RejectReason::TooManyLabels, &what);
    }
    for (index, (name, value)) in labels.iter().enumerate() {
        if name.is_empty() {
            return refuse(RejectReason::InvalidLabelName, "a label has no name");
        }
        if name.len() > limits.name_bytes_max {
            let what = format!("a label name has {} bytes, the limit is {}", name.len(), limits.name_bytes_max);
            return refuse(RejectReason::LabelNameTooLong, &what);
        }
        if value.len() > limits.value_bytes_max {
            let (bytes, bytes_max) = (value.len(), limits.value_bytes_max);
            return refuse(
                RejectReason::LabelValueTooLong,
                &format!("the value of {name:?} has {bytes} bytes, the limit is {bytes_max}"),
            );
        }
        if let Some((before, _)) = index.checked_sub(1).map(|before| labels[before]) {
            if before == *name {
                return refuse(RejectReason::DuplicateLabelName, &format!("the label {name:?} stands twice"));
            }
            if before > *name {
                return refuse(RejectReason::LabelsNotSorted, &format!("the label {name:?} is not in order"));
            }
        }
    }
    match labels.iter().find(|(name, _)| *name == METRIC_NAME) {
        Some((_, value)) if !value.is_empty() => Ok(()),
        _ => refuse(RejectReason::MissingMetricName, "the series has no metric name"),
    }
}

/// The labels for a message, cut to a bearable length.
fn shown(labels: &[(&str, &str)]) -> String {
    const CHARS_MAX: usize = 300;
    let mut text = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}{name}={value:?}"));
        if text.len() > CHARS_MAX {
            return text.chars().take(CHARS_MAX).chain("...}".chars()).collect();
        }
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
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
    fn bytes_that_are_no_text_are_refused() {
        let run = b"\x0a\x07\x0a\x01a\x12\x02\xff\xff";
        let refusal = canonicalize(run, &LabelLimits::NONE, &mut Vec::new()).unwrap_err();
        assert_eq!(refusal.reason, RejectReason::InvalidLabelValue);
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
