//! The topics in a consumer's subscription: what a member of a group of type `consumer` says when it joins.
//!
//! Source: Apache Kafka's `ConsumerProtocolSubscription.json`. Only the head of it is read: version, then the list of topics.

use bytes::Buf;

/// The topics that are subscribed to; none where the bytes are no subscription.
pub(super) fn topics(mut bytes: &[u8]) -> Vec<&str> {
    read(&mut bytes).unwrap_or_default()
}

fn read<'a>(bytes: &mut &'a [u8]) -> Option<Vec<&'a str>> {
    let _version = bytes.try_get_i16().ok()?;
    let count = usize::try_from(bytes.try_get_i32().ok()?).ok()?;
    let mut topics = Vec::new();
    for _ in 0..count {
        let len = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let (topic, rest) = bytes.split_at_checked(len)?;
        topics.push(std::str::from_utf8(topic).ok()?);
        *bytes = rest;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &[&str]) {
        assert_eq!(topics(bytes), expected, "{bytes:?}");
    }

    #[test]
    fn topics_are_read_and_garbage_is_none() {
        check(b"\0\x01\0\0\0\x02\0\x01a\0\x02bc\xff\xff\xff\xff", &["a", "bc"]);
        check(b"\0\x03\0\0\0\0", &[]);
        check(b"", &[]);
        check(b"\0\x01\x7f\xff\xff\xff\0\x01a", &[]);
        check(b"\0\x01\xff\xff\xff\xff", &[]);
        check(b"\0\x01\0\0\0\x01\x7f\xffa", &[]);
        check(b"\0\x01\0\0\0\x01\0\x01\xff", &[]);
    }
}
