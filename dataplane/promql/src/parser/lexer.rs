//! Cuts a query into words. Follows the modes of Prometheus' lexer (outside, inside braces, at the start of brackets), since
//! they decide what is a word and which message an error gets. Never fails: an error is the last token.

use super::number;
use super::token::{Keyword, Token, TokenKind, duration_keyword, word_kind};
use crate::Position;
use crate::ast::BinaryOp;
use crate::text::quote_char;

/// The words of a query; the last is `End` or `Error`.
pub(super) struct Tokens<'a> {
    pub list: Vec<Token<'a>>,
    /// Place and message, where the last token is `Error`.
    pub error: Option<(Position, String)>,
}

pub(super) fn lex(query: &str) -> Tokens<'_> {
    let mut lexer = Lexer { query, at: 0, start: 0, tokens: Vec::new(), parens: 0, mode: Mode::default() };
    let mut error = None;
    loop {
        match lexer.step() {
            Ok(Progress::More) => {}
            Ok(Progress::Done) => break,
            Err(message) => {
                error = Some((Position::new(lexer.start, query.len()), message));
                lexer.tokens.push(Token { kind: TokenKind::Error, start: lexer.start, text: "" });
                break;
            }
        }
    }
    Tokens { list: lexer.tokens, error }
}

enum Progress {
    More,
    Done,
}

struct Lexer<'a> {
    query: &'a str,
    /// Next byte to read.
    at: usize,
    /// First byte of the word that is being read.
    start: usize,
    tokens: Vec<Token<'a>>,
    parens: usize,
    mode: Mode,
}

#[derive(Default)]
struct Mode {
    is_brace_open: bool,
    is_bracket_open: bool,
    /// Between `[` and the first number, where only durations may stand.
    is_duration: bool,
    has_colon: bool,
    has_duration: bool,
}

type Step = Result<Progress, String>;

impl<'a> Lexer<'a> {
    fn step(&mut self) -> Step {
        self.start = self.at;
        if self.mode.is_duration {
            self.duration_start()
        } else if self.mode.is_brace_open {
            self.inside_braces()
        } else {
            self.outside()
        }
    }

    fn rest(&self) -> &'a str {
        &self.query[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let character = self.peek()?;
        self.at += character.len_utf8();
        Some(character)
    }

