//! Strings and label sets. Prometheus has two ways to write strings: the text of label sets goes out as it is, all other text with
//! the characters escaped that HTML and JavaScript would stumble over.

use model::Labels;

/// `{"__name__":"up","job":"a"}`
pub(crate) fn push_labels(out: &mut Vec<u8>, labels: &Labels) {
    out.push(b'{');
    for (index, label) in labels.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(out, &label.name);
        out.push(b':');
        push_text(out, &label.value);
    }
    out.push(b'}');
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    push_escaped(out, text, |byte| byte < 0x20 || byte == b'"' || byte == b'\\');
    out.push(b'"');
}

/// A string in which `<`, `>`, `&` and the two line ends of Unicode are escaped.
pub(crate) fn push_text_html(out: &mut Vec<u8>, text: &str) {
    let is_special = |byte: u8| byte < 0x20 || b"\"\\<>&".contains(&byte);
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.find(['\u{2028}', '\u{2029}']) {
        let (before, end) = rest.split_at(at);
        push_escaped(out, before, is_special);
        out.extend_from_slice(if end.starts_with('\u{2028}') { b"\\u2028" } else { b"\\u2029" });
        rest = &end['\u{2028}'.len_utf8()..];
    }
    push_escaped(out, rest, is_special);
    out.push(b'"');
}

/// The text without the quotes around it.
fn push_escaped(out: &mut Vec<u8>, text: &str, is_special: impl Fn(u8) -> bool) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate().filter(|(_, byte)| is_special(**byte)) {
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn two_ways_to_escape() {
        let text = "a\"b\\c\n\r\t\u{8}\u{1f}\u{7f}<&>ü\u{2028}\u{2029}\0";
        let label = r#""a\"b\\c\n\r\t\u0008\u001f"#.to_owned() + "\u{7f}<&>ü\u{2028}\u{2029}" + r#"\u0000""#;
        assert_eq!(written(|out| push_text(out, text)), label);
        let other = r#""a\"b\\c\n\r\t\u0008\u001f"#.to_owned() + "\u{7f}" + r#"\u003c\u0026\u003eü\u2028\u2029\u0000""#;
        assert_eq!(written(|out| push_text_html(out, text)), other);
    }

    #[test]
    fn label_sets_are_objects() {
        let labels = Labels::from_pairs(&[("job", "a\"b"), ("__name__", "up")]);
        assert_eq!(written(|out| push_labels(out, &labels)), r#"{"__name__":"up","job":"a\"b"}"#);
        assert_eq!(written(|out| push_labels(out, &Labels::default())), "{}");
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in any::<String>(), ends in "[\u{0}\u{2028}\u{2029}<\\\\\"]{0,6}") {
            let text = text + &ends;
            for json in [written(|out| push_text(out, &text)), written(|out| push_text_html(out, &text))] {
                prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
            }
        }
    }
}
