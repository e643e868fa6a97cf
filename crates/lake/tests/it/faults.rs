//! Faults of the storage: whatever happens, every batch is in the table once after it was tried often enough.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use datafusion::prelude::SessionContext;
use flowline_base::{Classify, ErrorKind, Random};
use flowline_lake::faults::{Fault, FaultInjector, ScriptedFaults, StoreOp};
use flowline_lake::{LakeError, ReadAt, StagedFiles, Table, TableCommit};
use parking_lot::Mutex;
use proptest::prelude::*;

use crate::support::{Place, ids, moving, orders, rows, spec, stage};

/// Faults in the order in which they are given, one for each call; none after the last.
#[derive(Debug)]
struct InOrder(Mutex<Vec<Option<Fault>>>);

impl FaultInjector for InOrder {
    fn fault(&self, _: StoreOp, _: &str) -> Option<Fault> {
        self.0.lock().pop().flatten()
    }
}

/// Tries a batch as a lander does: reads the position, stages, commits; after an error all of it again.
async fn land(
    table: &Table,
    app_id: &str,
    batch: std::ops::Range<i64>,
    random: &mut Random,
) -> Result<u32, LakeError> {
    let mut last = None;
    for attempt in 0..200 {
        let tried = async {
            let position = table.transaction_version(app_id).await?;
            if position.is_some_and(|position| position >= batch.end) {
                return Ok(());
            }
            let staged = stage(table, &rows(batch.clone())).await?;
            // Sometimes as the same run, sometimes as a new one.
            let run = if random.chance(0.5) {
                format!("run-{}", batch.end)
            } else {
                format!("run-{}-{attempt}", batch.end)
            };
            table.commit(moving(staged, app_id, position, batch.end, &run)).await.map(drop)
        };
        match tried.await {
            Ok(()) => return Ok(attempt),
            Err(error) if error.kind() == ErrorKind::Fenced => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap())
}

fn fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(Fault::ErrorBefore)),
        2 => Just(Some(Fault::ErrorAfter)),
        1 => Just(Some(Fault::ErrorDuring)),
        1 => Just(Some(Fault::Denied)),
        1 => Just(Some(Fault::Full)),
        1 => Just(Some(Fault::Slow(Duration::from_millis(1)))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_is_there_once(faults in prop::collection::vec(fault(), 0..60), seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let place = Place::new().await;
            orders(&place.lake).ensure(&spec(&[])).await.unwrap();
            let faults = Arc::new(InOrder(Mutex::new(faults)));
            let faulty = orders(&place.again(Some(faults.clone())).await);
            let mut random = Random::seeded(seed);
            for batch in 0..4 {
                land(&faulty, "a", batch * 5..batch * 5 + 5, &mut random).await.unwrap();
            }
            faults.0.lock().clear();
            // Seen by the process that met the faults, and by one that starts afterwards.
            assert_eq!(ids(&faulty).await, (0..20).collect::<Vec<_>>());
            let after = orders(&place.again(None).await);
            assert_eq!(ids(&after).await, (0..20).collect::<Vec<_>>());
            assert_eq!(after.transaction_version("a").await.unwrap(), Some(20));
        });
    }
}

#[tokio::test]
async fn two_processes_under_faults_never_double_rows() {
    for seed in 0..6u64 {
        let place = Place::new().await;
        orders(&place.lake).ensure(&spec(&[])).await.unwrap();
        let script = |seed| {
            let text = format!(
                "seed={seed};lake.put=error-before:0.1,error-after:0.15,error-during:0.1;lake.get=error-before:0.05"
            );
            Some(Arc::new(ScriptedFaults::parse(&text).unwrap()) as Arc<dyn FaultInjector>)
        };
        let (one, other) =
            (orders(&place.again(script(seed)).await), orders(&place.again(script(seed + 100)).await));
        let run = |table: Table, app_id: &'static str, offset: i64, seed: u64| async move {
            let mut random = Random::seeded(seed);
            for step in 0..6 {
                let start = offset + step * 3;
                land(&table, app_id, start..start + 3, &mut random).await.unwrap();
            }
        };
        tokio::join!(run(one, "a", 0, seed), run(other, "b", 1000, seed + 1));
        let expected: Vec<i64> = (0..18).chain(1000..1018).collect();
        assert_eq!(ids(&orders(&place.again(None).await)).await, expected, "seed {seed}");
    }
}

/// Faults on the writes of commits only.
#[derive(Debug)]
struct OnCommits(Fault, AtomicU32);

impl FaultInjector for OnCommits {
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault> {
        let strikes = op == StoreOp::Put && path.contains("_delta_log/0");
        (strikes
            && self.1.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok())
        .then_some(self.0)
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found() {
    let place = Place::new().await;
    orders(&place.lake).ensure(&spec(&[])).await.unwrap();
    let table = orders(&place.again(Some(Arc::new(OnCommits(Fault::ErrorAfter, AtomicU32::new(1))))).await);
    let staged = stage(&table, &rows(0..3)).await.unwrap();
    let committed = table.commit(TableCommit::append(staged)).await.unwrap();
    assert_eq!((committed.version, committed.rows), (1, 3));
    assert_eq!(ids(&table).await, [0, 1, 2]);
}

#[tokio::test]
async fn a_query_that_the_storage_fails_says_so() {
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    crate::support::append(&table, 0..3).await;
    let file = table.changes(None, 1).await.unwrap().appended[0].path.clone();
    let path = place.path(&table).join(&file);
    let whole = std::fs::read(&path).unwrap();
    let query = |faults: Option<&'static str>| {
        let faults =
            faults.map(|text| Arc::new(ScriptedFaults::parse(text).unwrap()) as Arc<dyn FaultInjector>);
        async {
            let provider = orders(&place.again(faults).await).provider(ReadAt::Latest).await.unwrap();
            let found = SessionContext::new().read_table(provider).unwrap().collect().await;
            LakeError::in_query(&found.unwrap_err()).unwrap()
        }
    };
    for (script, kind) in [
        ("lake.get/part=denied@1+", ErrorKind::Denied),
        ("lake.get/part=error-before@1+", ErrorKind::Transient),
        ("lake.get/part=error-after@1", ErrorKind::Transient),
    ] {
        let error = query(Some(script)).await;
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&file), "{error}");
    }
    let mut damaged = whole.clone();
    let end = damaged.len() - 20;
    damaged[end..].fill(0);
    for damage in [damaged, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        std::fs::write(&path, damage).unwrap();
        let error = query(None).await;
        assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&file), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    let error = query(None).await;
    assert!(error.kind() == ErrorKind::Corrupt && error.to_string().contains(&file), "{error}");
}

