//! The flow of a project: which dataset reads which, found from the SQL itself.
//!
//! Owns: resolving names in SQL to datasets, unknown names with the nearest right one, cycles, the order in which
//! datasets build on each other. Does not own: columns and types (`infer`), how a table is kept up (`upkeep`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use flowline_model::{Dataset, DatasetName, Origin, Plan, SqlOrigin};

use crate::engine::no_versions;
use crate::problem::{Fault, SqlProblem};
use crate::sql::{Edition, Reference, nearest, parse_query, references};

/// The name of the catalog in which the domains are schemas.
pub const CATALOG: &str = "flowline";

/// What one dataset reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The datasets that its SQL names, views among them, by name. Empty when it is landed.
    pub named: Vec<DatasetName>,
    /// The datasets with a table that it reads in the end: views are replaced by what they read.
    pub tables: Vec<DatasetName>,
    /// Every name in its SQL stands for a dataset that it may read.
    pub complete: bool,
}

/// The datasets of a plan and what each reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Graph {
    inputs: BTreeMap<DatasetName, Inputs>,
    order: Vec<DatasetName>,
}

impl Graph {
    /// What a dataset reads; nothing for one that is landed or unknown.
    pub fn inputs(&self, dataset: &DatasetName) -> &Inputs {
        static NONE: Inputs = Inputs { named: Vec::new(), tables: Vec::new(), complete: true };
        self.inputs.get(dataset).unwrap_or(&NONE)
    }

    /// All datasets, each behind everything that it reads. Those on a cycle are left out.
    pub fn order(&self) -> &[DatasetName] {
        &self.order
    }

    /// Everything that a dataset is made from, near or far, views among them.
    pub fn upstream(&self, dataset: &DatasetName) -> BTreeSet<DatasetName> {
        self.reach(dataset, |name| self.inputs(name).named.clone())
    }

    /// Everything that is made from a dataset, near or far: who is affected when it stops.
    pub fn downstream(&self, dataset: &DatasetName) -> BTreeSet<DatasetName> {
        self.reach(dataset, |name| {
            self.inputs
                .iter()
                .filter(|(_, inputs)| inputs.named.contains(name))
                .map(|(by, _)| by.clone())
                .collect()
        })
    }

    fn reach(
        &self,
        from: &DatasetName,
        next: impl Fn(&DatasetName) -> Vec<DatasetName>,
    ) -> BTreeSet<DatasetName> {
        let (mut seen, mut waiting) = (BTreeSet::new(), next(from));
        while let Some(name) = waiting.pop() {
            if seen.insert(name.clone()) {
                waiting.extend(next(&name));
            }
        }
        seen
    }
}

/// The graph of a plan.
///
/// # Errors
/// Every problem of every dataset's SQL that can be seen without its columns: text that is not SQL, unknown datasets,
/// names that transforms may not read, cycles.
pub fn graph(plan: &Plan) -> Result<Graph, Vec<SqlProblem>> {
    let (graph, problems) = explore(plan);
    if problems.is_empty() { Ok(graph) } else { Err(problems) }
}

/// The graph as far as it can be found, with all problems: one broken dataset hides no other.
pub(crate) fn explore(plan: &Plan) -> (Graph, Vec<SqlProblem>) {
    let (mut problems, mut broken) = (Vec::new(), BTreeSet::new());
    let mut found: BTreeMap<DatasetName, BTreeMap<DatasetName, Reference>> = BTreeMap::new();
    for dataset in &plan.datasets {
        let Origin::Sql(sql) = &dataset.origin else {
            found.insert(dataset.name.clone(), BTreeMap::new());
            continue;
        };
        let (inputs, faults) = resolve(plan, sql);
        if !faults.is_empty() {
            broken.insert(dataset.name.clone());
        }
        problems.extend(faults.into_iter().map(|fault| fault.of(dataset, sql)));
        found.insert(dataset.name.clone(), inputs);
    }
    problems.extend(cycles(plan, &found));
    let mut graph = assemble(plan, &found);
    for (name, inputs) in &mut graph.inputs {
        inputs.complete = !broken.contains(name);
    }
    problems.sort();
    (graph, problems)
}

/// The datasets that a SQL text names, each with the first place where it does.
fn resolve(plan: &Plan, sql: &SqlOrigin) -> (BTreeMap<DatasetName, Reference>, Vec<Fault>) {
    let (mut inputs, mut faults) = (BTreeMap::new(), Vec::new());
    match parse_query(&sql.text) {
        Err(fault) => faults.push(fault),
        Ok(query) => {
            for reference in references(&query) {
                match dataset_of(plan, &reference) {
                    Ok(name) => drop(inputs.entry(name).or_insert(reference)),
                    Err(fault) => faults.push(fault),
                }
            }
        }
    }
    (inputs, faults)
}

/// The dataset that a name in a dataset's SQL stands for.
fn dataset_of(plan: &Plan, reference: &Reference) -> Result<DatasetName, Fault> {
    let parts: Vec<&str> = reference.parts.iter().map(String::as_str).collect();
    let (domain, name) = match parts.as_slice() {
        [domain, name] => (*domain, *name),
        [catalog, domain, name] if *catalog == CATALOG => (*domain, *name),
        _ => return Err(unknown(plan, reference)),
    };
    if DatasetName::RESERVED_DOMAINS.contains(&domain) {
        return Err(Fault::new(reference.place, format!("`{domain}.{name}` cannot be an input of a dataset")).hint(
            "tables about Flowline itself have no versions to follow; read them in a query or on a page instead",
        ));
    }
    if matches!(reference.edition, Edition::State(_)) {
        return Err(Fault::new(
            reference.place,
            "what a stream holds cannot be an input of a dataset".to_owned(),
        )
        .hint("read its table, or ask for its state in a query"));
    }
    let dataset = DatasetName::new(domain, name).ok();
    let declared = dataset.as_ref().and_then(|name| plan.dataset(name));
    match declared {
        Some(view) if reference.edition != Edition::Table && !view.materialized() => {
            Err(Fault::new(reference.place, no_versions(&view.name)))
        }
        Some(dataset) => Ok(dataset.name.clone()),
        None => Err(unknown(plan, reference)),
    }
}

