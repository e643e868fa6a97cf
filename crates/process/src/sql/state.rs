//! `system.state('domain.name')` in SQL texts: what a stream holds of the windows that are still open.
//!
//! Owns: the words of it. They become the dataset's table in its edition [`Edition::State`], before the text is parsed,
//! as for window table functions, and with the places of what the user wrote.
//! Does not own: where its rows come from (`stream::look`).

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use flowline_model::DatasetName;

use super::as_of::{Edition, place, quoted};
use crate::problem::Fault;

/// The tokens with every `system.state(…)` written out.
///
/// # Errors
/// One that does not say which stream, at its place.
pub(super) fn expand(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, Fault> {
    if !tokens.iter().any(|token| named(token, "state")) {
        return Ok(tokens);
    }
    let words: Vec<TokenWithSpan> =
        tokens.into_iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).collect();
    let (mut out, mut at) = (Vec::with_capacity(words.len()), 0);
    while at < words.len() {
        if begins(&words[at..]) {
            let (table, length) = table(&words[at..])?;
            out.extend(table);
            at += length;
        } else {
            out.push(words[at].clone());
            at += 1;
        }
    }
    Ok(out)
}

fn named(token: &TokenWithSpan, name: &str) -> bool {
    matches!(&token.token, Token::Word(word) if word.value.eq_ignore_ascii_case(name))
}

fn begins(words: &[TokenWithSpan]) -> bool {
    let [first, period, second, open, ..] = words else { return false };
    named(first, "system")
        && period.token == Token::Period
        && named(second, "state")
        && open.token == Token::LParen
}

/// The words of the table that stands for a call, and how many words the call has.
fn table(words: &[TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, usize), Fault> {
    let wrong = |message: String| {
        Fault::new(place(&words[0]), message)
            .hint("write `system.state('domain.name')`; of a query with several aggregates, `system.state('domain.name', 2)` is the second")
    };
    let Some(TokenWithSpan { token: Token::SingleQuotedString(name), span }) = words.get(4) else {
        return Err(wrong("system.state takes the name of a stream, in quotes".to_owned()));
    };
    let (number, length) = match (words.get(5), words.get(6), words.get(7)) {
        (Some(close), _, _) if close.token == Token::RParen => (Some(1), 6),
        (Some(comma), Some(number), Some(close))
            if comma.token == Token::Comma && close.token == Token::RParen =>
        {
            (number_of(number), 8)
        }
        _ => (None, 0),
    };
    let number = number.ok_or_else(|| {
        wrong("system.state takes a name and the number of an aggregate, from 1 on".to_owned())
    })?;
    let dataset: DatasetName =
        name.parse().map_err(|error| wrong(format!("`{name}` is not the name of a stream: {error}")))?;
    let table = Edition::State(number).name(dataset.name());
    let token = |token: Token| TokenWithSpan::new(token, *span);
    Ok((vec![token(quoted(dataset.domain())), token(Token::Period), token(quoted(&table))], length))
}

fn number_of(token: &TokenWithSpan) -> Option<u16> {
    let Token::Number(text, _) = &token.token else { return None };
    text.parse().ok().filter(|number| *number > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use crate::sql::{parse_query, references};

    fn said(text: &str) -> String {
        match parse_query(text) {
            Ok(query) => query.to_string(),
            Err(fault) => format!("{}:{} {}", fault.place.line, fault.place.column, fault.message),
        }
    }

    #[test]
    fn a_call_is_a_table_with_the_place_of_its_name() {
        assert_eq!(
            said("select * from System.state( 'shop.sales' ) as s"),
            "SELECT * FROM \"shop\".\"sales$state1\" AS s"
        );
        assert_eq!(
            said("select state from system.state('shop.sales', 2), system.hops"),
            "SELECT state FROM \"shop\".\"sales$state2\", system.hops"
        );
        let query = parse_query("select *\n  from system.state('shop.sales')").unwrap();
        let found = references(&query);
        assert_eq!(
            (found[0].name().as_str(), found[0].place.line, found[0].place.column),
            ("shop.sales", 2, 21)
        );
    }

    #[test]
    fn a_call_that_names_no_stream_is_refused_at_its_place() {
        assert_eq!(
            said("select * from system.state()"),
            "1:15 system.state takes the name of a stream, in quotes"
        );
        for number in ["0", "-1", "'a'", "70000"] {
            let said = said(&format!("select * from system.state('shop.sales', {number})"));
            assert!(said.starts_with("1:15 system.state takes a name and the number"), "{said}");
        }
        let said = said("select * from system.state('sales')");
        assert!(said.starts_with("1:15 `sales` is not the name of a stream"), "{said}");
    }
}
