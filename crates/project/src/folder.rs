//! Which files a project has, and their texts.
//!
//! Owns: where each kind of file lies, what lies where nothing is read, the bounds on number and size of files, and
//! the digest that names a version of the project. Does not own: what stands in the files.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flowline_model::DatasetName;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::diagnostic::Code;
use crate::nearest::nearest;
use crate::sources::{FILE_BYTES_MAX, Problem, Report};
use crate::yaml::Place;

/// The most files that are looked at below one folder.
const FILES_MAX: usize = 20_000;
/// The folders of a project.
const FOLDERS: [&str; 5] = ["datasets", "tests", "runbooks", "policies", "consumers"];

/// The file that makes a folder a project.
pub(crate) const PROJECT_FILE: &str = "flowline.yaml";

/// The text with line feeds only. YAML ends a line at a carriage return as well, and places have to be those that an
/// editor shows.
pub(crate) fn line_feeds(text: &str) -> Cow<'_, str> {
    match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    }
}

/// The files of a project, read.
#[derive(Debug)]
pub(crate) struct Folder {
    /// The folder, absolute.
    pub dir: PathBuf,
    /// The text of `flowline.yaml`.
    pub project: Option<String>,
    /// The files of each dataset.
    pub datasets: BTreeMap<DatasetName, DatasetTexts>,
    /// Datasets whose files are there and cannot be read.
    pub unreadable: BTreeSet<DatasetName>,
    /// The files of tests: path and text.
    pub tests: Vec<(String, String)>,
    /// Paths of the runbooks, relative to the project.
    pub runbooks: BTreeSet<String>,
    /// SHA-256 of it all, hexadecimal, the first 12 digits.
    pub version: String,
}

/// The files that declare one dataset: path and text.
#[derive(Debug, Default)]
pub(crate) struct DatasetTexts {
    pub yaml: Option<(String, String)>,
    pub sql: Option<(String, String)>,
}

/// Reads every file of the project in `dir`.
pub(crate) fn open(dir: &Path, report: &mut Report) -> Folder {
    let dir =
        std::fs::canonicalize(dir).or_else(|_| std::path::absolute(dir)).unwrap_or_else(|_| dir.to_owned());
    let mut reader = Reader { dir: dir.clone(), digest: Sha256::new(), report };
    let project = reader.project();
    let (mut datasets, mut unreadable) = (BTreeMap::<DatasetName, DatasetTexts>::new(), BTreeSet::new());
    let paths = reader.list("datasets");
    let known: BTreeSet<&String> = paths.iter().collect();
    for path in &paths {
        let Some((name, kind)) = reader.dataset_of(path, &known) else { continue };
        let Some(text) = reader.text(path) else {
            unreadable.insert(name);
            continue;
        };
        let texts = datasets.entry(name).or_default();
        match kind {
            Kind::Yaml => texts.yaml = Some((path.clone(), text)),
            Kind::Sql => texts.sql = Some((path.clone(), text)),
        }
    }
    datasets.retain(|name, _| !unreadable.contains(name));
    let runbooks: BTreeSet<String> =
        reader.list("runbooks").into_iter().filter(|path| path.ends_with(".md")).collect();
    for path in &runbooks {
        reader.text(path);
    }
    let tests = reader.tests();
    reader.look_around();
    let version = reader.digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    Folder { dir, project, datasets, unreadable, tests, runbooks, version }
}

enum Kind {
    Yaml,
    Sql,
}

