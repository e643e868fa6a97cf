//! The registry of schemas over the ledger.
//!
//! Changes are stored one behind the other, each under the next revision. Who decides on a state that is no longer the
//! newest finds the revision taken, reads on and decides again: so two nodes that register one schema at once give it one
//! number. What was read is kept, so that looking something up costs one small query for what is new.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flowline_base::{ChangeId, SharedClock};
use flowline_ledger::Ledger;
use flowline_model::RegistryChange;
use parking_lot::RwLock;

use crate::RegistryError;
use crate::change::Change;
use crate::decide::{
    self, CompatibilityAnswer, LookupRequest, RegisterRequest, SchemaRequest, SettingsRequest, VersionChoice,
};
use crate::kind::Mode;
use crate::lookup::{FoundSchema, SchemaError, SchemaSource};
use crate::schema::Schema;
use crate::state::{RegisteredSchema, Settings, State, StoredSchema};
use crate::subject;
use crate::wire::Guid;
use crate::writer::WriterSchema;

/// How often a decision is made again because others were faster.
const ATTEMPTS_MAX: u32 = 100;

/// Landing asks for the latest version of a subject at most so often: it costs a query of the ledger.
const LATEST_HOLDS_FOR: Duration = Duration::from_secs(1);

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only what begins so; everything in every context when none.
    pub prefix: Option<String>,
    /// Also what is hidden.
    pub deleted: bool,
    /// Only what is hidden.
    pub deleted_only: bool,
    /// Leave out so many.
    pub offset: usize,
    /// At most so many.
    pub limit: Option<usize>,
}

impl Listing {
    fn takes(&self, deleted: bool) -> bool {
        if self.deleted_only { deleted } else { self.deleted || !deleted }
    }

    fn page<T>(&self, all: impl Iterator<Item = T>) -> Vec<T> {
        all.skip(self.offset).take(self.limit.unwrap_or(usize::MAX)).collect()
    }
}

/// The registry. Cheap to clone; clones share what they have read.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<dyn Ledger>,
    clock: SharedClock,
    state: RwLock<Arc<State>>,
    /// Held while the state is brought up to date.
    reading: tokio::sync::Mutex<()>,
    /// Held while something is decided, so that requests of one node do not run each other's revisions down.
    writing: tokio::sync::Mutex<()>,
}

