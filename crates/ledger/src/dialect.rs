//! The little in which the two databases differ.

/// Which database is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// How a transaction that writes begins. SQLite takes the write lock at once: taking it on the way, after a read,
    /// fails as soon as another process has written in between.
    pub(crate) fn begin_write(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// How a transaction begins whose reads all see the same instant.
    pub(crate) fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// What keeps other processes from migrating until the transaction ends. On SQLite the transaction itself does.
    pub(crate) fn lock_schema(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_advisory_xact_lock(5208194771)"),
        }
    }

    /// The statements of a migration in this database's words. Our texts are identifiers, so PostgreSQL compares them
    /// by their bytes: in the order that SQLite and Rust have, and with indexes that an upgrade of the host's locale
    /// data cannot break.
    pub(crate) fn render(self, migration: &'static str) -> String {
        match self {
            Self::Sqlite => migration.to_owned(),
            Self::Postgres => migration.replace(" TEXT", " TEXT COLLATE \"C\""),
        }
    }

    /// What every connection is told when it opens.
    pub(crate) fn on_connect(self, access: Access) -> &'static str {
        match (self, access) {
            (Self::Sqlite, Access::Write) => SQLITE_WRITER,
            (Self::Sqlite, Access::Read) => "PRAGMA busy_timeout = 10000; PRAGMA query_only = ON;",
            (Self::Postgres, _) => "SET application_name = 'flowline'",
        }
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

/// `synchronous = FULL` syncs the write-ahead log at every commit. With NORMAL a power cut could take the last
/// moments back; runs that committed would be completed from the tables' history, but failed runs, attempts,
/// findings and deployments are recorded nowhere else. One sync a run is a sync every two seconds for each dataset:
/// measured 0.2 ms each on a quiet SSD, and some 10 ms (once in a hundred times 200 ms) on one that compilers kept
/// busy, which delays the next flush by as much and nothing else.
const SQLITE_WRITER: &str = "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
     PRAGMA journal_size_limit = 67108864;";
