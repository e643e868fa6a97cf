//! One environment: variables replaced, paths absolute, and nothing open to the world by accident.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flowline_model::{Environment, LogSettings, Token};

use super::{Variables, absolute, default_of, storage_url};
use crate::check::join;
use crate::defaults;
use crate::diagnostic::Code;
use crate::files::{EnvironmentFile, LimitsFile, LogFile};
use crate::sources::{Problem, Report, SourceFile};
use crate::value::{AddressText, DurationText, Lexical, SizeText, Variable, WireAddress, has_variable};

/// The environment of a project that declares none.
pub(crate) fn standard_environment(name: &str, dir: &Path) -> Environment {
    let data_dir = absolute(dir, defaults::DATA_DIR);
    Environment {
        name: name.to_owned(),
        lake: lake_in(&data_dir),
        storage_options: BTreeMap::new(),
        ledger: ledger_in(&data_dir),
        log: log_settings(None),
        kafka: None,
        http: default_of::<AddressText>(defaults::HTTP),
        postgres: default_of::<WireAddress>(defaults::POSTGRES),
        tokens: Vec::new(),
        body_bytes_max: default_of::<SizeText>(defaults::BODY_BYTES_MAX),
        concurrency: defaults::CONCURRENCY as usize,
        query_memory_bytes: default_of::<SizeText>(defaults::QUERY_MEMORY_BYTES),
        data_dir,
    }
}

fn lake_in(data_dir: &Path) -> String {
    storage_url(data_dir, "lake")
}

fn ledger_in(data_dir: &Path) -> String {
    sqlite_url(&data_dir.join("ledger.db"))
}

/// SQLite's URLs are decoded, so what would be taken for an escape or a parameter is escaped.
fn sqlite_url(path: &Path) -> String {
    let path = path.to_string_lossy().replace('%', "%25").replace('?', "%3F");
    format!("sqlite://{path}")
}

/// One environment as it is being resolved.
pub(super) struct Resolver<'a> {
    file: &'a SourceFile,
    /// JSON pointer of the environment.
    pointer: String,
    variables: Variables<'a>,
    /// Whether the project is about to run there: only then must every variable be set.
    selected: bool,
    report: &'a mut Report,
}

/// Resolves an environment. In one that is not selected, values with variables are passed over.
pub(super) fn resolve_environment(
    file: &SourceFile,
    name: &str,
    content: &EnvironmentFile,
    dir: &Path,
    variables: Variables<'_>,
    selected: bool,
    report: &mut Report,
) -> Environment {
    let pointer = join("/environments", name);
    let mut resolver = Resolver { file, pointer, variables, selected, report };
    let mut environment = standard_environment(name, dir);
    if let Some(data_dir) = resolver.read("data_dir", content.data_dir.as_ref()) {
        environment.data_dir = absolute(dir, &data_dir);
        environment.lake = lake_in(&environment.data_dir);
        environment.ledger = ledger_in(&environment.data_dir);
    }
    if let Some(lake) = resolver.read("lake", content.lake.as_ref()) {
        environment.lake = storage_url(dir, &lake);
    }
    if let Some(ledger) = resolver.read("ledger", content.ledger.as_ref()) {
        environment.ledger = ledger_url(dir, ledger);
    }
    for (key, value) in &content.storage_options {
        if let Some(value) = resolver.read(&format!("storage_options{}", join("", key)), Some(value)) {
            environment.storage_options.insert(key.clone(), value);
        }
    }
    if let Some(http) = resolver.read("http", content.http.as_ref()) {
        environment.http = http;
    }
    if let Some(postgres) = resolver.read("postgres", content.postgres.as_ref()) {
        environment.postgres = postgres;
    }
    environment.tokens = resolver.tokens(content);
    environment.log = log_settings(content.log.as_ref());
    resolver.check_log(&environment.log);
    let kafka_log = content.log.as_ref().and_then(|log| log.kafka.as_ref());
    environment.log.kafka = kafka_log.and_then(|kafka| resolver.kafka_log(dir, kafka));
    environment.kafka = content.kafka.as_ref().and_then(|kafka| resolver.kafka(dir, kafka));
    resolver.limits(content.limits.as_ref(), &mut environment);
    resolver.check_addresses(content, &environment);
    environment
}

fn ledger_url(dir: &Path, url: String) -> String {
    match url.strip_prefix("sqlite://") {
        Some(path) => sqlite_url(&absolute(dir, path)),
        None => url,
    }
}

fn log_settings(file: Option<&LogFile>) -> LogSettings {
    let size = |written: Option<u64>, text: &str| written.unwrap_or_else(|| default_of::<SizeText>(text));
    let duration =
        |written: Option<Duration>, text: &str| written.unwrap_or_else(|| default_of::<DurationText>(text));
    LogSettings {
        sync_window: duration(file.and_then(|log| Some(log.sync_window.as_ref()?.0)), defaults::SYNC_WINDOW),
        segment_bytes: size(
            file.and_then(|log| Some(log.segment_bytes.as_ref()?.0)),
            defaults::SEGMENT_BYTES,
        ),
        bytes_max: size(file.and_then(|log| Some(log.bytes_max.as_ref()?.0)), defaults::LOG_BYTES_MAX),
        retain_for: duration(file.and_then(|log| Some(log.retain_for.as_ref()?.0)), defaults::RETAIN_FOR),
        retain_bytes: size(file.and_then(|log| Some(log.retain_bytes.as_ref()?.0)), defaults::RETAIN_BYTES),
        kafka: None,
    }
}

