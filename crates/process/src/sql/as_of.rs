//! `t FOR SYSTEM_TIME AS OF s.ts` in SQL texts: a joined table as it was at the time of each row that it is joined with.
//!
//! Owns: the words of it, and what stands for them. The table becomes the one of all its versions ([`Edition::Versions`]),
//! whose rows say from when to when they were there, and the condition of the join asks for those that were there at the
//! time; of `PROCTIME()`, the table as it is now ([`Edition::Now`]). That is done before the text is parsed, as for window
//! table functions, and with the places of what the user wrote.
//! Does not own: where the rows of these tables come from (`engine`).

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};
use flowline_lake::{VALID_FROM, VALID_TO};

use super::parse::place_of;
use crate::problem::{Fault, Place};

/// Which rows of a table are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Edition {
    /// Those of the version that is read.
    Table,
    /// The same, of a table whose changes change nothing that was written.
    Now,
    /// Those of all versions up to it, with the time in which they were there.
    Versions,
    /// What a stream holds of the windows that are open: that of its aggregate with this number, from 1 on.
    State(u16),
}

const NOW: &str = "$now";
const VERSIONS: &str = "$versions";
const STATE: &str = "$state";

impl Edition {
    /// The name of a table and the edition of it that a name in a plan stands for.
    pub fn of(name: &str) -> (&str, Self) {
        if let Some(table) = name.strip_suffix(NOW) {
            return (table, Self::Now);
        }
        if let Some(table) = name.strip_suffix(VERSIONS) {
            return (table, Self::Versions);
        }
        let numbered =
            name.rsplit_once(STATE).and_then(|(table, number)| Some((table, number.parse().ok()?)));
        match numbered {
            Some((table, number)) => (table, Self::State(number)),
            None => (name, Self::Table),
        }
    }

    /// The name in a plan.
    pub fn name(self, table: &str) -> String {
        match self {
            Self::Table => table.to_owned(),
            Self::Now => format!("{table}{NOW}"),
            Self::Versions => format!("{table}{VERSIONS}"),
            Self::State(number) => format!("{table}{STATE}{number}"),
        }
    }
}

