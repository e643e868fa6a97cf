//! Which files are a source's, and what is read from each.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int32Array, RecordBatch};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use bytes::Bytes;
use flowline_base::system_clock;
use flowline_lake::{FileEntry, Lake, LakeError, LakeSettings};
use flowline_model::{FileFormat, FilesOrigin};
use futures::StreamExt as _;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::text::TextReader;
use super::{FileContent, FileError, FileSource};

struct Folder {
    folder: tempfile::TempDir,
    source: FileSource,
}

impl Folder {
    async fn new(pattern: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = LakeSettings {
            url: folder.path().join("lake").display().to_string(),
            storage_options: Default::default(),
            clock: system_clock(),
            faults: None,
        };
        let lake = Lake::open(settings).await.unwrap();
        let inbox = folder.path().join("inbox");
        std::fs::create_dir_all(&inbox).unwrap();
        let origin = FilesOrigin {
            location: inbox.display().to_string(),
            pattern: pattern.into(),
            format: None,
            poll_every: Duration::from_secs(1),
            follow_links: false,
        };
        Self { source: FileSource::open(&lake, &origin).unwrap(), folder }
    }

    async fn put(&self, path: &str, bytes: &[u8]) -> FileEntry {
        let full = self.folder.path().join("inbox").join(path);
        std::fs::create_dir_all(full.parent().unwrap()).unwrap();
        std::fs::write(full, bytes).unwrap();
        let listing = self.source.list().await.unwrap();
        listing.matched.into_iter().chain(listing.unmatched).find(|entry| entry.path == path).unwrap()
    }

    /// The records or rows of a file, as text.
    async fn read(&self, path: &str, bytes: &[u8]) -> Result<Vec<String>, FileError> {
        let entry = self.put(path, bytes).await;
        let mut reader = self.source.read(&entry).await?;
        let mut found = Vec::new();
        while let Some(part) = reader.next().await? {
            match part.content {
                FileContent::Records(received) => {
                    let record =
                        |index| String::from_utf8_lossy(received.record(index).unwrap()).into_owned();
                    found.extend((0..received.records as usize).map(record));
                }
                FileContent::Rows(rows) => found.push(format!("{} rows", rows.num_rows())),
            }
        }
        Ok(found)
    }
}

fn rows() -> RecordBatch {
    RecordBatch::try_from_iter([("v", Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef)]).unwrap()
}

fn arrow_file() -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), rows().schema_ref()).unwrap();
    writer.write(&rows()).unwrap();
    writer.write(&rows()).unwrap();
    writer.into_inner().unwrap()
}

fn arrow_stream() -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), rows().schema_ref()).unwrap();
    writer.write(&rows()).unwrap();
    writer.into_inner().unwrap()
}

fn parquet_file() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows().schema(), None).unwrap();
    writer.write(&rows()).unwrap();
    writer.close().unwrap();
    bytes
}

