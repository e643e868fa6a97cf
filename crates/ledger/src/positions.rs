//! Positions: how far each hop has read each input.

use std::collections::HashSet;

use flowline_model::{DatasetName, Position, Run};
use sqlx::AnyConnection;

use crate::LandedFile;
use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, micros, text};

/// Sums, the least and the greatest: the order in which runs are recorded does not matter.
const ADVANCE: &str = "INSERT INTO positions (hop, input, first_position, next_position, covered, moved_at) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hop, input) DO UPDATE SET \
     first_position = CASE WHEN excluded.first_position < positions.first_position \
         THEN excluded.first_position ELSE positions.first_position END, \
     next_position = CASE WHEN excluded.next_position > positions.next_position \
         THEN excluded.next_position ELSE positions.next_position END, \
     covered = positions.covered + excluded.covered, \
     moved_at = CASE WHEN excluded.moved_at > positions.moved_at \
         THEN excluded.moved_at ELSE positions.moved_at END";

/// Moves the positions of a run's inputs. Files have none: the list of landed files says which are done.
pub(crate) async fn advance(
    connection: &mut AnyConnection,
    run: &Run,
    landed: &[LandedFile],
) -> Result<(), Fault> {
    let moved_at = run.finished_at.unwrap_or(run.started_at);
    let files: HashSet<&str> = landed.iter().map(|file| file.path.as_str()).collect();
    for input in run.inputs.iter().filter(|input| !files.contains(input.input.as_str())) {
        sqlx::query(ADVANCE)
            .bind(run.hop.to_string())
            .bind(text(&input.input))
            .bind(input.from)
            .bind(input.to)
            .bind(input.to.saturating_sub(input.from))
            .bind(micros(moved_at))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Positions of a hop, or all.
pub(crate) async fn list(database: &Database, hop: Option<&DatasetName>) -> Result<Vec<Position>, Fault> {
    let query = match hop {
        Some(hop) => {
            sqlx::query("SELECT * FROM positions WHERE hop = $1 ORDER BY hop, input").bind(hop.to_string())
        }
        None => sqlx::query("SELECT * FROM positions ORDER BY hop, input"),
    };
    let rows = query.fetch_all(&database.readers).await?;
    rows.iter()
        .map(|row| {
            let fields = Fields::new(row, "position");
            Ok(Position {
                hop: fields.parsed("hop")?,
                input: fields.text("input")?,
                first: fields.int("first_position")?,
                next: fields.int("next_position")?,
                covered: fields.int("covered")?,
                moved_at: fields.time("moved_at")?,
            })
        })
        .collect()
}
