//! The arguments of a window table function, by position or by name.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan};

use super::{Kind, interval, is, keyword, place, word};
use crate::problem::{Fault, Place};
use crate::sql::nearest;

/// A call, its arguments read.
pub(super) struct Call<'a> {
    pub kind: Kind,
    /// Where its name stands.
    pub span: Span,
    /// The name of a table, or a query in parentheses.
    pub source: &'a [TokenWithSpan],
    /// The column that says when: one word.
    pub time: &'a TokenWithSpan,
    /// The columns that sessions are kept apart by, commas between them.
    pub keys: &'a [TokenWithSpan],
    /// The length of a window; the gap of a session. Microseconds, as those below.
    pub size: i64,
    /// The slide of a hop, the step of a cumulation; the size of a tumble.
    pub step: i64,
    /// What windows are shifted by.
    pub offset: i64,
}

/// More windows than this for one row are a mistake.
const WINDOWS_MAX: i64 = 1_000;

/// The names of the arguments in their order.
fn names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Tumble => &["data", "timecol", "size", "offset"],
        Kind::Hop => &["data", "timecol", "slide", "size", "offset"],
        Kind::Cumulate => &["data", "timecol", "step", "size", "offset"],
        Kind::Session => &["data", "timecol", "gap"],
    }
}

impl<'a> Call<'a> {
    /// Reads the arguments of a call, which stand between its parentheses.
    pub fn parse(kind: Kind, name: &'a TokenWithSpan, inside: &'a [TokenWithSpan]) -> Result<Self, Fault> {
        let here = place(name);
        let arguments = by_name(kind, here, &split(inside))?;
        let missing = |name: &str| {
            Fault::new(here, format!("{} needs `{name}`", kind.as_str()))
                .hint(format!("write {}", kind.usage()))
        };
        let given =
            |name: &'static str| arguments.iter().find(|(key, _)| *key == name).map(|(_, words)| *words);
        let length = |name: &'static str| match given(name) {
            Some(words) => {
                interval::microseconds(words, here).and_then(|length| positive(length, words, here))
            }
            None => Err(missing(name)),
        };
        let (source, keys) = source(given("data").ok_or_else(|| missing("data"))?, kind, here)?;
        let time = descriptor(given("timecol").ok_or_else(|| missing("timecol"))?, here)?;
        let offset = given("offset").map_or(Ok(0), |words| interval::microseconds(words, here))?;
        let (size, step) = match kind {
            Kind::Tumble => length("size").map(|size| (size, size))?,
            Kind::Hop => (length("size")?, length("slide")?),
            Kind::Cumulate => (length("size")?, length("step")?),
            Kind::Session => length("gap").map(|gap| (gap, gap))?,
        };
        // Windows are the same when they are shifted by a whole one.
        let offset = offset.rem_euclid(if kind == Kind::Hop { step } else { size });
        let call = Self { kind, span: name.span, source, time, keys, size, step, offset };
        call.whole_steps(given(if kind == Kind::Hop { "slide" } else { "step" }), here)?;
        Ok(call)
    }

    /// A window is made of whole steps, and of not too many.
    fn whole_steps(&self, step: Option<&[TokenWithSpan]>, here: Place) -> Result<(), Fault> {
        let at = step.and_then(<[_]>::first).map_or(here, place);
        let word = if self.kind == Kind::Hop { "slide" } else { "step" };
        if self.size % self.step != 0 {
            let fault = Fault::new(at, format!("the size of the window is no multiple of its {word}"));
            return Err(fault.hint(format!("the {word} stands before the size: {}", self.kind.usage())));
        }
        if self.size / self.step > WINDOWS_MAX {
            let windows = self.size / self.step;
            let fault = Fault::new(at, format!("each row would lie in {windows} windows"));
            return Err(
                fault.hint(format!("at most {WINDOWS_MAX}: use a longer {word}, or a shorter window"))
            );
        }
        Ok(())
    }
}

fn positive(length: i64, words: &[TokenWithSpan], here: Place) -> Result<i64, Fault> {
    if length > 0 {
        return Ok(length);
    }
    Err(Fault::new(words.first().map_or(here, place), "a window is longer than nothing"))
}