#[tokio::test]
async fn the_pattern_divides_the_folder() {
    let folder = Folder::new("**/*.csv").await;
    for path in ["a.csv", "sub/b.csv", "c.txt", "_SUCCESS", ".hidden.csv", "_tmp/d.csv"] {
        std::fs::create_dir_all(folder.folder.path().join("inbox/sub")).unwrap();
        std::fs::create_dir_all(folder.folder.path().join("inbox/_tmp")).unwrap();
        std::fs::write(folder.folder.path().join("inbox").join(path), "x").unwrap();
    }
    let listing = folder.source.list().await.unwrap();
    let paths = |entries: &[FileEntry]| entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    assert_eq!(paths(&listing.matched), ["a.csv", "sub/b.csv"]);
    assert_eq!(paths(&listing.unmatched), ["c.txt"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_link_out_of_the_folder_is_not_followed_unless_it_may_be() {
    let mut folder = Folder::new("**/*.csv").await;
    let inbox = folder.folder.path().join("inbox");
    let outside = folder.folder.path().join("outside %41");
    std::fs::create_dir_all(&outside).unwrap();
    std::fs::write(outside.join("secret.csv"), "x").unwrap();
    std::fs::write(inbox.join("a.csv"), "x").unwrap();
    std::os::unix::fs::symlink(outside.join("secret.csv"), inbox.join("b.csv")).unwrap();
    std::os::unix::fs::symlink(&outside, inbox.join("sub %41")).unwrap();
    std::os::unix::fs::symlink(inbox.join("a.csv"), inbox.join("c.csv")).unwrap();
    std::os::unix::fs::symlink(outside.join("gone.csv"), inbox.join("d.csv")).unwrap();
    let paths = |entries: &[FileEntry]| entries.iter().map(|entry| entry.path.clone()).collect::<Vec<_>>();
    let listing = folder.source.list().await.unwrap();
    assert_eq!(paths(&listing.matched), ["a.csv", "c.csv"]);
    assert_eq!(paths(&listing.elsewhere), ["b.csv", "sub %41/secret.csv"]);
    folder.source.follow_links = true;
    let listing = folder.source.list().await.unwrap();
    assert_eq!(paths(&listing.matched), ["a.csv", "b.csv", "c.csv", "sub %41/secret.csv"]);
    assert_eq!(paths(&listing.elsewhere), [""; 0]);
}

#[tokio::test]
async fn each_format_is_read() {
    let folder = Folder::new("*").await;
    assert_eq!(folder.read("a.csv", b"a,b\n1,2\n\"x\ny\",3\n").await.unwrap(), ["1,2", "\"x\ny\",3"]);
    assert_eq!(folder.read("a.json", b" [ {\"a\":1}, 2 ] ").await.unwrap(), ["{\"a\":1}", "2"]);
    assert_eq!(folder.read("o.GeoJSON", b" {\"a\":[1]}\n").await.unwrap(), ["{\"a\":[1]}"]);
    assert_eq!(folder.read("a.jsonl", b"{\"a\":1}\n\n2").await.unwrap(), ["{\"a\":1}", "2"]);
    assert_eq!(folder.read("a.arrow", &arrow_file()).await.unwrap(), ["3 rows", "3 rows"]);
    assert_eq!(folder.read("s.arrow", &arrow_stream()).await.unwrap(), ["3 rows"]);
    assert_eq!(folder.read("a.parquet", &parquet_file()).await.unwrap(), ["3 rows"]);
}

#[tokio::test]
async fn files_without_records_have_none() {
    let folder = Folder::new("*").await;
    for (path, bytes) in [
        ("a.csv", &b"a,b\n"[..]),
        ("b.csv", b"\n\n"),
        ("a.json", b"[]"),
        ("b.json", b" "),
        ("a.ndjson", b"\n"),
    ] {
        assert_eq!(folder.read(path, bytes).await.unwrap(), [""; 0], "{path}");
    }
}

#[tokio::test]
async fn broken_files_are_unreadable_and_say_so() {
    let folder = Folder::new("*").await;
    for (path, whole) in
        [("a.arrow", arrow_file()), ("a.parquet", parquet_file()), ("s.arrow", arrow_stream())]
    {
        for cut in [1, 12, whole.len() / 2] {
            let error = folder.read(path, &whole[..whole.len() - cut]).await;
            // A stream that ends before its end mark is whole.
            if path != "s.arrow" || cut > 8 {
                let error = error.unwrap_err().to_string();
                assert!(error.starts_with(&format!("`{path}` cannot be read: ")), "{error}");
            }
        }
    }
    let error = folder.read("a.xyz", b"x").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "`a.xyz` cannot be read: its ending says nothing about how it is written: set `format`"
    );
}

#[tokio::test]
async fn bits_flipped_in_a_file_never_panic() {
    let folder = Folder::new("*").await;
    for (path, whole) in [("a.arrow", arrow_file()), ("a.parquet", parquet_file())] {
        for at in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x55;
            let _ = folder.read(path, &bytes).await;
        }
    }
}

/// The records of a text that arrives in these pieces.
async fn in_pieces(format: FileFormat, pieces: Vec<Vec<u8>>) -> (Vec<u8>, Vec<Vec<u8>>) {
    let pieces = pieces.into_iter().map(|piece| Ok::<_, LakeError>(Bytes::from(piece)));
    let stream = futures::stream::iter(pieces.collect::<Vec<_>>()).boxed();
    let mut reader = TextReader::with_part_bytes("t".into(), format, stream, 1);
    let (mut header, mut records) = (Vec::new(), Vec::new());
    while let Some(part) = reader.next().await.unwrap() {
        let FileContent::Records(received) = part.content else { panic!("rows") };
        header = received.schema.to_vec();
        records.extend((0..received.records as usize).map(|index| received.record(index).unwrap().to_vec()));
    }
    (header, records)
}

proptest! {
    #[test]
    fn where_the_storage_cuts_a_file_does_not_matter(
        text in "[\\[\\]{},\"\\\\1a \r\n]{0,40}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        places.sort_unstable();
        for format in [FileFormat::Csv, FileFormat::Json, FileFormat::Ndjson] {
            let mut pieces = Vec::new();
            let mut start = 0;
            for place in &places {
                pieces.push(text.as_bytes()[start..*place].to_vec());
                start = *place;
            }
            pieces.push(text.as_bytes()[start..].to_vec());
            let whole = runtime.block_on(in_pieces(format, vec![text.as_bytes().to_vec()]));
            let expected = match format {
                FileFormat::Csv => {
                    let (header, spans) = crate::split::csv::records(text.as_bytes(), 1000).unwrap();
                    let header = header.filter(|_| !spans.is_empty());
                    (header.map(|span| cut(&text, span)).unwrap_or_default(), spans)
                }
                FileFormat::Json => (vec![], crate::split::json::values(text.as_bytes(), 1000).unwrap()),
                _ => (vec![], crate::split::lines(text.as_bytes(), 1000).unwrap()),
            };
            let expected = (expected.0, expected.1.iter().map(|span| cut(&text, *span)).collect::<Vec<_>>());
            prop_assert_eq!(&whole, &expected);
            prop_assert_eq!(runtime.block_on(in_pieces(format, pieces)), expected);
        }
    }
}

fn cut(text: &str, (start, end): (u32, u32)) -> Vec<u8> {
    text.as_bytes()[start as usize..end as usize].to_vec()
}
