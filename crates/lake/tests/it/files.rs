//! The files of sources, and where lakes can lie.

use std::sync::Arc;

use flowline_base::{Classify, ErrorKind};
use flowline_lake::faults::{Fault, FaultInjector, StoreOp};
use flowline_lake::{Lake, LakeError, LakeSettings, TableId};
use futures::TryStreamExt;
use parking_lot::Mutex;

use crate::support::{Place, select, spec};

#[tokio::test]
async fn files_are_listed_and_read() {
    let place = Place::new().await;
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::create_dir_all(folder.path().join("sub dir/ü")).unwrap();
    std::fs::write(folder.path().join("a.csv"), "x,y\n1,2\n").unwrap();
    std::fs::write(folder.path().join("sub dir/ü/b#c%20.csv"), vec![7; 100_000]).unwrap();
    std::fs::write(folder.path().join("empty.json"), "").unwrap();
    for location in
        [folder.path().to_str().unwrap().to_owned(), format!("file://{}", folder.path().display())]
    {
        let files = place.lake.files(&location).unwrap();
        let found = files.list().await.unwrap();
        let named: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        assert_eq!(named, [("a.csv", 8), ("empty.json", 0), ("sub dir/ü/b#c%20.csv", 100_000)]);
        assert_eq!(files.read("a.csv").await.unwrap(), "x,y\n1,2\n");
        assert_eq!(files.read_range("a.csv", 4..7).await.unwrap(), "1,2");
        assert!(files.read("empty.json").await.unwrap().is_empty());
        let pieces: Vec<_> = files.stream("sub dir/ü/b#c%20.csv").await.unwrap().try_collect().await.unwrap();
        assert_eq!(pieces.concat(), vec![7; 100_000]);
        let etag = found[0].etag.clone();
        assert_eq!(files.list().await.unwrap()[0].etag, etag);
        assert_eq!(files.read("nothing").await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    let files = place.lake.files(folder.path().to_str().unwrap()).unwrap();
    let before = files.list().await.unwrap()[0].etag.clone();
    std::fs::write(folder.path().join("a.csv"), "x,y\n1,2\n3,4\n").unwrap();
    assert_ne!(files.list().await.unwrap()[0].etag, before);
    assert!(place.lake.files("/nowhere/at/all").unwrap().list().await.unwrap().is_empty());
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_refused() {
    for (url, option) in
        [("ftp://x/y", None), ("relative/path", None), ("s3://bucket/lake", Some("aws_regionn"))]
    {
        let mut settings = LakeSettings::new(url);
        settings.storage_options.extend(option.map(|key: &str| (key.to_owned(), "x".to_owned())));
        let error = Lake::open(settings).await.unwrap_err();
        assert!(matches!(error, LakeError::Settings { .. }), "{error}");
    }
    let mut settings = LakeSettings::new("s3://bucket/lake");
    settings.storage_options.insert("AWS_REGION".into(), "eu-central-1".into());
    assert_eq!(Lake::open(settings).await.unwrap().location(), "s3://bucket/lake");
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Lake::open(LakeSettings::new(format!("{}/lake", file.path().display()))).await.unwrap_err();
    assert!(matches!(error, LakeError::Settings { .. }), "{error}");
}

#[tokio::test]
async fn a_lake_may_lie_in_a_folder_of_any_name() {
    let place = Place::new().await;
    let lake = Lake::open(LakeSettings::new(format!("{}/ein Ordner/ü#%20?", place.dir.path().display())))
        .await
        .unwrap();
    let table = lake.table(TableId::quarantine("a.b".parse().unwrap()));
    table.ensure(&spec(&[])).await.unwrap();
    for step in 0..21 {
        crate::support::append(&table, step..step + 1).await;
        table.settle().await;
    }
    let again = Lake::open(LakeSettings::new(lake.location())).await.unwrap();
    assert_eq!(crate::support::ids(&again.table(table.id().clone())).await.len(), 21);
    let log = place.dir.path().join("ein Ordner/ü#%20?/quarantine/a/b/_delta_log");
    assert!(log.join("00000000000000000019.checkpoint.parquet").exists());
}

#[tokio::test]
async fn a_lake_need_not_lie_on_a_file_system() {
    let written = Arc::new(Written::default());
    let faults: Option<Arc<dyn FaultInjector>> = Some(written.clone());
    let lake = Lake::open(LakeSettings { faults, ..LakeSettings::new("memory:///some/lake") }).await.unwrap();
    let table = lake.table(TableId::quarantine("a.b".parse().unwrap()));
    table.ensure(&spec(&["country"])).await.unwrap();
    for step in 0..22 {
        crate::support::append(&table, step * 4..step * 4 + 4).await;
        table.settle().await;
    }
    table.compact(flowline_lake::CompactOptions::default()).await.unwrap().unwrap();
    assert_eq!(crate::support::ids(&table).await.len(), 88);
    let found =
        select(&table, flowline_lake::ReadAt::Version(20), "select count(*) from t where country is null")
            .await;
    assert_eq!(found, ["20"]);
    assert_eq!(table.vacuum(flowline_lake::VACUUM_KEEP).await.unwrap(), 0);
    let log = "some/lake/quarantine/a/b/_delta_log";
    for name in ["00000000000000000019.checkpoint.parquet", "_last_checkpoint"] {
        assert!(written.0.lock().contains(&format!("{log}/{name}")), "{name} in {written:?}");
    }
}

/// Remembers what was written, and lets it be.
#[derive(Debug, Default)]
struct Written(Mutex<Vec<String>>);

impl FaultInjector for Written {
    fn fault(&self, op: StoreOp, path: &str) -> Option<Fault> {
        if op == StoreOp::Put {
            self.0.lock().push(path.to_owned());
        }
        None
    }
}
