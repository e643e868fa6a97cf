//! `flowline init`.

use std::process::ExitCode;

use anyhow::{Context, bail};

use crate::args::Init;
use crate::output::{FAINT, GOOD, Printer};

/// Writes the template's files into an empty or new folder.
pub fn run(init: &Init, printer: &Printer) -> anyhow::Result<ExitCode> {
    let files = write(&init.template, &init.folder)?;
    let folder = init.folder.display();
    printer.json(&serde_json::json!({ "folder": init.folder, "template": init.template, "files": files }))?;
    printer.line(format!(
        "{GOOD}created{GOOD:#} {folder} from the template `{}`, {} files",
        init.template,
        files.len()
    ));
    printer.line(format!("{FAINT}next:{FAINT:#} flowline check {folder} && flowline up --project {folder}"));
    Ok(ExitCode::SUCCESS)
}

/// Writes the files of a template and returns their paths.
pub fn write(template: &str, folder: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let Some(files) = flowline_project::template(template) else {
        bail!("there is no template `{template}`; there is: {}", flowline_project::TEMPLATES.join(", "));
    };
    let occupied = folder.is_dir() && folder.read_dir()?.next().is_some();
    if occupied || folder.is_file() {
        bail!("`{}` is there already and not empty; name another folder", folder.display());
    }
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(file.path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("creating `{}`", parent.display()))?;
        }
        std::fs::write(&path, file.contents).with_context(|| format!("writing `{}`", path.display()))?;
        written.push(file.path.to_owned());
    }
    Ok(written)
}
