//! `flowline contract export` and `flowline contract import`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use flowline_contract::odcs::{self, ExportOptions, Exported, Imported};
use flowline_model::{Contract, Dataset, DatasetName, HttpOrigin, LandingSettings, Origin, Validation, Zone};
use serde_json::json;

use super::versions;
use crate::args::{ContractFormat, ProjectArguments};
use crate::commands::{FOUND_WRONG, check};
use crate::connection::Connection;
use crate::output::{FAINT, GOOD, Printer, WARN, harmless};

/// Prints the contract of a dataset as the project declares it.
pub async fn export(
    dataset: &str,
    format: ContractFormat,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    let ContractFormat::Odcs = format;
    let name: DatasetName = dataset.parse()?;
    let Some(plan) = check::load(&project.project, project.environment.as_deref(), printer).await? else {
        return Ok(ExitCode::from(FOUND_WRONG));
    };
    let Some(dataset) = plan.dataset(&name) else { bail!("there is no dataset `{name}` in this project") };
    let columns = flowline_process::columns_of(&plan).await.remove(&name).unwrap_or_default();
    let connection = Connection::open(project).await?;
    let deployed = versions(&connection, Some(&name.to_string())).await?;
    let team = plan.teams.iter().find(|team| team.name == dataset.owner);
    let lake = plan.environment.lake.trim_end_matches('/');
    let table = format!("{lake}/{}/{}/{}", dataset.zone.as_str(), name.domain(), name.name());
    let options = ExportOptions {
        project: plan.project.clone(),
        version: deployed.first().map_or(0, |version| version.version),
        location: dataset.materialized().then_some(table),
        environment: Some(plan.environment.name.clone()),
        contact: team.map(|team| team.contact.clone()),
    };
    let contract = Contract::of(dataset, &columns);
    let document = odcs::export(Exported { dataset, contract: &contract }, &options);
    printer.json(&document)?;
    printer.line(flowline_project::to_yaml(&document).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Writes the datasets of a document into the project.
pub fn import(
    file: &Path,
    print: bool,
    project: &ProjectArguments,
    printer: &Printer,
) -> anyhow::Result<ExitCode> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading `{}`", file.display()))?;
    let document = flowline_project::from_yaml(&text)
        .map_err(|problem| anyhow::anyhow!("`{}` is not YAML: {problem}", file.display()))?;
    let imported = odcs::import(&document)?;
    let (mut written, mut datasets) = (Vec::new(), Vec::new());
    for mut imported in imported {
        let absent = |path: &String| !project.project.join(path).is_file();
        if let Some(path) = imported.runbook.take_if(|path| absent(path)) {
            let why = format!("/customProperties: the runbook `{path}` is not in this project");
            imported.lost.push(why);
        }
        let lost = imported.lost.clone();
        let dataset = dataset(imported);
        let path = format!("datasets/{}/{}.yaml", dataset.name.domain(), dataset.name.name());
        let text = flowline_project::dataset_yaml(&dataset);
        if print {
            printer.line(format!("{FAINT}# {path}{FAINT:#}\n{text}"));
        } else {
            write(&project.project, &path, &text)?;
            printer.line(format!("{GOOD}written{GOOD:#} {path}"));
        }
        for lost in &lost {
            printer.remark(format!("{WARN}not carried over{WARN:#} {}", harmless(lost)));
        }
        let name = dataset.name.to_string();
        written.push(
            json!({ "dataset": name, "file": path, "owner": dataset.owner, "yaml": text, "lost": lost }),
        );
        datasets.push((path, dataset));
    }
    printer.json(&written)?;
    for step in next_steps(&datasets, print, project) {
        printer.remark(format!("{FAINT}next:{FAINT:#} {step}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is left to do with imported datasets, in the order in which to do it.
fn next_steps(datasets: &[(String, Dataset)], print: bool, project: &ProjectArguments) -> Vec<String> {
    let reading = flowline_project::read(&project.project, project.environment.as_deref());
    let mut steps = Vec::new();
    let mut unknown: Vec<&str> = datasets.iter().map(|(_, dataset)| dataset.owner.as_str()).collect();
    unknown.retain(|owner| !reading.plan.teams.iter().any(|team| team.name == *owner));
    unknown.sort_unstable();
    unknown.dedup();
    if let [first, ..] = unknown.as_slice() {
        let named: Vec<String> = unknown.iter().map(|team| format!("`{}`", harmless(team))).collect();
        let (named, first) = (named.join(", "), harmless(first));
        steps.push(format!(
            "declare {named} in flowline.yaml: `teams: {{ {first}: {{ contact: {first}@example.org }} }}`, or name another `owner`"
        ));
    }
    for (path, dataset) in datasets {
        let name = &dataset.name;
        steps.push(format!(
            "{name} takes records over HTTP (`POST /v1/sources/{name}/records`); where they come from files, Kafka or SQL, say so under `from:` in {path}"
        ));
    }
    let folder = project.project.display();
    steps.push(match print {
        true => "nothing was written; the same without `--print` writes these files".to_owned(),
        false => format!("flowline check {folder}"),
    });
    steps
}

/// What a document leaves open is what a new dataset begins with.
fn dataset(imported: Imported) -> Dataset {
    let Contract { columns, key, compatibility, slo, checks } = imported.contract;
    Dataset {
        name: imported.name,
        description: imported.description,
        owner: imported.owner,
        zone: imported.zone.unwrap_or(Zone::Clean),
        origin: Origin::Http(HttpOrigin {
            partitions: 1,
            partition_key: Vec::new(),
            validation: Validation::AtLanding,
        }),
        columns,
        key,
        dedupe_horizon: std::time::Duration::from_secs(24 * 3_600),
        event_time: imported.event_time,
        partition_by: imported.partition_by,
        compatibility,
        checks,
        slo,
        runbook: imported.runbook,
        on_drift: imported.on_drift,
        landing: LandingSettings::default(),
        declared_in: String::new(),
    }
}

/// Writes a file that is not there yet.
fn write(project: &Path, path: &str, text: &str) -> anyhow::Result<()> {
    let target = project.join(path);
    if target.exists() {
        bail!("`{path}` is there already: move it away, or look at the import with `--print`");
    }
    let folder = target.parent().context("a dataset lies in a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("creating `{}`", folder.display()))?;
    std::fs::write(&target, text).with_context(|| format!("writing `{}`", target.display()))
}