impl Registry {
    /// The registry in this ledger; nothing is read yet.
    pub fn new(ledger: Arc<dyn Ledger>, clock: SharedClock) -> Self {
        let shared = Shared {
            ledger,
            clock,
            state: RwLock::default(),
            reading: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The state with everything that was stored until now.
    async fn fresh(&self) -> Result<Arc<State>, RegistryError> {
        let _reading = self.shared.reading.lock().await;
        let known = Arc::clone(&self.shared.state.read());
        let changes = self.shared.ledger.registry_changes_after(known.revision).await?;
        if changes.is_empty() {
            return Ok(known);
        }
        let mut state = State::clone(&known);
        for stored in changes {
            let change: Change = serde_json::from_str(&stored.document).map_err(|error| {
                RegistryError::Damaged { revision: stored.revision, reason: error.to_string() }
            })?;
            state.apply(change);
            state.revision = stored.revision;
        }
        let state = Arc::new(state);
        *self.shared.state.write() = Arc::clone(&state);
        Ok(state)
    }

    /// Decides on the newest state, and stores what was decided.
    async fn change<T: Send + 'static>(
        &self,
        actor: &str,
        decide: impl Fn(&State) -> Result<(Option<Change>, T), RegistryError> + Send + Sync + 'static,
    ) -> Result<T, RegistryError> {
        let decide = Arc::new(decide);
        let _writing = self.shared.writing.lock().await;
        for _ in 0..ATTEMPTS_MAX {
            let state = self.fresh().await?;
            let revision = state.revision + 1;
            let decide = Arc::clone(&decide);
            let decided = busy(move || {
                let (change, answer) = decide(&state)?;
                let document = change.as_ref().map(Change::document).transpose()?;
                Ok((change.zip(document), answer))
            });
            let (change, answer) = decided.await?;
            let Some((change, document)) = change else { return Ok(answer) };
            let stored = RegistryChange {
                revision,
                id: ChangeId::generate(),
                changed_at: self.shared.clock.now(),
                actor: actor.to_owned(),
                subject: change.scope().to_owned(),
                kind: change.word().to_owned(),
                document,
            };
            if self.shared.ledger.append_registry_change(&stored).await? {
                self.fresh().await?;
                return Ok(answer);
            }
        }
        Err(RegistryError::Contended)
    }

    /// Registers a schema, or finds it registered.
    ///
    /// # Errors
    /// 409 when it does not get along with others, 42201, 42205, 42207, 42208, 42209.
    pub async fn register(
        &self,
        actor: &str,
        subject: &str,
        request: RegisterRequest,
    ) -> Result<RegisteredSchema, RegistryError> {
        let subject = subject::normalized(subject).to_owned();
        self.change(actor, move |state| decide::register(state, &subject, &request)).await
    }

    /// Finds a schema under a subject.
    ///
    /// # Errors
    /// 40401, 40403, 42201.
    pub async fn lookup(
        &self,
        subject: &str,
        request: LookupRequest,
    ) -> Result<RegisteredSchema, RegistryError> {
        let (state, subject) = (self.fresh().await?, subject::normalized(subject).to_owned());
        busy(move || decide::lookup(&state, &subject, &request)).await
    }

    /// Whether a schema gets along with one version, or could be registered.
    ///
    /// # Errors
    /// 40402, 42201.
    pub async fn check(
        &self,
        subject: &str,
        version: Option<VersionChoice>,
        request: SchemaRequest,
        normalize: Option<bool>,
    ) -> Result<CompatibilityAnswer, RegistryError> {
        let (state, subject) = (self.fresh().await?, subject::normalized(subject).to_owned());
        busy(move || decide::check(&state, &subject, version, &request, normalize)).await
    }

    /// The subjects there are, by name.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn subjects(&self, listing: &Listing) -> Result<Vec<String>, RegistryError> {
        let state = self.fresh().await?;
        let subjects = state.subjects.iter().filter(|(name, versions)| {
            in_prefix(listing, name) && listing.takes(versions.values().all(|entry| entry.deleted))
        });
        Ok(listing.page(subjects.map(|(name, _)| name.clone())))
    }

    /// The versions of a subject.
    ///
    /// # Errors
    /// 40401.
    pub async fn versions(&self, subject: &str, listing: &Listing) -> Result<Vec<i32>, RegistryError> {
        let state = self.fresh().await?;
        let subject = subject::normalized(subject);
        let found: Vec<i32> = state
            .versions(subject, true)
            .filter(|(_, entry)| listing.takes(entry.deleted))
            .map(|(version, _)| version)
            .collect();
        if found.is_empty() {
            return Err(RegistryError::no_subject(subject));
        }
        Ok(listing.page(found.into_iter()))
    }

    /// One version of a subject.
    ///
    /// # Errors
    /// 40401, 40402.
    pub async fn version(
        &self,
        subject: &str,
        choice: VersionChoice,
        deleted: bool,
    ) -> Result<RegisteredSchema, RegistryError> {
        decide::version(&*self.fresh().await?, subject::normalized(subject), choice, deleted)
    }

    /// The numbers of the schemas that refer to a version.
    ///
    /// # Errors
    /// 40401, 40402.
    pub async fn referenced_by(
        &self,
        subject: &str,
        choice: VersionChoice,
    ) -> Result<Vec<u32>, RegistryError> {
        let state = self.fresh().await?;
        let subject = subject::normalized(subject);
        let found = decide::version(&state, subject, choice, true)?;
        Ok(state.referrers(subject, found.version, false))
    }

