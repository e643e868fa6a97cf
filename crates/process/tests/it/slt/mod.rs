//! What SQL answers, as text files: statements, and behind each what it answers or what is said of it.
//!
//! A block is `query` or `error` on a line, the statement, `----`, and the rows (or the error with its place and
//! hint), up to an empty line. `UPDATE_EXPECT=1` writes the answers that are given into the files.

use std::fmt::Write;
use std::path::Path;

use flowline_base::Classify;
use flowline_model::Materialization::{Full, View};
use flowline_process::ProcessError;

use crate::support::world::{World, lines};
use crate::support::{Declare, landed, sql};

async fn world() -> World {
    let world = World::new([
        landed(
            "shop.sales",
            "id string!, customer string, amount decimal(12,2), day date!, ts timestamp!, tags list<string>",
        ),
        landed("shop.customers", "customer string!, name string, Tier string"),
        landed("shop.returns", "id string!, reason string"),
        sql("mart.big", View, "select * from shop.sales where amount >= 10"),
        sql(
            "mart.names",
            View,
            "select b.id, c.name from mart.big b left join shop.customers c on b.customer = c.customer",
        ),
        sql(
            "mart.daily",
            Full,
            "select day, count(*) as n, sum(amount) as total from shop.sales group by day",
        )
        .with_columns("day date!, n int64!, total decimal(22,2)"),
    ])
    .await;
    world
        .land(
            "shop.sales",
            "('a', 'x', 5.00, '2025-01-01', '2025-01-01T10:00:00Z', ['new', 'red']), ('b', 'y', 20.50, '2025-01-01', '2025-01-01T11:30:00Z', []), ('c', 'x', 10, '2025-01-02', '2025-01-02T09:00:00Z', null), ('d', null, null, '2025-01-03', '2025-01-03T23:59:59Z', null)",
        )
        .await;
    world.land("shop.customers", "('x', 'Xenia', 'gold'), ('y', 'Yuri', null)").await;
    world
}

async fn answer(world: &World, kind: &str, statement: &str) -> String {
    match (kind, world.query(statement).await) {
        (_, Ok(batches)) => lines(&batches),
        (_, Err(error)) => told(&error),
    }
}

/// The error as its reader sees it: kind, place, message, hint.
fn told(error: &ProcessError) -> String {
    let mut text = format!("{}: ", error.kind().as_str());
    if let Some((line, column)) = error.position() {
        write!(text, "{line}:{column} ").unwrap();
    }
    text.push_str(&flowline_base::chain(error));
    if let Some(hint) = error.hint() {
        write!(text, " ({hint})").unwrap();
    }
    text
}

async fn run(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/slt").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    let world = world().await;
    let (mut given, mut wrong) = (String::new(), Vec::new());
    for block in text.trim_end().split("\n\n") {
        let Some((kind, rest)) =
            block.split_once('\n').filter(|(kind, _)| matches!(*kind, "query" | "error"))
        else {
            given.push_str(&format!("{block}\n\n"));
            continue;
        };
        let (statement, expected) = rest.split_once("\n----").unwrap_or((rest, ""));
        let answer = answer(&world, kind, statement).await;
        if answer != expected.trim_start_matches('\n') {
            wrong.push(format!("{statement}\nexpected:{expected}\nanswered:\n{answer}\n"));
        }
        given.push_str(&format!("{kind}\n{statement}\n----\n{answer}\n\n"));
    }
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, format!("{}\n", given.trim_end())).unwrap();
    } else {
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
    }
}

#[tokio::test]
async fn select() {
    run("select.slt").await;
}

#[tokio::test]
async fn errors() {
    run("errors.slt").await;
}

#[tokio::test]
async fn read_only() {
    run("read_only.slt").await;
}

#[tokio::test]
async fn catalog() {
    run("catalog.slt").await;
}
