//! Who may connect: whoever is on this machine where no token is asked for, and otherwise whoever has a token.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use futures::{Sink, SinkExt};
use pgwire::api::auth::{
    DefaultServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use pgwire::api::{
    ClientInfo, METADATA_USER, PgWireConnectionState, PidSecretKeyGenerator, RandomPidSecretKeyGenerator,
};
use pgwire::error::{PgWireError, PgWireResult};
use pgwire::messages::startup::Authentication;
use pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};

use super::error::fatal;
use super::session::{Session, Sessions};
use super::settings::Settings;
use crate::{Limits, Tokens};

/// What clients are told the server is: the PostgreSQL whose catalog this one resembles, and who it really is.
pub(super) const SERVER_VERSION: &str = concat!("16.6 (Flowline ", env!("CARGO_PKG_VERSION"), ")");

/// What `version()` answers: the name is what clients look for.
pub(super) const VERSION_TEXT: &str = concat!("PostgreSQL 16.6 (Flowline ", env!("CARGO_PKG_VERSION"), ")");

/// Lets clients in.
pub(super) struct Startup {
    pub tokens: Tokens,
    pub limits: Limits,
    pub sessions: Sessions,
    pub keys: RandomPidSecretKeyGenerator,
}

#[async_trait]
impl StartupHandler for Startup {
    async fn on_startup<C>(&self, client: &mut C, message: PgWireFrontendMessage) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if !self.tokens.required() {
                    return self.welcome(client).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                // Only hashes of tokens are kept, so that no scheme works in which the server knows the password.
                client.send(PgWireBackendMessage::Authentication(Authentication::CleartextPassword)).await?;
                Ok(())
            }
            PgWireFrontendMessage::PasswordMessageFamily(password) => {
                let password = password.into_password()?.password;
                match self.tokens.holder(&password) {
                    Some(holder) => {
                        tracing::debug!(holder, "a postgres client was let in");
                        self.welcome(client).await
                    }
                    None => Err(fatal("28P01", "the password is not a token that is known here")),
                }
            }
            _ => Err(fatal("08P01", "a client introduces itself first")),
        }
    }
}

impl Startup {
    async fn welcome<C>(&self, client: &mut C) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (process_id, secret) = self.keys.generate(client);
        let session = self.sessions.open(process_id, &secret, self.settings(client));
        client.set_pid_and_secret_key(process_id, secret);
        client.session_extensions().insert::<Arc<Session>>(session);
        finish_authentication(client, &parameters()).await
    }

    /// What the client asked for when it introduced itself; what is not known is left out, as it never meant to fail.
    fn settings<C: ClientInfo>(&self, client: &C) -> Settings {
        let metadata = client.metadata();
        let user = metadata.get(METADATA_USER).map_or("", String::as_str);
        let mut settings = Settings::new(user, SERVER_VERSION, self.limits.query_timeout_max);
        for (name, value) in metadata {
            match name.as_str() {
                "user" | "database" | "replication" => {}
                "options" => {
                    for (name, value) in command_line(value) {
                        let _ = settings.set(&name, Some(&value));
                    }
                }
                _ => drop(settings.set(name, Some(value))),
            }
        }
        settings.settle();
        settings
    }
}

/// `-c name=value --name=value` as pairs.
fn command_line(options: &str) -> Vec<(String, String)> {
    let mut words = options.split_whitespace();
    let mut pairs = Vec::new();
    while let Some(word) = words.next() {
        let assignment =
            if word == "-c" { words.next() } else { word.strip_prefix("--").or(word.strip_prefix("-c")) };
        if let Some((name, value)) = assignment.and_then(|text| text.split_once('=')) {
            pairs.push((name.replace('-', "_"), value.to_owned()));
        }
    }
    pairs
}

fn parameters() -> DefaultServerParameterProvider {
    let mut parameters = DefaultServerParameterProvider::default();
    parameters.server_version = SERVER_VERSION.to_owned();
    parameters.is_superuser = false;
    parameters.default_transaction_read_only = true;
    parameters.date_style = "ISO, MDY".to_owned();
    parameters.time_zone = "UTC".to_owned();
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_as_a_command_line() {
        let pairs = command_line("-c search_path=shop --statement-timeout=5s -cjit=off nonsense -c");
        let expected = [("search_path", "shop"), ("statement_timeout", "5s"), ("jit", "off")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
