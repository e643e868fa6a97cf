//! From a statement to its rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_pg::datatypes::{arrow_schema_to_pg_fields, encode_recordbatch, field_into_pg_type};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement as Ast;
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use flowline_process::{QueryEngine, SessionOptions, bounded_words, on_large_stack};
use futures::{Stream, StreamExt, stream};
use pgwire::api::Type;
use pgwire::api::portal::Format;
use pgwire::api::results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::data::DataRow;

use super::catalog::Catalog;
use super::error::PgError;
use super::settings::Settings;
use super::statement::{self, Statement};
use crate::detached::detached;

/// Plans and runs statements.
pub(super) struct Planner {
    engine: QueryEngine,
    catalog: Catalog,
    compatibility: PostgresCompatibilityParser,
}

/// A parameter of a statement.
#[derive(Debug, Clone)]
pub(super) struct Parameter {
    /// What the planner found it to be, where it could tell.
    pub inferred: Option<DataType>,
    /// What clients are told it is.
    pub told: Type,
}

impl Planner {
    /// A planner over this engine, whose database is called `database`.
    pub fn new(engine: QueryEngine, database: &str) -> datafusion::error::Result<Self> {
        let catalog = Catalog::new(&engine, database)?;
        Ok(Self { engine, catalog, compatibility: PostgresCompatibilityParser::new() })
    }

    /// The statements of a text.
    pub async fn parse(&self, text: &str) -> Result<Vec<Statement>, PgError> {
        bounded_words(text)?;
        on_large_stack(async { statement::parse(text, &self.compatibility) }).await
    }

    /// A session for one statement: it sees the newest versions, each table at one of them.
    pub async fn session(&self, about_catalog: bool, settings: &Settings) -> Result<SessionContext, PgError> {
        let session = self.engine.session(&SessionOptions::default()).await?;
        if about_catalog {
            self.catalog.install(&session, settings);
        }
        let state = session.state_ref();
        state.write().config_mut().options_mut().catalog.default_schema = settings.default_schema();
        Ok(session)
    }

    /// The plan of a statement that asks for rows.
    ///
    /// # Errors
    /// Whatever is wrong with it, at its place; and 25006 when it would change anything.
    pub async fn plan(&self, session: &SessionContext, statement: &Ast) -> Result<LogicalPlan, PgError> {
        Ok(on_large_stack(async { self.engine.plan(session, statement.clone()).await }).await?)
    }

    /// The rows of a plan.
    pub async fn run(
        &self,
        session: &SessionContext,
        plan: LogicalPlan,
    ) -> Result<SendableRecordBatchStream, PgError> {
        let rows = on_large_stack(DataFrame::new(session.state(), plan).execute_stream()).await;
        Ok(detached(rows?))
    }
}

/// The parameters of a plan, `$1` first.
pub(super) fn parameters(plan: &LogicalPlan) -> Result<Vec<Parameter>, PgError> {
    let mut numbered = Vec::new();
    for (name, field) in placeholders(plan)? {
        let number =
            name.strip_prefix('$').and_then(|number| number.parse::<u16>().ok()).filter(|number| *number > 0);
        let number = number
            .ok_or_else(|| PgError::new("42601", format!("`{name}` is not a parameter: write $1, $2 …")))?;
        numbered.push((usize::from(number), field));
    }
    let unknown = || Parameter { inferred: None, told: Type::TEXT };
    let count = numbered.iter().map(|(number, _)| *number).max().unwrap_or(0);
    let mut parameters: Vec<Parameter> = (0..count).map(|_| unknown()).collect();
    for (number, field) in numbered {
        if let Some(field) = field {
            let told = field_into_pg_type(&field).map_err(|_| unsupported(field.data_type()))?;
            parameters[number - 1] = Parameter { inferred: Some(field.data_type().clone()), told };
        }
    }
    Ok(parameters)
}

/// The placeholders of a plan, with the first type that the planner found for each, or the one it is cast to.
fn placeholders(plan: &LogicalPlan) -> Result<BTreeMap<String, Option<FieldRef>>, PgError> {
    let mut found: BTreeMap<String, Option<FieldRef>> = BTreeMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                let (placeholder, cast_to) = match expression {
                    Expr::Cast(cast) => (cast.expr.as_ref(), Some(&cast.field)),
                    Expr::TryCast(cast) => (cast.expr.as_ref(), Some(&cast.field)),
                    other => (other, None),
                };
                if let Expr::Placeholder(placeholder) = placeholder {
                    let field = placeholder.field.as_ref().or(cast_to);
                    let known = found.entry(placeholder.id.clone()).or_default();
                    if known.is_none() {
                        known.clone_from(&field.cloned());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}

/// The columns of an answer, as clients are told of them.
pub(super) fn fields(schema: &SchemaRef, format: &Format) -> Result<Vec<FieldInfo>, PgError> {
    for field in schema.fields() {
        field_into_pg_type(field).map_err(|_| unsupported(field.data_type()))?;
    }
    arrow_schema_to_pg_fields(schema, format, None).map_err(|error| PgError::new("XX000", error.to_string()))
}

fn unsupported(data_type: &DataType) -> PgError {
    PgError::not_supported(&format!("the type {data_type} on this protocol (cast it, to text for example)"))
}

/// Batches as an answer that is encoded row by row as it is sent. `text` is the statement, for the places of errors.
pub(super) fn answer(
    rows: SendableRecordBatchStream,
    format: &Format,
    text: Arc<str>,
) -> Result<QueryResponse, PgError> {
    let fields = Arc::new(fields(&rows.schema(), format)?);
    let encoded = encoded(rows, fields.clone(), text);
    Ok(QueryResponse::new(fields, encoded))
}

fn encoded(
    rows: SendableRecordBatchStream,
    fields: Arc<Vec<FieldInfo>>,
    text: Arc<str>,
) -> impl Stream<Item = PgWireResult<DataRow>> + Send {
    type Rows = Box<dyn Iterator<Item = PgWireResult<DataRow>> + Send>;
    rows.map(move |batch| {
        let rows: Rows = match batch {
            Ok(batch) => encode_recordbatch(fields.clone(), batch),
            Err(error) => Box::new(std::iter::once(Err(PgError::from(error).wire(&text)))),
        };
        stream::iter(rows)
    })
    .flatten()
}

/// Rows of text, as SHOW answers.
pub(super) fn text_answer(
    columns: &[&str],
    rows: Vec<Vec<String>>,
    format: &Format,
) -> PgWireResult<QueryResponse> {
    let fields = Arc::new(text_fields(columns, format));
    let mut encoder = DataRowEncoder::new(fields.clone());
    let encoded = rows.into_iter().map(|row| {
        for value in row {
            encoder.encode_field(&Some(value))?;
        }
        Ok::<_, PgWireError>(encoder.take_row())
    });
    let encoded: Vec<_> = encoded.collect();
    Ok(QueryResponse::new(fields, stream::iter(encoded)))
}

/// Columns of text.
pub(super) fn text_fields(columns: &[&str], format: &Format) -> Vec<FieldInfo> {
    let field = |(index, name): (usize, &&str)| {
        let format = match format {
            Format::Individual(formats) => {
                formats.get(index).map_or(FieldFormat::Text, |code| FieldFormat::from(*code))
            }
            unified => unified.format_for(index),
        };
        FieldInfo::new((*name).to_owned(), None, None, Type::TEXT, format)
    };
    columns.iter().enumerate().map(field).collect()
}
