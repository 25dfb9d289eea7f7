//! Quoted text, as PromQL and Go write it.

use std::fmt::Write as _;

/// Go's `%q` / `strconv.Quote`: double quotes, escapes for what does not print.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        push_escaped(character, '"', &mut quoted);
    }
    quoted.push('"');
    quoted
}

/// Go's `%q` of a single character: single quotes.
pub(crate) fn quote_char(character: char) -> String {
    let mut quoted = String::from("'");
    push_escaped(character, '\'', &mut quoted);
    quoted.push('\'');
    quoted
}

fn push_escaped(character: char, delimiter: char, out: &mut String) {
    match character {
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{b}' => out.push_str("\\v"),
        '\\' => out.push_str("\\\\"),
        _ if character == delimiter => {
            out.push('\\');
            out.push(character);
        }
        _ if character == ' ' || is_printable(character) => out.push(character),
        _ => {
            let code = u32::from(character);
            let written = match code {
                0..0x80 => write!(out, "\\x{code:02x}"),
                0x80..0x1_0000 => write!(out, "\\u{code:04x}"),
                _ => write!(out, "\\U{code:08x}"),
            };
            written.expect("writing to a string");
        }
    }
}

/// Close to Go's `unicode.IsPrint`: no controls, no spaces but the ASCII one, nothing invisible.
fn is_printable(character: char) -> bool {
    !character.is_control()
        && !character.is_whitespace()
        && !matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{10ffff}')
}

/// The text between the quotes of a literal, escapes resolved. `None`: not a literal, or bytes that are no UTF-8.
pub(crate) fn unquote(literal: &str) -> Option<String> {
    let delimiter = literal.chars().next()?;
    let inner = literal.strip_prefix(delimiter)?.strip_suffix(delimiter)?;
    match delimiter {
        '`' => (!inner.contains('`')).then(|| inner.to_owned()),
        '"' | '\'' if !inner.contains('\n') => unescape(inner, delimiter),
        _ => None,
    }
}

fn unescape(inner: &str, delimiter: char) -> Option<String> {
    // Octal and \x escapes give bytes, so the result is checked at the end only.
    let mut bytes = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == delimiter {
            return None;
        }
        if character != '\\' {
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = rest.chars().next()?;
        rest = &rest[escape.len_utf8()..];
        match escape {
            'a' => bytes.push(7),
            'b' => bytes.push(8),
            'f' => bytes.push(12),
            'n' => bytes.push(b'\n'),
            'r' => bytes.push(b'\r'),
            't' => bytes.push(b'\t'),
            'v' => bytes.push(11),
            '\\' => bytes.push(b'\\'),
            _ if escape == delimiter => bytes.push(escape as u8),
            '0'..='7' => {
                let (low, after) = take_digits(rest, 2, 8)?;
                rest = after;
                bytes.push(u8::try_from(escape.to_digit(8)? * 64 + low).ok()?);
            }
            'x' => {
                let (code, after) = take_digits(rest, 2, 16)?;
                rest = after;
                bytes.push(u8::try_from(code).ok()?);
            }
            'u' | 'U' => {
                let (code, after) = take_digits(rest, if escape == 'u' { 4 } else { 8 }, 16)?;
                rest = after;
                bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    String::from_utf8(bytes).ok()
}

fn take_digits(text: &str, count: usize, radix: u32) -> Option<(u32, &str)> {
    let digits = text.get(..count)?;
    let value =
        digits.chars().try_fold(0u32, |value, digit| Some(value.checked_mul(radix)? + digit.to_digit(radix)?))?;
    Some((value, &text[count..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_back() {
        for text in ["", "a\"b", "\n\t\\", "ü 世", "\u{1}\u{200b}", "`'"] {
            assert_eq!(unquote(&quote(text)).as_deref(), Some(text));
        }
    }

    #[test]
    fn resolves_escapes() {
        let cases = [(r#"'\x41\102\u0043\U00000044'"#, Some("ABCD")), ("`a\\n`", Some("a\\n")), (r#""\q""#, None)];
        for (literal, text) in cases {
            assert_eq!(unquote(literal).as_deref(), text, "{literal}");
        }
        assert_eq!(unquote(r#""\xff""#), None);
        assert_eq!(unquote("\"a'"), None);
        assert_eq!(unquote("\""), None);
    }
}
