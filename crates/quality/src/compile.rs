//! Rules as written become tests that can be run over batches.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, SchemaError};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, Volatility, lit, try_cast};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use flowline_lake::arrow_types;
use flowline_model::{Check, CheckRule, CheckSeverity, Column, Dataset, FindingKind};

use crate::RuleError;
use crate::bounds::{Bounds, typed};
use crate::pattern::Pattern;
use crate::physical::physical;
use crate::rules::{RowRule, RowRules, Test, Which};

/// The rules that can be used, and what is wrong with the others.
pub(crate) fn compile(dataset: &Dataset, columns: &[Column], which: Which) -> (RowRules, Vec<RuleError>) {
    let mut compiler = Compiler { dataset, columns, rules: Vec::new(), problems: Vec::new() };
    if which == Which::Contract {
        for (index, column) in columns.iter().enumerate().filter(|(_, column)| column.required) {
            compiler.rules.push(required(index, column));
        }
    }
    // Sessions and schemas are only made where an expression needs them.
    let expressions = (which != Which::Checks && columns.iter().any(|column| column.check.is_some()))
        || dataset.checks.iter().any(|check| check.rule.by_row());
    if expressions {
        compiler.compile(which);
    }
    let types = columns.iter().map(|column| arrow_types::data_type(&column.data_type)).collect();
    let rules = RowRules { types, rules: Arc::new(compiler.rules) };
    (rules, compiler.problems)
}

struct Compiler<'a> {
    dataset: &'a Dataset,
    columns: &'a [Column],
    rules: Vec<RowRule>,
    problems: Vec<RuleError>,
}

fn required(index: usize, column: &Column) -> RowRule {
    RowRule {
        check: None,
        column: Some(column.name.clone()),
        severity: CheckSeverity::QuarantineRows,
        reason: FindingKind::Missing,
        message: format!("`{}` is required and has no value", column.name),
        personal: column.pii.is_some(),
        index: Some(index),
        test: Test::Required(index),
    }
}

impl Compiler<'_> {
    fn compile(&mut self, which: Which) {
        // Whether a column may be null decides how a check is simplified; rows are looked at before `required` is held
        // against them, so that every column may be.
        let fields: Vec<Field> =
            self.columns.iter().map(|column| arrow_types::field(column).with_nullable(true)).collect();
        let schema = match DFSchema::try_from(Schema::new(fields)) {
            Ok(schema) => schema,
            Err(error) => {
                let column = self.columns.first().map(|column| column.name.clone()).unwrap_or_default();
                return self.problems.push(problem(&column, None, "", &error));
            }
        };
        let context = SessionContext::new();
        if which != Which::Checks {
            for (index, column) in self.columns.iter().enumerate() {
                let Some(text) = column.check.as_deref() else { continue };
                match expression(&context, &schema, &column.name, None, text) {
                    Ok(expression) => self.rules.push(RowRule {
                        check: None,
                        column: Some(column.name.clone()),
                        severity: CheckSeverity::QuarantineRows,
                        reason: FindingKind::FailedRule,
                        message: format!("`{text}` does not hold"),
                        personal: column.pii.is_some(),
                        index: Some(index),
                        test: Test::Expression(expression, text.to_owned()),
                    }),
                    Err(problem) => self.problems.push(problem),
                }
            }
        }
        for check in self.dataset.checks.iter().filter(|check| check.rule.by_row()) {
            match self.check(&context, &schema, check) {
                Ok(rule) => self.rules.push(rule),
                Err(problem) => self.problems.push(problem),
            }
        }
    }

    fn check(
        &self,
        context: &SessionContext,
        schema: &DFSchema,
        check: &Check,
    ) -> Result<RowRule, RuleError> {
        let name = check.rule.columns().first().map(|name| (*name).to_owned());
        let refused = |message: String| RuleError {
            column: name.clone().unwrap_or_else(|| check.name.clone()),
            check: Some(check.name.clone()),
            message,
            position: None,
        };
        let mut column = None;
        if let Some(name) = &name {
            let index = self.columns.iter().position(|column| column.name == *name);
            let index = index.ok_or_else(|| refused(format!("there is no column `{name}`")))?;
            column = Some((index, &self.columns[index]));
        }
        let (test, message) = match column {
            Some((index, column)) => of_column(context, schema, check, index, column).map_err(refused)?,
            None => {
                let CheckRule::Condition { expression: text } = &check.rule else {
                    return Err(refused("it is not about single rows".to_owned()));
                };
                let expression = expression(context, schema, &check.name, Some(&check.name), text)?;
                (Test::Expression(expression, text.clone()), format!("`{text}` does not hold"))
            }
        };
        let missing = matches!(check.rule, CheckRule::Required { .. });
        Ok(RowRule {
            column: name.clone(),
            severity: check.severity,
            reason: if missing { FindingKind::Missing } else { FindingKind::FailedRule },
            message: format!("{message} (check `{}`)", check.name),
            personal: column.is_some_and(|(_, column)| column.pii.is_some()),
            index: column.map(|(index, _)| index),
            test,
            check: Some(check.clone()),
        })
    }
}

