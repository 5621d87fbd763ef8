//! Tokens to a tree: `not` binds before `and`, `and` before `or` (RFC 7644 §3.4.2.2).

use super::ast::{CompareOp, Filter, Literal, Operand};
use super::lexer::{Lexed, Token, lex};
use crate::scim::dialect;
use crate::scim::error::ScimError;
use crate::scim::path::{AttributePath, PatchPath, SyntaxError, check_name};
use crate::scim::schema::limits::{MAX_FILTER_BYTES, MAX_FILTER_DEPTH, MAX_FILTER_TERMS};

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    ///
    /// 400 `invalidFilter` naming the place, also when the filter is too long, too deep or has too many comparisons.
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        parse(text).map_err(|error| ScimError::invalid_filter(format!("filter {}", error.describe(text))))
    }
}

fn parse(text: &str) -> Result<Filter, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let filter = parser.disjunction()?;
    match parser.next() {
        None => Ok(filter),
        Some(Lexed { token: Token::Close, offset }) => Err(SyntaxError::new(offset, "a ) without its (")),
        Some(Lexed { offset, .. }) => Err(SyntaxError::new(offset, "and, or, or the end is expected")),
    }
}

/// Reads `attribute[filter].sub`, `attribute.sub` or `attribute`.
pub(in crate::scim) fn parse_patch_path(text: &str) -> Result<PatchPath, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let (operand, offset) = match parser.next() {
        Some(Lexed { token: Token::Word(word), offset }) => (parser.attribute(word, offset)?, offset),
        Some(Lexed { offset, .. }) => return Err(SyntaxError::new(offset, "an attribute name is expected")),
        None => return Err(SyntaxError::new(0, "an attribute name is missing")),
    };
    let mut attribute = operand.path;
    let filter = if let Some(bracket) = parser.next_if(&Token::OpenBracket) {
        if attribute.sub.is_some() {
            return Err(SyntaxError::new(bracket, "only an attribute can be followed by ["));
        }
        let filter = parser.bracketed(offset)?;
        if let Some((sub, _)) = parser.trailing_sub()? {
            attribute.sub = Some(sub);
        }
        Some(filter)
    } else {
        None
    };
    match parser.next() {
        None => Ok(PatchPath { attribute, filter }),
        Some(Lexed { offset, .. }) if filter.is_some() => {
            Err(SyntaxError::new(offset, ".sub-attribute or the end is expected"))
        }
        Some(Lexed { offset, .. }) => Err(SyntaxError::new(offset, "the path should end here")),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Lexed<'a>>>,
    terms: usize,
    depth: usize,
    in_brackets: bool,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Result<Self, SyntaxError> {
        if text.len() > MAX_FILTER_BYTES {
            return Err(SyntaxError::new(0, format!("longer than {MAX_FILTER_BYTES} bytes")));
        }
        let tokens = lex(text)?.into_iter().peekable();
        Ok(Self { text, tokens, terms: 0, depth: 0, in_brackets: false })
    }

    fn next(&mut self) -> Option<Lexed<'a>> {
        self.tokens.next()
    }

    fn next_if(&mut self, token: &Token<'_>) -> Option<usize> {
        self.tokens.next_if(|next| next.token == *token).map(|next| next.offset)
    }

    fn next_if_keyword(&mut self, keyword: &str) -> bool {
        let is_keyword =
            |next: &Lexed<'_>| matches!(next.token, Token::Word(word) if word.eq_ignore_ascii_case(keyword));
        self.tokens.next_if(is_keyword).is_some()
    }

    fn expect(&mut self, token: &Token<'_>, name: &str) -> Result<(), SyntaxError> {
        match self.next() {
            Some(next) if next.token == *token => Ok(()),
            Some(next) => Err(SyntaxError::new(next.offset, format!("{name} is expected"))),
            None => Err(self.ends(name)),
        }
    }

    fn ends(&self, expected: &str) -> SyntaxError {
        SyntaxError::new(self.text.len(), format!("the text ends where {expected} is expected"))
    }

    fn disjunction(&mut self) -> Result<Filter, SyntaxError> {
        let first = self.conjunction()?;
        let mut parts = vec![first];
        while self.next_if_keyword("or") {
            parts.push(self.conjunction()?);
        }
        Ok(one_or(parts, Filter::Or))
    }

    fn conjunction(&mut self) -> Result<Filter, SyntaxError> {
        let first = self.primary()?;
        let mut parts = vec![first];
        while self.next_if_keyword("and") {
            parts.push(self.primary()?);
        }
        Ok(one_or(parts, Filter::And))
    }

    fn primary(&mut self) -> Result<Filter, SyntaxError> {
        let Some(Lexed { token, offset }) = self.next() else {
            return Err(self.ends("an attribute"));
        };
        match token {
            Token::Open => self.grouped(offset),
            Token::Word(word) if word.eq_ignore_ascii_case("not") => {
                self.expect(&Token::Open, "( after not")?;
                Ok(Filter::Not(Box::new(self.grouped(offset)?)))
            }
            Token::Word(word) => {
                let operand = self.attribute(word, offset)?;
                match self.next_if(&Token::OpenBracket) {
                    Some(bracket) => self.value_path(operand, bracket),
                    None => self.comparison(operand, offset),
                }
            }
            Token::Close => Err(SyntaxError::new(offset, "an attribute is expected before )")),
            Token::CloseBracket => Err(SyntaxError::new(offset, "an attribute is expected before ]")),
            Token::OpenBracket | Token::Text(_) => Err(SyntaxError::new(offset, "an attribute is expected")),
        }
    }

    /// What follows `(`, up to and with `)`.
    fn grouped(&mut self, offset: usize) -> Result<Filter, SyntaxError> {
        self.descend(offset)?;
        let inner = self.disjunction()?;
        self.expect(&Token::Close, ")")?;
        self.depth = self.depth.saturating_sub(1);
        Ok(inner)
    }

    /// What follows `[`, up to and with `]`.
    fn bracketed(&mut self, offset: usize) -> Result<Filter, SyntaxError> {
        self.descend(offset)?;
        self.in_brackets = true;
        let inner = self.disjunction()?;
        self.expect(&Token::CloseBracket, "]")?;
        self.in_brackets = false;
        self.depth = self.depth.saturating_sub(1);
        Ok(inner)
    }

    fn descend(&mut self, offset: usize) -> Result<(), SyntaxError> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > MAX_FILTER_DEPTH {
            return Err(SyntaxError::new(offset, format!("nested deeper than {MAX_FILTER_DEPTH}")));
        }
        Ok(())
    }

    fn value_path(&mut self, operand: Operand, bracket: usize) -> Result<Filter, SyntaxError> {
        if self.in_brackets {
            return Err(SyntaxError::new(bracket, "a [ cannot stand within brackets"));
        }
        if operand.path.sub.is_some() {
            return Err(SyntaxError::new(bracket, "only an attribute can be followed by ["));
        }
        let mut inner = self.bracketed(bracket)?;
        if let Some((sub, offset)) = self.trailing_sub()? {
            let sub = self.operand(AttributePath::of(sub), offset.saturating_add(1));
            let comparison = self.comparison(sub, offset)?;
            inner = match inner {
                Filter::And(mut parts) => {
                    parts.push(comparison);
                    Filter::And(parts)
                }
                other => Filter::And(vec![other, comparison]),
            };
        }
        Ok(Filter::Any(operand, Box::new(inner)))
    }

    /// `.sub` after a closing bracket.
    fn trailing_sub(&mut self) -> Result<Option<(String, usize)>, SyntaxError> {
        let is_sub = |next: &Lexed<'_>| matches!(next.token, Token::Word(word) if word.starts_with('.'));
        match self.tokens.next_if(is_sub) {
            Some(Lexed { token: Token::Word(word), offset }) => {
                let name = word.trim_start_matches('.');
                check_name(name, offset.saturating_add(1))?;
                Ok(Some((name.to_owned(), offset)))
            }
            _ => Ok(None),
        }
    }

    fn attribute(&self, word: &str, offset: usize) -> Result<Operand, SyntaxError> {
        let path = AttributePath::parse(word)
            .map_err(|error| SyntaxError::new(offset.saturating_add(error.offset), error.message))?;
        Ok(self.operand(path, offset))
    }

    fn operand(&self, path: AttributePath, offset: usize) -> Operand {
        let before = self.text.get(..offset).unwrap_or_default().chars().count();
        Operand { path, character: before.saturating_add(1) }
    }

    fn comparison(&mut self, operand: Operand, offset: usize) -> Result<Filter, SyntaxError> {
        self.terms = self.terms.saturating_add(1);
        if self.terms > MAX_FILTER_TERMS {
            return Err(SyntaxError::new(offset, format!("more than {MAX_FILTER_TERMS} comparisons")));
        }
        let Some(Lexed { token, offset }) = self.next() else {
            return Err(self.ends("an operator"));
        };
        let op = match token {
            Token::Word(word) if word.eq_ignore_ascii_case("pr") => return Ok(Filter::Present(operand)),
            Token::Word(word) => CompareOp::parse(word),
            _ => None,
        };
        let Some(op) = op else {
            let message = "an operator is expected: eq, ne, co, sw, ew, gt, ge, lt, le or pr";
            return Err(SyntaxError::new(offset, message));
        };
        Ok(Filter::Compare(operand, op, self.literal()?))
    }

    fn literal(&mut self) -> Result<Literal, SyntaxError> {
        let Some(Lexed { token, offset }) = self.next() else {
            return Err(self.ends("a value"));
        };
        let literal = match token {
            Token::Text(text) => Some(Literal::String(text)),
            Token::Word(word) if word.eq_ignore_ascii_case("true") => Some(Literal::Boolean(true)),
            Token::Word(word) if word.eq_ignore_ascii_case("false") => Some(Literal::Boolean(false)),
            Token::Word(word) if word.eq_ignore_ascii_case("null") => Some(Literal::Null),
            Token::Word(word) if serde_json::from_str::<serde_json::Number>(word).is_ok() => {
                Some(Literal::Number(word.to_owned()))
            }
            Token::Word(word) => dialect::bare_word(word).map(Literal::String),
            _ => None,
        };
        literal.ok_or_else(|| SyntaxError::new(offset, "a value is expected; texts stand in double quotes"))
    }
}

fn one_or(mut parts: Vec<Filter>, many: fn(Vec<Filter>) -> Filter) -> Filter {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}
