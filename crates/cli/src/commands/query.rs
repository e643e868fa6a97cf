//! `flowline query`.

use std::io::Read;
use std::process::ExitCode;

use crate::args::Query;
use crate::connection::{Connection, QueryRequest};
use crate::output::{FAINT, Printer};

/// Runs one query and prints its rows; the versions they were read from go to standard error.
pub async fn run(query: &Query, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut sql = query.sql.clone();
    if sql == "-" {
        sql.clear();
        std::io::stdin().read_to_string(&mut sql)?;
    }
    let connection = Connection::open(&query.project).await?;
    let request = QueryRequest {
        sql,
        as_of: query.as_of.clone(),
        rows_max: Some(query.rows_max),
        timeout: Some(query.timeout),
    };
    let answer = connection.query(&request).await?;
    printer.batches(&answer.batches)?;
    if answer.truncated {
        printer.aside(format!(
            "{FAINT}only the first {} rows; ask for more with --rows-max{FAINT:#}",
            query.rows_max
        ));
    }
    for read in &answer.reads {
        printer.aside(format!("{FAINT}{read}{FAINT:#}"));
    }
    Ok(ExitCode::SUCCESS)
}
