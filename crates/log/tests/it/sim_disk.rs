//! A disk in memory that forgets what was not synced when the machine crashes, in any mixture that a real one might
//! leave: each piece of each write, each change of length and each name may have made it or not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flowline_base::Random;
use flowline_log::{DirEntry, Disk, DiskFile, OpenMode};
use parking_lot::Mutex;

/// What reaches stable storage as a whole. Smaller than a real sector, so that small frames are torn.
const SECTOR_BYTES: usize = 32;

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Sim>>);

#[derive(Debug, Clone, Default)]
struct Sim {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    folders: BTreeSet<PathBuf>,
    locked: bool,
    /// Changes until the process dies.
    fuse: Option<u64>,
    /// Bytes that all files together may have.
    limit: Option<usize>,
    /// The next sync fails, and what it should have written is forgotten to be unwritten.
    fail_sync: bool,
}

#[derive(Debug, Clone, Default)]
struct Node {
    content: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>, mut takes: impl FnMut() -> bool) {
        match self {
            Change::Write(position, bytes) => {
                for (piece, at) in bytes.chunks(SECTOR_BYTES).zip((*position..).step_by(SECTOR_BYTES)) {
                    if takes() {
                        content.resize(content.len().max(at + piece.len()), 0);
                        content[at..at + piece.len()].copy_from_slice(piece);
                    }
                }
            }
            Change::SetLen(bytes) => {
                if takes() {
                    content.resize(*bytes, 0);
                }
            }
        }
    }
}

impl SimDisk {
    /// The process dies after so many further changes to the disk.
    pub fn die_after(&self, changes: u64) {
        self.0.lock().fuse = Some(changes);
    }

    /// The next sync of a file fails, the one after it succeeds without having written anything.
    pub fn fail_next_sync(&self) {
        self.0.lock().fail_sync = true;
    }

    /// The disk has room for so many bytes more, or for any number.
    pub fn set_room(&self, bytes: Option<usize>) {
        let mut sim = self.0.lock();
        sim.limit = bytes.map(|bytes| bytes + sim.bytes());
    }

    /// The disk as the next process finds it.
    pub fn after_kill(&self) -> SimDisk {
        let sim = Sim { locked: false, fuse: None, fail_sync: false, ..self.0.lock().clone() };
        SimDisk(Arc::new(Mutex::new(sim)))
    }

    /// The disk as it is after the machine went down.
    pub fn after_crash(&self, random: &mut Random) -> SimDisk {
        let before = self.0.lock();
        let mut after = Sim { folders: before.folders.clone(), ..Sim::default() };
        let kept = 0.2 + 0.6 * random.unit();
        let paths: BTreeSet<&PathBuf> = before.names.keys().chain(before.durable_names.keys()).collect();
        for path in paths {
            let names = if random.chance(0.5) { &before.names } else { &before.durable_names };
            let Some(&node) = names.get(path) else { continue };
            let node = &before.nodes[node];
            let mut content = node.durable.clone();
            node.unsynced.iter().for_each(|change| change.apply(&mut content, || random.chance(kept)));
            after.names.insert(path.clone(), after.nodes.len());
            after.nodes.push(Node { durable: content.clone(), content, unsynced: Vec::new() });
        }
        after.durable_names = after.names.clone();
        SimDisk(Arc::new(Mutex::new(after)))
    }

    /// The files and what is in them.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let sim = self.0.lock();
        sim.names.iter().map(|(path, node)| (path.clone(), sim.nodes[*node].content.clone())).collect()
    }

    /// A disk with these files, all of them durable.
    pub fn with_files(files: &BTreeMap<PathBuf, Vec<u8>>) -> SimDisk {
        let mut sim = Sim::default();
        for (path, content) in files {
            sim.folders.extend(path.ancestors().skip(1).map(Path::to_owned));
            sim.names.insert(path.clone(), sim.nodes.len());
            sim.nodes.push(Node { content: content.clone(), durable: content.clone(), unsynced: Vec::new() });
        }
        sim.durable_names = sim.names.clone();
        SimDisk(Arc::new(Mutex::new(sim)))
    }
}

