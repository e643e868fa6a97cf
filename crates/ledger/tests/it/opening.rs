//! Opening: URLs, passwords, older and newer files, damage.

use std::path::Path;

use flowline_base::{Classify, ErrorKind};
use flowline_ledger::contract::declared;
use flowline_ledger::contract::samples::{at, dataset, failed, finding, landing};
use flowline_ledger::{FindingFilter, LedgerError, RunFilter, connect, sqlite_url};
use flowline_model::{Deployment, Run, RunKind};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Executor};

#[tokio::test]
async fn a_file_is_created_with_its_folder_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    // Characters that mean something in a URL.
    let url = sqlite_url(&folder.path().join("a b#c%20d/é?.db"));
    let run = landing("orders", 0, 10, 0);
    connect(&url).await.unwrap().record_run(&run, &[], &[]).await.unwrap();
    let ledger = connect(&url).await.unwrap();
    assert_eq!(ledger.runs(&RunFilter::default()).await.unwrap(), [run]);
    assert!(folder.path().join("a b#c%20d/é?.db").is_file());
}

#[tokio::test]
async fn a_plain_path_is_a_url_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain.db");
    connect(&format!("sqlite://{}", path.display())).await.unwrap();
    assert!(path.is_file());
}

#[tokio::test]
async fn several_open_one_new_file_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("ledger.db"));
    let mut openings = tokio::task::JoinSet::new();
    for version in 0..4 {
        let url = url.clone();
        openings.spawn(async move {
            let ledger = connect(&url).await.unwrap();
            assert!(
                ledger.record_run(&landing("orders", version, version + 1, version), &[], &[]).await.unwrap()
            );
        });
    }
    openings.join_all().await;
    assert_eq!(connect(&url).await.unwrap().totals().await.unwrap()[0].runs, 4);
}

#[tokio::test]
async fn what_is_no_ledger_is_refused() {
    for (url, expected) in [
        ("mysql://root:geheim@localhost/x", "`mysql` is not a ledger: use sqlite:///path or postgres://…"),
        ("user=x password=geheim", "`` is not a ledger: use sqlite:///path or postgres://…"),
        ("user=x password=geheim:5432", "`?` is not a ledger: use sqlite:///path or postgres://…"),
        ("", "`` is not a ledger: use sqlite:///path or postgres://…"),
    ] {
        let error = connect(url).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Input);
    }
}

#[tokio::test]
async fn no_error_tells_the_password() {
    for url in [
        "postgres://flow:geheim@127.0.0.1:1/ledger",
        "postgres://flow@127.0.0.1:1/ledger?password=geheim",
        "postgres://flow:geheim@127.0.0.1:1/ledger?sslmode=nonsense",
        "postgres://flow:geheim@127.0.0.1:nonsense/ledger",
        "postgres://flow:geheim@[/ledger",
    ] {
        let error = connect(url).await.unwrap_err();
        assert!(matches!(error, LedgerError::Open { .. }), "{url}: {error:?}");
        let told = format!("{error} {error:?} {}", flowline_base::chain(&error));
        assert!(!told.contains("geheim"), "{told}");
    }
    let error = connect("postgres://flow:geheim@127.0.0.1:1/ledger").await.unwrap_err();
    assert!(
        error.to_string().starts_with("the ledger postgres://flow@127.0.0.1:1/ledger cannot be opened"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let url = sqlite_url(&folder.path().join("ledger.db"));
    drop(connect(&url).await.unwrap());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (9000, 'later', TRUE, x'00', 0)";
    connection.execute(newer).await.unwrap();
    connection.close().await.unwrap();
    let error = connect(&url).await.unwrap_err();
    assert!(
        error.to_string().contains("was written by a newer Flowline: its schema is at version 9000"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Input);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    std::fs::write(&path, "this was never a database, and it is longer than the header of one: ".repeat(100))
        .unwrap();
    let error = connect(&sqlite_url(&path)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let error = connect(&sqlite_url(&folder.path().join("file/ledger.db"))).await.unwrap_err();
    assert!(error.to_string().contains("creating its folder"), "{error}");
}

/// Every schema that was ever released has a sample in `test-data`, as [`write_a_sample`] made it: three landings of
/// `shop.orders` (the last failed), one transform, a finding, a deployment. All of them must read as if written today.
#[tokio::test]
async fn ledgers_of_older_versions_are_brought_up_to_date() {
    for sample in ["v1.db", "v2.db"] {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("ledger.db");
        std::fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("test-data").join(sample), &copy).unwrap();
        let ledger = connect(&sqlite_url(&copy)).await.unwrap();

        let totals = ledger.totals().await.unwrap();
        let orders = totals.iter().find(|totals| totals.hop == dataset("orders")).unwrap();
        assert_eq!((orders.runs, orders.counts.read, orders.gap()), (2, 25, 0), "{sample}");
        let standings = ledger.standings().await.unwrap();
        assert_eq!(standings.len(), 2, "{sample}");
        let orders = &standings[1];
        assert_eq!((orders.failures, orders.failing_since), (1, Some(at(3))), "{sample}");
        let committed = orders.committed.as_ref().and_then(|run| run.commit.as_ref());
        assert_eq!(committed.map(|commit| commit.version), Some(1), "{sample}");
        assert_eq!(orders.ended.as_ref().map(|run| run.id), Some(orders.newest.id), "{sample}");
        assert_ne!(orders.succeeded.as_ref().map(|run| run.id), Some(orders.newest.id), "{sample}");
        let found = ledger.findings(&FindingFilter::default()).await.unwrap();
        assert_eq!(found[0].finding.count, finding("orders", 2, 10, 1).count, "{sample}");
        assert_eq!(ledger.catalog().await.unwrap().len(), 1, "{sample}");

        // And it goes on from there.
        assert!(ledger.record_run(&landing("orders", 25, 30, 7), &[], &[]).await.unwrap(), "{sample}");
        assert_eq!(ledger.standings().await.unwrap()[1].failures, 0, "{sample}");
    }
}

/// Writes `test-data/v<newest>.db`, for whoever adds a migration; samples that are there are never written again.
#[tokio::test]
#[ignore = "writes a file of the repository"]
async fn write_a_sample() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = connect(&sqlite_url(&path)).await.unwrap();
    let deployment =
        Deployment { version: "aaa".to_owned(), environment: "dev".to_owned(), deployed_at: at(0) };
    ledger.record_deployment(&deployment, &[declared("orders", "team-shop")]).await.unwrap();
    let found = [finding("orders", 2, 10, 1)];
    ledger.record_run(&landing("orders", 0, 10, 0), &[], &found).await.unwrap();
    ledger.record_run(&landing("orders", 10, 25, 1), &[], &[]).await.unwrap();
    ledger.record_run(&failed(landing("orders", 25, 30, 2)), &[], &[]).await.unwrap();
    let transform = Run { kind: RunKind::Transform, inputs: Vec::new(), ..landing("daily", 0, 25, 5) };
    ledger.record_run(&transform, &[], &[]).await.unwrap();
    drop(ledger);

    let mut connection = SqliteConnection::connect(&sqlite_url(&path)).await.unwrap();
    let newest: i64 = sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    let compact = "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;";
    connection.execute(sqlx::raw_sql(compact)).await.unwrap();
    connection.close().await.unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("test-data/v{newest}.db"));
    assert!(!sample.exists(), "{sample:?} is there");
    std::fs::copy(path, sample).unwrap();
}
