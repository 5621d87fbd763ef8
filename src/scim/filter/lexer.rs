//! Filter text to tokens, in one walk over the text.

use crate::scim::path::SyntaxError;

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `[`
    OpenBracket,
    /// `]`
    CloseBracket,
    /// A run of anything but blanks, quotes, parentheses and brackets.
    Word(&'a str),
    /// A quoted text, unescaped.
    Text(String),
}

/// A token with the bytes before it.
#[derive(Debug, Clone)]
pub(super) struct Lexed<'a> {
    pub(super) token: Token<'a>,
    pub(super) offset: usize,
}

/// Cuts `text` into tokens.
pub(super) fn lex(text: &str) -> Result<Vec<Lexed<'_>>, SyntaxError> {
    let mut tokens = Vec::new();
    let mut rest = text.char_indices().peekable();
    while let Some((offset, c)) = rest.next() {
        let token = match c {
            '(' => Token::Open,
            ')' => Token::Close,
            '[' => Token::OpenBracket,
            ']' => Token::CloseBracket,
            '"' => {
                let mut escaped = false;
                let end = rest.by_ref().find_map(|(at, c)| {
                    let closes = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    closes.then_some(at)
                });
                let Some(end) = end else {
                    return Err(SyntaxError::new(offset, "the closing quote is missing"));
                };
                let quoted = text.get(offset..=end).unwrap_or_default();
                let unescaped: String = serde_json::from_str(quoted).map_err(|error| {
                    let reason = error.to_string();
                    let reason = reason.split(" at line").next().unwrap_or_default();
                    SyntaxError::new(offset, format!("not a JSON string: {reason}"))
                })?;
                if unescaped.contains('\0') {
                    return Err(SyntaxError::new(offset, "a text must not contain the character U+0000"));
                }
                Token::Text(unescaped)
            }
            c if c.is_whitespace() => continue,
            _ => {
                let mut end = offset.saturating_add(c.len_utf8());
                while let Some((at, c)) = rest.next_if(|(_, c)| is_word(*c)) {
                    end = at.saturating_add(c.len_utf8());
                }
                Token::Word(text.get(offset..end).unwrap_or_default())
            }
        };
        tokens.push(Lexed { token, offset });
    }
    Ok(tokens)
}

fn is_word(c: char) -> bool {
    !c.is_whitespace() && !"()[]\"".contains(c)
}
