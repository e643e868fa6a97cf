//! Projects to start from, built into the binary.
//!
//! Owns: the files below `templates/` and the names under which they are written. Does not own: writing them (the
//! command line does).

/// One file of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateFile {
    /// Where it goes, relative to the project, with `/`.
    pub path: &'static str,
    /// What stands in it.
    pub contents: &'static str,
}

/// The names of the templates.
pub const TEMPLATES: &[&str] = &["shop"];

/// The files of the template of this name.
pub fn template(name: &str) -> Option<&'static [TemplateFile]> {
    match name {
        "shop" => Some(SHOP),
        _ => None,
    }
}

macro_rules! files {
    ($folder:literal: $($path:literal),+ $(,)?) => {
        &[$(TemplateFile { path: $path, contents: include_str!(concat!("../templates/", $folder, "/", $path)) },)+]
    };
}

/// An online shop: three sources over HTTP, two from files, five queries.
const SHOP: &[TemplateFile] = files! { "shop":
    "flowline.yaml",
    "README.md",
    ".gitignore",
    "events.ndjson",
    "datasets/shop/conversion.sql",
    "datasets/shop/conversion.yaml",
    "datasets/shop/customers.yaml",
    "datasets/shop/orders.yaml",
    "datasets/shop/orders_enriched.sql",
    "datasets/shop/orders_enriched.yaml",
    "datasets/shop/page_views.yaml",
    "datasets/shop/payments.yaml",
    "datasets/shop/products.yaml",
    "datasets/shop/revenue_by_day.sql",
    "datasets/shop/revenue_by_day.yaml",
    "datasets/shop/top_products.yaml",
    "datasets/shop/unpaid_orders.yaml",
    "inbox/customers/2026/customers-01.csv",
    "inbox/products/products.csv",
    "runbooks/files.md",
    "runbooks/orders.md",
    "runbooks/page_views.md",
    "runbooks/payments.md",
    "runbooks/revenue.md",
    "tests/orders.yaml",
};