    /// All versions of all subjects, or the latest of each.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn schemas(
        &self,
        listing: &Listing,
        latest: bool,
    ) -> Result<Vec<RegisteredSchema>, RegistryError> {
        let state = self.fresh().await?;
        let mut found = Vec::new();
        for name in state.subjects.keys().filter(|name| in_prefix(listing, name)) {
            let mut versions = state.versions(name, true).filter(|(_, entry)| listing.takes(entry.deleted));
            let versions: Vec<_> =
                if latest { versions.next_back().into_iter().collect() } else { versions.collect() };
            found.extend(
                versions
                    .into_iter()
                    .filter_map(|(version, entry)| state.registered_schema(name, version, entry)),
            );
        }
        Ok(listing.page(found.into_iter()))
    }

    /// The schema of a number, in the context of this subject, and the largest number there.
    ///
    /// # Errors
    /// 40403.
    pub async fn schema(&self, subject: &str, id: u32) -> Result<(Arc<StoredSchema>, u32), RegistryError> {
        let state = self.fresh().await?;
        let context = subject::context(subject);
        let known = state.known(context, id).ok_or_else(|| RegistryError::no_schema(id))?;
        Ok((Arc::clone(&known.stored), state.id_max(context)))
    }

    /// The schema of a GUID, and its number in each context that has it.
    ///
    /// # Errors
    /// 40403.
    pub async fn of_guid(
        &self,
        guid: &str,
    ) -> Result<(Arc<StoredSchema>, Vec<(String, u32)>), RegistryError> {
        let missing = || RegistryError::refused(40403, format!("Schema {guid} not found"));
        let parsed = guid.parse().map_err(|()| missing())?;
        let state = self.fresh().await?;
        let found = state.of_guid(parsed);
        let known = found.first().and_then(|(context, id)| state.known(context, *id)).ok_or_else(missing)?;
        let ids = found.iter().map(|(context, id)| ((*context).to_owned(), *id)).collect();
        Ok((Arc::clone(&known.stored), ids))
    }

    /// The text of a schema in the form that clients of Protobuf ask for (`serialized`); its own text otherwise.
    ///
    /// # Errors
    /// 40403.
    pub async fn serialized(&self, subject: &str, id: u32) -> Result<String, RegistryError> {
        let state = self.fresh().await?;
        let known = state.known(subject::context(subject), id).ok_or_else(|| RegistryError::no_schema(id))?;
        match state.parsed(subject, id) {
            Some(Ok(schema)) => match &*schema {
                Schema::Protobuf(schema) => Ok(schema.serialized()),
                _ => Ok(known.stored.text.clone()),
            },
            _ => Ok(known.stored.text.clone()),
        }
    }

    /// The name of what a version describes, where it has one.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn name_of(&self, subject: &str, id: u32) -> Result<Option<String>, RegistryError> {
        let state = self.fresh().await?;
        let schema = state.parsed(subject::normalized(subject), id).and_then(Result::ok);
        Ok(schema.and_then(|schema| schema.name().map(std::borrow::Cow::into_owned)))
    }

    /// The subjects and versions that have a schema.
    ///
    /// # Errors
    /// 40403.
    pub async fn uses(
        &self,
        subject: &str,
        id: u32,
        deleted: bool,
    ) -> Result<Vec<(String, i32)>, RegistryError> {
        let state = self.fresh().await?;
        let context = subject::context(subject);
        state.known(context, id).ok_or_else(|| RegistryError::no_schema(id))?;
        Ok(state.uses(context, id, deleted))
    }

    /// Hides a version, or removes a hidden one.
    ///
    /// # Errors
    /// 40401, 40402, 40406, 40407, 42205, 42206.
    pub async fn delete_version(
        &self,
        actor: &str,
        subject: &str,
        choice: VersionChoice,
        permanent: bool,
    ) -> Result<i32, RegistryError> {
        let subject = subject::normalized(subject).to_owned();
        self.change(actor, move |state| decide::delete_version(state, &subject, choice, permanent)).await
    }

    /// Hides a subject, or removes a hidden one; returns its versions.
    ///
    /// # Errors
    /// 40401, 40404, 40405, 42205, 42206.
    pub async fn delete_subject(
        &self,
        actor: &str,
        subject: &str,
        permanent: bool,
    ) -> Result<Vec<i32>, RegistryError> {
        let subject = subject::normalized(subject).to_owned();
        self.change(actor, move |state| decide::delete_subject(state, &subject, permanent)).await
    }

    /// The settings of a scope (empty for all); with `inherited`, what holds there whoever said so.
    ///
    /// # Errors
    /// 40408.
    pub async fn settings(&self, scope: &str, inherited: bool) -> Result<Settings, RegistryError> {
        let state = self.fresh().await?;
        let scope = subject::normalized(scope);
        if scope.is_empty() || inherited {
            return Ok(state.settings_of(scope));
        }
        state.settings.get(scope).cloned().ok_or_else(|| {
            let message = format!("Subject '{scope}' does not have subject-level compatibility configured");
            RegistryError::refused(40408, message)
        })
    }

    /// Says what holds for a scope.
    ///
    /// # Errors
    /// 42203, 42205.
    pub async fn configure(
        &self,
        actor: &str,
        scope: &str,
        request: SettingsRequest,
    ) -> Result<Settings, RegistryError> {
        let scope = subject::normalized(scope).to_owned();
        self.change(actor, move |state| decide::configure(state, &scope, &request)).await
    }

    /// Takes that back; returns what held.
    ///
    /// # Errors
    /// 40401, 42205.
    pub async fn unconfigure(&self, actor: &str, scope: &str) -> Result<Settings, RegistryError> {
        let scope = subject::normalized(scope).to_owned();
        self.change(actor, move |state| decide::unconfigure(state, &scope)).await
    }

    /// The mode of a scope; with `inherited`, what holds there whoever said so.
    ///
    /// # Errors
    /// 40409.
    pub async fn mode(&self, scope: &str, inherited: bool) -> Result<Mode, RegistryError> {
        let state = self.fresh().await?;
        let scope = subject::normalized(scope);
        if scope.is_empty() || inherited {
            return Ok(state.mode_of(scope));
        }
        state.modes.get(scope).copied().ok_or_else(|| {
            let message = format!("Subject '{scope}' does not have subject-level mode configured");
            RegistryError::refused(40409, message)
        })
    }

    /// Sets the mode of a scope.
    ///
    /// # Errors
    /// 42204, 42205.
    pub async fn set_mode(
        &self,
        actor: &str,
        scope: &str,
        word: &str,
        force: bool,
    ) -> Result<Mode, RegistryError> {
        let (scope, word) = (subject::normalized(scope).to_owned(), word.to_owned());
        self.change(actor, move |state| decide::set_mode(state, &scope, &word, force)).await
    }

    /// Takes that back; returns what it was.
    ///
    /// # Errors
    /// 40401.
    pub async fn unset_mode(&self, actor: &str, scope: &str) -> Result<Mode, RegistryError> {
        let scope = subject::normalized(scope).to_owned();
        self.change(actor, move |state| decide::unset_mode(state, &scope)).await
    }

    /// The contexts there are.
    ///
    /// # Errors
    /// The ledger's.
    pub async fn contexts(&self) -> Result<Vec<String>, RegistryError> {
        Ok(self.fresh().await?.contexts())
    }
}