/// The tokens with every `FOR SYSTEM_TIME AS OF` written out.
///
/// # Errors
/// One that stands where it means nothing, at its place.
pub(super) fn expand(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Fault> {
    let named = |token: &TokenWithSpan| keyword(token) == Keyword::SYSTEM_TIME;
    if !tokens.iter().any(named) {
        return Ok(tokens);
    }
    let mut words: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    // From the last to the first, so that what stands before is still where it was.
    let found: Vec<usize> = (0..words.len()).filter(|at| begins(&words, *at)).collect();
    for at in found.into_iter().rev() {
        words = written_out(words, at)?;
    }
    Ok(words)
}

const CLAUSE: [Keyword; 4] = [Keyword::FOR, Keyword::SYSTEM_TIME, Keyword::AS, Keyword::OF];

fn begins(words: &[TokenWithSpan], at: usize) -> bool {
    CLAUSE
        .iter()
        .enumerate()
        .all(|(index, wanted)| words.get(at + index).is_some_and(|word| keyword(word) == *wanted))
}

/// What the clause that begins here consists of, by the places of its words.
struct Clause {
    /// The name of the table.
    name: std::ops::Range<usize>,
    /// The time.
    time: std::ops::Range<usize>,
    /// What the table is called in the query.
    alias: Token,
    /// ON.
    on: usize,
    /// Behind the condition.
    end: usize,
}

fn written_out(words: Vec<TokenWithSpan>, at: usize) -> Result<Vec<TokenWithSpan>, Fault> {
    let clause = clause(&words, at)?;
    let span = words[at].span;
    let now = matches!(words.get(clause.time.start + 1).map(|word| &word.token), Some(Token::LParen));
    let edition = if now { Edition::Now } else { Edition::Versions };
    let time = words[clause.time.clone()].to_vec();
    let mut out: Vec<TokenWithSpan> = words[..clause.name.end - 1].to_vec();
    let last = &words[clause.name.end - 1];
    out.push(TokenWithSpan::new(quoted(&edition.name(&normal(last))), last.span));
    out.push(TokenWithSpan::new(Token::make_keyword("AS"), span));
    out.push(TokenWithSpan::new(clause.alias.clone(), span));
    out.push(words[clause.on].clone());
    let condition = &words[clause.on + 1..clause.end];
    if edition == Edition::Now {
        out.extend(condition.iter().cloned());
    } else {
        out.extend(within(&time, &clause.alias, span));
        out.push(TokenWithSpan::new(Token::LParen, span));
        out.extend(condition.iter().cloned());
        out.push(TokenWithSpan::new(Token::RParen, span));
    }
    out.extend(words[clause.end..].iter().cloned());
    Ok(out)
}

/// `time >= alias._valid_from AND time < alias._valid_to AND`.
fn within(time: &[TokenWithSpan], alias: &Token, span: Span) -> Vec<TokenWithSpan> {
    let mut out = Vec::new();
    for (compare, bound) in [(Token::GtEq, VALID_FROM), (Token::Lt, VALID_TO)] {
        out.extend(time.iter().cloned());
        let own = [compare, alias.clone(), Token::Period, quoted(bound), Token::make_keyword("AND")];
        out.extend(own.into_iter().map(|token| TokenWithSpan::new(token, span)));
    }
    out
}

fn clause(words: &[TokenWithSpan], at: usize) -> Result<Clause, Fault> {
    let here = place(&words[at]);
    let wrong = |message: &str| {
        Fault::new(here, message.to_owned())
            .hint("write `JOIN t FOR SYSTEM_TIME AS OF s.ts AS t ON s.k = t.k`, or `AS OF PROCTIME()`")
    };
    let mut start = at;
    while start >= 1
        && is_name(&words[start - 1])
        && (start == at || words[start].token == Token::Period || words[start - 1].token == Token::Period)
    {
        start -= 1;
    }
    if start == at || words[start].token == Token::Period {
        return Err(wrong("FOR SYSTEM_TIME AS OF stands behind the name of a table"));
    }
    if start == 0 || keyword(&words[start - 1]) != Keyword::JOIN {
        return Err(wrong("FOR SYSTEM_TIME AS OF belongs to a table that is joined"));
    }
    let kind = words[..start - 1].iter().rev().map(keyword).find(|word| *word != Keyword::OUTER);
    if matches!(kind, Some(Keyword::RIGHT | Keyword::FULL)) {
        return Err(wrong("a row of the table that nothing is joined with is of no time")
            .hint("use JOIN or LEFT JOIN"));
    }
    let from = at + CLAUSE.len();
    let mut until = from;
    while words.get(until).is_some_and(|word| {
        is_name(word)
            && (until == from
                || words[until].token == Token::Period
                || words[until - 1].token == Token::Period)
    }) {
        until += 1;
    }
    let call = matches!(words.get(until).map(|word| &word.token), Some(Token::LParen));
    if call {
        let proctime =
            matches!(&words[from].token, Token::Word(word) if word.value.eq_ignore_ascii_case("proctime"));
        if !proctime || !matches!(words.get(until + 1).map(|word| &word.token), Some(Token::RParen)) {
            return Err(wrong("the time is a column, or PROCTIME()"));
        }
        until += 2;
    }
    if until == from {
        return Err(wrong("the time is a column, or PROCTIME()"));
    }
    let time = from..until;
    let mut on = until;
    let mut alias = words[at - 1].token.clone();
    if words.get(on).is_some_and(|word| keyword(word) == Keyword::AS) {
        on += 1;
    }
    if let Some(word @ TokenWithSpan { token: Token::Word(_), .. }) = words.get(on)
        && keyword(word) != Keyword::ON
    {
        alias = word.token.clone();
        on += 1;
    }
    if words.get(on).is_none_or(|word| keyword(word) != Keyword::ON) {
        return Err(wrong("a join with a table as of a time needs ON"));
    }
    Ok(Clause { name: start..at, time, alias, on, end: end_of_condition(words, on + 1) })
}

/// Behind the condition that begins here.
fn end_of_condition(words: &[TokenWithSpan], from: usize) -> usize {
    const NEXT: [Keyword; 19] = [
        Keyword::JOIN,
        Keyword::INNER,
        Keyword::CROSS,
        Keyword::FULL,
        Keyword::NATURAL,
        Keyword::WHERE,
        Keyword::GROUP,
        Keyword::HAVING,
        Keyword::WINDOW,
        Keyword::QUALIFY,
        Keyword::ORDER,
        Keyword::LIMIT,
        Keyword::OFFSET,
        Keyword::FETCH,
        Keyword::UNION,
        Keyword::EXCEPT,
        Keyword::INTERSECT,
        Keyword::LEFT,
        Keyword::RIGHT,
    ];
    let mut depth = 0usize;
    for (index, word) in words.iter().enumerate().skip(from) {
        match &word.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return index,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma | Token::SemiColon | Token::EOF if depth == 0 => return index,
            Token::Word(_)
                if depth == 0 && NEXT.contains(&keyword(word))
                // `left(name, 3)` is a function.
                && !matches!(words.get(index + 1).map(|next| &next.token), Some(Token::LParen)) =>
            {
                return index;
            }
            _ => {}
        }
    }
    words.len()
}