/// The fault for a name that stands for no dataset, with the name that was probably meant.
pub(crate) fn unknown(plan: &Plan, reference: &Reference) -> Fault {
    let name = reference.name();
    let fault = Fault::new(reference.place, format!("there is no dataset `{name}`"));
    let all: Vec<String> = plan.datasets.iter().map(|dataset| dataset.name.to_string()).collect();
    let of_that_name =
        |dataset: &&Dataset| reference.parts.last().is_some_and(|part| dataset.name.name() == part);
    let namesakes: Vec<String> =
        plan.datasets.iter().filter(of_that_name).map(|dataset| format!("`{}`", dataset.name)).collect();
    if let Some(meant) = nearest(&name, all.iter().map(String::as_str)) {
        return fault.hint(format!("did you mean `{meant}`?"));
    }
    if !namesakes.is_empty() {
        return fault.hint(format!("did you mean {}? names are `domain.name`", namesakes.join(" or ")));
    }
    if let [only] = reference.parts.as_slice()
        && let Some(meant) = nearest(only, plan.datasets.iter().map(|dataset| dataset.name.name()))
    {
        let full =
            plan.datasets.iter().find(|dataset| dataset.name.name() == meant).map(|dataset| &dataset.name);
        return fault.hint(format!("did you mean `{}`?", full.map_or_else(String::new, ToString::to_string)));
    }
    if reference.parts.len() == 1 {
        return fault.hint("names of datasets have two parts, `domain.name`");
    }
    fault.hint(format!("declare it in datasets/{}.yaml", reference.parts.join("/")))
}

/// One problem for each cycle, at the reference that begins its shortest way round.
fn cycles(plan: &Plan, found: &BTreeMap<DatasetName, BTreeMap<DatasetName, Reference>>) -> Vec<SqlProblem> {
    let (mut problems, mut told) = (Vec::new(), BTreeSet::new());
    for dataset in &plan.datasets {
        let Origin::Sql(sql) = &dataset.origin else { continue };
        if told.contains(&dataset.name) {
            continue;
        }
        let Some(path) = way_round(&dataset.name, found) else { continue };
        told.extend(path.iter().cloned());
        let next = path.get(1).unwrap_or(&dataset.name);
        let place =
            found[&dataset.name].get(next).map_or(crate::problem::Place::START, |reference| reference.place);
        let fault = if path.len() == 2 {
            Fault::new(place, format!("`{}` reads itself", dataset.name))
        } else {
            let path: Vec<String> = path.iter().map(ToString::to_string).collect();
            Fault::new(place, format!("datasets read each other in a circle: {}", path.join(" → ")))
        };
        let fault = fault.hint("a dataset is made from others; break the circle at one of them");
        problems.push(fault.of(dataset, sql));
    }
    problems
}

/// The shortest path from a dataset over what it reads back to itself, both ends included.
fn way_round(
    from: &DatasetName,
    found: &BTreeMap<DatasetName, BTreeMap<DatasetName, Reference>>,
) -> Option<Vec<DatasetName>> {
    let mut came_from: BTreeMap<&DatasetName, &DatasetName> = BTreeMap::new();
    let mut waiting = VecDeque::from([from]);
    while let Some(at) = waiting.pop_front() {
        for next in found.get(at).into_iter().flat_map(BTreeMap::keys) {
            if next == from {
                let (mut path, mut step) = (vec![from.clone()], at);
                while step != from {
                    path.push(step.clone());
                    step = came_from[step];
                }
                path.push(from.clone());
                path.reverse();
                return Some(path);
            }
            if !came_from.contains_key(next) {
                came_from.insert(next, at);
                waiting.push_back(next);
            }
        }
    }
    None
}

fn assemble(plan: &Plan, found: &BTreeMap<DatasetName, BTreeMap<DatasetName, Reference>>) -> Graph {
    let mut order: Vec<DatasetName> = Vec::new();
    let mut inputs: BTreeMap<DatasetName, Inputs> = BTreeMap::new();
    loop {
        let ready: Vec<&DatasetName> = found
            .iter()
            .filter(|(name, reads)| {
                !inputs.contains_key(name) && reads.keys().all(|read| inputs.contains_key(read))
            })
            .map(|(name, _)| name)
            .collect();
        if ready.is_empty() {
            break;
        }
        for name in ready {
            let named: Vec<DatasetName> = found[name].keys().cloned().collect();
            let tables = tables_of(plan, &named, &inputs);
            inputs.insert(name.clone(), Inputs { named, tables, complete: true });
            order.push(name.clone());
        }
    }
    for (name, reads) in found {
        let named = reads.keys().cloned().collect();
        inputs.entry(name.clone()).or_insert(Inputs { named, tables: Vec::new(), complete: true });
    }
    Graph { inputs, order }
}

fn tables_of(plan: &Plan, named: &[DatasetName], known: &BTreeMap<DatasetName, Inputs>) -> Vec<DatasetName> {
    let mut tables = BTreeSet::new();
    for name in named {
        match plan.dataset(name) {
            Some(dataset) if dataset.materialized() => drop(tables.insert(name.clone())),
            _ => tables.extend(known.get(name).into_iter().flat_map(|inputs| inputs.tables.iter().cloned())),
        }
    }
    tables.into_iter().collect()
}
