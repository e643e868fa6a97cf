//! A segment that is not written any more.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::header::{HEADER_BYTES, Header};
use super::index::Contents;
use super::keys::{KeyHash, KeyMap, KeyTable, Known, find_in_block};
use super::scan::{Walker, walk_around_damage};
use super::shared::{Shared, io_error, segment_path, sidecar_path};
use super::sidecar;
use crate::disk::{OpenMode, read_up_to, write_all_at};
use crate::{LogError, PartitionId};

/// A segment that is not written any more. Its records are checked when they are read, not before.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) contents: Contents,
    pub(crate) salt: u64,
    pub(crate) path: PathBuf,
    sidecar_path: PathBuf,
    keys: Mutex<Keys>,
}

#[derive(Debug, Clone)]
enum Keys {
    /// As long as there is no intact sidecar.
    Memory(Arc<KeyMap>),
    Disk {
        table: Arc<KeyTable>,
        blocks_at: u64,
    },
}

impl Sealed {
    /// The segment that has just been filled; its sidecar is not written yet.
    pub(crate) fn new(dir: &Path, contents: Contents, salt: u64, keys: KeyMap) -> Self {
        let (path, sidecar_path) = (segment_path(dir, contents.first), sidecar_path(dir, contents.first));
        Self { contents, salt, path, sidecar_path, keys: Mutex::new(Keys::Memory(Arc::new(keys))) }
    }

    /// Loads the segment that begins at `first` from its sidecar, or from itself when that is missing or damaged.
    pub(crate) fn load(shared: &Shared, id: &PartitionId, dir: &Path, first: u64) -> Result<Self, LogError> {
        let path = segment_path(dir, first);
        let file = shared.disk.open(&path, OpenMode::Read).map_err(io_error("opening", &path))?;
        let bytes = file.bytes().map_err(io_error("measuring", &path))?;
        let sidecar_path = sidecar_path(dir, first);
        let header = read_up_to(&*file, 0, HEADER_BYTES).map_err(io_error("reading", &path))?;
        let header = Header::decode(&header, id, first);
        if let Err(reason) = header {
            tracing::error!(partition = %id, path = %path.display(), reason, "a segment is damaged");
        }
        let fits = |sidecar: &sidecar::Sidecar| {
            sidecar.contents.bytes == bytes && header.is_ok_and(|header| header.salt == sidecar.salt)
        };
        match read_sidecar(shared, &sidecar_path, first) {
            // The sidecar knows the salt as well, so that the records can be read where only the header is damaged.
            Ok(Some(sidecar)) if header.is_err() || fits(&sidecar) => {
                let keys = Keys::Disk { table: Arc::new(sidecar.table), blocks_at: sidecar.blocks_at };
                let (contents, salt) = (sidecar.contents, sidecar.salt);
                return Ok(Self { contents, salt, path, sidecar_path, keys: Mutex::new(keys) });
            }
            Ok(None) => {
                tracing::info!(path = %path.display(), "the segment has no sidecar; it is made again")
            }
            Ok(Some(_)) | Err(_) => {
                tracing::warn!(path = %sidecar_path.display(), "the sidecar does not fit its segment; it is made again");
            }
        }
        let Ok(header) = header else {
            // Without the salt no frame can be told from garbage: all of it is damaged, and reading says so.
            return Ok(Self::new(dir, Contents::empty(first), 0, KeyMap::default()));
        };
        let walked = walk_around_damage(&mut Walker::new(&*file, header.salt, bytes), first)
            .map_err(io_error("reading", &path))?;
        if let Some(damage) = walked.damage {
            let (position, reason) = (damage.position, damage.reason);
            tracing::error!(partition = %id, path = %path.display(), position, reason, "a segment is damaged");
        }
        let sealed = Self::new(dir, walked.contents, header.salt, walked.keys);
        sealed.write_sidecar(shared);
        Ok(sealed)
    }

