//! `flowline registry`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use flowline_process::nearest;
use serde_json::{Value, json};

use super::FOUND_WRONG;
use crate::args::{ProjectArguments, RegistryAction, RegistryArguments};
use crate::connection::{Connection, NodeClient};
use crate::output::{GOOD, Printer};

/// Lists and shows registered schemas, or says whether one could be registered.
pub async fn run(arguments: &RegistryArguments, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &arguments.action {
        RegistryAction::List { project } => {
            let node = node_of(project).await?;
            let all = node.get("/registry/schemas?latestOnly=true").await?;
            printer.json(&all)?;
            for one in all.as_array().into_iter().flatten() {
                let kind = one["schemaType"].as_str().unwrap_or("AVRO");
                let subject = one["subject"].as_str().unwrap_or_default();
                printer.line(format!("{subject} version {} id {} {kind}", one["version"], one["id"]));
            }
        }
        RegistryAction::Show { subject, at, project } => {
            let node = node_of(project).await?;
            let path = format!("/registry/subjects/{}/versions/{}", encoded(subject), encoded(at));
            let found = node.get(&path).await?;
            printer.json(&found)?;
            printer.line(found["schema"].as_str().unwrap_or_default());
        }
        RegistryAction::Check { subject, file, language, project } => {
            return check(&node_of(project).await?, subject, file, language.as_deref(), printer).await;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn node_of(project: &ProjectArguments) -> anyhow::Result<NodeClient> {
    match Connection::open(project).await? {
        Connection::Node(node) => Ok(node),
        Connection::Lake(_) => {
            bail!("no node runs the project, and a node serves the registry: `flowline up`")
        }
    }
}

async fn check(
    node: &NodeClient,
    subject: &str,
    file: &Path,
    language: Option<&str>,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let language = match (language, file.extension().and_then(|end| end.to_str())) {
        (Some(language), _) => language.to_ascii_uppercase(),
        (None, Some("proto")) => "PROTOBUF".to_owned(),
        (None, Some("json")) => "JSON".to_owned(),
        (None, _) => "AVRO".to_owned(),
    };
    let path = format!("/registry/compatibility/subjects/{}/versions?verbose=true", encoded(subject));
    let answer = node.post(&path, &json!({ "schema": text, "schemaType": language })).await?;
    printer.json(&answer)?;
    if answer["is_compatible"] == true {
        let subjects = node.get("/registry/subjects").await?;
        let subjects: Vec<&str> =
            subjects.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !subjects.contains(&subject) {
            // The first schema of a subject breaks nobody; one of a misspelt subject was held against nothing.
            let meant = nearest(subject, subjects).map(|meant| format!("; did you mean {meant}?"));
            let meant = meant.unwrap_or_default();
            printer.aside(format!("nothing is registered under {subject}, so that any schema can be{meant}"));
            return Ok(ExitCode::SUCCESS);
        }
        printer.line(format!("{GOOD}compatible{GOOD:#} with what is registered under {subject}"));
        return Ok(ExitCode::SUCCESS);
    }
    for message in answer["messages"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        printer.line(message);
    }
    Ok(ExitCode::from(FOUND_WRONG))
}

/// A name as a part of a path.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                path.push(char::from(byte))
            }
            byte => path.push_str(&format!("%{byte:02X}")),
        }
        path
    })
}