impl Resolver<'_> {
    pub(super) fn problem(&mut self, key: &str, problem: Problem) {
        let pointer = format!("{}/{key}", self.pointer);
        self.report.at_value(self.file, &pointer, problem);
    }

    /// What a value means here; none when it is absent, wrong, or not to be known.
    pub(super) fn read<T: Lexical>(&mut self, key: &str, value: Option<&Variable<T>>) -> Option<T::Meaning> {
        let text = &value?.text;
        if has_variable(text) && !self.selected {
            return None;
        }
        let expanded = match self.variables.expand(text) {
            Ok(expanded) => expanded,
            Err(problem) => {
                self.problem(key, problem);
                return None;
            }
        };
        match T::read(&expanded) {
            Ok(meaning) => Some(meaning),
            Err(unreadable) => {
                // What a variable holds may be a secret, so it is not repeated.
                let (message, hint) = unreadable.explain::<T>(text);
                let mut problem = Problem::error(Code::InvalidValue, message);
                problem.hint = hint;
                self.problem(key, problem);
                None
            }
        }
    }

    fn tokens(&mut self, content: &EnvironmentFile) -> Vec<Token> {
        let (mut tokens, mut names) = (Vec::<Token>::new(), BTreeSet::new());
        for (index, token) in &content.tokens.0 {
            if !names.insert(&token.name) {
                let problem =
                    Problem::error(Code::DuplicateName, format!("there are two tokens `{}`", token.name));
                self.problem(
                    &format!("tokens/{index}/name"),
                    problem.hint("give each holder a name of its own"),
                );
                continue;
            }
            let key = format!("tokens/{index}/sha256");
            let Some(sha256) = self.read(&key, Some(&token.sha256)) else { continue };
            if let Some(other) = tokens.iter().find(|other| other.sha256 == sha256) {
                let message = format!("`{}` and `{}` share one token", other.name, token.name);
                let problem = Problem::warning(Code::DuplicateName, message);
                self.problem(&key, problem.hint("the audit cannot tell them apart"));
            }
            tokens.push(Token { name: token.name.clone(), sha256 });
        }
        tokens
    }

    fn check_log(&mut self, log: &LogSettings) {
        const SEGMENT_MIN: u64 = 64 << 10;
        const SYNC_WINDOW_MAX_MS: u128 = 1_000;
        if log.segment_bytes < SEGMENT_MIN {
            self.problem(
                "log/segment_bytes",
                Problem::error(Code::InvalidValue, "`segment_bytes` must be at least 64KiB"),
            );
        }
        if log.bytes_max < log.segment_bytes {
            let problem = Problem::error(Code::Conflict, "`bytes_max` is smaller than `segment_bytes`");
            self.problem(
                "log/bytes_max",
                problem.hint("retention deletes whole segments: let several of them fit"),
            );
        }
        if log.sync_window.as_millis() > SYNC_WINDOW_MAX_MS {
            let problem = Problem::error(Code::InvalidValue, "`sync_window` must be at most 1s");
            self.problem("log/sync_window", problem.hint("every request waits for it"));
        }
    }

    fn limits(&mut self, limits: Option<&LimitsFile>, environment: &mut Environment) {
        const BODY_MAX: u64 = 1 << 30;
        const QUERY_MIN: u64 = 16 << 20;
        let Some(limits) = limits else { return };
        if let Some(bytes) = &limits.body_bytes_max {
            environment.body_bytes_max = bytes.0;
            if bytes.0 == 0 || bytes.0 > BODY_MAX {
                let problem =
                    Problem::error(Code::InvalidValue, "`body_bytes_max` must be between 1 byte and 1GiB");
                self.problem(
                    "limits/body_bytes_max",
                    problem.hint("larger inputs are better landed as files"),
                );
            }
        }
        if let Some(concurrency) = limits.concurrency {
            environment.concurrency = concurrency as usize;
        }
        if let Some(bytes) = &limits.query_memory_bytes {
            environment.query_memory_bytes = bytes.0;
            if bytes.0 < QUERY_MIN {
                let problem =
                    Problem::error(Code::InvalidValue, "`query_memory_bytes` must be at least 16MiB");
                self.problem("limits/query_memory_bytes", problem);
            }
        }
    }

    fn check_addresses(&mut self, content: &EnvironmentFile, environment: &Environment) {
        let guarded = !content.tokens.0.is_empty();
        let wire = environment.postgres.map(|address| ("postgres", address));
        for (key, address) in [("http", environment.http)].into_iter().chain(wire) {
            if !address.ip().is_loopback() && !guarded {
                let message = format!("`{address}` is open to the network, and no token is asked for");
                let problem = Problem::error(Code::NoAuthentication, message);
                self.problem(
                    key,
                    problem.hint(format!("declare `tokens:`, or listen on 127.0.0.1:{}", address.port())),
                );
            }
        }
        if let Some(address) = environment.postgres.filter(|address| clash(environment.http, *address)) {
            let key = if content.postgres.is_some() { "postgres" } else { "http" };
            let problem = Problem::error(
                Code::Conflict,
                format!("`http` and `postgres` both listen on port {}", address.port()),
            );
            self.problem(key, problem.hint("give each a port of its own"));
        }
    }
}

/// Whether two listeners would want the same port.
fn clash(left: SocketAddr, right: SocketAddr) -> bool {
    let overlap = left.ip() == right.ip() || left.ip().is_unspecified() || right.ip().is_unspecified();
    left.port() != 0 && left.port() == right.port() && overlap
}