/// The test of a check of one column, and what is said of a row that fails it.
fn of_column(
    context: &SessionContext,
    schema: &DFSchema,
    check: &Check,
    index: usize,
    column: &Column,
) -> Result<(Test, String), String> {
    let (name, kind) = (&column.name, arrow_types::data_type(&column.data_type));
    let reference = || Expr::Column(datafusion::common::Column::new_unqualified(name));
    let made =
        |expression: Expr| physical(context, expression, schema).map_err(|error| error.strip_backtrace());
    Ok(match &check.rule {
        CheckRule::Required { .. } => (Test::Required(index), format!("`{name}` has no value")),
        CheckRule::Range { min, max, .. } => {
            let bounds = Bounds::of(&kind, min.as_deref(), max.as_deref())?;
            let message = match (min, max) {
                (Some(min), Some(max)) => format!("`{name}` is not between {min} and {max}"),
                (Some(min), None) => format!("`{name}` is less than {min}"),
                (_, max) => format!("`{name}` is greater than {}", max.as_deref().unwrap_or_default()),
            };
            (Test::Bounds(index, bounds), message)
        }
        CheckRule::Length { min, max, .. } => {
            text_only(&kind)?;
            let test = Test::Length(index, min.unwrap_or(0), max.unwrap_or(u64::MAX));
            let message = match (min, max) {
                (Some(min), Some(max)) => format!("`{name}` has not {min} to {max} characters"),
                (Some(min), None) => format!("`{name}` has fewer than {min} characters"),
                (_, max) => format!("`{name}` has more than {} characters", max.unwrap_or(u64::MAX)),
            };
            (test, message)
        }
        CheckRule::Pattern { pattern, .. } => {
            text_only(&kind)?;
            let compiled = Pattern::new(pattern)
                .map_err(|error| format!("`{pattern}` is no regular expression: {error}"))?;
            (Test::Pattern(index, Box::new(compiled)), format!("`{name}` does not match `{pattern}`"))
        }
        CheckRule::AcceptedValues { values, .. } if text_only(&kind).is_ok() => {
            let accepted = values.iter().cloned().collect();
            (Test::Accepted(index, accepted), format!("`{name}` is not among the accepted values"))
        }
        CheckRule::AcceptedValues { values, .. } => {
            let values = values.iter().map(|text| Ok(lit(typed(&kind, text)?)));
            let among = reference().in_list(values.collect::<Result<_, String>>()?, false);
            let text = format!("{name} among the accepted values");
            (Test::Expression(made(among)?, text), format!("`{name}` is not among the accepted values"))
        }
        CheckRule::Type { data_type, .. } => {
            text_only(&kind)?;
            let read = try_cast(reference(), arrow_types::data_type(data_type));
            let holds = reference().is_null().or(read.is_not_null());
            let text = format!("{name} as {data_type}");
            (Test::Expression(made(holds)?, text), format!("`{name}` cannot be read as {data_type}"))
        }
        other => return Err(format!("a check of kind `{}` is not about single rows", other.kind())),
    })
}

fn text_only(kind: &DataType) -> Result<(), String> {
    match kind {
        DataType::Utf8 => Ok(()),
        other => Err(format!("it is for texts, and the column is of type {other}")),
    }
}

/// Compiles a condition in SQL.
fn expression(
    context: &SessionContext,
    schema: &DFSchema,
    column: &str,
    check: Option<&str>,
    text: &str,
) -> Result<Arc<dyn PhysicalExpr>, RuleError> {
    let failed = |error: DataFusionError| problem(column, check, text, &error);
    let expression = context.parse_sql_expr(text, schema).map_err(failed)?;
    let refused = |message: String| RuleError {
        column: column.to_owned(),
        check: check.map(str::to_owned),
        message,
        position: None,
    };
    row_by_row(&expression).map_err(failed)?.map_or(Ok(()), |reason| Err(refused(reason)))?;
    let data_type = expression.get_type(schema).map_err(failed)?;
    if !matches!(data_type, DataType::Boolean | DataType::Null) {
        return Err(refused(format!(
            "it is of type `{data_type}` and not true or false: compare it with something"
        )));
    }
    physical(context, expression, schema).map_err(failed)
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
            // The parser takes what follows `and` for the right side.
            Expr::BinaryExpr(BinaryExpr {
                op: Operator::IsDistinctFrom | Operator::IsNotDistinctFrom,
                right,
                ..
            }) if matches!(
                right.as_ref(),
                Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. })
            ) =>
            {
                Some(
                    "`is distinct from` stands before `and` or `or` without parentheses: put it into some"
                        .to_owned(),
                )
            }
            _ => None,
        };
        Ok(if reason.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(reason)
}

fn problem(column: &str, check: Option<&str>, text: &str, error: &DataFusionError) -> RuleError {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| span.start);
    let message = error.strip_backtrace();
    let position = span
        .map(|start| (u32::try_from(start.line).unwrap_or(1), u32::try_from(start.column).unwrap_or(1)))
        .or_else(|| position_in(&message))
        .or_else(|| position_of_unknown(text, error));
    RuleError { column: column.to_owned(), check: check.map(str::to_owned), message, position }
}

/// Where a column that does not exist stands in the check.
fn position_of_unknown(text: &str, error: &DataFusionError) -> Option<(u32, u32)> {
    let DataFusionError::SchemaError(schema_error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, .. } = schema_error.as_ref() else { return None };
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
