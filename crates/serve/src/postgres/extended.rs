//! The extended protocol: statements that are prepared, bound to parameters, and fetched in parts.
//!
//! A prepared statement is planned twice: when it is parsed, to tell the client what goes in and what comes out, and
//! each time it is executed, to read the versions of that moment.

use std::fmt::Debug;
use std::sync::Arc;

use arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ParamValues;
use futures::{Sink, SinkExt};
use pgwire::api::portal::{Format, Portal, PortalExecutionState};
use pgwire::api::query::{ExtendedQueryHandler, send_execution_response, send_partial_query_response};
use pgwire::api::results::{FieldInfo, QueryResponse, Response, Tag};
use pgwire::api::stmt::{QueryParser, StoredStatement};
use pgwire::api::store::{Entry, PortalStore};
use pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, PgWireConnectionState, Type};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::extendedquery::{Bind, BindComplete, Execute};
use pgwire::messages::response::EmptyQueryResponse;

use super::Backend;
use super::error::{PgError, fatal};
use super::plan::{Parameter, Planner, answer, fields, parameters, text_fields};
use super::settings::Settings;
use super::simple::{Command, check_transaction, limited, session_of, show_columns};
use super::statement::{Request, Statement};

/// A statement that was prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    text: Arc<str>,
    statement: Statement,
    parameters: Vec<Parameter>,
    /// The columns of its rows; none for a command.
    schema: Option<SchemaRef>,
}

impl Prepared {
    fn fields(&self, format: &Format) -> Result<Vec<FieldInfo>, PgError> {
        match (&self.statement.request, &self.schema) {
            (Request::Show(name), _) => Ok(text_fields(&show_columns(name), format)),
            (_, Some(schema)) => fields(schema, format),
            _ => Ok(Vec::new()),
        }
    }
}

/// Prepares statements.
pub(super) struct Preparer(pub Arc<Planner>);

#[async_trait]
impl QueryParser for Preparer {
    type Statement = Arc<Prepared>;

    async fn parse_sql<C>(
        &self,
        client: &C,
        sql: &str,
        _types: &[Option<Type>],
    ) -> PgWireResult<Option<Self::Statement>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let session = session_of(client)?;
        let settings = session.settings().clone();
        let prepared = async { self.prepare(sql, &settings).await.map_err(|error| error.wire(sql)) };
        limited(&session, &settings, sql, prepared).await
    }

    fn get_parameter_types(&self, statement: &Self::Statement) -> PgWireResult<Vec<Type>> {
        Ok(statement.parameters.iter().map(|parameter| parameter.told.clone()).collect())
    }

    fn get_result_schema(
        &self,
        statement: &Self::Statement,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        let format = format.unwrap_or(&Format::UnifiedText);
        statement.fields(format).map_err(|error| error.wire(&statement.text))
    }
}

impl Preparer {
    async fn prepare(&self, sql: &str, settings: &Settings) -> Result<Option<Arc<Prepared>>, PgError> {
        let mut statements = self.0.parse(sql).await?;
        let Some(statement) = statements.pop() else { return Ok(None) };
        if !statements.is_empty() {
            return Err(PgError::new("42601", "cannot insert multiple commands into a prepared statement"));
        }
        let text: Arc<str> = sql.into();
        let Request::Rows(ast) = &statement.request else {
            return Ok(Some(Arc::new(Prepared { text, statement, parameters: Vec::new(), schema: None })));
        };
        let planning = self.0.session(statement.about_catalog, settings).await?;
        let plan = self.0.plan(&planning, ast).await?;
        let (parameters, schema) = (parameters(&plan)?, Some(Arc::new(plan.schema().as_arrow().clone())));
        Ok(Some(Arc::new(Prepared { text, statement, parameters, schema })))
    }
}

#[async_trait]
impl ExtendedQueryHandler for Backend {
    type Statement = Arc<Prepared>;
    type QueryParser = Preparer;

