//! A run is recorded whole or not at all, whenever the recorder dies.

use std::future::Future;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::task::{Context, Poll, Waker};

use flowline_ledger::contract::samples::{finding, landing};
use flowline_ledger::{FindingFilter, Ledger, RunFilter, connect, sqlite_url};

const CHILD: &str = "FLOWLINE_LEDGER_CHILD";
const KILL_AFTER: [usize; 5] = [1, 3, 8, 20, 45];

/// Totals, positions, runs and findings must tell the same story; returns how many runs it has.
async fn consistent(ledger: &dyn Ledger) -> u64 {
    let runs = ledger.runs(&RunFilter::default()).await.unwrap().len() as u64;
    let totals = ledger.totals().await.unwrap();
    let findings = ledger.findings(&FindingFilter::default()).await.unwrap();
    let Some(totals) = totals.first() else {
        assert_eq!((runs, findings.len()), (0, 0));
        return 0;
    };
    assert_eq!((totals.runs, totals.counts.read, totals.gap()), (runs, runs * 10, 0));
    assert_eq!(findings[0].finding.count, runs);
    assert_eq!(ledger.positions(None).await.unwrap()[0].next as u64, runs * 10);
    assert_eq!(ledger.latest_commits().await.unwrap()[0].version as u64 + 1, runs);
    runs
}

async fn record(ledger: &dyn Ledger, number: i64) -> bool {
    let run = landing("orders", number * 10, number * 10 + 10, number);
    ledger.record_run(&run, &[], &[finding("orders", 1, number * 10, number)]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_that_is_dropped_half_way_leaves_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = connect(&sqlite_url(&folder.path().join("ledger.db"))).await.unwrap();
    for polls in 0..40 {
        let before = consistent(&*ledger).await;
        let number = before as i64;
        let mut recorder = Box::pin(record(&*ledger, number));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..polls {
            if matches!(recorder.as_mut().poll(&mut context), Poll::Ready(_)) {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(recorder);
        // A commit that was on its way still arrives; the next to write comes after it.
        ledger.record_findings(&[]).await.unwrap();
        let after = consistent(&*ledger).await;
        assert!(after == before || after == before + 1, "{before} → {after} after {polls} polls");
        record(&*ledger, number).await;
        assert_eq!(consistent(&*ledger).await, before + 1);
    }
}

/// Records until it is killed, and says so after each. Only does anything as the child of the test below.
#[tokio::test]
async fn child_that_records() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let ledger = connect(&sqlite_url(Path::new(&path))).await.unwrap();
    for number in consistent(&*ledger).await as i64.. {
        assert!(record(&*ledger, number).await);
        println!("recorded {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    for acknowledgements in KILL_AFTER {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child_that_records", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let recorded = output.lines().map_while(Result::ok).filter_map(|line| {
            line.rsplit_once("recorded ").and_then(|(_, number)| number.parse::<u64>().ok())
        });
        let last = recorded.take(acknowledgements).last().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let ledger = connect(&sqlite_url(&path)).await.unwrap();
        let runs = consistent(&*ledger).await;
        assert!(runs > last, "run {last} was acknowledged, {runs} runs are there");
    }
}
