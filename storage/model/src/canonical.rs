//! The canonical bytes of a label set: what is fingerprinted, logged and kept as a series' definition.
//!
//! Format (the `labels` fields of a remote write 1 `TimeSeries`): for each label, sorted by name,
//! `0a <len> 0a <name len> <name> 12 <value len> <value>`, lengths as shortest protobuf varints, both strings valid UTF-8.

use crate::{Label, Labels};

/// Appends the canonical form of sorted, unique labels to `out`.
pub fn encode_labels<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, out: &mut Vec<u8>) {
    for (name, value) in labels {
        let inner = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
        out.push(0x0a);
        put_varint(inner, out);
        out.push(0x0a);
        put_varint(name.len(), out);
        out.extend_from_slice(name.as_bytes());
        out.push(0x12);
        put_varint(value.len(), out);
        out.extend_from_slice(value.as_bytes());
    }
}

/// The labels of canonical bytes, in order. Ends at the first byte that is not canonical: see [`CanonicalLabels::is_clean`].
#[derive(Clone)]
pub struct CanonicalLabels<'a> {
    rest: &'a [u8],
    is_clean: bool,
}

impl<'a> CanonicalLabels<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, is_clean: true }
    }

    /// False once something that is not a canonical label was met. Order and uniqueness are not looked at.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.is_clean
    }

    /// Builds the label set that results show.
    #[must_use]
    pub fn to_labels(&self) -> Labels {
        Labels::new(self.clone().map(|(name, value)| Label::new(name, value)).collect())
    }

    fn take(&mut self) -> Option<(&'a str, &'a str)> {
        let rest = expect(self.rest, 0x0a)?;
        let (inner_len, rest) = take_varint(rest)?;
        let (inner, rest) = rest.split_at_checked(inner_len)?;
        let (name, inner) = take_text(expect(inner, 0x0a)?)?;
        let (value, inner) = take_text(expect(inner, 0x12)?)?;
        if !inner.is_empty() {
            return None;
        }
        self.rest = rest;
        Some((name, value))
    }
}

impl<'a> Iterator for CanonicalLabels<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() || !self.is_clean {
            return None;
        }
        let label = self.take();
        self.is_clean = label.is_some();
        label
    }
}

fn expect(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    bytes.split_first().filter(|(first, _)| **first == tag).map(|(_, rest)| rest)
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = take_varint(bytes)?;
    let (text, rest) = rest.split_at_checked(len)?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// A length of at most 2^28 - 1 in its shortest form.
fn take_varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let is_shortest = index == 0 || *byte != 0;
            return is_shortest.then(|| (value, &bytes[index + 1..]));
        }
    }
    None
}

fn put_varint(mut value: usize, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_labels(pairs.iter().copied(), &mut bytes);
        bytes
    }

    #[test]
    fn matches_the_bytes_of_a_remote_write_series() {
        let expected = b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x0b\x0a\x03job\x12\x04node";
        assert_eq!(encoded(&[("__name__", "up"), ("job", "node")]), expected);
    }

    #[test]
    fn reads_back_what_it_wrote() {
        let long = "v".repeat(300);
        let pairs = [("__name__", "up"), ("long", long.as_str())];
        let bytes = encoded(&pairs);
        let mut labels = CanonicalLabels::new(&bytes);
        assert!(labels.by_ref().eq(pairs) && labels.is_clean());
    }

    #[test]
    fn damage_ends_the_iteration() {
        let bytes = encoded(&[("a", "b"), ("c", "d")]);
        for len in 1..bytes.len() {
            let mut labels = CanonicalLabels::new(&bytes[..len]);
            let count = labels.by_ref().count();
            assert!(count == 0 || len >= 8, "{len}");
            assert_eq!(labels.is_clean(), len == 8, "{len}");
        }
    }
}
