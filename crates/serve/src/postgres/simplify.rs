//! Statements about the catalog, without what cannot be planned and has nothing to say here: lists of privileges and
//! of storage options, which tools put together from subqueries, and escapes in patterns of names. And with scalar
//! subqueries in the one form that can be planned.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, Query, SelectItem, SetExpr, Statement, Value,
    visit_expressions_mut,
};

/// Replaces such lists by null, and takes such escapes away.
pub(super) fn simplify(statement: &mut Statement) {
    let _ = visit_expressions_mut(statement, |expression| {
        match expression {
            Expr::Function(function) if has_nothing_to_say(function) => *expression = null_text(),
            Expr::Subquery(query) if about_nothing(query) => *expression = null_text(),
            Expr::Subquery(query) => aggregate(query),
            Expr::Like { escape_char, .. } | Expr::ILike { escape_char, .. } => *escape_char = None,
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    });
}

/// Whether a scalar subquery asks for what no relation has here: a default, a sequence, a collation of its own.
fn about_nothing(query: &Query) -> bool {
    let text = query.to_string().to_ascii_lowercase();
    ["pg_attrdef", "pg_sequence", "pg_collation"].iter().any(|relation| text.contains(relation))
}

/// Makes a scalar subquery that is not an aggregate one of at most one row: `(select x …)` is `(select max(x) …)` where
/// there is one row or none, and only the second can be planned when it looks at the rows around it.
fn aggregate(query: &mut Query) {
    let SetExpr::Select(select) = query.body.as_mut() else { return };
    let grouped = !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    let [SelectItem::UnnamedExpr(answer) | SelectItem::ExprWithAlias { expr: answer, .. }] =
        select.projection.as_mut_slice()
    else {
        return;
    };
    let text = answer.to_string().to_ascii_lowercase();
    const AGGREGATES: [&str; 6] = ["count(", "max(", "min(", "sum(", "agg(", "bool_"];
    if grouped || select.from.is_empty() || AGGREGATES.iter().any(|name| text.contains(name)) {
        return;
    }
    let inner = std::mem::replace(answer, null_text());
    *answer = maximum(inner);
    query.limit_clause = None;
    query.order_by = None;
}

fn maximum(of: Expr) -> Expr {
    let argument = FunctionArg::Unnamed(FunctionArgExpr::Expr(of));
    let list = FunctionArgumentList { duplicate_treatment: None, args: vec![argument], clauses: Vec::new() };
    Expr::Function(Function {
        name: ObjectName::from(Ident::new("max")),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn has_nothing_to_say(function: &Function) -> bool {
    match last_word(function).as_str() {
        "array" => matches!(function.args, FunctionArguments::Subquery(_)),
        "array_to_string" => first_argument(function).is_some_and(|argument| {
            let text = argument.to_string().to_ascii_lowercase();
            text.contains("acl") || text.contains("options")
        }),
        _ => false,
    }
}

fn last_word(function: &Function) -> String {
    let part = function.name.0.last().and_then(|part| part.as_ident());
    part.map_or(String::new(), |word| word.value.to_ascii_lowercase())
}

fn first_argument(function: &Function) -> Option<&Expr> {
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.first()? {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) => Some(argument),
        _ => None,
    }
}

fn null_text() -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(Value::Null.into())),
        data_type: DataType::Text,
        array: false,
        format: None,
    }
}
