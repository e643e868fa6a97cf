//! SQL that is nested too deeply to be worked on.
//!
//! The parser bounds what it parses by recursion. What it parses in a loop (`a + a + a …`, UNION after UNION, join
//! after join) becomes as deep a tree, which planning, running and dropping go down by recursion: a text of a few
//! kilobytes could end the process. So texts are bounded before they are parsed, trees before they are planned, and
//! planning is done on a stack that is large enough for what is let through.

use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll};

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, SetExpr, Statement, Visit, Visitor};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::distinct;
use crate::problem::{Fault, Place};

/// Words and operators of one statement; literals and commas are not counted, so that long lists are let through.
const WORDS_MAX: usize = 50_000;
/// Expressions within expressions; each operator of a chain is one.
const EXPRESSIONS_MAX: usize = 500;
/// Queries that UNION and its like join in one chain.
const SET_OPERATIONS_MAX: usize = 100;
/// Tables that one SELECT joins.
const JOINS_MAX: usize = 100;
/// Enough for planning what is let through, in an unoptimised build too. Only what is used of it is ever allocated.
const STACK_BYTES: usize = 64 << 20;

/// Refuses a text that could become a tree too deep to be dropped.
pub(super) fn few_words(tokens: &[TokenWithSpan]) -> Result<(), Fault> {
    let counted = |token: &&TokenWithSpan| {
        !matches!(
            token.token,
            Token::Comma
                | Token::Whitespace(_)
                | Token::Number(..)
                | Token::SingleQuotedString(_)
                | Token::EOF
        )
    };
    let words = tokens.iter().filter(counted).count();
    if words <= WORDS_MAX {
        return Ok(());
    }
    let fault = Fault::new(
        Place::START,
        format!("this SQL has {words} words, more than the {WORDS_MAX} that are taken"),
    );
    Err(fault.hint("put long lists of values into a table and join with it"))
}

/// Refuses a statement whose tree is too deep to be planned and run, or another one than its text says.
pub(crate) fn bounded_depth(statement: &Statement) -> Result<(), Fault> {
    let mut depth = Depth { expressions: 0, fault: None };
    let _ = statement.visit(&mut depth);
    depth.fault.map_or(Ok(()), Err)
}

struct Depth {
    expressions: usize,
    fault: Option<Fault>,
}

impl Depth {
    fn refuse(&mut self, what: &str, most: usize, hint: &str) -> ControlFlow<()> {
        self.fault = Some(Fault::new(Place::START, format!("more than {most} {what}")).hint(hint));
        ControlFlow::Break(())
    }
}

impl Visitor for Depth {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Some(fault) = distinct::swallowed(expr) {
            self.fault = Some(fault);
            return ControlFlow::Break(());
        }
        self.expressions += 1;
        if self.expressions <= EXPRESSIONS_MAX {
            return ControlFlow::Continue(());
        }
        self.refuse(
            "expressions stand within each other",
            EXPRESSIONS_MAX,
            "write `in (…)` instead of many `or`",
        )
    }

    fn post_visit_expr(&mut self, _expr: &Expr) -> ControlFlow<()> {
        self.expressions -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let (mut body, mut chain) = (query.body.as_ref(), 0);
        while let SetExpr::SetOperation { left, .. } = body {
            (body, chain) = (left.as_ref(), chain + 1);
        }
        if chain <= SET_OPERATIONS_MAX {
            return ControlFlow::Continue(());
        }
        self.refuse(
            "queries are joined by UNION",
            SET_OPERATIONS_MAX,
            "write VALUES, or put the rows into a table",
        )
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        let joined: usize = select.from.iter().map(|table| 1 + table.joins.len()).sum();
        if joined <= JOINS_MAX {
            return ControlFlow::Continue(());
        }
        self.refuse("tables are joined in one SELECT", JOINS_MAX, "join some of them in a view")
    }
}

/// Does something that goes down deep trees.
pub(super) fn with_large_stack<T>(work: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(STACK_BYTES / 2, STACK_BYTES, work)
}

/// A future each step of which has a large stack. A step that uses little of it costs some microseconds more.
pub struct OnLargeStack<F>(Pin<Box<F>>);

/// Lets a future parse and plan deep SQL: each of its steps has a large stack.
pub fn on_large_stack<F: Future>(future: F) -> OnLargeStack<F> {
    OnLargeStack(Box::pin(future))
}

impl<F: Future> Future for OnLargeStack<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Within another one there is enough already.
        with_large_stack(|| self.0.as_mut().poll(context))
    }
}