fn keyword(token: &TokenWithSpan) -> Keyword {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    }
}

fn is_name(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Word(_) | Token::Period)
}

/// A word as SQL reads it.
fn normal(token: &TokenWithSpan) -> String {
    match &token.token {
        Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
        Token::Word(word) => word.value.to_ascii_lowercase(),
        _ => String::new(),
    }
}

pub(super) fn quoted(name: &str) -> Token {
    Token::Word(Word { value: name.to_owned(), quote_style: Some('"'), keyword: Keyword::NoKeyword })
}

pub(super) fn place(token: &TokenWithSpan) -> Place {
    place_of(token.span).unwrap_or(Place::START)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use datafusion::sql::sqlparser::tokenizer::Tokenizer;

    use super::*;
    use crate::sql::DIALECT;

    fn written(text: &str) -> String {
        let tokens = Tokenizer::new(&DIALECT, text).tokenize_with_location().unwrap();
        match expand(tokens) {
            Ok(words) => words.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
            Err(fault) => fault.message,
        }
    }

    #[test]
    fn what_stands_for_a_table_as_of_a_time() {
        assert_eq!(
            written(
                "select * from s left join a.rates for system_time as of s.ts as r on s.k = r.k or r.d where x"
            ),
            "select * from s left join a . \"rates$versions\" AS r on s . ts >= r . \"_valid_from\" AND s . ts < r . \"_valid_to\" AND ( s . k = r . k or r . d ) where x"
        );
        assert_eq!(
            written(
                "select * from (select 1 from s join a.t for system_time as of proctime() on left(k, 1) = t.k) q"
            ),
            "select * from ( select 1 from s join a . \"t$now\" AS t on left ( k , 1 ) = t . k ) q"
        );
        assert_eq!(written("select system_time from t"), "select system_time from t");
        for (text, message) in [
            (
                "select * from a.t for system_time as of ts",
                "FOR SYSTEM_TIME AS OF belongs to a table that is joined",
            ),
            (
                "select * from s join a.t for system_time as of s.ts",
                "a join with a table as of a time needs ON",
            ),
            (
                "select * from s right outer join a.t for system_time as of s.ts on true",
                "a row of the table that nothing is joined with is of no time",
            ),
            (
                "select * from s join a.t for system_time as of now() on true",
                "the time is a column, or PROCTIME()",
            ),
            (
                "select * from s join (select 1) for system_time as of s.ts on true",
                "FOR SYSTEM_TIME AS OF stands behind the name of a table",
            ),
        ] {
            assert_eq!(written(text), message, "{text}");
        }
    }
}
