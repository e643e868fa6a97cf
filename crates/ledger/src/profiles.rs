//! Profiles: what the rows of commits look like.

use flowline_model::RecordedProfile;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::ProfileFilter;
use crate::database::Database;
use crate::fault::Fault;
use crate::row::{Fields, json, micros, text};

/// At most so many are read when the filter does not say.
const LIMIT_DEFAULT: u32 = 1_000;

const INSERT: &str = "INSERT INTO profiles (dataset, version, partition_values, profiled_at, document) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (dataset, version, partition_values) DO NOTHING";

/// The least of the newest versions of a dataset; reads as many places of the key as there are profiles of those.
pub(crate) const FROM_VERSION: &str = "SELECT MIN(version) AS version FROM (SELECT DISTINCT version FROM profiles \
     WHERE dataset = $1 ORDER BY version DESC LIMIT $2) AS newest";

/// Those of a dataset between two versions, behind a place.
pub(crate) const OF_VERSIONS: &str = "SELECT * FROM profiles WHERE dataset = $1 AND version >= $2 AND version <= $3 \
     AND (profiled_at < $4 OR (profiled_at = $4 AND (version < $5 OR (version = $5 AND partition_values > $6)))) \
     ORDER BY profiled_at DESC, version DESC, partition_values LIMIT $7";

/// Those of all datasets behind a place.
const OF_ALL: &str = "SELECT * FROM profiles WHERE profiled_at <= $1 \
     AND (profiled_at < $1 OR version < $2 OR (version = $2 AND (dataset, partition_values) > ($3, $4))) \
     ORDER BY profiled_at DESC, version DESC, dataset, partition_values LIMIT $5";

/// Stores profiles.
pub(crate) async fn record(database: &Database, profiles: &[RecordedProfile]) -> Result<(), Fault> {
    let mut transaction = database.begin().await?;
    for recorded in profiles {
        sqlx::query(INSERT)
            .bind(recorded.dataset.to_string())
            .bind(recorded.version)
            .bind(text(&recorded.profile.partition))
            .bind(micros(recorded.profiled_at))
            .bind(text(&json("profile", &recorded.profile)?))
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}

/// Profiles, newest first.
pub(crate) async fn list(database: &Database, filter: &ProfileFilter) -> Result<Vec<RecordedProfile>, Fault> {
    let mut snapshot = database.snapshot().await?;
    let rows = match &filter.dataset {
        Some(dataset) => of_dataset(&mut snapshot, &dataset.to_string(), filter).await?,
        None => of_all(&mut snapshot, filter).await?,
    };
    snapshot.commit().await?;
    rows.iter().map(read).collect()
}

async fn of_dataset(
    connection: &mut AnyConnection,
    dataset: &str,
    filter: &ProfileFilter,
) -> Result<Vec<AnyRow>, Fault> {
    let from = match filter.versions {
        Some(versions) => from_version(connection, dataset, versions).await?,
        None => Some(i64::MIN),
    };
    // There is none.
    let Some(from) = from else { return Ok(Vec::new()) };
    let (least, most) = match filter.version {
        Some(version) => (version.max(from), version),
        None => (from, i64::MAX),
    };
    let (profiled_at, version, _, partition) = behind(filter);
    let rows = sqlx::query(OF_VERSIONS)
        .bind(dataset)
        .bind(least)
        .bind(most)
        .bind(profiled_at)
        .bind(version)
        .bind(partition)
        .bind(limit(filter))
        .fetch_all(&mut *connection)
        .await?;
    Ok(rows)
}

async fn from_version(
    connection: &mut AnyConnection,
    dataset: &str,
    versions: u32,
) -> Result<Option<i64>, Fault> {
    let query = sqlx::query(FROM_VERSION).bind(dataset).bind(i64::from(versions));
    let row = query.fetch_one(&mut *connection).await?;
    Fields::new(&row, "profile").int_or_none("version")
}

async fn of_all(connection: &mut AnyConnection, filter: &ProfileFilter) -> Result<Vec<AnyRow>, Fault> {
    let (profiled_at, version, dataset, partition) = behind(filter);
    let rows = sqlx::query(OF_ALL)
        .bind(profiled_at)
        .bind(version)
        .bind(dataset)
        .bind(partition)
        .bind(limit(filter))
        .fetch_all(&mut *connection)
        .await?;
    Ok(rows)
}

/// The place behind which profiles are read; all are behind the end of time.
fn behind(filter: &ProfileFilter) -> (i64, i64, String, String) {
    match &filter.behind {
        Some(place) => {
            (micros(place.profiled_at), place.version, place.dataset.to_string(), text(&place.partition))
        }
        None => (i64::MAX, i64::MAX, String::new(), String::new()),
    }
}

fn limit(filter: &ProfileFilter) -> i64 {
    i64::from(filter.limit.unwrap_or(LIMIT_DEFAULT))
}

fn read(row: &AnyRow) -> Result<RecordedProfile, Fault> {
    let fields = Fields::new(row, "profile");
    Ok(RecordedProfile {
        dataset: fields.parsed("dataset")?,
        version: fields.int("version")?,
        profiled_at: fields.time("profiled_at")?,
        profile: fields.json("document")?,
    })
}