struct Reader<'a> {
    dir: PathBuf,
    digest: Sha256,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn problem(&mut self, path: &str, problem: Problem) {
        self.report.add(path, Place::start(), problem);
    }

    fn project(&mut self) -> Option<String> {
        if self.dir.join(PROJECT_FILE).is_file() {
            return self.text(PROJECT_FILE);
        }
        let message = match self.dir.is_dir() {
            true => format!("there is no {PROJECT_FILE} in `{}`", self.dir.display()),
            false => format!("there is no folder `{}`", self.dir.display()),
        };
        let problem = Problem::error(Code::MissingFile, message);
        let other = ["flowline.yml", "Flowline.yaml"].into_iter().find(|name| self.dir.join(name).is_file());
        let problem = match other {
            Some(name) => problem.hint(format!("rename {name} to {PROJECT_FILE}")),
            None => problem.hint("`flowline init shop` makes a project to start from"),
        };
        self.problem(PROJECT_FILE, problem);
        None
    }

    /// The files below a folder of the project, relative to the project, sorted; hidden ones are left out.
    fn list(&mut self, folder: &str) -> Vec<String> {
        let root = self.dir.join(folder);
        if !root.is_dir() {
            return Vec::new();
        }
        let hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
        let entries = WalkDir::new(&root).min_depth(1).max_depth(8).follow_links(true).sort_by_file_name();
        let mut paths = Vec::new();
        for entry in
            entries.into_iter().filter_entry(|entry| entry.depth() == 0 || !hidden(entry.file_name()))
        {
            if paths.len() >= FILES_MAX {
                let message = format!("`{folder}` has more than {FILES_MAX} files; the others are not read");
                self.problem(folder, Problem::error(Code::TooLarge, message));
                break;
            }
            match entry {
                Ok(entry) if entry.file_type().is_file() => paths.extend(relative(&self.dir, entry.path())),
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().and_then(|path| relative(&self.dir, path));
                    let message = format!("this cannot be read: {error}");
                    let path = path.unwrap_or_else(|| folder.to_owned());
                    self.problem(&path, Problem::error(Code::UnreadableFile, message));
                }
            }
        }
        paths
    }

    /// The dataset that a file below `datasets` belongs to.
    fn dataset_of(&mut self, path: &str, known: &BTreeSet<&String>) -> Option<(DatasetName, Kind)> {
        let (stem, ending) = path.rsplit_once('.')?;
        let kind = match ending {
            "yaml" => Kind::Yaml,
            "sql" => Kind::Sql,
            "yml" => {
                self.problem(path, wrong_ending(path, stem, known));
                return None;
            }
            _ => return None,
        };
        let parts: Vec<&str> = stem.split('/').collect();
        let [_, domain, name] = parts.as_slice() else {
            let message = "a dataset lies in the folder of its domain: datasets/<domain>/<name>.yaml";
            let hint = match parts.as_slice() {
                [_, name] => format!("move it to datasets/shop/{name}.{ending}, say, for `shop.{name}`"),
                _ => "move it up: domains have no folders within".to_owned(),
            };
            self.problem(path, Problem::error(Code::MisplacedFile, message).hint(hint));
            return None;
        };
        if DatasetName::RESERVED_DOMAINS.contains(domain) {
            let problem =
                Problem::error(Code::InvalidName, format!("the domain `{domain}` is Flowline's own"));
            self.problem(path, problem.hint("choose another name for the folder"));
            return None;
        }
        match DatasetName::new(domain, name) {
            Ok(name) => Some((name, kind)),
            Err(error) => {
                let problem = Problem::error(Code::InvalidName, error.to_string());
                self.problem(
                    path,
                    problem.hint("rename the file or its folder: the dataset is named after them"),
                );
                None
            }
        }
    }

    /// The files of tests. They are no part of what is deployed, and so not of the digest.
    fn tests(&mut self) -> Vec<(String, String)> {
        let paths = self.list("tests").into_iter().filter(|path| path.ends_with(".yaml"));
        paths.filter_map(|path| Some((path.clone(), self.utf8(&path, Self::bytes)?))).collect()
    }

    /// The text of a file, kept for snippets and added to the digest.
    fn text(&mut self, path: &str) -> Option<String> {
        self.utf8(path, |reader, path| {
            let bytes = reader.bytes(path)?;
            reader.digest.update(format!("{path}\0{}\0", bytes.len()));
            reader.digest.update(&bytes);
            Some(bytes)
        })
    }

    fn bytes(&mut self, path: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = File::open(self.dir.join(path))
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            self.problem(
                path,
                Problem::error(Code::UnreadableFile, format!("this file cannot be read: {error}")),
            );
            return None;
        }
        if bytes.len() as u64 > FILE_BYTES_MAX {
            let message = format!("this file is larger than {FILE_BYTES_MAX} bytes and is not read");
            self.problem(path, Problem::error(Code::TooLarge, message));
            return None;
        }
        Some(bytes)
    }

    fn utf8(&mut self, path: &str, read: impl FnOnce(&mut Self, &str) -> Option<Vec<u8>>) -> Option<String> {
        match String::from_utf8(read(self, path)?) {
            Ok(text) => {
                let text = line_feeds(text.strip_prefix('\u{feff}').unwrap_or(&text)).into_owned();
                self.report.sources.keep(path, &text);
                Some(text)
            }
            Err(error) => {
                self.report.add(path, end_of(&error), not_utf8());
                None
            }
        }
    }

    /// Finds what lies where nothing is read, or is not read yet.
    fn look_around(&mut self) {
        if let Some(path) = self.list("policies").into_iter().find(|path| path.ends_with(".cedar")) {
            let problem = Problem::error(Code::NotSupported, "policies are not supported by this version");
            self.problem(
                &path,
                problem.hint("nothing would enforce it; move it out of the project until it is"),
            );
        }
        if let Some(path) = self.list("consumers").into_iter().next() {
            let problem = Problem::warning(Code::NotSupported, "consumers are not supported by this version");
            self.problem(&path, problem.hint("the file is not read"));
        }
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        let folders = entries.take(1_000).flatten().filter(|entry| entry.path().is_dir());
        let mut names: Vec<String> =
            folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        for name in names.iter().filter(|name| !FOLDERS.contains(&name.as_str())) {
            if let Some(known) = nearest(name, FOLDERS).filter(|known| !self.dir.join(known).is_dir()) {
                let problem =
                    Problem::warning(Code::MisplacedFile, format!("nothing reads the folder `{name}`"));
                self.problem(name, problem.hint(format!("did you mean `{known}`?")));
            }
        }
    }
}

/// The path below the project, with `/`; none when it is not Unicode.
fn relative(dir: &Path, path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.strip_prefix(dir).ok()?.iter().map(|part| part.to_str()).collect();
    Some(parts?.join("/"))
}

fn wrong_ending(path: &str, stem: &str, known: &BTreeSet<&String>) -> Problem {
    let right = format!("{stem}.yaml");
    if known.contains(&right) {
        let message = format!("`{right}` declares the same dataset");
        return Problem::error(Code::DuplicateName, message).hint("remove one of the two files");
    }
    Problem::error(Code::MisplacedFile, format!("`{path}` is not read: files of datasets end in .yaml"))
        .hint(format!("rename it to {right}"))
}

fn not_utf8() -> Problem {
    Problem::error(Code::UnreadableFile, "this is not UTF-8").hint("save the file as UTF-8")
}

/// The place of the first byte that is not UTF-8.
fn end_of(error: &std::string::FromUtf8Error) -> Place {
    let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let text = String::from_utf8_lossy(valid);
    let line = text.matches('\n').count() as u32 + 1;
    let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) as u32 + 1;
    Place::point(line, column)
}
