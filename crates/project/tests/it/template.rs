//! The built-in projects hold.

use std::collections::BTreeSet;
use std::path::Path;

use flowline_model::{ColumnType, Materialization, Origin, Plan};
use flowline_project::{TEMPLATES, load, render, template};
use walkdir::WalkDir;

use crate::support::write;

fn loaded(name: &str) -> Plan {
    let dir = tempfile::tempdir().unwrap();
    for file in template(name).unwrap() {
        write(dir.path(), file.path, file.contents.as_bytes());
    }
    let loaded = load(dir.path(), None).map_err(|all| render(&all, false)).unwrap();
    assert_eq!(render(&loaded.warnings, false), "");
    loaded.plan
}

#[test]
fn every_template_holds_without_a_warning() {
    for name in TEMPLATES {
        loaded(name);
    }
    assert_eq!(template("nothing"), None);
}

#[test]
fn every_file_of_a_template_is_built_in() {
    for name in TEMPLATES {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates").join(name);
        let entries =
            WalkDir::new(&root).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
        let there: BTreeSet<String> = entries
            .map(|entry| entry.path().strip_prefix(&root).unwrap().to_str().unwrap().to_owned())
            .collect();
        let built_in: BTreeSet<String> =
            template(name).unwrap().iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(there, built_in);
    }
}

#[test]
fn the_shop_has_what_its_demo_sends() {
    let plan = loaded("shop");
    assert_eq!((plan.project.as_str(), plan.environment.name.as_str()), ("shop", "dev"));
    let orders = plan.dataset(&"shop.orders".parse().unwrap()).unwrap();
    let columns: Vec<String> =
        orders.columns.iter().map(|column| format!("{} {}", column.name, column.data_type)).collect();
    assert_eq!(
        columns.join(", "),
        "order_id string, customer_id string, product_id string, quantity int32, amount decimal(12,2), currency string, \
         country string, email string, ts timestamp"
    );
    assert_eq!(orders.column("amount").unwrap().data_type, ColumnType::Decimal { precision: 12, scale: 2 });
    assert_eq!(orders.key, ["order_id"]);
    let top = plan.dataset(&"shop.top_products".parse().unwrap()).unwrap();
    let Origin::Sql(sql) = &top.origin else { panic!("{top:?}") };
    assert_eq!((sql.materialization, sql.line, sql.indent), (Materialization::View, 7, 2));
    let customers = plan.dataset(&"shop.customers".parse().unwrap()).unwrap();
    let Origin::Files(files) = &customers.origin else { panic!("{customers:?}") };
    assert!(
        files.location.starts_with("file:///") && files.location.ends_with("/inbox/customers"),
        "{}",
        files.location
    );
}

/// The sample of page views has the columns of the contract and nothing else.
#[test]
fn the_samples_fit_their_contracts() {
    let plan = loaded("shop");
    let text = |path: &str| template("shop").unwrap().iter().find(|file| file.path == path).unwrap().contents;
    let views = plan.dataset(&"shop.page_views".parse().unwrap()).unwrap();
    let names: BTreeSet<&str> = views.columns.iter().map(|column| column.name.as_str()).collect();
    for line in text("events.ndjson").lines() {
        let record: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        assert_eq!(record.keys().map(String::as_str).collect::<BTreeSet<_>>(), names);
    }
    for (name, path) in [
        ("shop.customers", "inbox/customers/2026/customers-01.csv"),
        ("shop.products", "inbox/products/products.csv"),
    ] {
        let columns = &plan.dataset(&name.parse().unwrap()).unwrap().columns;
        let header: Vec<&str> = text(path).lines().next().unwrap().split(',').collect();
        assert_eq!(header, columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>());
    }
}
