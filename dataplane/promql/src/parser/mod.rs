//! Text to tree: the whole expression grammar of Prometheus 3, experimental parts included, by precedence climbing.
//!
//! Bounded in length and nesting. Stops at the first error; messages and places follow Prometheus.

mod aggregate;
mod check;
mod duration;
mod lexer;
pub(crate) mod number;
mod operation;
mod postfix;
mod selector;
mod token;

#[cfg(test)]
mod parser_test;

pub use self::number::parse_duration;
use self::token::{Keyword, Token, TokenKind};
use crate::ast::{Call, Expr, NumberLiteral, Paren, StringLiteral};
use crate::error::{ParseError, Position};
use crate::function::find_function;
use crate::text::{quote, unquote};

/// Longest query in bytes.
pub const QUERY_BYTES_MAX: usize = 256 << 10;

/// Deepest nesting, counting operators of a chain as well: a tree is walked recursively. Evaluating the deepest query takes
/// less than 1 MiB of stack (a test does it on 2 MiB, what threads get by default).
pub const QUERY_DEPTH_MAX: usize = 250;

/// Parses and checks an expression.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn parse(query: &str) -> Result<Expr, ParseError> {
    if query.len() > QUERY_BYTES_MAX {
        let message = format!("the query has {} bytes, the limit is {QUERY_BYTES_MAX}", query.len());
        return Err(ParseError::new(query, Position::default(), message));
    }
    let tokens = lexer::lex(query);
    let mut parser = Parser { query, tokens, next: 0, depth: 0, context: Context::default() };
    if parser.peek().kind == TokenKind::End {
        return Err(parser.error(Position::default(), "no expression found in input"));
    }
    let mut expr = parser.expression(0)?;
    if parser.peek().kind != TokenKind::End {
        return Err(parser.unexpected("", ""));
    }
    check::check(query, &mut expr)?;
    Ok(expr)
}

/// Parses a selector such as `up{job="a"}` and gives its matchers: what `match[]` holds.
///
/// # Errors
/// As [`parse`], and everything that is no plain vector selector.
pub fn parse_selector(text: &str) -> Result<Vec<model::Matcher>, ParseError> {
    match parse(text)? {
        Expr::Vector(selector) if selector.shift == Default::default() && selector.boundary == Default::default() => {
            Ok(selector.matchers)
        }
        other => Err(ParseError::new(text, other.position(), "expected a series selector without modifiers")),
    }
}

type Parsed<T> = Result<T, ParseError>;

struct Parser<'a> {
    query: &'a str,
    tokens: lexer::Tokens<'a>,
    next: usize,
    depth: usize,
    context: Context,
}

