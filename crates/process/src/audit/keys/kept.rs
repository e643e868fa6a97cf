//! What was counted of the keys of a check, and where it is kept: in a folder beside the table, under a number that grows.

use flowline_base::FileId;
use flowline_lake::Table;
use flowline_model::{Check, CheckRule, Dataset};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::columns::KeyHash;
use super::counts::{Layer, hexadecimal};
use crate::audit::note::Note;
use crate::audit::state::FOLDER;

/// Digits of the number that a file's name begins with.
const NUMBER_DIGITS: usize = 20;

/// What was counted of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What wrote it: hashes are no format that the engine keeps to.
    pub engine: String,
    /// Grows with each file; not written.
    #[serde(skip)]
    pub number: u64,
    /// The table that is audited, and the one that it refers to.
    pub tables: Vec<KeptTable>,
    /// Rows that fail.
    pub failed: i64,
    /// Some of their keys, those that occur most often first.
    pub examples: Vec<Example>,
}

/// How often each key of a table occurs at a version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptTable {
    /// What the log calls the table.
    pub log_id: String,
    pub version: i64,
    /// Which columns, and as what they are compared.
    pub key: String,
    pub layers: Vec<Layer>,
}

/// A key that fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Example {
    #[serde(with = "hexadecimal")]
    pub hash: KeyHash,
    pub rows: i64,
    /// As it is shown.
    pub text: String,
}

/// What writes the files.
pub(super) fn engine() -> String {
    format!("flowline 1, datafusion {}", datafusion::DATAFUSION_VERSION)
}

/// The folder of what is kept of a check: the same for checks that count the same.
pub(super) struct Folder<'a> {
    table: &'a Table,
    /// Its path.
    pub path: String,
    /// The files beside the table that keep keys, those of other checks as well.
    files: Vec<String>,
}

impl<'a> Folder<'a> {
    pub async fn open(table: &'a Table, rule: &CheckRule) -> Self {
        // What cannot be listed is as good as not there: everything is counted again.
        let files = table.list_beside(&format!("{FOLDER}/keys")).await.unwrap_or_default();
        Self { table, path: path_of(rule), files }
    }

    /// The number of the newest file, and what is kept in it where it can be read.
    pub async fn newest(&self) -> (u64, Option<Kept>) {
        let (number, newest) = self.numbered();
        let Some((newest, path)) = newest else { return (number, None) };
        let bytes = self.table.read_beside(path).await.ok();
        let kept = bytes.and_then(|bytes| serde_json::from_slice::<Kept>(&bytes).ok());
        (number, kept.map(|kept| Kept { number: newest, ..kept }))
    }

    /// The number of the newest file, and the newest of those that say what is kept, with its number.
    fn numbered(&self) -> (u64, Option<(u64, &String)>) {
        let own = self.files.iter().filter_map(|file| Some((self.number_of(file)?, file)));
        let number = own.clone().map(|(number, _)| number).max().unwrap_or(0);
        (number, own.filter(|(_, file)| file.ends_with(".json")).max())
    }

    /// What the names of files with this number begin with.
    pub fn prefix(&self, number: u64) -> String {
        format!("{}/{number:0NUMBER_DIGITS$}", self.path)
    }

    /// What the names of files with this number begin with that count rows which are not committed yet.
    pub fn uncommitted(&self, number: u64) -> String {
        format!("{}-{}", self.prefix(number), FileId::generate())
    }

    /// What was counted, which takes the place of what was kept before, also of checks that there are no more.
    pub fn note(&self, kept: &Kept, dataset: &Dataset) -> Option<Note> {
        Note::new(format!("{}.json", self.prefix(kept.number)), kept, self.old(kept, dataset))
    }

    /// The files that are wanted no longer.
    fn old(&self, kept: &Kept, dataset: &Dataset) -> Vec<String> {
        let named: Vec<&str> =
            kept.tables.iter().flat_map(|table| &table.layers).flat_map(Layer::paths).collect();
        let folders: Vec<String> = dataset.checks.iter().filter_map(folder_of).collect();
        let old = |file: &&String| match self.number_of(file) {
            Some(number) => number < kept.number && !named.contains(&file.as_str()),
            None => !folders.iter().any(|folder| file.starts_with(&format!("{folder}/"))),
        };
        self.files.iter().filter(old).cloned().collect()
    }

    /// The number of a file of this check.
    fn number_of(&self, file: &str) -> Option<u64> {
        file.strip_prefix(&self.path)?.strip_prefix('/')?.get(..NUMBER_DIGITS)?.parse().ok()
    }
}

/// The folder of what is kept of a check; none for one that counts no keys.
pub(in crate::audit) fn folder_of(check: &Check) -> Option<String> {
    match &check.rule {
        rule @ (CheckRule::Unique { .. } | CheckRule::Duplicates { .. } | CheckRule::Referential { .. }) => {
            Some(path_of(rule))
        }
        _ => None,
    }
}

fn path_of(rule: &CheckRule) -> String {
    let digest = Sha256::digest(format!("{rule:?}"));
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{FOLDER}/keys/{name}")
}
