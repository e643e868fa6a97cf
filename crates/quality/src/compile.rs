//! Rules as written become expressions that can be evaluated.

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, SchemaError};
use datafusion::logical_expr::{Expr, ExprSchemable, Volatility};
use datafusion::prelude::SessionContext;
use flowline_lake::arrow_types;
use flowline_model::{Column, Dataset};

use crate::RuleError;
use crate::rules::{Check, RowRules};

/// The rules that can be used, and what is wrong with the others.
pub(crate) fn compile(dataset: &Dataset) -> (RowRules, Vec<RuleError>) {
    let columns = &dataset.columns;
    let required = columns.iter().enumerate().filter(|(_, column)| column.required);
    let mut rules = RowRules {
        columns: columns.len(),
        required: required.map(|(index, column)| (index, column.name.clone())).collect(),
        checks: Vec::new(),
    };
    if columns.iter().all(|column| column.check.is_none()) {
        return (rules, Vec::new());
    }
    // Whether a column may be null decides how a check is simplified; rows are looked at before `required` is held
    // against them, so that every column may be.
    let fields: Vec<Field> =
        columns.iter().map(|column| arrow_types::field(column).with_nullable(true)).collect();
    let mut problems = Vec::new();
    match DFSchema::try_from(Schema::new(fields)) {
        Ok(schema) => {
            let context = SessionContext::new();
            for column in columns {
                match column.check.as_deref().map(|text| check(&context, &schema, column, text)) {
                    Some(Ok(check)) => rules.checks.push(check),
                    Some(Err(problem)) => problems.push(problem),
                    None => {}
                }
            }
        }
        Err(error) => problems.push(problem(&columns[0], &error)),
    }
    (rules, problems)
}

fn check(
    context: &SessionContext,
    schema: &DFSchema,
    column: &Column,
    text: &str,
) -> Result<Check, RuleError> {
    let failed = |error: DataFusionError| problem(column, &error);
    let expression = context.parse_sql_expr(text, schema).map_err(failed)?;
    let refused = |message: String| RuleError { column: column.name.clone(), message, position: None };
    row_by_row(&expression).map_err(failed)?.map_or(Ok(()), |reason| Err(refused(reason)))?;
    let data_type = expression.get_type(schema).map_err(failed)?;
    if !matches!(data_type, DataType::Boolean | DataType::Null) {
        return Err(refused(format!(
            "it is of type `{data_type}` and not true or false: compare it with something"
        )));
    }
    let expression = context.create_physical_expr(expression, schema).map_err(failed)?;
    Ok(Check { column: column.name.clone(), text: text.to_owned(), expression })
}

/// Why an expression says something else than what one row alone decides, if it does.
pub(crate) fn row_by_row(expression: &Expr) -> Result<Option<String>, DataFusionError> {
    let mut reason = None;
    expression.apply(|part| {
        reason = match part {
            Expr::AggregateFunction(_) | Expr::WindowFunction(_) => Some(
                "it looks at more than one row; make it a check of a dataset that is computed".to_owned(),
            ),
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_) => {
                Some("it has a query inside; a check sees its own row only".to_owned())
            }
            Expr::ScalarFunction(call) if call.func.signature().volatility != Volatility::Immutable => {
                Some(format!("`{}` does not give the same answer each time; a check must", call.func.name()))
            }
            _ => None,
        };
        Ok(if reason.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(reason)
}

fn problem(column: &Column, error: &DataFusionError) -> RuleError {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start);
    let message = error.strip_backtrace();
    let position = span
        .map(|start| (u32::try_from(start.line).unwrap_or(1), u32::try_from(start.column).unwrap_or(1)))
        .or_else(|| position_in(&message))
        .or_else(|| position_of_unknown(column, error));
    RuleError { column: column.name.clone(), message, position }
}

/// Where a column that does not exist stands in the check.
fn position_of_unknown(column: &Column, error: &DataFusionError) -> Option<(u32, u32)> {
    let DataFusionError::SchemaError(schema_error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, .. } = schema_error.as_ref() else { return None };
    let text = column.check.as_deref()?;
    let part_of_name = |character: char| character.is_alphanumeric() || character == '_';
    let (at, _) = text.match_indices(field.name.as_str()).find(|(at, name)| {
        !text[..*at].ends_with(part_of_name) && !text[at + name.len()..].starts_with(part_of_name)
    })?;
    let line_start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[..at].matches('\n').count() + 1;
    Some((u32::try_from(line).ok()?, u32::try_from(text[line_start..at].chars().count() + 1).ok()?))
}

/// The SQL parser says `at Line: 1, Column: 5` in its message.
fn position_in(message: &str) -> Option<(u32, u32)> {
    let (_, rest) = message.split_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits = rest.split(|character: char| !character.is_ascii_digit()).next()?;
    Some((line.parse().ok()?, digits.parse().ok()?))
}
