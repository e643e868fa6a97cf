//! Queries only read.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use crate::ProcessError;
use crate::problem::{Fault, Place};
use crate::sql::{
    DEPTH_MAX, DIALECT, Reference, bounded_depth, references_of_statement, syntax_fault, tokens,
};

/// Parses the text of a query: exactly one statement.
pub(super) fn parse_one(sql: &str) -> Result<Statement, ProcessError> {
    use datafusion::error::DataFusionError;
    let parser =
        DFParserBuilder::new(tokens(sql)?).with_dialect(&DIALECT).with_recursion_limit(DEPTH_MAX).build();
    let parsed = parser.and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|error| match error.find_root() {
        DataFusionError::SQL(error, _) => ProcessError::from(syntax_fault(error)),
        other => ProcessError::from(Fault::new(Place::START, crate::error::words(other))),
    })?;
    match (statements.pop_front(), statements.len()) {
        (None, _) => Err(Fault::new(Place::START, "there is no SQL here").hint("write one SELECT").into()),
        (Some(statement), 0) => bounded(statement),
        (Some(_), more) => {
            let message = format!("one statement at a time; here are {}", more + 1);
            Err(Fault::new(Place::START, message).hint("send them one by one").into())
        }
    }
}

/// The statement, when it is not nested too deeply.
pub(super) fn bounded(statement: Statement) -> Result<Statement, ProcessError> {
    let mut inner = &statement;
    while let Statement::Explain(explain) = inner {
        inner = &explain.statement;
    }
    if let Statement::Statement(inner) = inner {
        bounded_depth(inner)?;
    }
    Ok(statement)
}

/// Refuses what is not a question. The plan is looked at as well, see [`verify`]: this is for the words of the answer.
pub(super) fn refuse_others(statement: &Statement) -> Result<(), ProcessError> {
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = &explain.statement;
    }
    match inner {
        Statement::Statement(inner) => match explained(inner) {
            SqlStatement::Query(_)
            | SqlStatement::ExplainTable { .. }
            | SqlStatement::ShowTables { .. }
            | SqlStatement::ShowColumns { .. }
            | SqlStatement::ShowCreate { .. }
            | SqlStatement::ShowFunctions { .. }
            | SqlStatement::ShowVariable { .. } => Ok(()),
            other => Err(ProcessError::NotReadOnly(first_words(&other.to_string()))),
        },
        Statement::Explain(_) => Ok(()),
        Statement::CreateExternalTable(_) => {
            Err(ProcessError::NotReadOnly("`CREATE EXTERNAL TABLE`".to_owned()))
        }
        Statement::CopyTo(_) => Err(ProcessError::NotReadOnly("`COPY`".to_owned())),
        Statement::Reset(_) => Err(ProcessError::NotReadOnly("`RESET`".to_owned())),
    }
}

/// What is explained, when it is an EXPLAIN.
fn explained(mut statement: &SqlStatement) -> &SqlStatement {
    while let SqlStatement::Explain { statement: inner, .. } = statement {
        statement = inner;
    }
    statement
}

/// The keywords that a statement begins with, at most two.
fn first_words(statement: &str) -> String {
    let keyword = |word: &&str| word.chars().all(|c| c.is_ascii_uppercase());
    format!("`{}`", statement.split_whitespace().take(2).take_while(keyword).collect::<Vec<_>>().join(" "))
}

/// The tables that a statement names.
pub(super) fn tables_named(statement: &Statement) -> Vec<Reference> {
    match statement {
        Statement::Statement(statement) => references_of_statement(statement),
        Statement::Explain(explain) => tables_named(&explain.statement),
        _ => Vec::new(),
    }
}

/// The statement, when it is one that can be planned with every fault told.
pub(super) fn plain(statement: &Statement) -> Option<SqlStatement> {
    match statement {
        Statement::Statement(inner) if matches!(inner.as_ref(), SqlStatement::Query(_)) => {
            Some(inner.as_ref().clone())
        }
        _ => None,
    }
}

/// Refuses a plan that would change anything: data, the catalog, files, or the settings of the session.
pub(super) fn verify(plan: &LogicalPlan) -> Result<(), ProcessError> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        refused = match node {
            LogicalPlan::Dml(dml) => Some(format!("`{}`", dml.op)),
            LogicalPlan::Ddl(ddl) => Some(format!("`{}`", ddl.name())),
            LogicalPlan::Copy(_) => Some("`COPY`".to_owned()),
            LogicalPlan::Statement(statement) => Some(format!("`{}`", statement.name())),
            _ => None,
        };
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.map_err(ProcessError::from)?;
    refused.map_or(Ok(()), |what| Err(ProcessError::NotReadOnly(what)))
}
