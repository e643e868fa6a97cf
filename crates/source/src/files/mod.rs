//! Files that appear in a folder of any object store.
//!
//! Owns: which files of a folder are a source's, how each is written, and reading them in parts of bounded size, as
//! the same records that HTTP requests become. Does not own: which files have landed (`flowline-land` asks the
//! ledger), how storage is reached (`flowline-lake`).

mod arrow_file;
mod error;
mod links;
mod parquet_file;
mod reader;
#[cfg(test)]
mod tests;
mod text;

use flowline_lake::{FileEntry, FileStore, Lake};
use flowline_model::{FileFormat, FilesOrigin};
use globset::{GlobBuilder, GlobMatcher};

pub use error::FileError;
pub use reader::{FileContent, FilePart, FileReader};

/// The folder of one source.
#[derive(Debug, Clone)]
pub struct FileSource {
    store: FileStore,
    pattern: GlobMatcher,
    format: Option<FileFormat>,
    follow_links: bool,
}

/// What lies in the folder.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Files that match the pattern, by path.
    pub matched: Vec<FileEntry>,
    /// Files that do not, by path. Hidden files, and markers that other tools leave (`_SUCCESS`), are in neither.
    pub unmatched: Vec<FileEntry>,
    /// Files that a symbolic link below the folder leads out of it to, by path. They are in neither of the others, unless
    /// the origin follows links.
    pub elsewhere: Vec<FileEntry>,
}

impl FileSource {
    /// The folder of this origin, reached with the lake's storage options.
    ///
    /// # Errors
    /// [`FileError::Pattern`], or [`FileError::Storage`] for a location that cannot be used.
    pub fn open(lake: &Lake, origin: &FilesOrigin) -> Result<Self, FileError> {
        let pattern = GlobBuilder::new(&origin.pattern).literal_separator(true).build();
        let pattern = pattern.map_err(|error| FileError::Pattern {
            pattern: origin.pattern.clone(),
            reason: error.kind().to_string(),
        })?;
        Ok(Self {
            store: lake.files(&origin.location)?,
            pattern: pattern.compile_matcher(),
            format: origin.format,
            follow_links: origin.follow_links,
        })
    }

    /// Lists the folder and everything below it.
    pub async fn list(&self) -> Result<Listing, FileError> {
        let mut listing = Listing::default();
        let mut found = self.store.list().await?;
        found.retain(|entry| !entry.path.split('/').any(|part| part.starts_with(['.', '_'])));
        let found = match self.follow_links {
            true => found,
            false => {
                let (within, elsewhere) = links::apart(&self.store, found).await;
                listing.elsewhere = elsewhere;
                within
            }
        };
        for entry in found {
            if self.pattern.is_match(&entry.path) {
                listing.matched.push(entry)
            } else {
                listing.unmatched.push(entry)
            }
        }
        Ok(listing)
    }

    /// How a file is written: as the origin says, or as its ending does.
    pub fn format(&self, path: &str) -> Option<FileFormat> {
        let ending = || path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        self.format.or_else(|| match ending()?.as_str() {
            "csv" => Some(FileFormat::Csv),
            "json" | "geojson" => Some(FileFormat::Json),
            "ndjson" | "jsonl" | "jsonlines" => Some(FileFormat::Ndjson),
            "parquet" | "pq" => Some(FileFormat::Parquet),
            "arrow" | "arrows" | "feather" | "ipc" => Some(FileFormat::Arrow),
            _ => None,
        })
    }

    /// Starts reading a file.
    ///
    /// # Errors
    /// [`FileError::Unreadable`] for a file whose format is not known or whose first bytes contradict it.
    pub async fn read(&self, entry: &FileEntry) -> Result<FileReader, FileError> {
        let format = self.format(&entry.path).ok_or_else(|| FileError::Unreadable {
            path: entry.path.clone(),
            reason: "its ending says nothing about how it is written: set `format`".to_owned(),
        })?;
        FileReader::open(self.store.clone(), entry, format).await
    }
}
