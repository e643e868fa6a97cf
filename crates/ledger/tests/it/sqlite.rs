//! The contract on SQLite: in a file, and in memory.

use std::sync::Arc;

use flowline_ledger::{Ledger, connect, sqlite_url};

mod file {
    use super::*;

    async fn fresh() -> Option<(Arc<dyn Ledger>, tempfile::TempDir)> {
        let folder = tempfile::tempdir().unwrap();
        let ledger = connect(&sqlite_url(&folder.path().join("below/ledger.db"))).await.unwrap();
        Some((ledger, folder))
    }

    flowline_ledger::ledger_contract!(fresh);
}

mod memory {
    use super::*;

    async fn fresh() -> Option<(Arc<dyn Ledger>, ())> {
        Some((connect("sqlite::memory:").await.unwrap(), ()))
    }

    flowline_ledger::ledger_contract!(fresh);
}
