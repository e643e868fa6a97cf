//! From a statement to a plan that only reads, with every name that stands for nothing told with the nearest right one.

use arrow::array::RecordBatch;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use super::{QueryEngine, read_only};
use crate::infer::{Unplanned, plan_statement};
use crate::problem::Fault;
use crate::sql::{Reference, nearest, on_large_stack};
use crate::{CATALOG, ProcessError, graph};

impl QueryEngine {
    /// Plans a statement that was parsed elsewhere, in a session of this engine: for protocols that parse by
    /// themselves and have parameters. Refuses what would change anything, and what is nested too deeply; see
    /// [`crate::bounded_words`] for the bound before parsing.
    pub async fn plan(
        &self,
        session: &SessionContext,
        statement: SqlStatement,
    ) -> Result<LogicalPlan, ProcessError> {
        let state = session.state();
        let statement = Statement::Statement(Box::new(statement));
        on_large_stack(self.plan_in(&state, read_only::bounded(statement)?)).await
    }

    /// Plans a statement; see [`QueryEngine::plan`].
    pub(super) async fn plan_in(
        &self,
        state: &SessionState,
        statement: Statement,
    ) -> Result<LogicalPlan, ProcessError> {
        read_only::refuse_others(&statement)?;
        let planned = match read_only::plain(&statement) {
            Some(query) => plan_statement(state, query).await.map_err(Unplanned::of_query),
            None => state.statement_to_plan(statement.clone()).await.map_err(ProcessError::from),
        };
        match planned {
            Ok(plan) => read_only::verify(&plan).map(|()| plan),
            Err(error @ (ProcessError::Sql { .. } | ProcessError::Engine(_))) => {
                Err(self.unknown_name(state, &statement).map_or(error, ProcessError::from))
            }
            Err(error) => Err(error),
        }
    }

    /// The rows of one query in a session of this engine.
    pub(crate) async fn rows_in(
        &self,
        state: &SessionState,
        sql: &str,
    ) -> Result<Vec<RecordBatch>, ProcessError> {
        let plan = self.plan_in(state, read_only::parse_one(sql)?).await?;
        let physical = state.create_physical_plan(&plan).await?;
        Ok(collect(physical, state.task_ctx()).await?)
    }

    /// The first name in a statement that stands for nothing: a better reason than what the planner stumbled over.
    fn unknown_name(&self, state: &SessionState, statement: &Statement) -> Option<Fault> {
        let named = read_only::tables_named(statement);
        named.iter().find(|reference| !is_table(state, reference)).map(|reference| self.unknown(reference))
    }

    fn unknown(&self, reference: &Reference) -> Fault {
        let extra = self.inner.extra.read();
        let schema = reference.parts.iter().rev().nth(1).and_then(|schema| extra.get(schema));
        let (Some(schema), Some(table)) = (schema, reference.parts.last()) else {
            return graph::unknown(self.project(), reference);
        };
        let names = schema.table_names();
        let fault = Fault::new(reference.place, format!("there is no table `{}`", reference.name()));
        match nearest(table, names.iter().map(String::as_str)) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint(format!("there are `{}`", names.join("`, `"))),
        }
    }
}

fn is_table(state: &SessionState, reference: &Reference) -> bool {
    let parts: Vec<&str> = reference.parts.iter().map(String::as_str).collect();
    let (schema, table) = match parts.as_slice() {
        [table] => (state.config_options().catalog.default_schema.as_str(), *table),
        [schema, table] | [CATALOG, schema, table] => (*schema, *table),
        _ => return false,
    };
    let catalog = state.catalog_list().catalog(CATALOG);
    schema == "information_schema"
        || catalog.and_then(|catalog| catalog.schema(schema)).is_some_and(|schema| schema.table_exist(table))
}
