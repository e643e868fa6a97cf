//! The simple protocol: a text of statements, answered one after the other as it goes.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::portal::Format;
use pgwire::api::query::{
    SimpleQueryHandler, send_execution_response, send_query_response, send_ready_for_query,
};
use pgwire::api::results::{QueryResponse, Response, Tag};
use pgwire::api::store::PortalStore;
use pgwire::api::{ClientInfo, ClientPortalStore, PgWireConnectionState};
use pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use pgwire::messages::PgWireBackendMessage;
use pgwire::messages::response::{EmptyQueryResponse, TransactionStatus};
use pgwire::messages::simplequery::Query;

use super::Backend;
use super::error::{PgError, fatal};
use super::plan::{answer, text_answer};
use super::session::Session;
use super::settings::{Notice, Settings};
use super::statement::{Request, Statement};

#[async_trait]
impl SimpleQueryHandler for Backend {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        if !matches!(client.state(), PgWireConnectionState::ReadyForQuery) {
            return Err(PgWireError::NotReadyForQuery);
        }
        client.set_state(PgWireConnectionState::QueryInProgress);
        let session = session_of(client)?;
        let text: Arc<str> = query.query.into();
        let statements = self.planner.parse(&text).await.map_err(|error| error.wire(&text))?;
        if statements.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for statement in statements {
            self.run_simple(client, &session, statement, &text).await?;
        }
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(&self, _client: &mut C, _query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        Err(fatal("XX000", "statements are answered as they come"))
    }
}

impl Backend {
    async fn run_simple<C>(
        &self,
        client: &mut C,
        session: &Session,
        statement: Statement,
        text: &Arc<str>,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        check_transaction(client, &statement.request).map_err(|error| error.wire(text))?;
        let Request::Rows(ast) = &statement.request else {
            let command =
                Command { request: &statement.request, format: &Format::UnifiedText, describe: true, text };
            return self.command(client, session, command).await;
        };
        let settings = session.settings().clone();
        let rows = async {
            let answered = async {
                let planning = self.planner.session(statement.about_catalog, &settings).await?;
                let plan = self.planner.plan(&planning, ast).await?;
                answer(self.planner.run(&planning, plan).await?, &Format::UnifiedText, text.clone())
            };
            let response = answered.await.map_err(|error: PgError| error.wire(text))?;
            send_query_response(client, response, true).await
        };
        limited(session, &settings, text, rows).await
    }

    /// Answers a command of the session, in either protocol.
    pub(super) async fn command<C>(
        &self,
        client: &mut C,
        session: &Session,
        command: Command<'_>,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let Command { request, format, describe, text } = command;
        let status = client.transaction_status();
        let tag = match request {
            Request::Begin => {
                client.set_transaction_status(status.to_in_transaction_state());
                "BEGIN"
            }
            Request::Commit | Request::Rollback => {
                let failed = status == TransactionStatus::Error || matches!(request, Request::Rollback);
                client.set_transaction_status(status.to_idle_state());
                if failed { "ROLLBACK" } else { "COMMIT" }
            }
            Request::Set(assignments) => {
                for (name, value) in assignments {
                    let set = session.settings().set(name, value.as_deref());
                    notify(client, set.map_err(|error| error.wire(text))?).await?;
                }
                "SET"
            }
            Request::Reset(Some(name)) => {
                session.settings().reset(name);
                "RESET"
            }
            Request::Reset(None) => {
                session.settings().reset_all();
                "RESET"
            }
            Request::Deallocate(name) => {
                if let Some(name) = name {
                    client.portal_store().rm_statement(name);
                }
                "DEALLOCATE"
            }
            Request::Nothing(tag) => tag,
            Request::Show(name) => {
                let shown = show(&session.settings(), name, format).map_err(|error| error.wire(text))?;
                return send_query_response(client, shown?, describe).await;
            }
            Request::Rows(_) => return Err(fatal("XX000", "rows are not a command")),
        };
        send_execution_response(client, Tag::new(tag)).await
    }
}

/// A command of the session, and how it is answered.
pub(super) struct Command<'a> {
    /// What is asked for.
    pub request: &'a Request,
    /// The format of the rows of SHOW.
    pub format: &'a Format,
    /// Describe rows before them; in the extended protocol the client has asked for that by itself.
    pub describe: bool,
    /// The statement, for the places of errors.
    pub text: &'a str,
}

/// The columns that SHOW answers with.
pub(super) fn show_columns(name: &str) -> Vec<&str> {
    if name.eq_ignore_ascii_case("all") { vec!["name", "setting", "description"] } else { vec![name] }
}

fn show(settings: &Settings, name: &str, format: &Format) -> Result<PgWireResult<QueryResponse>, PgError> {
    let rows = if name.eq_ignore_ascii_case("all") {
        settings.all().map(|(name, value)| vec![name.to_owned(), value.to_owned(), String::new()]).collect()
    } else {
        vec![vec![settings.get(name)?.to_owned()]]
    };
    let mut shown = text_answer(&show_columns(name), rows, format);
    if let Ok(response) = &mut shown {
        response.set_command_tag("SHOW");
    }
    Ok(shown)
}

/// The session of a client that was let in.
pub(super) fn session_of<C: ClientInfo>(client: &C) -> PgWireResult<Arc<Session>> {
    let session = client.session_extensions().get::<Arc<Session>>();
    session.map(|session| session.as_ref().clone()).ok_or_else(|| fatal("28000", "the client was not let in"))
}

/// A transaction that has failed takes nothing but its end.
pub(super) fn check_transaction<C: ClientInfo>(client: &C, request: &Request) -> Result<(), PgError> {
    if client.transaction_status() == TransactionStatus::Error && !request.ends_transaction() {
        return Err(PgError::in_failed_transaction());
    }
    Ok(())
}

/// Runs a statement until it ends, is cancelled, or its time is over.
pub(super) async fn limited<T>(
    session: &Session,
    settings: &Settings,
    text: &str,
    run: impl Future<Output = PgWireResult<T>>,
) -> PgWireResult<T> {
    let cancelled = session.begin();
    let timeout = settings.statement_timeout();
    let ran = tokio::select! {
        biased;
        () = cancelled.cancelled() => Err(PgError::cancelled().wire(text)),
        ran = tokio::time::timeout(timeout, run) => ran.unwrap_or_else(|_| Err(PgError::timed_out(timeout).wire(text))),
    };
    let outcome = if ran.is_ok() { "ok" } else { "failed" };
    metrics::counter!("flowline_serve_postgres_statements_total", "outcome" => outcome).increment(1);
    ran
}

async fn notify<C>(client: &mut C, notice: Notice) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    if let Some(message) = notice {
        let mut info = ErrorInfo::new("NOTICE".to_owned(), "00000".to_owned(), message);
        info.severity_nonlocalized = Some("NOTICE".to_owned());
        client.feed(PgWireBackendMessage::NoticeResponse(info.into())).await?;
    }
    Ok(())
}