/// What messages say of the innermost construct around a token that does not fit.
#[derive(Clone, Copy, Default)]
struct Context {
    name: &'static str,
    expected: &'static str,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        self.peek_after(0)
    }

    /// The last token, `End` or `Error`, stands for everything behind it.
    fn peek_after(&self, count: usize) -> Token<'a> {
        let last = self.tokens.list.len() - 1;
        self.tokens.list[(self.next + count).min(last)]
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn take_if(&mut self, kind: TokenKind) -> Option<Token<'a>> {
        (self.peek().kind == kind).then(|| self.take())
    }

    fn expect(&mut self, kind: TokenKind) -> Parsed<Token<'a>> {
        self.take_if(kind).ok_or_else(|| self.unexpected("", ""))
    }

    fn error(&self, position: Position, message: impl Into<String>) -> ParseError {
        ParseError::new(self.query, position, message)
    }

    /// The next token does not fit. Where that is the lexer's error, the lexer's message tells more.
    fn unexpected(&self, context: &str, expected: &str) -> ParseError {
        let Context { name, expected: awaited } = self.context;
        let (context, expected) = if context.is_empty() { (name, awaited) } else { (context, expected) };
        if let (TokenKind::Error, Some((position, message))) = (self.peek().kind, &self.tokens.error) {
            return self.error(*position, message.clone());
        }
        let mut message = format!("unexpected {}", self.peek().describe());
        for (word, text) in [(" in ", context), (", expected ", expected)] {
            if !text.is_empty() {
                message.push_str(word);
                message.push_str(text);
            }
        }
        self.error(self.peek().position(), message)
    }

    /// Parses with another context.
    fn within<T>(&mut self, context: Context, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let outer = std::mem::replace(&mut self.context, context);
        let parsed = parse(self)?;
        self.context = outer;
        Ok(parsed)
    }

    /// Counts a level of nesting; the caller restores `depth` when it leaves the level.
    fn descend(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > QUERY_DEPTH_MAX {
            let message = format!("the expression is nested more than {QUERY_DEPTH_MAX} levels deep");
            return Err(self.error(self.peek().position(), message));
        }
        Ok(())
    }

    /// A literal, selector, call, aggregation or parenthesis with its modifiers.
    fn primary(&mut self) -> Parsed<Expr> {
        let token = self.peek();
        let has_paren = self.peek_after(1).kind == TokenKind::LeftParen;
        let expr = match token.kind {
            TokenKind::LeftParen => self.paren()?,
            TokenKind::Number | TokenKind::Duration => Expr::Number(self.number()?),
            TokenKind::String => self.string_literal()?,
            TokenKind::Identifier if has_paren => self.call()?,
            TokenKind::Keyword(keyword) if has_paren && keyword.is_function() => self.call()?,
            TokenKind::Aggregator(op) if has_paren || self.is_grouping(1) => self.aggregation(op)?,
            _ => Expr::Vector(self.vector_selector()?),
        };
        self.postfix(expr)
    }

    fn is_grouping(&self, count: usize) -> bool {
        matches!(self.peek_after(count).kind, TokenKind::Keyword(Keyword::By | Keyword::Without))
    }

    fn paren(&mut self) -> Parsed<Expr> {
        let opening = self.take();
        let expr = self.expression(0)?;
        let closing = self.expect(TokenKind::RightParen)?;
        let position = Position::spanning(opening.position(), closing.position());
        Ok(Expr::Paren(Box::new(Paren { expr, position })))
    }

    /// A number or a duration (which is a number of seconds), without sign.
    fn number(&mut self) -> Parsed<NumberLiteral> {
        let token = self.take();
        let is_duration = token.kind == TokenKind::Duration;
        let value = if is_duration {
            number::parse_duration(token.text).map(|milliseconds| milliseconds as f64 / 1e3)
        } else {
            let number = crate::number::parse_literal(token.text);
            number.ok_or_else(|| format!("error parsing number: invalid syntax in {}", quote(token.text)))
        };
        let value = value.map_err(|message| self.error(token.position(), message))?;
        Ok(NumberLiteral { value, is_duration, position: token.position() })
    }

    fn string_literal(&mut self) -> Parsed<Expr> {
        let token = self.take();
        Ok(Expr::String(StringLiteral { value: self.unquoted(token)?, position: token.position() }))
    }

    fn unquoted(&self, token: Token<'a>) -> Parsed<String> {
        unquote(token.text).ok_or_else(|| {
            self.error(token.position(), format!("error unquoting string {}: invalid syntax", quote(token.text)))
        })
    }

    fn call(&mut self) -> Parsed<Expr> {
        let name = self.take();
        let (args, end) = self.arguments()?;
        let function = find_function(name.text);
        let function = function
            .ok_or_else(|| self.error(name.position(), format!("unknown function with name {}", quote(name.text))))?;
        Ok(Expr::Call(Call { function, args, position: Position::new(name.start, end) }))
    }

    /// `(a, b)`, and where it ends.
    fn arguments(&mut self) -> Parsed<(Vec<Expr>, usize)> {
        self.expect(TokenKind::LeftParen)?;
        let mut args = Vec::new();
        if let Some(closing) = self.take_if(TokenKind::RightParen) {
            return Ok((args, closing.end()));
        }
        loop {
            args.push(self.expression(0)?);
            if let Some(closing) = self.take_if(TokenKind::RightParen) {
                return Ok((args, closing.end()));
            }
            let comma = self.expect(TokenKind::Comma)?;
            if self.peek().kind == TokenKind::RightParen {
                return Err(self.error(comma.position(), "trailing commas not allowed in function call args"));
            }
        }
    }
}
