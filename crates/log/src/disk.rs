//! The few file operations that the segment log needs, as a trait, so that a test can make any of them fail.
//!
//! Owns: positioned vectored writes, reads, sync, locks and folders of the machine's file system ([`StdDisk`]).
//! Does not own: what is written, and what a failure means (`segment::writer` decides).

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use rustix::buffer::spare_capacity;

/// The operating system takes at most this many slices in one write (`IOV_MAX` of Linux).
const SLICES_MAX: usize = 1024;

/// A file system.
pub trait Disk: Send + Sync + Debug {
    /// Creates the folder and those above it that are missing.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The entries of a folder, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>>;

    /// Opens a file; fails with [`io::ErrorKind::NotFound`] when it is not there and `mode` does not create it.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file over another.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Deletes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock file at `path`, held until what is returned is dropped; none when another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Debug + Send + Sync>>>;
}

/// Writes all of the slices, in as many calls as it takes.
pub(crate) fn write_all_at(
    file: &dyn DiskFile,
    mut position: u64,
    slices: &mut [IoSlice<'_>],
) -> io::Result<()> {
    let mut rest = slices;
    IoSlice::advance_slices(&mut rest, 0);
    while !rest.is_empty() {
        match file.write_at(position, &rest[..rest.len().min(SLICES_MAX)]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(bytes) => {
                position += bytes as u64;
                IoSlice::advance_slices(&mut rest, bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The `bytes` bytes from `position` on; fewer where the file ends before.
pub(crate) fn read_up_to(file: &dyn DiskFile, position: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    read_on(file, position, bytes, &mut buffer)?;
    Ok(buffer)
}

/// Reads on behind what the buffer has, which begins at `position`, until it has so many bytes; fewer where the file ends
/// before.
pub(crate) fn read_on(
    file: &dyn DiskFile,
    position: u64,
    bytes: usize,
    buffer: &mut Vec<u8>,
) -> io::Result<()> {
    while buffer.len() < bytes {
        match file.read_at(position + buffer.len() as u64, bytes - buffer.len(), buffer) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// An open file; all positions are bytes from its start.
pub trait DiskFile: Send + Sync + Debug {
    /// Writes the slices one behind the other from `position` on; returns how many bytes were taken, maybe fewer
    /// than given.
    fn write_at(&self, position: u64, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Appends up to `bytes` bytes from `position` on to `into`; returns how many, zero only at the end of the file.
    fn read_at(&self, position: u64, bytes: usize, into: &mut Vec<u8>) -> io::Result<usize>;

    /// Brings what was written to stable storage (`fdatasync`).
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts or extends the file.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The length of the file.
    fn bytes(&self) -> io::Result<u64>;
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; it must exist.
    Read,
    /// For reading and writing; it must exist.
    Write,
    /// For reading and writing; created when it is not there.
    Create,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name without the folder; entries whose name is not UTF-8 are left out.
    pub name: String,
    /// Whether it is a folder itself.
    pub folder: bool,
}

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct StdDisk;

impl Disk for StdDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let folder = entry.file_type()?.is_dir();
            if let Ok(name) = entry.file_name().into_string() {
                entries.push(DirEntry { name, folder });
            }
        }
        Ok(entries)
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read).create(mode == OpenMode::Create);
        Ok(Arc::new(StdFile(options.truncate(false).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

#[derive(Debug)]
struct StdFile(File);

impl DiskFile for StdFile {
    fn write_at(&self, position: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, slices, position)?)
    }

    fn read_at(&self, position: u64, bytes: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        // Straight into the spare capacity: a large buffer is not filled with zeros first.
        into.reserve_exact(bytes);
        let before = into.len();
        rustix::io::pread(&self.0, spare_capacity(into), position)?;
        into.truncate(before + bytes);
        Ok(into.len() - before)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
