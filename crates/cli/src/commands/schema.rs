//! `flowline schema`.

use std::process::ExitCode;

use anyhow::Context;

use crate::args::Schema;
use crate::output::Printer;

/// Prints the JSON Schemas of the project files, or writes them into a folder.
pub fn run(schema: &Schema, printer: &Printer) -> anyhow::Result<ExitCode> {
    let schemas = flowline_project::schemas();
    let Some(folder) = &schema.folder else {
        let all: serde_json::Map<_, _> =
            schemas.into_iter().map(|(name, value)| (name.to_string(), value)).collect();
        anstream::println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(folder).with_context(|| format!("creating `{}`", folder.display()))?;
    for (name, value) in schemas {
        let path = folder.join(name);
        std::fs::write(&path, serde_json::to_vec_pretty(&value)?)
            .with_context(|| format!("writing `{}`", path.display()))?;
        printer.line(path.display());
    }
    Ok(ExitCode::SUCCESS)
}
