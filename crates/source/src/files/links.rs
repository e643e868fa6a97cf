//! Symbolic links: whether a file of a folder lies in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use flowline_lake::{FileEntry, FileStore};

/// The files that lie in the folder, and those that a link leads out of it to. One look at each file and one at each
/// folder; none where the folder is not of this machine, since no other storage has links.
pub(super) async fn apart(store: &FileStore, entries: Vec<FileEntry>) -> (Vec<FileEntry>, Vec<FileEntry>) {
    let Some(root) = store.local_path("") else { return (entries, Vec::new()) };
    let paths: Vec<Option<PathBuf>> = entries.iter().map(|entry| store.local_path(&entry.path)).collect();
    let looked_at = tokio::task::spawn_blocking(move || {
        let root = root.canonicalize().unwrap_or(root);
        let mut folders = HashMap::new();
        let within =
            |path: &Option<PathBuf>| path.as_ref().is_some_and(|path| within(&root, path, &mut folders));
        paths.iter().map(within).collect::<Vec<bool>>()
    });
    // It fails only when the process ends: then nothing of it is landed.
    let looked_at = looked_at.await.unwrap_or_default();
    let (mut inside, mut elsewhere) = (Vec::new(), Vec::new());
    for (index, entry) in entries.into_iter().enumerate() {
        match looked_at.get(index) {
            Some(true) => inside.push(entry),
            _ => elsewhere.push(entry),
        }
    }
    (inside, elsewhere)
}

/// Whether what is read under a path lies below the root. `folders` are those that were looked at, as they are.
fn within(root: &Path, path: &Path, folders: &mut HashMap<PathBuf, Option<PathBuf>>) -> bool {
    let Some(parent) = path.parent() else { return false };
    let parent = folders.entry(parent.to_owned()).or_insert_with(|| parent.canonicalize().ok());
    let linked = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_symlink());
    match (parent, linked) {
        (Some(parent), false) => parent.starts_with(root),
        (_, true) => path.canonicalize().is_ok_and(|real| real.starts_with(root)),
        // It is gone again, and reading it will say so.
        (None, false) => true,
    }
}
