//! Log and files → tables, one task a dataset.

use std::sync::Arc;

use flowline_land::{FileLander, LandContext, LogLander};
use flowline_model::Origin;

use crate::tasks::{TaskKind, Tasks};

/// Starts a lander for each landed dataset of the plan.
pub fn start(tasks: &Tasks, plan: &flowline_model::Plan, context: &LandContext) {
    for dataset in plan.datasets.iter().filter(|dataset| dataset.landed()) {
        let (context, subject) = (context.clone(), dataset.name.to_string());
        let dataset = Arc::new(dataset.clone());
        match &dataset.origin {
            Origin::Http(_) => tasks.start(TaskKind::Lander, subject, move |shutdown| {
                let (context, dataset) = (context.clone(), Arc::clone(&dataset));
                async move { Ok(LogLander::open(context, dataset).await?.run(shutdown).await?) }
            }),
            Origin::Files(_) => tasks.start(TaskKind::FileLander, subject, move |shutdown| {
                let (context, dataset) = (context.clone(), Arc::clone(&dataset));
                async move { Ok(FileLander::open(context, dataset).await?.run(shutdown).await?) }
            }),
            Origin::Sql(_) => {}
        }
    }
}