#[tokio::test]
async fn what_the_storage_refuses_is_told_apart() {
    for (fault, kind) in [
        (Fault::Denied, ErrorKind::Denied),
        (Fault::Full, ErrorKind::StorageFull),
        (Fault::ErrorBefore, ErrorKind::Transient),
    ] {
        let place = Place::new().await;
        orders(&place.lake).ensure(&spec(&[])).await.unwrap();
        let table = orders(&place.again(Some(Arc::new(OnCommits(fault, AtomicU32::new(100))))).await);
        let staged = stage(&table, &rows(0..3)).await.unwrap();
        let error = table.commit(TableCommit::append(staged)).await.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(
            error.to_string().contains("raw/shop/orders/_delta_log/00000000000000000001.json"),
            "{error}"
        );
        assert!(ids(&orders(&place.again(None).await)).await.is_empty());
    }
}

#[tokio::test]
async fn a_folder_without_permission_is_denied_and_named() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&[])).await.unwrap();
    let folder = place.path(&table);
    let allow = |mode| std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
    allow(0o555);
    let refused = std::fs::write(folder.join("probe"), "").is_err();
    let result = stage(&table, &rows(0..3)).await;
    allow(0o755);
    if refused {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(error.to_string().contains("raw/shop/orders"), "{error}");
    } else {
        println!("skipped: this user may write anywhere");
    }
}

#[test]
fn the_grammar_of_faults() {
    let faults = ScriptedFaults::parse(
        "seed=7; lake.put/_delta_log=denied@2,full@3+ ;lake.get=slow:1:200ms;log.write=short@1",
    )
    .unwrap();
    let put = |path| faults.fault(StoreOp::Put, path);
    assert_eq!(put("x/_delta_log/1"), None);
    assert_eq!(put("x/part"), None);
    assert_eq!(put("x/_delta_log/1"), Some(Fault::Denied));
    assert_eq!(put("x/_delta_log/1"), Some(Fault::Full));
    assert_eq!(put("x/_delta_log/2"), Some(Fault::Full));
    assert_eq!(faults.fault(StoreOp::Get, "x"), Some(Fault::Slow(Duration::from_millis(200))));
    for wrong in [
        "put=denied@1",
        "lake.put",
        "lake.putt=denied@1",
        "lake.put=denied",
        "lake.put=denied:2",
        "lake.put=slow:0.5",
        "lake.put=slow:0.5:x",
        "seed=x",
        "lake.put=broken@1",
    ] {
        let error = ScriptedFaults::parse(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "{wrong}");
    }
    let count = |text: &str| {
        let faults = ScriptedFaults::parse(text).unwrap();
        let mut counts: HashMap<bool, u32> = HashMap::new();
        for _ in 0..1000 {
            *counts.entry(faults.fault(StoreOp::List, "x").is_some()).or_default() += 1;
        }
        counts[&true]
    };
    assert_eq!(count("seed=1;lake.any=error-before:0.1"), count("seed=1;lake.any=error-before:0.1"));
    assert!((50..200).contains(&count("seed=1;lake.any=error-before:0.1")));
}

#[tokio::test]
async fn large_files_go_up_in_parts_under_faults() {
    let place = Place::new().await;
    orders(&place.lake).ensure(&spec(&[])).await.unwrap();
    let wide = |seed: u64| {
        let mut random = Random::seeded(seed);
        let mut bytes = vec![0u8; 600_000];
        random.fill(&mut bytes);
        bytes.iter().map(|byte| char::from(b' ' + byte % 90)).collect::<String>()
    };
    let texts: Vec<String> = (0..24).map(wide).collect();
    let batch = arrow::array::RecordBatch::try_from_iter([
        ("id", Arc::new(arrow::array::Int64Array::from_iter_values(0..24)) as arrow::array::ArrayRef),
        ("country", Arc::new(arrow::array::StringArray::from(texts))),
    ])
    .unwrap();
    let script = "seed=3;lake.put=error-after:0.2";
    let table = orders(&place.again(Some(Arc::new(ScriptedFaults::parse(script).unwrap()))).await);
    let mut staged = Err(LakeError::Settings { reason: String::new() });
    for _ in 0..50 {
        staged = stage(&table, &batch).await;
        if staged.is_ok() {
            break;
        }
    }
    let staged: StagedFiles = staged.unwrap();
    assert!(staged.bytes() > 9 << 20, "large enough for two parts: {}", staged.bytes());
    table.commit(TableCommit::append(staged)).await.unwrap();
    assert_eq!(ids(&table).await.len(), 24);
}
