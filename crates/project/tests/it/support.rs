//! Projects written into a folder that goes away.

use std::fs;
use std::path::Path;

use expect_test::Expect;
use flowline_model::Dataset;
use flowline_project::{Loaded, Reading, load, read, render};
use tempfile::TempDir;

/// The shortest project that holds.
pub const PROJECT: &str = "name: shop\nteams: { team-shop: { contact: shop@example.org } }\n";

/// The shortest dataset that holds.
pub const ORDERS: &str = "\
owner: team-shop
zone: clean
from: { source: http }
columns:
  - { name: order_id, type: string, required: true }
  - { name: amount, type: \"decimal(12,2)\" }
  - { name: ts, type: timestamp }
";

/// A project with these files.
pub fn project(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(dir.path(), path, text.as_bytes());
    }
    dir
}

/// Writes one file of a project.
pub fn write(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// What is wrong with a project of these files, as it is printed.
pub fn check(files: &[(&str, &str)], expected: Expect) {
    let dir = project(files);
    let Reading { diagnostics, .. } = read(dir.path(), None);
    let text =
        render(&diagnostics, false).replace(dir.path().canonicalize().unwrap().to_str().unwrap(), "<dir>");
    expected.assert_eq(&text);
}

/// What is wrong with a dataset, in a project that holds otherwise.
pub fn check_dataset(text: &str, expected: Expect) {
    check(&[("flowline.yaml", PROJECT), ("datasets/shop/orders.yaml", text)], expected);
}

/// The dataset that this text declares.
pub fn dataset(text: &str) -> Dataset {
    let dir = project(&[("flowline.yaml", PROJECT), ("datasets/shop/orders.yaml", text)]);
    let Loaded { mut plan, .. } = load(dir.path(), None).map_err(|all| render(&all, false)).unwrap();
    plan.datasets.remove(0)
}
