//! `IS DISTINCT FROM`, whose right side the parser takes too far.
//!
//! `a IS DISTINCT FROM b AND c` is `(a IS DISTINCT FROM b) AND c` in SQL, and the parser reads `a IS DISTINCT FROM (b AND c)`
//! (sqlparser 0.62), which often has an answer as well. So it is refused where nobody wrote parentheses; it can go when the
//! parser is mended.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Spanned};

use super::parse::place_of;
use crate::problem::{Fault, Place};

/// Why an expression is another one than its text says.
pub(super) fn swallowed(expr: &Expr) -> Option<Fault> {
    let (Expr::IsDistinctFrom(left, right) | Expr::IsNotDistinctFrom(left, right)) = expr else {
        return None;
    };
    let Expr::BinaryOp { op: op @ (BinaryOperator::And | BinaryOperator::Or | BinaryOperator::Xor), .. } =
        right.as_ref()
    else {
        return None;
    };
    let place = place_of(left.span()).unwrap_or(Place::START);
    let fault = Fault::new(place, format!("`IS DISTINCT FROM` stands before `{op}` without parentheses"));
    Some(fault.hint(format!("write `(… IS DISTINCT FROM …) {op} …`")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::super::parse_query;

    #[test]
    fn what_would_be_read_otherwise_than_it_is_written_is_refused() {
        for (query, plain) in [
            ("select 1 from t where a is distinct from b and c", false),
            ("select 1 from t where x or a is not distinct from b + 1 or c", false),
            ("select 1 from t join u on t.a is not distinct from u.a and t.b = u.b", false),
            ("select 1 from t where (a is distinct from b) and c", true),
            ("select 1 from t where c and a is distinct from b", true),
            ("select 1 from t where a is distinct from (b and c)", true),
            ("select case when a is distinct from b then 1 end from t where c and d", true),
        ] {
            let parsed = parse_query(query);
            assert_eq!(parsed.is_ok(), plain, "{query}");
        }
        let fault = parse_query("select a\nfrom t where a is distinct from b and c").unwrap_err();
        assert_eq!((fault.place.line, fault.place.column), (2, 14));
    }
}