fn in_prefix(listing: &Listing, name: &str) -> bool {
    match listing.prefix.as_deref() {
        None | Some("" | ":*:") => true,
        Some(prefix) => name.starts_with(subject::normalized(prefix)),
    }
}

/// Runs what may take some milliseconds where it holds up no one.
async fn busy<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(RegistryError::refused(50001, format!("the request broke down: {error}"))),
    }
}

#[async_trait]
impl SchemaSource for Registry {
    /// The schema of a number in the context that has no name.
    async fn writer(&self, id: u32) -> Result<Option<FoundSchema>, SchemaError> {
        let known = Arc::clone(&self.shared.state.read());
        let state = match known.known(subject::DEFAULT_CONTEXT, id) {
            Some(_) => known,
            None => self.fresh().await.map_err(|error| SchemaError::of(&error))?,
        };
        Ok(writer(&state, "", id))
    }

    async fn writer_of_guid(&self, guid: Guid) -> Result<Option<FoundSchema>, SchemaError> {
        let known = Arc::clone(&self.shared.state.read());
        let is_known = !known.of_guid(guid).is_empty();
        let state = match is_known {
            true => known,
            false => self.fresh().await.map_err(|error| SchemaError::of(&error))?,
        };
        let found = state.of_guid(guid).into_iter().next();
        Ok(found.and_then(|(context, id)| writer(&state, &subject::scope(context), id)))
    }

    async fn latest(&self, subject: &str) -> Result<Option<(u32, FoundSchema)>, SchemaError> {
        let state = self.fresh().await.map_err(|error| SchemaError::of(&error))?;
        let subject = subject::normalized(subject);
        let id = state.versions(subject, false).next_back().map(|(_, entry)| entry.id);
        Ok(id.and_then(|id| Some((id, writer(&state, subject, id)?))))
    }

    fn latest_holds_for(&self) -> Duration {
        LATEST_HOLDS_FOR
    }
}

fn writer(state: &State, subject: &str, id: u32) -> Option<FoundSchema> {
    state.parsed(subject, id).map(|parsed| parsed.map(|schema| Arc::new(WriterSchema::new(schema))))
}
