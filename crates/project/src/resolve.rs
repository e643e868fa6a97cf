//! From files that hold, each for itself, to one plan that holds as a whole.
//!
//! Owns: what must hold between keys, between files, and with the environment. Does not own: the shape of a file
//! (`files`, `check`), the SQL (`flowline-process`).

mod checks;
mod columns;
mod consumer;
mod dataset;
mod environment;
mod in_log;
mod kafka;
mod origin;
mod project;
mod tests;
mod variables;

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use flowline_model::LandingSettings;
use url::Url;

pub(crate) use consumer::{ConsumerScope, resolve_consumer};
pub(crate) use dataset::{DatasetScope, resolve_dataset};
pub(crate) use environment::standard_environment;
pub(crate) use project::{Resolved, resolve_project};
pub(crate) use tests::{TestScope, resolve_tests};
pub(crate) use variables::Variables;

use crate::defaults;
use crate::value::{DurationText, Lexical};

/// The meaning of a default.
fn default_of<T: Lexical>(text: &str) -> T::Meaning {
    match T::read(text) {
        Ok(meaning) => meaning,
        Err(unreadable) => unreachable!("the default `{text}` can be read: {unreadable:?}"),
    }
}

/// When landing flushes and how long keys are remembered where nobody says otherwise.
pub(crate) fn standard_landing() -> (LandingSettings, Duration) {
    let horizon = default_of::<DurationText>(defaults::DEDUPE_HORIZON);
    (project::landing_settings(None, None), horizon)
}

/// A path from the folder of the project, without `.` and `..`.
fn absolute(dir: &Path, path: &str) -> PathBuf {
    let mut absolute = PathBuf::new();
    for component in dir.join(path).components() {
        match component {
            Component::ParentDir => {
                absolute.pop();
            }
            Component::CurDir => {}
            other => absolute.push(other),
        }
    }
    absolute
}

/// The URL of a place for files: a path from the folder of the project becomes `file:///…`.
fn storage_url(dir: &Path, text: &str) -> String {
    if text.contains("://") {
        return text.trim_end_matches('/').to_owned();
    }
    let path = absolute(dir, text);
    Url::from_file_path(&path).map_or_else(|()| format!("file://{}", path.display()), |url| url.to_string())
}
