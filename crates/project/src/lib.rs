//! User files → validated, versioned plan.
//!
//! Owns: the shape of every file that a user writes ([`schemas`]), how it is read, and each problem with its place
//! ([`Diagnostic`]). The only crate that parses a user file.
//! Does not own: what the SQL in a file means (`flowline-process`), what a contract's rules mean
//! (`flowline-quality`); their problems come back here as diagnostics through [`Sources::problem`].

mod diagnostic;
mod render;
mod template;

use std::path::Path;

use flowline_model::Plan;

pub use diagnostic::{Code, Diagnostic};
pub use render::render;
pub use template::{TemplateFile, template, templates};

/// A project that can run.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What it declares, resolved against one environment.
    pub plan: Plan,
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
    /// Everything that is wrong, by file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that were read, for problems that are found later.
    pub sources: Sources,
}

/// The text of every file that was read, so that a problem found later can show its place.
#[derive(Debug, Clone, Default)]
pub struct Sources {}

impl Sources {
    /// The diagnostic for a problem that another crate found in `file` at `line` and `column` (from 1).
    ///
    /// In a file with inline SQL the column counts within the SQL text, as whoever parsed it sees it; it is moved by
    /// the indentation that the text has in the file.
    pub fn problem(
        &self,
        code: Code,
        file: &str,
        line: u32,
        column: u32,
        message: impl Into<String>,
        hint: Option<String>,
    ) -> Diagnostic {
        Diagnostic {
            severity: flowline_model::Severity::Error,
            code,
            file: file.to_owned(),
            line,
            column,
            end_column: column,
            message: message.into(),
            hint,
            snippet: None,
        }
    }
}

/// Reads and validates the project in `dir` for an environment (`dev` when none is named). `${VAR}` in its values is
/// taken from the process environment.
///
/// # Errors
/// Everything that is wrong, errors and warnings, by file and line.
pub fn load(dir: &Path, environment: Option<&str>) -> Result<Loaded, Vec<Diagnostic>> {
    let Reading { plan, diagnostics, sources } = read(dir, environment);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(diagnostics);
    }
    Ok(Loaded { plan, warnings: diagnostics, sources })
}

/// Reads what can be read of the project in `dir`, so that problems of its SQL can be found along with those of its
/// files.
pub fn read(_dir: &Path, _environment: Option<&str>) -> Reading {
    unimplemented!("under construction")
}

/// The JSON Schema of each kind of file, with the name of the file that an editor maps it to.
pub fn schemas() -> Vec<(&'static str, serde_json::Value)> {
    Vec::new()
}
