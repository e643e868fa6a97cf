//! The derived table that a call stands for.

use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Tokenizer};

use super::Kind;
use super::call::Call;
use crate::problem::{Fault, Place};
use crate::sql::DIALECT;
use crate::windows::{
    CUMULATE_ENDS, HOP_STARTS, SESSION_END, SESSION_START, TUMBLE_START, WINDOW_END, WINDOW_TIME,
};

/// Words of the templates that stand for those of the call.
const SOURCE: &str = "__flowline_source";
const TIME: &str = "__flowline_time";
const OVER: &str = "__flowline_over";

/// The words of the derived table; those that the user did not write have the place of the call's name.
pub(super) fn derived_table(
    call: &Call<'_>,
    source: Vec<TokenWithSpan>,
) -> Result<Vec<TokenWithSpan>, Fault> {
    let text = text(call);
    let words = Tokenizer::new(&DIALECT, &text)
        .tokenize()
        .map_err(|error| Fault::new(Place::START, format!("a window cannot be written as SQL: {error}")))?;
    let mut table = Vec::with_capacity(words.len() + source.len());
    for token in words.into_iter().filter(|token| !matches!(token, Token::Whitespace(_))) {
        match &token {
            Token::Word(word) if word.value == SOURCE => table.extend(source.iter().cloned()),
            Token::Word(word) if word.value == TIME => {
                // The column is told at the user's own word, also where a name stands before it.
                let qualifier = table.len().saturating_sub(2);
                table[qualifier..].iter_mut().for_each(|token| token.span = call.time.span);
                table.push(call.time.clone());
            }
            Token::Word(word) if word.value == OVER => table.extend(over(call)),
            _ => table.push(TokenWithSpan::new(token, call.span)),
        }
    }
    Ok(table)
}

/// `PARTITION BY` the keys of a session; nothing without keys.
fn over(call: &Call<'_>) -> Vec<TokenWithSpan> {
    if call.keys.is_empty() {
        return Vec::new();
    }
    let words = ["PARTITION", "BY"].map(|word| at(Token::make_keyword(word), call.span));
    words.into_iter().chain(call.keys.iter().cloned()).collect()
}

fn at(token: Token, span: Span) -> TokenWithSpan {
    TokenWithSpan::new(token, span)
}

fn text(call: &Call<'_>) -> String {
    let Call { kind, size, step, offset, .. } = call;
    let windows = match kind {
        Kind::Tumble => format!(
            "{TUMBLE_START}(t.{TIME}, {size}, {offset}) AS window_start, \
             {WINDOW_END}({TUMBLE_START}(t.{TIME}, {size}, {offset}), {size}) AS window_end"
        ),
        Kind::Hop => {
            let starts = format!("unnest({HOP_STARTS}(t.{TIME}, {size}, {step}, {offset})) AS window_start");
            return with_time(
                call,
                &format!(
                    "SELECT s.*, {WINDOW_END}(s.window_start, {size}) AS window_end \
                     FROM (SELECT t.*, {starts} FROM {SOURCE} AS t WHERE t.{TIME} IS NOT NULL) AS s"
                ),
            );
        }
        Kind::Cumulate => format!(
            "{TUMBLE_START}(t.{TIME}, {size}, {offset}) AS window_start, \
             unnest({CUMULATE_ENDS}(t.{TIME}, {size}, {step}, {offset})) AS window_end"
        ),
        Kind::Session => format!(
            "{SESSION_START}(t.{TIME}, {size}) OVER ({OVER} ORDER BY t.{TIME}) AS window_start, \
             {SESSION_END}(t.{TIME}, {size}) OVER ({OVER} ORDER BY t.{TIME}) AS window_end"
        ),
    };
    with_time(call, &format!("SELECT t.*, {windows} FROM {SOURCE} AS t WHERE t.{TIME} IS NOT NULL"))
}

/// The windows with their time, whose arguments say what kind of window it is to whoever reads the plan.
fn with_time(call: &Call<'_>, windows: &str) -> String {
    let Call { kind, size, step, offset, .. } = call;
    let kind = kind.as_str().to_ascii_lowercase();
    format!(
        "(SELECT w.*, {WINDOW_TIME}(w.window_end, '{kind}', {size}, {step}, {offset}, w.{TIME}) AS window_time \
         FROM ({windows}) AS w)"
    )
}
