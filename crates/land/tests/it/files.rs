//! Files: each lands once, whole, and what cannot land is found.

use std::sync::Arc;
use std::time::Duration;

use flowline_land::{FileLander, FileProgress, ProgressFn};
use flowline_ledger::FindingFilter;
use flowline_model::{Dataset, FilesOrigin, Origin};
use flowline_testkit::http_dataset;
use parking_lot::Mutex;

use crate::world::World;

struct Inbox {
    world: World,
}

impl Inbox {
    async fn new() -> Self {
        Self::following(false).await
    }

    /// An inbox that follows links out of its folder, or does not.
    async fn following(follow_links: bool) -> Self {
        let mut world = World::new(http_dataset("air.places", &[("id!", "string"), ("n", "int32")])).await;
        let inbox = world.folder.path().join("inbox");
        std::fs::create_dir_all(&inbox).unwrap();
        let dataset = Dataset {
            origin: Origin::Files(FilesOrigin {
                location: inbox.display().to_string(),
                pattern: "{*,*/*}.{csv,json}".into(),
                format: None,
                poll_every: Duration::from_secs(1),
                follow_links,
            }),
            ..(*world.dataset).clone()
        };
        world.dataset = Arc::new(dataset);
        Self { world }
    }

    fn put(&self, path: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.world.folder.path().join("inbox").join(path), bytes).unwrap();
    }

    async fn lander(&self) -> FileLander {
        FileLander::open(self.world.context.clone(), Arc::clone(&self.world.dataset)).await.unwrap()
    }

    async fn land(&self) -> usize {
        self.lander().await.land_available().await.unwrap().len()
    }

    async fn findings(&self) -> Vec<String> {
        let found = self.world.context.ledger.findings(&FindingFilter::default()).await.unwrap();
        let mut lines: Vec<String> = found
            .iter()
            .map(|f| format!("{} {} {}", f.finding.kind.as_str(), f.finding.subject, f.finding.count))
            .collect();
        lines.sort();
        lines
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_lands_once_until_it_is_written_again() {
    let mut inbox = Inbox::new().await;
    inbox.put("a.csv", "id,n\nx,1\ny,2\n");
    inbox.put("b.json", "[{\"id\":\"z\",\"n\":3},{\"n\":4}]");
    assert_eq!(inbox.land().await, 1);
    assert_eq!(inbox.land().await, 0);
    inbox.world.restart(None).await;
    assert_eq!(inbox.land().await, 0);
    assert_eq!(
        inbox.world.query("select id, n, _source, _offset from t order by id").await,
        ["x|1|a.csv|0", "y|2|a.csv|1", "z|3|b.json|0"]
    );
    assert_eq!(inbox.world.query("select _source, _offset, _record from q").await, ["b.json|1|{\"n\":4}"]);
    inbox.put("a.csv", "id,n\nx,1\ny,2\nw,5\n");
    assert_eq!(inbox.land().await, 1);
    assert_eq!(inbox.world.query("select count(*) from t").await, ["6"]);
    let totals = inbox.world.totals().await;
    assert_eq!((totals.read, totals.written, totals.quarantined), (7, 6, 1));
    let files = inbox.world.context.ledger.landed_files(&inbox.world.dataset.name).await.unwrap();
    assert_eq!(files.iter().map(|file| file.records).sum::<u64>(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_cannot_land_are_found_and_stop_no_other() {
    let inbox = Inbox::new().await;
    inbox.put("empty.csv", "");
    inbox.put("header.csv", "id,n\n");
    inbox.put("notes.txt", "x");
    inbox.put("good.csv", "id,n\nx,1\n");
    let mut dataset = (*inbox.world.dataset).clone();
    if let Origin::Files(origin) = &mut dataset.origin {
        origin.pattern = "*.{csv,arrow}".into();
    }
    let inbox = Inbox { world: World { dataset: Arc::new(dataset), ..inbox.world } };
    inbox.put("broken.arrow", "ARROW1 and then nothing of the kind");
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/hostname", inbox.world.folder.path().join("inbox/linked.csv")).unwrap();
    let mut lander = inbox.lander().await;
    lander.land_available().await.unwrap();
    lander.land_available().await.unwrap();
    assert_eq!(
        inbox.findings().await,
        [
            "empty-file empty.csv 1",
            "empty-file header.csv 1",
            "unmatched-file notes.txt 1",
            "unreadable-file broken.arrow 1",
            "unreadable-file linked.csv 1"
        ]
    );
    assert_eq!(inbox.world.query("select id from t").await, ["x"]);
    inbox.put("broken.arrow", arrow());
    lander.land_available().await.unwrap();
    assert_eq!(inbox.world.query("select id, n from t order by id").await, ["p|7", "x|1"]);
}

fn arrow() -> Vec<u8> {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    let rows = RecordBatch::try_from_iter([
        ("id", Arc::new(StringArray::from(vec!["p"])) as ArrayRef),
        ("n", Arc::new(Int64Array::from(vec![7])) as ArrayRef),
    ])
    .unwrap();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(Vec::new(), rows.schema_ref()).unwrap();
    writer.write(&rows).unwrap();
    writer.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_the_commits_leaves_nothing_twice() {
    let mut inbox = Inbox::new().await;
    inbox.put("a.csv", "id,n\nx,1\n,2\n");
    inbox.land().await;
    inbox.world.restart(Some("lake.put/raw/air/places/_delta_log=error-before:1.0")).await;
    inbox.put("b.csv", "id,n\ny,1\n,3\n");
    assert!(inbox.lander().await.land_available().await.is_err());
    assert_eq!(inbox.world.query("select count(*) from q").await, ["2"]);
    inbox.world.restart(None).await;
    inbox.put("c.csv", "id,n\nz,1\n,4\n");
    inbox.land().await;
    assert_eq!(inbox.world.query("select id from t order by id").await, ["x", "y", "z"]);
    assert_eq!(
        inbox.world.query("select _source from q order by _source").await,
        ["a.csv", "b.csv", "c.csv"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_ledger_missed_is_not_landed_again() {
    let mut inbox = Inbox::new().await;
    inbox.put("a.csv", "id,n\nx,1\n");
    inbox.land().await;
    let before = inbox.world.totals().await;
    inbox.world.context.log.close().await.unwrap();
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(inbox.world.folder.path().join(file));
    }
    inbox.world.restart(None).await;
    assert_eq!(inbox.land().await, 0);
    assert_eq!(inbox.world.totals().await, before);
    assert_eq!(inbox.world.query("select count(*) from t").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_told_for_each_file() {
    let inbox = Inbox::new().await;
    inbox.put("a.csv", "id,n\nx,1\ny,2\n");
    inbox.put("b.csv", "id,n\nz,1\n");
    let told: Arc<Mutex<Vec<FileProgress>>> = Arc::default();
    let sink = Arc::clone(&told);
    let progress = ProgressFn::new(move |progress| sink.lock().push(progress.clone()));
    inbox.lander().await.with_progress(progress).land_available().await.unwrap();
    let told = told.lock();
    let last = told.last().unwrap();
    assert_eq!((last.files_done, last.files_total, last.bytes_read), (2, 2, last.bytes));
    assert!(told.iter().any(|progress| progress.path == "a.csv" && progress.records == 2));
}

/// Links out of the folder: a file, a folder, and a file whose link is put on another one.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_out_of_the_folder_land_only_where_they_are_followed() {
    use std::os::unix::fs::symlink;
    for follows in [false, true] {
        let inbox = Inbox::following(follows).await;
        let outside = inbox.world.folder.path().join("outside");
        std::fs::create_dir_all(outside.join("more")).unwrap();
        std::fs::write(outside.join("one.csv"), "id,n\nlinked,1\n").unwrap();
        std::fs::write(outside.join("other.csv"), "id,n\nlinked elsewhere,2\n").unwrap();
        std::fs::write(outside.join("more/two.csv"), "id,n\nbehind a folder,3\n").unwrap();
        let link = inbox.world.folder.path().join("inbox/one.csv");
        symlink(outside.join("one.csv"), &link).unwrap();
        symlink(outside.join("more"), inbox.world.folder.path().join("inbox/more")).unwrap();
        inbox.put("own.csv", "id,n\nown,0\n");
        assert_eq!((inbox.land().await, inbox.land().await), (1, 0), "each lands once");
        let landed = inbox.world.query("select id, n, _source from t order by n").await;
        if !follows {
            assert_eq!(landed, ["own|0|own.csv"]);
            let found = ["unreadable-file more/two.csv 1", "unreadable-file one.csv 1"];
            assert_eq!(inbox.findings().await, found);
            continue;
        }
        assert_eq!(landed, ["own|0|own.csv", "linked|1|one.csv", "behind a folder|3|more/two.csv"]);
        assert_eq!(inbox.findings().await, [""; 0]);
        // What the link leads to is the file: another one is another file, and so is one that was written again.
        std::fs::remove_file(&link).unwrap();
        symlink(outside.join("other.csv"), &link).unwrap();
        assert_eq!((inbox.land().await, inbox.land().await), (1, 0));
        std::fs::write(outside.join("more/two.csv"), "id,n\nbehind a folder,3\nwritten again,4\n").unwrap();
        assert_eq!((inbox.land().await, inbox.land().await), (1, 0));
        assert_eq!(
            inbox.world.query("select id, count(*) from t group by id order by id").await,
            ["behind a folder|2", "linked|1", "linked elsewhere|1", "own|1", "written again|1"]
        );
    }
}