impl Sim {
    /// Every change goes through here; after the process has died nothing does.
    fn change(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            Some(0) => Err(io::Error::other("the process is dead")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn bytes(&self) -> usize {
        self.nodes.iter().map(|node| node.content.len()).sum()
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for SimDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        sim.change()?;
        sim.folders.extend(path.ancestors().map(Path::to_owned));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
        let sim = self.0.lock();
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let inside = |path: &&PathBuf| path.parent() == Some(dir);
        let files = sim.names.keys().filter(inside);
        let files = files.map(|path| DirEntry { name: name(path), folder: false });
        let folders = sim.folders.iter().filter(inside);
        let folders = folders.map(|path| DirEntry { name: name(path), folder: true });
        Ok(files.chain(folders).collect())
    }

    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut sim = self.0.lock();
        let node = match (sim.node(path), mode) {
            (Err(_), OpenMode::Create) => {
                sim.change()?;
                sim.nodes.push(Node::default());
                let node = sim.nodes.len() - 1;
                sim.names.insert(path.to_owned(), node);
                node
            }
            (node, _) => node?,
        };
        Ok(Arc::new(SimFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        sim.change()?;
        let node = sim.node(from)?;
        sim.names.remove(from);
        sim.names.insert(to.to_owned(), node);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        sim.change()?;
        sim.node(path)?;
        sim.names.remove(path);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut sim = self.0.lock();
        sim.change()?;
        let inside = |path: &Path| path.parent() == Some(dir);
        sim.durable_names.retain(|path, _| !inside(path));
        let names: Vec<_> =
            sim.names.iter().filter(|(path, _)| inside(path)).map(|(p, n)| (p.clone(), *n)).collect();
        sim.durable_names.extend(names);
        Ok(())
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Debug + Send + Sync>>> {
        let mut sim = self.0.lock();
        let free = !std::mem::replace(&mut sim.locked, true);
        Ok(free.then(|| Box::new(Unlock(self.clone())) as _))
    }
}

#[derive(Debug)]
struct Unlock(SimDisk);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.0.lock().locked = false;
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    node: usize,
}

impl SimFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut sim = self.disk.0.lock();
        sim.change()?;
        let node = &mut sim.nodes[self.node];
        change.apply(&mut node.content, || true);
        node.unsynced.push(change);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn write_at(&self, position: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // Never more than 200 bytes at a time: short writes are a matter of course.
        let mut bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).take(200).collect();
        {
            let sim = self.disk.0.lock();
            let added = (position as usize + bytes.len()).saturating_sub(sim.nodes[self.node].content.len());
            let lacking = sim.limit.map_or(0, |limit| (sim.bytes() + added).saturating_sub(limit));
            bytes.truncate(bytes.len().saturating_sub(lacking));
            if bytes.is_empty() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let written = bytes.len();
        self.change(Change::Write(position as usize, bytes))?;
        Ok(written)
    }

    fn read_at(&self, position: u64, bytes: usize, into: &mut Vec<u8>) -> io::Result<usize> {
        let sim = self.disk.0.lock();
        let content = sim.nodes[self.node].content.get(position as usize..).unwrap_or_default();
        let read = &content[..content.len().min(bytes)];
        into.extend_from_slice(read);
        Ok(read.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut sim = self.disk.0.lock();
        sim.change()?;
        let failed = std::mem::take(&mut sim.fail_sync);
        let node = &mut sim.nodes[self.node];
        let unsynced = std::mem::take(&mut node.unsynced);
        if failed {
            return Err(io::Error::other("the disk lost a write"));
        }
        unsynced.iter().for_each(|change| change.apply(&mut node.durable, || true));
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.change(Change::SetLen(bytes as usize))
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().nodes[self.node].content.len() as u64)
    }
}
