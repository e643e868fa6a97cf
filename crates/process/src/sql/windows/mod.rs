//! Flink's window table functions in SQL texts: `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))` and its
//! kin, with and without `TABLE(…)` around them, by position or by name.
//!
//! Owns: the words of such a call, and the derived table that stands for it. Calls are replaced before the text is
//! parsed, since the parser knows neither `TABLE t` nor `DESCRIPTOR(ts)` as arguments; what is put in carries the place
//! of the call, so that every message still points at what the user wrote.
//! Does not own: which window a time lies in ([`crate::windows`]).

mod call;
mod interval;
mod template;

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::parse::{DEPTH_MAX, place_of};
use crate::problem::{Fault, Place};
use call::Call;

/// The tokens with every window table function replaced by the derived table that it stands for.
///
/// # Errors
/// A call that is wrong, at the word that is.
pub(crate) fn expand(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Fault> {
    if !tokens.iter().any(|token| kind_of(token).is_some()) {
        return Ok(tokens);
    }
    let words: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    expand_words(&words, 0)
}

fn expand_words(words: &[TokenWithSpan], depth: usize) -> Result<Vec<TokenWithSpan>, Fault> {
    if depth > DEPTH_MAX {
        let place = words.first().map_or(Place::START, place);
        return Err(Fault::new(place, format!("windows are nested deeper than {DEPTH_MAX} levels")));
    }
    let (mut expanded, mut at) = (Vec::with_capacity(words.len()), 0);
    while at < words.len() {
        let Some(found) = find(words, at) else {
            expanded.push(words[at].clone());
            at += 1;
            continue;
        };
        let call = Call::parse(found.kind, &words[found.name], &words[found.inside.clone()])?;
        let source = expand_words(call.source, depth + 1)?;
        expanded.extend(template::derived_table(&call, source)?);
        at = found.end;
    }
    Ok(expanded)
}

/// Which window table function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Tumble,
    Hop,
    Cumulate,
    Session,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE",
            Self::Hop => "HOP",
            Self::Cumulate => "CUMULATE",
            Self::Session => "SESSION",
        }
    }

    /// How it is written.
    fn usage(self) -> &'static str {
        match self {
            Self::Tumble => "TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)",
            Self::Hop => {
                "HOP(TABLE t, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '1' MINUTE), the slide first"
            }
            Self::Cumulate => {
                "CUMULATE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE, INTERVAL '1' HOUR), the step first"
            }
            Self::Session => "SESSION(TABLE t PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' MINUTE)",
        }
    }
}

fn kind_of(token: &TokenWithSpan) -> Option<Kind> {
    let Token::Word(word) = &token.token else { return None };
    if word.quote_style.is_some() {
        return None;
    }
    [Kind::Tumble, Kind::Hop, Kind::Cumulate, Kind::Session]
        .into_iter()
        .find(|kind| word.value.eq_ignore_ascii_case(kind.as_str()))
}

/// A call of a window table function.
struct Found {
    kind: Kind,
    /// Its name.
    name: usize,
    /// What stands between its parentheses.
    inside: std::ops::Range<usize>,
    /// Behind it.
    end: usize,
}

/// The call that begins here: where a table may stand, and with a table as its first argument. A scalar function of
/// the same name is none.
fn find(words: &[TokenWithSpan], at: usize) -> Option<Found> {
    let wrapped = keyword(words.get(at)?) == Keyword::TABLE && is(words.get(at + 1), &Token::LParen);
    let name = if wrapped { at + 2 } else { at };
    let kind = kind_of(words.get(name)?)?;
    let begins = match at.checked_sub(1).map(|before| &words[before]) {
        Some(before) => {
            matches!(before.token, Token::Comma | Token::LParen)
                || matches!(keyword(before), Keyword::FROM | Keyword::JOIN | Keyword::LATERAL)
        }
        None => false,
    };
    let takes_table = || {
        let first = words.get(name + 2)?;
        let named = is(words.get(name + 3), &Token::RArrow);
        let table = keyword(first) == Keyword::TABLE
            || named && word(first).is_some_and(|word| word.eq_ignore_ascii_case("data"))
            || first.token == Token::LParen
                && matches!(
                    words.get(name + 3).map(keyword),
                    Some(Keyword::SELECT | Keyword::WITH | Keyword::TABLE)
                );
        Some(table)
    };
    if !begins || !is(words.get(name + 1), &Token::LParen) || takes_table() != Some(true) {
        return None;
    }
    let close = closing(words, name + 1)?;
    let end = if wrapped { close + 2 } else { close + 1 };
    if wrapped && !is(words.get(close + 1), &Token::RParen) {
        return None;
    }
    Some(Found { kind, name, inside: name + 2..close, end })
}

/// The parenthesis that closes the one here.
fn closing(words: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (index, token) in words.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(index);
        }
    }
    None
}

fn is(token: Option<&TokenWithSpan>, wanted: &Token) -> bool {
    token.is_some_and(|token| token.token == *wanted)
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn word(token: &TokenWithSpan) -> Option<&str> {
    match &token.token {
        Token::Word(word) => Some(&word.value),
        _ => None,
    }
}

fn place(token: &TokenWithSpan) -> Place {
    place_of(token.span).unwrap_or(Place::START)
}
