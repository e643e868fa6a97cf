//! Tables as others read them: Python's `deltalake`, DuckDB and Arrow, when `FLOWLINE_TEST_PYTHON` names an interpreter
//! that has these packages.

use std::process::Command;

use flowline_lake::{CompactOptions, StagedFiles, TableCommit};

use crate::support::{Place, append, moving, orders, spec};

#[tokio::test]
async fn others_read_what_is_written_here() {
    let Ok(python) = std::env::var("FLOWLINE_TEST_PYTHON") else {
        println!("skipped: FLOWLINE_TEST_PYTHON does not name a Python with deltalake, duckdb and pyarrow");
        return;
    };
    let place = Place::new().await;
    let table = orders(&place.lake);
    table.ensure(&spec(&["country"])).await.unwrap();
    for step in 0..23 {
        append(&table, step * 4..step * 4 + 4).await;
        table.settle().await;
    }
    table.commit(moving(StagedFiles::none(), "shop.orders/log/0", None, 92, "run-1")).await.unwrap();
    table.compact(CompactOptions { files_min: 20, ..CompactOptions::default() }).await.unwrap().unwrap();
    let predicate = datafusion::prelude::col("id").eq(datafusion::prelude::lit(5));
    table.delete_where(predicate, TableCommit::append(StagedFiles::none())).await.unwrap();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/readers.py");
    let output = Command::new(python).arg(script).arg(place.path(&table)).output().unwrap();
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{wrong}");
    println!("{said}");
}