    fn skip_while(&mut self, accept: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&accept) {
            self.next();
        }
    }

    fn emit(&mut self, kind: TokenKind) -> Step {
        self.tokens.push(Token { kind, start: self.start, text: &self.query[self.start..self.at] });
        Ok(Progress::More)
    }

    /// Prometheus reports some characters at the place behind them.
    fn behind(&mut self, message: &str) -> Step {
        self.start = self.at;
        Err(message.to_owned())
    }

    fn skip_comment(&mut self) -> Step {
        self.skip_while(|character| character != '\n' && character != '\r');
        Ok(Progress::More)
    }

    fn outside(&mut self) -> Step {
        if self.peek() == Some('#') {
            return self.skip_comment();
        }
        let Some(character) = self.next() else { return self.finish() };
        match character {
            ',' => self.emit(TokenKind::Comma),
            _ if is_space(character) => {
                self.skip_while(is_space);
                Ok(Progress::More)
            }
            '@' => self.emit(TokenKind::At),
            '(' | ')' | '{' | '[' | ']' => self.bracket(character),
            '"' | '\'' => self.string(character),
            '`' => self.raw_string(),
            '=' | '!' | '<' | '>' | '*' | '/' | '%' | '+' | '-' | '^' => self.operator(character),
            _ if self.is_number_start(character) => {
                self.at = self.start;
                self.number_or_duration()
            }
            _ if is_alpha(character) || character == ':' => {
                if self.mode.is_bracket_open {
                    self.word_in_brackets(character)
                } else {
                    self.word()
                }
            }
            _ => Err(format!("unexpected character: {}", quote_char(character))),
        }
    }

    fn finish(&mut self) -> Step {
        if self.parens != 0 {
            return Err("unclosed left parenthesis".to_owned());
        }
        if self.mode.is_bracket_open {
            return Err("unclosed left bracket".to_owned());
        }
        self.emit(TokenKind::End)?;
        Ok(Progress::Done)
    }

    fn bracket(&mut self, character: char) -> Step {
        match character {
            '(' => {
                self.parens += 1;
                self.emit(TokenKind::LeftParen)
            }
            ')' if self.parens == 0 => self.behind("unexpected right parenthesis ')'"),
            ')' => {
                self.parens -= 1;
                self.emit(TokenKind::RightParen)
            }
            '{' => {
                self.mode.is_brace_open = true;
                self.emit(TokenKind::LeftBrace)
            }
            '[' if self.mode.is_bracket_open => Err("unexpected left bracket '['".to_owned()),
            '[' => {
                self.emit(TokenKind::LeftBracket)?;
                self.skip_while(is_space);
                self.mode.has_colon = false;
                self.mode.is_bracket_open = true;
                self.mode.is_duration = true;
                Ok(Progress::More)
            }
            _ if !self.mode.is_bracket_open => Err("unexpected right bracket ']'".to_owned()),
            _ => {
                self.mode.is_bracket_open = false;
                self.emit(TokenKind::RightBracket)
            }
        }
    }

    fn operator(&mut self, character: char) -> Step {
        let next = self.peek();
        let (length, kind) = match (character, next) {
            ('=', Some('=')) => (1, TokenKind::Operator(BinaryOp::Equal)),
            ('=', Some('~')) => return Err("unexpected character after '=': '~'".to_owned()),
            ('=', _) => (0, TokenKind::Assign),
            ('!', Some('=')) => (1, TokenKind::Operator(BinaryOp::NotEqual)),
            ('!', other) => {
                let found = quote_char(other.unwrap_or(char::REPLACEMENT_CHARACTER));
                return Err(format!("unexpected character after '!': {found}"));
            }
            ('<', Some('=')) => (1, TokenKind::Operator(BinaryOp::LessEqual)),
            ('<', Some('/')) => (1, TokenKind::Operator(BinaryOp::TrimUpper)),
            ('<', _) => (0, TokenKind::Operator(BinaryOp::Less)),
            ('>', Some('=')) => (1, TokenKind::Operator(BinaryOp::GreaterEqual)),
            ('>', Some('/')) => (1, TokenKind::Operator(BinaryOp::TrimLower)),
            ('>', _) => (0, TokenKind::Operator(BinaryOp::Greater)),
            _ => (0, TokenKind::Operator(arithmetic(character))),
        };
        self.at += length;
        self.emit(kind)
    }

    fn is_number_start(&self, character: char) -> bool {
        character.is_ascii_digit() || character == '.' && self.peek().is_some_and(|next| next.is_ascii_digit())
    }

    fn number_or_duration(&mut self) -> Step {
        let (length, kind) = number::scan(self.rest());
        self.at += length;
        match kind {
            number::Scanned::Number => self.emit(TokenKind::Number),
            number::Scanned::Duration => self.emit(TokenKind::Duration),
            number::Scanned::Bad => {
                let text = crate::text::quote(&self.query[self.start..self.at]);
                Err(format!("bad number or duration syntax: {text}"))
            }
        }
    }

    fn word(&mut self) -> Step {
        self.skip_while(|character| is_alphanumeric(character) || character == ':');
        let text = &self.query[self.start..self.at];
        match word_kind(text) {
            Some(TokenKind::Keyword(Keyword::Fill | Keyword::FillLeft | Keyword::FillRight))
                if !self.rest().trim_start_matches(is_space).starts_with('(') =>
            {
                self.emit(TokenKind::Identifier)
            }
            Some(kind) => self.emit(kind),
            None if text.contains(':') => self.emit(TokenKind::MetricIdentifier),
            None => self.emit(TokenKind::Identifier),
        }
    }

    fn word_in_brackets(&mut self, first: char) -> Step {
        if first == ':' {
            if self.mode.has_colon {
                return Err("unexpected colon ':'".to_owned());
            }
            self.mode.has_colon = true;
            return self.emit(TokenKind::Colon);
        }
        match self.duration_word(first) {
            Some(keyword) => self.emit(TokenKind::Keyword(keyword)),
            None => Err(format!("unexpected character: {}, expected ':'", quote_char(first))),
        }
    }

    fn duration_word(&mut self, first: char) -> Option<Keyword> {
        if !matches!(first.to_ascii_lowercase(), 's' | 'r' | 'm') {
            return None;
        }
        self.skip_while(is_alpha);
        duration_keyword(&self.query[self.start..self.at].to_ascii_lowercase())
    }

    /// After `[`, up to the first number.
    fn duration_start(&mut self) -> Step {
        let Some(character) = self.next() else {
            return Err("unexpected end of input in duration expression".to_owned());
        };
        match character {
            ']' => {
                self.mode.is_bracket_open = false;
                self.mode.is_duration = false;
                self.mode.has_colon = false;
                self.emit(TokenKind::RightBracket)
            }
            ':' if !self.mode.has_duration => self.behind("unexpected colon before duration in duration expression"),
            ':' if self.mode.has_colon => self.behind("unexpected repeated colon in duration expression"),
            ':' => {
                self.mode.has_colon = true;
                self.emit(TokenKind::Colon)
            }
            '(' | ')' => self.bracket(character),
            ',' => self.emit(TokenKind::Comma),
            _ if is_space(character) => {
                self.skip_while(is_space);
                Ok(Progress::More)
            }
            '+' | '-' | '*' | '/' | '%' | '^' => self.emit(TokenKind::Operator(arithmetic(character))),
            _ if self.is_number_start(character) => {
                self.at = self.start;
                self.mode.has_duration = true;
                self.mode.is_duration = false;
                self.number_or_duration()
            }
            _ => match self.duration_word(character) {
                Some(keyword) => self.emit(TokenKind::Keyword(keyword)),
                None => Err(format!("unexpected character in duration expression: {}", quote_char(character))),
            },
        }
    }

    fn inside_braces(&mut self) -> Step {
        if self.peek() == Some('#') {
            return self.skip_comment();
        }
        let Some(character) = self.next() else {
            return Err("unexpected end of input inside braces".to_owned());
        };
        match character {
            _ if is_space(character) => {
                self.skip_while(is_space);
                Ok(Progress::More)
            }
            _ if is_alpha(character) => {
                self.skip_while(is_alphanumeric);
                self.emit(TokenKind::Identifier)
            }
            ',' => self.emit(TokenKind::Comma),
            '"' | '\'' => self.string(character),
            '`' => self.raw_string(),
            '=' if self.peek() == Some('~') => {
                self.at += 1;
                self.emit(TokenKind::EqualRegex)
            }
            '=' => self.emit(TokenKind::Assign),
            '!' => match self.next() {
                Some('~') => self.emit(TokenKind::NotRegex),
                Some('=') => self.emit(TokenKind::Operator(BinaryOp::NotEqual)),
                other => {
                    let found = quote_char(other.unwrap_or(char::REPLACEMENT_CHARACTER));
                    Err(format!("unexpected character after '!' inside braces: {found}"))
                }
            },
            '{' => Err("unexpected left brace '{'".to_owned()),
            '}' => {
                self.mode.is_brace_open = false;
                self.emit(TokenKind::RightBrace)
            }
            _ => Err(format!("unexpected character inside braces: {}", quote_char(character))),
        }
    }

    fn string(&mut self, delimiter: char) -> Step {
        loop {
            match self.next() {
                None | Some('\n') => return Err("unterminated quoted string".to_owned()),
                Some('\\') => self.escape(delimiter)?,
                Some(character) if character == delimiter => return self.emit(TokenKind::String),
                Some(_) => {}
            }
        }
    }

    /// Checks an escape sequence; its value is worked out by the parser.
    fn escape(&mut self, delimiter: char) -> Result<(), String> {
        let unterminated = || "escape sequence not terminated".to_owned();
        let escape = self.next().ok_or_else(unterminated)?;
        let (count, radix, code_max) = match escape {
            'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\' => return Ok(()),
            _ if escape == delimiter => return Ok(()),
            '0'..='7' => {
                self.at -= 1;
                (3, 8, 255)
            }
            'x' => (2, 16, 255),
            'u' => (4, 16, u32::from(char::MAX)),
            'U' => (8, 16, u32::from(char::MAX)),
            _ => return Err(format!("unknown escape sequence {}", code_point(escape))),
        };
        let mut code = 0u64;
        for _ in 0..count {
            let digit = self.next().ok_or_else(unterminated)?;
            let value = digit
                .to_digit(radix)
                .ok_or_else(|| format!("illegal character {} in escape sequence", code_point(digit)))?;
            code = code * u64::from(radix) + u64::from(value);
        }
        if code > u64::from(code_max) || (0xd800..0xe000).contains(&code) {
            return Err("escape sequence is an invalid Unicode code point".to_owned());
        }
        Ok(())
    }

    fn raw_string(&mut self) -> Step {
        match self.rest().find('`') {
            None => Err("unterminated raw string".to_owned()),
            Some(length) => {
                self.at += length + 1;
                self.emit(TokenKind::String)
            }
        }
    }
}

fn arithmetic(character: char) -> BinaryOp {
    match character {
        '+' => BinaryOp::Add,
        '-' => BinaryOp::Subtract,
        '*' => BinaryOp::Multiply,
        '/' => BinaryOp::Divide,
        '%' => BinaryOp::Modulo,
        _ => BinaryOp::Power,
    }
}

/// Go's `%#U`.
fn code_point(character: char) -> String {
    format!("U+{:04X} '{character}'", u32::from(character))
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn is_alpha(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

fn is_alphanumeric(character: char) -> bool {
    is_alpha(character) || character.is_ascii_digit()
}