    /// Writes the sidecar, and from then on finds keys there instead of in memory. Where that fails, the keys stay in
    /// memory and the next start writes it.
    pub(crate) fn write_sidecar(&self, shared: &Shared) {
        let Keys::Memory(keys) = self.keys.lock().clone() else { return };
        let (bytes, table) = sidecar::encode(&self.contents, self.salt, &keys);
        let blocks_at = bytes.len() as u64 - table.blocks_bytes();
        match replace_file(shared, &self.sidecar_path, &bytes) {
            Ok(()) => *self.keys.lock() = Keys::Disk { table: Arc::new(table), blocks_at },
            Err(error) => {
                tracing::warn!(path = %self.sidecar_path.display(), %error, "the sidecar cannot be written");
            }
        }
    }

    /// Whether the key may be here; false is certain. Does not touch the disk.
    pub(crate) fn may_hold(&self, hash: KeyHash) -> bool {
        match &*self.keys.lock() {
            Keys::Memory(keys) => keys.contains_key(&hash),
            Keys::Disk { table, .. } => table.may_hold(hash),
        }
    }

    /// What was appended with this key, if anything. Reads a block of the sidecar; where that is damaged, the keys are
    /// found again by walking the segment.
    pub(crate) fn find_key(&self, shared: &Shared, hash: KeyHash) -> Result<Option<Known>, LogError> {
        let (table, blocks_at) = match self.keys.lock().clone() {
            Keys::Memory(keys) => return Ok(keys.get(&hash).copied()),
            Keys::Disk { table, blocks_at } => (table, blocks_at),
        };
        match find_on_disk(shared, &self.sidecar_path, &table, blocks_at, hash) {
            Ok(found) => Ok(found),
            Err(error) => {
                tracing::warn!(path = %self.sidecar_path.display(), %error, "the sidecar is damaged; it is made again");
                let keys = self.walk_keys(shared).map_err(io_error("reading", &self.path))?;
                let found = keys.get(&hash).copied();
                *self.keys.lock() = Keys::Memory(Arc::new(keys));
                self.write_sidecar(shared);
                Ok(found)
            }
        }
    }

    fn walk_keys(&self, shared: &Shared) -> io::Result<KeyMap> {
        let file = shared.disk.open(&self.path, OpenMode::Read)?;
        let mut walker = Walker::new(&*file, self.salt, self.contents.bytes);
        Ok(walk_around_damage(&mut walker, self.contents.first)?.keys)
    }

    /// Deletes the segment's files, the segment itself last.
    pub(crate) fn remove(&self, shared: &Shared) -> Result<(), LogError> {
        for path in [unfinished(&self.sidecar_path), self.sidecar_path.clone()] {
            match shared.disk.remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("deleting", &path)(error));
                }
                _ => {}
            }
        }
        shared.disk.remove_file(&self.path).map_err(io_error("deleting", &self.path))
    }
}

fn read_sidecar(shared: &Shared, path: &Path, first: u64) -> io::Result<Option<sidecar::Sidecar>> {
    let file = match shared.disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let bytes = file.bytes()?;
    let fixed = read_up_to(&*file, 0, sidecar::FIXED_BYTES)?;
    let front_bytes = sidecar::front_bytes(&fixed, bytes).ok_or(io::ErrorKind::InvalidData)?;
    let front = read_up_to(&*file, 0, front_bytes as usize)?;
    Ok(Some(sidecar::decode(&front, first, bytes).ok_or(io::ErrorKind::InvalidData)?))
}

fn find_on_disk(
    shared: &Shared,
    path: &Path,
    table: &KeyTable,
    blocks_at: u64,
    hash: KeyHash,
) -> io::Result<Option<Known>> {
    let file = shared.disk.open(path, OpenMode::Read)?;
    for (at, bytes) in table.blocks_of(hash) {
        let block = read_up_to(&*file, blocks_at + at, bytes)?;
        let found = find_in_block(&block, hash);
        if let Some(known) = found.map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))? {
            return Ok(Some(known));
        }
    }
    Ok(None)
}

/// Writes a file beside its place and moves it there.
fn replace_file(shared: &Shared, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = unfinished(path);
    let file = shared.disk.open(&written, OpenMode::Create)?;
    file.set_len(0)?;
    write_all_at(&*file, 0, &mut [IoSlice::new(bytes)])?;
    shared.disk.rename(&written, path)
}

/// Where a sidecar is written until it is whole.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}
