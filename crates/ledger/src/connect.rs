//! Opening a ledger by its URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, install_default_drivers};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor};

use crate::database::Database;
use crate::dialect::{Access, Dialect};
use crate::sql_ledger::SqlLedger;
use crate::{Ledger, LedgerError, fault, migrations};

/// How long a database may take to let us in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens the ledger at this URL: `sqlite:///path/ledger.db` (created when absent, with its folder),
/// `sqlite::memory:` (for tests; gone when dropped) or `postgres://user:password@host/database`. Brings its schema up
/// to date.
///
/// # Errors
/// [`LedgerError::Scheme`], [`LedgerError::Open`], [`LedgerError::Denied`], [`LedgerError::Newer`]; none of them holds
/// the password.
pub async fn connect(url: &str) -> Result<Arc<dyn Ledger>, LedgerError> {
    let database = open(&Target::parse(url)?, migrations::newest()).await?;
    Ok(Arc::new(SqlLedger::new(database)))
}

/// The URL of the SQLite ledger in this file, whatever characters its path has.
pub fn sqlite_url(path: &Path) -> String {
    /// What ends or bends a path in a URL.
    const SPECIAL: &AsciiSet =
        &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'?').add(b'<').add(b'>');
    format!("sqlite://{}", utf8_percent_encode(&path.to_string_lossy(), SPECIAL))
}

/// A parsed URL.
pub(crate) struct Target {
    dialect: Dialect,
    options: AnyConnectOptions,
    /// The SQLite file; none in memory and on PostgreSQL.
    file: Option<PathBuf>,
    shared: bool,
    place: String,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, LedgerError> {
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "sqlite" => Self::sqlite(url),
            "postgres" | "postgresql" => Self::postgres(url),
            // Whatever stands before the colon of something that is no URL might be part of a secret.
            _ if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err(LedgerError::Scheme { scheme: scheme.to_owned() })
            }
            _ => Err(LedgerError::Scheme { scheme: "?".to_owned() }),
        }
    }

    fn sqlite(url: &str) -> Result<Self, LedgerError> {
        let rest = url.trim_start_matches("sqlite:").trim_start_matches("//");
        if rest.is_empty() || rest == ":memory:" {
            let place = "sqlite::memory:".to_owned();
            let options = options("sqlite::memory:", &place)?;
            return Ok(Self { dialect: Dialect::Sqlite, options, file: None, shared: false, place });
        }
        let path = rest.split('?').next().unwrap_or_default();
        let path = PathBuf::from(percent_decode_str(path).decode_utf8_lossy().into_owned());
        let place = format!("sqlite://{}", path.display());
        let file = std::path::absolute(&path)
            .map_err(|error| LedgerError::Open { place: place.clone(), reason: error.to_string() })?;
        let options = options(&format!("{}?mode=rwc", sqlite_url(&file)), &place)?;
        Ok(Self { dialect: Dialect::Sqlite, options, file: Some(file), shared: true, place })
    }

    fn postgres(url: &str) -> Result<Self, LedgerError> {
        let place = place_of_postgres(url);
        let options = options(url, &place)?;
        Ok(Self { dialect: Dialect::Postgres, options, file: None, shared: true, place })
    }
}

fn options(url: &str, place: &str) -> Result<AnyConnectOptions, LedgerError> {
    let options: AnyConnectOptions = url.parse().map_err(|error| LedgerError::Open {
        place: place.to_owned(),
        reason: flowline_base::chain(&error),
    })?;
    // A line in the log for every statement would drown what the log is for.
    Ok(options.disable_statement_logging())
}

/// `postgres://user@host:port/database`: no password, and no parameters, of which one may be a password.
fn place_of_postgres(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else {
        return "postgres://…".to_owned();
    };
    if parsed.set_password(None).is_err() {
        return "postgres://…".to_owned();
    }
    parsed.set_query(None);
    parsed.set_fragment(None);
    parsed.to_string()
}

/// How often a new connection is told what it is for, and how long is waited in between, while others hold the file.
const GREETINGS_MAX: u32 = 100;
const GREETING_WAIT: Duration = Duration::from_millis(50);

/// Opens the database and brings its schema to `version`.
pub(crate) async fn open(target: &Target, version: i64) -> Result<Database, LedgerError> {
    install_default_drivers();
    if let Some(folder) = target.file.as_deref().and_then(Path::parent) {
        std::fs::create_dir_all(folder).map_err(|error| LedgerError::Open {
            place: target.place.clone(),
            reason: format!("creating its folder: {error}"),
        })?;
    }
    if target.shared {
        prepare(target, version).await?;
    }
    let writers = match target.dialect {
        Dialect::Sqlite => 1,
        Dialect::Postgres => 8,
    };
    let writer = pool(target, Access::Write, writers);
    let readers = match (target.dialect, target.shared) {
        (Dialect::Sqlite, true) => pool(target, Access::Read, 4),
        _ => writer.clone(),
    };
    if !target.shared {
        let mut connection = writer.acquire().await.map_err(|error| fault::opening(&target.place, error))?;
        migrations::migrate(&mut connection, target.dialect, &target.place, version).await?;
    }
    Ok(Database { writer, readers, dialect: target.dialect, place: target.place.clone() })
}

/// Migrates over a connection of its own: a pool keeps trying until its time is up and then cannot say what the
/// matter was.
async fn prepare(target: &Target, version: i64) -> Result<(), LedgerError> {
    let opening = |error| fault::opening(&target.place, error);
    let connecting = AnyConnection::connect_with(&target.options);
    let mut connection = match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(connection) => connection.map_err(opening)?,
        Err(_) => {
            let reason = format!("no answer within {CONNECT_TIMEOUT:?}");
            return Err(LedgerError::Open { place: target.place.clone(), reason });
        }
    };
    let greeting = target.dialect.on_connect(Access::Write);
    // SQLite waits for nobody where it changes the journal of a new file that others open at the same time.
    for tries_left in (0..GREETINGS_MAX).rev() {
        match connection.execute(sqlx::raw_sql(greeting)).await {
            Err(error) if tries_left > 0 && fault::is_passing(&error) => {
                tokio::time::sleep(GREETING_WAIT).await
            }
            greeted => {
                greeted.map_err(opening)?;
                break;
            }
        }
    }
    migrations::migrate(&mut connection, target.dialect, &target.place, version).await?;
    connection.close().await.map_err(opening)
}

fn pool(target: &Target, access: Access, connections_max: u32) -> AnyPool {
    let greeting = target.dialect.on_connect(access);
    let options = AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(CONNECT_TIMEOUT)
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(greeting)).await.map(|_| ()) })
        });
    // A local file needs no fresh connections, and in memory a closed connection is a lost ledger.
    let options = match target.dialect {
        Dialect::Sqlite => options.idle_timeout(None).max_lifetime(None).test_before_acquire(false),
        Dialect::Postgres => options,
    };
    options.connect_lazy_with(target.options.clone())
}
