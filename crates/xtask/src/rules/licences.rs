//! Every dependency may be used under a licence that we can keep.

use spdx::{Expression, LicenseReq, ParseMode};

use crate::policy::{LICENCE_EXCEPTIONS, LICENCES};
use crate::report::Finding;
use crate::workspace::{Package, Workspace};

const RULE: &str = "licence";

/// Every package has a licence of the list, or is named as the exception; every exception is still needed.
pub fn check(workspace: &Workspace) -> Vec<Finding> {
    let excepted = |package: &Package| LICENCE_EXCEPTIONS.iter().any(|(name, _, _)| *name == package.name);
    let mut findings: Vec<Finding> = workspace
        .packages
        .iter()
        .filter(|package| !excepted(package))
        .filter_map(objection)
        .map(|message| Finding::new(RULE, "Cargo.lock", 0, message))
        .collect();
    for (name, licence, _) in LICENCE_EXCEPTIONS {
        let package = workspace.packages.iter().find(|package| package.name == *name);
        let holds = package.is_none_or(|package| package.license.as_deref() == Some(licence));
        if !holds {
            let message =
                format!("the licence of `{name}` is no longer `{licence}`: look at its exception again");
            findings.push(Finding::new(RULE, "crates/xtask/src/policy.rs", 0, message));
        }
    }
    findings
}

/// Why a package may not be used.
fn objection(package: &Package) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    let Some(licence) = &package.license else {
        return Some(format!("`{name}` names no licence"));
    };
    // `/` is how manifests wrote OR before SPDX.
    match Expression::parse_mode(&licence.replace(" / ", "/"), ParseMode::LAX) {
        Ok(expression) if expression.evaluate(allowed) => None,
        Ok(_) => Some(format!(
            "`{name}` is under `{licence}`, which is not on the list in crates/xtask/src/policy.rs"
        )),
        Err(error) => Some(format!("the licence `{licence}` of `{name}` cannot be read: {}", error.reason)),
    }
}

fn allowed(requirement: &LicenseReq) -> bool {
    LICENCES.contains(&requirement.to_string().as_str())
}
