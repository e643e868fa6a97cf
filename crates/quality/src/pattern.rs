//! Regular expressions that texts are held against.
//!
//! Owns: which automaton is run. Does not own: the syntax, which is that of the `regex` crate.

use regex::{Regex, RegexBuilder};
use regex_automata::Input;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;

/// A compiled regular expression may take so much memory.
const BYTES_MAX: usize = 10 << 20;
/// So may its table; beyond, states are made while texts are looked at. Most patterns of contracts take a few KiB.
const TABLE_BYTES_MAX: usize = 1 << 20;

/// A regular expression that is compiled as a whole where that takes little memory: a text then costs one look at a table
/// for each byte, about half of what it costs to find the states on the way.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    table: Option<dense::DFA<Vec<u32>>>,
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// When it is no regular expression, or takes too much memory.
    pub fn new(pattern: &str) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(pattern).size_limit(BYTES_MAX).build()?;
        Ok(Self { regex, table: table(pattern) })
    }

    /// What is run over the texts of one batch.
    pub fn matcher(&self) -> impl Fn(&str) -> bool {
        // A copy has working memory of its own; threads that share one take turns at it, for each text.
        let regex = self.regex.clone();
        move |text| {
            let found = self.table.as_ref().map(|table| {
                // Where a match ends is of no interest.
                table.try_search_fwd(&Input::new(text).earliest(true))
            });
            match found {
                Some(Ok(found)) => found.is_some(),
                Some(Err(_)) | None => regex.is_match(text),
            }
        }
    }
}

/// The whole automaton; none where it is large, or there is none (`\b` of Unicode).
fn table(pattern: &str) -> Option<dense::DFA<Vec<u32>>> {
    let limits = dense::Config::new()
        .start_kind(StartKind::Unanchored)
        .dfa_size_limit(Some(TABLE_BYTES_MAX))
        .determinize_size_limit(Some(TABLE_BYTES_MAX));
    let states = thompson::Config::new().nfa_size_limit(Some(TABLE_BYTES_MAX));
    dense::Builder::new().configure(limits).thompson(states).build(pattern).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use proptest::prelude::*;

    use super::{Pattern, table};

    #[test]
    fn patterns_of_contracts_have_a_table() {
        for pattern in
            ["^[0-9]{1,20}$", "^[A-Z]{2}-[0-9]{4,8}$", r"^\d+$", "(?i)^order-", r"^[^@\s]+@[^@\s]+$"]
        {
            assert!(table(pattern).is_some(), "{pattern}");
        }
        assert!(table(r"\bword\b").is_none());
        assert!(table(r"^\w{1,200}$").is_none());
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        assert!(Pattern::new("(").is_err());
        assert!(Pattern::new(r"\w{1,1000}{1,100}").is_err());
    }

    proptest! {
        #[test]
        fn the_table_says_what_the_crate_says(
            pattern in r"\^?(a|b|\.|\[ab\]|\[\^a\]|é|\\d|\\b|\(\?i\)|\(a\|b\)|\$){0,4}[*+?]?\$?",
            text in "[abAé1 \n]{0,8}",
        ) {
            let Ok(compiled) = Pattern::new(&pattern) else { return Ok(()) };
            let expected = regex::Regex::new(&pattern).unwrap().is_match(&text);
            prop_assert_eq!(compiled.matcher()(&text), expected, "{} on {:?}", pattern, text);
        }
    }
}