    fn query_parser(&self) -> Arc<Self::QueryParser> {
        self.preparer.clone()
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        match client.portal_store().get_statement(name) {
            Some(Entry::Value(stored)) => {
                check_bind(&message, &stored).map_err(|error| error.wire(&stored.statement.text))?;
                let portal = Portal::try_new(&message, stored)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => {
                let portal = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
                client.portal_store().put_empty_portal(portal);
            }
            None => return Err(PgWireError::StatementNotFound(name.to_owned())),
        }
        client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?;
        Ok(())
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => self.execute(client, &portal, message.max_rows).await?,
            Some(Entry::Empty) => {
                client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        Ok(())
    }

    async fn do_query<C>(
        &self,
        _client: &mut C,
        _portal: &Portal<Self::Statement>,
        _max_rows: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Self::Statement>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(fatal("XX000", "portals are executed as they come"))
    }
}

impl Backend {
    /// Begins a portal, or goes on with it, and sends at most so many rows; all when none or less are asked for.
    async fn execute<C>(
        &self,
        client: &mut C,
        portal: &Portal<Arc<Prepared>>,
        max_rows: i32,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Arc<Prepared>>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let prepared = &portal.statement.statement;
        let text = &prepared.text;
        let session = session_of(client)?;
        check_transaction(client, &prepared.statement.request).map_err(|error| error.wire(text))?;
        if !matches!(prepared.statement.request, Request::Rows(_)) {
            let (request, format) = (&prepared.statement.request, &portal.result_column_format);
            return self.command(client, &session, Command { request, format, describe: false, text }).await;
        }
        let settings = session.settings().clone();
        let rows_max = usize::try_from(max_rows).unwrap_or(0);
        let state = portal.state();
        let run = async {
            let mut state = state.lock().await;
            if matches!(*state, PortalExecutionState::Initial) {
                let begun = self.begin(portal, &settings).await.map_err(|error| error.wire(text))?;
                *state = PortalExecutionState::Suspended(begun);
            }
            let PortalExecutionState::Suspended(response) = &mut *state else {
                return send_execution_response(client, Tag::new("SELECT").with_rows(0)).await;
            };
            if !send_partial_query_response(client, response, rows_max).await? {
                *state = PortalExecutionState::Finished;
            }
            Ok(())
        };
        let ran = limited(&session, &settings, text, run).await;
        if ran.is_err() {
            // What runs for it is let go at once, not when the portal is.
            *state.lock().await = PortalExecutionState::Finished;
        }
        ran
    }

    async fn begin(
        &self,
        portal: &Portal<Arc<Prepared>>,
        settings: &Settings,
    ) -> Result<QueryResponse, PgError> {
        let prepared = &portal.statement.statement;
        let Request::Rows(ast) = &prepared.statement.request else {
            return Err(PgError::new("XX000", "a command has no rows"));
        };
        let planning = self.planner.session(prepared.statement.about_catalog, settings).await?;
        let mut plan = self.planner.plan(&planning, ast).await?;
        if !prepared.parameters.is_empty() {
            plan = plan.with_param_values(parameter_values(portal, &prepared.parameters)?)?;
        }
        let described = prepared.schema.as_ref().map(|schema| schema.fields().len());
        if described != Some(plan.schema().fields().len()) {
            return Err(PgError::new(
                "0A000",
                "the columns of a prepared statement have changed: prepare it again",
            ));
        }
        answer(self.planner.run(&planning, plan).await?, &portal.result_column_format, prepared.text.clone())
    }
}

/// The values of a portal's parameters, in the types that the statement wants. A client may send a whole number where a
/// decimal is wanted, as PostgreSQL lets it; `arrow-pg` alone does not.
fn parameter_values(
    portal: &Portal<Arc<Prepared>>,
    parameters: &[Parameter],
) -> Result<ParamValues, PgError> {
    let whole = |number: usize| {
        let sent = portal.statement.parameter_types.get(number).and_then(Option::as_ref);
        sent.is_some_and(|sent| [Type::INT2, Type::INT4, Type::INT8].contains(sent))
    };
    let converted = |number: usize, parameter: &Parameter| {
        let wanted = parameter.inferred.as_ref();
        wanted.filter(|wanted| whole(number) && wanted.is_decimal()).cloned()
    };
    let conversions: Vec<Option<DataType>> =
        parameters.iter().enumerate().map(|(number, parameter)| converted(number, parameter)).collect();
    let wanted: Vec<Option<&DataType>> = parameters
        .iter()
        .zip(&conversions)
        .map(|(parameter, conversion)| parameter.inferred.as_ref().filter(|_| conversion.is_none()))
        .collect();
    let told: Vec<Option<&Type>> = parameters.iter().map(|parameter| Some(&parameter.told)).collect();
    let mut values =
        deserialize_parameters_with_server_types(portal, &wanted, &told).map_err(parameter_error)?;
    if let ParamValues::List(values) = &mut values {
        for (value, conversion) in values.iter_mut().zip(&conversions) {
            if let Some(wanted) = conversion {
                value.value = value.value.cast_to(wanted).map_err(|error| {
                    PgError::new("22003", format!("{} does not fit {wanted}: {error}", value.value))
                })?;
            }
        }
    }
    Ok(values)
}

fn parameter_error(error: PgWireError) -> PgError {
    let code = match &error {
        PgWireError::FailedToParseParameter(_) => "22P02",
        _ => "22023",
    };
    let message = match error {
        PgWireError::UserError(info) => info.message,
        other => other.to_string(),
    };
    PgError::new(code, message)
}

/// The numbers of a Bind must fit its statement: what comes after relies on them.
fn check_bind(message: &Bind, stored: &StoredStatement<Arc<Prepared>>) -> Result<(), PgError> {
    let (given, wanted) = (message.parameters.len(), stored.statement.parameters.len());
    if given != wanted {
        let detail =
            format!("bind message supplies {given} parameters, but the prepared statement requires {wanted}");
        return Err(PgError::protocol(detail));
    }
    let columns = stored.statement.fields(&Format::UnifiedText)?.len();
    for (what, formats, count) in [
        ("parameter", message.parameter_format_codes.len(), given),
        ("result", message.result_column_format_codes.len(), columns),
    ] {
        if formats > 1 && formats != count {
            return Err(PgError::protocol(format!(
                "bind message has {formats} {what} formats but {count} {what}s"
            )));
        }
    }
    Ok(())
}