/// The arguments, split at the commas that stand outside every parenthesis. The commas of `PARTITION BY a, b` stand
/// before `DESCRIPTOR` or a name, and belong to the table.
fn split(inside: &[TokenWithSpan]) -> Vec<&[TokenWithSpan]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (index, token) in inside.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth = depth.saturating_sub(1),
            Token::Comma if depth == 0 && begins_argument(&inside[index + 1..]) => {
                parts.push(&inside[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts
}

fn begins_argument(words: &[TokenWithSpan]) -> bool {
    let Some(first) = words.first() else { return true };
    let column = matches!(&first.token, Token::Word(word) if word.keyword != Keyword::INTERVAL);
    let call = is(words.get(1), &Token::LParen) || is(words.get(1), &Token::RArrow);
    !column || call
}

type Argument<'a> = (&'static str, &'a [TokenWithSpan]);

/// Each argument with its name; those without one have that of their position.
fn by_name<'a>(kind: Kind, here: Place, parts: &[&'a [TokenWithSpan]]) -> Result<Vec<Argument<'a>>, Fault> {
    let names = names(kind);
    let mut arguments: Vec<Argument<'a>> = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let at = part.first().map_or(here, place);
        let (name, words) = match part {
            [name, arrow, words @ ..] if arrow.token == Token::RArrow => {
                let written = word(name).unwrap_or_default().to_ascii_lowercase();
                let known = names.iter().find(|known| **known == written);
                (*known.ok_or_else(|| unknown(kind, &written, at))?, words)
            }
            words => match names.get(index) {
                Some(name) => (*name, *words),
                None => {
                    let message = format!("{} takes {} arguments at most", kind.as_str(), names.len());
                    return Err(Fault::new(at, message).hint(format!("write {}", kind.usage())));
                }
            },
        };
        if arguments.iter().any(|(known, _)| *known == name) {
            return Err(Fault::new(at, format!("`{name}` is given twice")));
        }
        arguments.push((name, words));
    }
    Ok(arguments)
}

fn unknown(kind: Kind, written: &str, at: Place) -> Fault {
    let fault = Fault::new(at, format!("{} has no argument `{written}`", kind.as_str()));
    match nearest(written, names(kind).iter().copied()) {
        Some(meant) => fault.hint(format!("did you mean `{}`?", meant.to_ascii_uppercase())),
        None => fault.hint(format!("write {}", kind.usage())),
    }
}

/// The table, and the columns behind `PARTITION BY`.
fn source(
    words: &[TokenWithSpan],
    kind: Kind,
    here: Place,
) -> Result<(&[TokenWithSpan], &[TokenWithSpan]), Fault> {
    let at = words.first().map_or(here, place);
    let wrong = || {
        Fault::new(at, "the first argument is a table")
            .hint(format!("write `TABLE name` or a query in parentheses: {}", kind.usage()))
    };
    let split = words
        .windows(2)
        .position(|pair| keyword(&pair[0]) == Keyword::PARTITION && keyword(&pair[1]) == Keyword::BY);
    let (table, keys) = match split {
        Some(split) => (&words[..split], &words[split + 2..]),
        None => (words, &words[..0]),
    };
    if split.is_some() && kind != Kind::Session {
        let fault = Fault::new(place(&words[split.unwrap_or(0)]), "PARTITION BY belongs to SESSION");
        return Err(fault.hint(format!("group by the column instead; write {}", kind.usage())));
    }
    let table = match table {
        [first, rest @ ..] if keyword(first) == Keyword::TABLE => rest,
        other => other,
    };
    let named = |token: &TokenWithSpan| matches!(token.token, Token::Word(_) | Token::Period);
    let query = is(table.first(), &Token::LParen) && is(table.last(), &Token::RParen);
    if table.is_empty() || !(query || table.iter().all(named)) {
        return Err(wrong());
    }
    let keys_fit = keys.iter().all(|token| matches!(token.token, Token::Word(_) | Token::Comma));
    if !keys_fit || split.is_some() && keys.is_empty() {
        let at = keys.first().map_or(at, place);
        return Err(Fault::new(at, "PARTITION BY takes names of columns").hint(kind.usage()));
    }
    Ok((table, keys))
}

/// The column of `DESCRIPTOR(ts)`.
fn descriptor(words: &[TokenWithSpan], here: Place) -> Result<&TokenWithSpan, Fault> {
    match words {
        [name, open, column, close]
            if word(name).is_some_and(|name| name.eq_ignore_ascii_case("descriptor"))
                && open.token == Token::LParen
                && close.token == Token::RParen
                && word(column).is_some() =>
        {
            Ok(column)
        }
        _ => {
            let at = words.first().map_or(here, place);
            Err(Fault::new(at, "the second argument says which column is the time")
                .hint("write `DESCRIPTOR(ts)`"))
        }
    }
}
