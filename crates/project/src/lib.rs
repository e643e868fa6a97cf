//! User files → validated, versioned plan.
//!
//! Owns: the shape of every file that a user writes ([`schemas`]), how it is read, and each problem with its place
//! ([`Diagnostic`]). The only crate that parses a user file.
//! Does not own: what the SQL in a file means (`flowline-process`), what a contract's rules mean
//! (`flowline-quality`); their problems come back here as diagnostics through [`Sources::problem`].

mod check;
mod defaults;
mod diagnostic;
mod files;
mod folder;
mod nearest;
mod read;
mod render;
mod resolve;
mod sources;
mod template;
mod test_case;
mod value;
mod yaml;

use std::collections::BTreeSet;
use std::path::Path;

use flowline_model::{DatasetName, Plan};

pub use diagnostic::{Code, Diagnostic};
#[doc(hidden)]
pub use read::read_text;
pub use render::render;
pub use sources::Sources;
pub use template::{TEMPLATES, TemplateFile, template};
pub use test_case::{Expected, Given, Records, TestCase};

/// A project that can run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it declares, resolved against one environment.
    pub plan: Plan,
    /// The tests of its datasets.
    pub tests: Vec<TestCase>,
    /// What is worth mending and keeps nothing from running.
    pub warnings: Vec<Diagnostic>,
    /// The files that were read, for problems that are found later.
    pub sources: Sources,
}

/// A project as far as it could be read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// What could be read; incomplete when there are errors, and then only good for finding more of them.
    pub plan: Plan,
    /// The tests that could be read.
    pub tests: Vec<TestCase>,
    /// Everything that is wrong, by file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// Datasets that are declared and could not be read; whatever refers to them cannot be judged.
    pub unreadable: BTreeSet<DatasetName>,
    /// The files that were read, for problems that are found later.
    pub sources: Sources,
}

impl Reading {
    /// Whether a problem that was found in the plan only follows from a dataset that could not be read: its message
    /// names one in backticks.
    pub fn is_consequence(&self, message: &str) -> bool {
        self.unreadable.iter().any(|name| message.contains(&format!("`{name}`")))
    }
}

/// Reads and validates the project in `dir` for an environment (`dev` when none is named). `${VAR}` in its values is
/// taken from the process environment.
///
/// # Errors
/// Everything that is wrong, errors and warnings, by file and line.
pub fn load(dir: &Path, environment: Option<&str>) -> Result<Loaded, Vec<Diagnostic>> {
    let Reading { plan, tests, diagnostics, sources, .. } = read(dir, environment);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    Ok(Loaded { plan, tests, warnings: diagnostics, sources })
}

/// Reads what can be read of the project in `dir`, so that problems of its SQL can be found along with those of its
/// files.
pub fn read(dir: &Path, environment: Option<&str>) -> Reading {
    read::read(dir, environment, &|name| std::env::var(name).ok())
}

/// The JSON Schema of each kind of file, with the name of the file that an editor maps it to.
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    vec![
        ("flowline.schema.json", files::PROJECT.schema.clone()),
        ("dataset.schema.json", files::DATASET.schema.clone()),
        ("tests.schema.json", files::TESTS.schema.clone()),
    ]
}
