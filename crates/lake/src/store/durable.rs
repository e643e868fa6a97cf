//! Files on this machine that survive a loss of power.
//!
//! `object_store` renames files into place without syncing them, so that after a loss of power a commit could be there
//! and be empty, while the log has already let go of the records. Here a file is synced before it appears, and its
//! folder after.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

const NAME: &str = "file";

/// The file system, with synced writes.
#[derive(Debug)]
pub(super) struct DurableFiles {
    inner: LocalFileSystem,
}

impl DurableFiles {
    pub(super) fn new() -> Self {
        Self { inner: LocalFileSystem::new() }
    }
}

impl fmt::Display for DurableFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for DurableFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let create = match options.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, options).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        blocking(move || put_file(&path, &payload, create)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if !options.attributes.is_empty() {
            return self.inner.put_multipart_opts(location, options).await;
        }
        let path = self.inner.path_to_filesystem(location)?;
        let staging = path.clone();
        let (file, staged, made) = blocking(move || stage(&staging)).await?;
        Ok(Box::new(DurableUpload { file: Arc::new(file), staged: Some(staged), path, made, bytes: 0 }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

/// An upload in parts, beside its place until it is complete. Each part is synced when it is written, while others are still
/// made: what is left to wait for in the end is the last.
#[derive(Debug)]
struct DurableUpload {
    file: Arc<File>,
    /// None once it is in its place.
    staged: Option<PathBuf>,
    path: PathBuf,
    /// The uppermost folder that had to be made for it.
    made: Option<PathBuf>,
    /// Bytes of the parts so far.
    bytes: u64,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, mut at) = (Arc::clone(&self.file), self.bytes);
        self.bytes += data.content_length() as u64;
        // Begun at once, whether or not anyone waits for it yet.
        let written = tokio::task::spawn_blocking(move || {
            for piece in &data {
                file.write_all_at(piece, at)?;
                at += piece.len() as u64;
            }
            file.sync_data()
        });
        Box::pin(async move { told(written.await?) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (file, path, made) = (Arc::clone(&self.file), self.path.clone(), self.made.clone());
        let Some(staged) = self.staged.take() else { return Ok(PutResult { e_tag: None, version: None }) };
        let moved = blocking(move || {
            let moved = file.sync_data().and_then(|()| fs::rename(&staged, &path));
            if moved.is_err() {
                // As in `put_file`: a leftover is hidden, and does no harm.
                let _ = fs::remove_file(&staged);
            }
            moved?;
            sync_folders(&path, made.as_deref())
        });
        moved.await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn abort(&mut self) -> Result<()> {
        let Some(staged) = self.staged.take() else { return Ok(()) };
        blocking(move || fs::remove_file(staged)).await
    }
}

impl Drop for DurableUpload {
    fn drop(&mut self) {
        if let Some(staged) = self.staged.take() {
            // Nobody wants it any more; what cannot be removed is swept later.
            let _ = fs::remove_file(staged);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    told(tokio::task::spawn_blocking(work).await?)
}

fn told<T>(done: io::Result<T>) -> Result<T> {
    done.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: String::new(), source: Box::new(error) },
        _ => Error::Generic { store: NAME, source: Box::new(error) },
    })
}

/// Writes a file beside its place, syncs it, and moves it there; with `create`, only if nothing is there.
fn put_file(path: &FilePath, payload: &PutPayload, create: bool) -> io::Result<()> {
    let (mut file, staged, made) = stage(path)?;
    let written = (|| {
        for piece in payload {
            file.write_all(piece)?;
        }
        file.sync_data()?;
        if create { fs::hard_link(&staged, path) } else { fs::rename(&staged, path) }
    })();
    if create || written.is_err() {
        // A leftover is hidden from every listing by its name and does no harm.
        let _ = fs::remove_file(&staged);
    }
    written?;
    sync_folders(path, made.as_deref())
}

/// Opens a new file beside `path` under a name that `object_store` never lists, and says which folder had to be made
/// for it, the uppermost.
fn stage(path: &FilePath) -> io::Result<(File, PathBuf, Option<PathBuf>)> {
    static STAGED: AtomicU64 = AtomicU64::new(0);
    let mut made = None;
    loop {
        let number = STAGED.fetch_add(1, Ordering::Relaxed);
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{}{number:09}", std::process::id()));
        let staged = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).open(&staged) {
            Ok(file) => return Ok((file, staged, made)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && made.is_none() => {
                let folder = path.parent().ok_or(error)?;
                made = folder
                    .ancestors()
                    .take_while(|folder| !folder.exists())
                    .last()
                    .map(FilePath::to_path_buf);
                fs::create_dir_all(folder)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Deletes what writes that were cut off have left below a folder, when it was last written before this time.
pub(super) fn sweep(folder: &FilePath, before: SystemTime) -> io::Result<u64> {
    let mut swept = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            swept += sweep(&entry.path(), before)?;
        } else if is_staged(&entry.file_name().to_string_lossy()) && entry.metadata()?.modified()? < before {
            fs::remove_file(entry.path())?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// The names of unfinished files, here and in `object_store`, which never lists them: `name#digits`.
fn is_staged(name: &str) -> bool {
    let digits = name.rsplit_once('#').map(|(_, digits)| digits);
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Syncs the folder of a file, and those above it up to the one that holds the uppermost new folder.
fn sync_folders(path: &FilePath, made: Option<&FilePath>) -> io::Result<()> {
    let last = made.or(Some(path)).and_then(FilePath::parent);
    for folder in path.ancestors().skip(1) {
        File::open(folder)?.sync_all()?;
        if Some(folder) == last {
            break;
        }
    }
    Ok(())
}
