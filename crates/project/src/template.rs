//! Projects to start from, built into the binary.

/// One file of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateFile {
    /// Where it goes, relative to the project.
    pub path: &'static str,
    /// What stands in it.
    pub text: &'static str,
}

/// The names of the templates.
pub fn templates() -> &'static [&'static str] {
    &["shop"]
}

/// The files of the template of this name.
pub fn template(name: &str) -> Option<&'static [TemplateFile]> {
    templates().contains(&name).then_some(&[])
}
