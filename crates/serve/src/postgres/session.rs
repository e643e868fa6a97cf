//! A Postgres session: its settings, and the way to cancel what it runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use pgwire::api::cancel::CancelHandler;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

use super::settings::Settings;

/// What a connection keeps between statements.
#[derive(Debug)]
pub(super) struct Session {
    settings: Mutex<Settings>,
    running: Mutex<CancellationToken>,
    sessions: Sessions,
    key: Key,
}

/// Process id and secret, as the client was given them.
type Key = (i32, Bytes);

/// The sessions that can be cancelled. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Sessions(Arc<Mutex<HashMap<Key, Weak<Session>>>>);

impl Sessions {
    /// A session that CancelRequest finds by what its client was given.
    pub fn open(&self, process_id: i32, secret: &SecretKey, settings: Settings) -> Arc<Session> {
        let key = (process_id, secret.to_bytes());
        let session = Arc::new(Session {
            settings: Mutex::new(settings),
            running: Mutex::default(),
            sessions: self.clone(),
            key: key.clone(),
        });
        lock(&self.0).insert(key, Arc::downgrade(&session));
        session
    }
}

impl Session {
    /// The settings, for as long as nothing is awaited.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.settings)
    }

    /// What the next statement watches; a cancel that came before it does not reach it.
    pub fn begin(&self) -> CancellationToken {
        let token = CancellationToken::new();
        lock(&self.running).clone_from(&token);
        token
    }

    fn cancel(&self) {
        lock(&self.running).cancel();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        lock(&self.sessions.0).remove(&self.key);
    }
}

/// A lock that a panic elsewhere does not take with it: what it guards is valid between any two statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[async_trait]
impl CancelHandler for Sessions {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let key = (request.pid, request.secret_key.to_bytes());
        let session = lock(&self.0).get(&key).and_then(Weak::upgrade);
        if let Some(session) = session {
            session.cancel();
        }
    }
}
