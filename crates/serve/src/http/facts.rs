//! Where the flow stands, read from the system tables through SQL and from nowhere else.

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use chrono::{DateTime, Utc};
use flowline_base::chain;
use flowline_model::{Dataset, DatasetName, FindingKind};
use flowline_process::{ProcessError, QueryOptions};
use flowline_view::{ColumnRow, CountRow, DatasetRow, HopRow, QuarantineRow, SystemRow};
use futures::TryStreamExt;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::names::quarantined_dataset;
use super::problem::Problem;
use super::query::query_problem;
use super::{Api, openapi};
use crate::ServeContext;

/// Rows of a system table that are read at once; far more than a project has of anything that is shown whole.
const FACT_ROWS_MAX: u64 = 100_000;

/// The flow map.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusAnswer {
    /// The project.
    project: String,
    /// The environment it runs in.
    environment: String,
    /// What is deployed.
    version: String,
    /// When this was read.
    generated_at: DateTime<Utc>,
    /// Every hop as it stands.
    #[schema(value_type = Vec<openapi::Hop>)]
    hops: Vec<HopRow>,
}

/// The ledger: where every record went.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LedgerAnswer {
    /// Every hop that can be held against the equation balances, and no log position was passed unread.
    balanced: bool,
    /// `read = written + quarantined + duplicate + late + filtered`, for each hop.
    #[schema(value_type = Vec<openapi::Count>)]
    counts: Vec<CountRow>,
}

/// What is deployed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetsAnswer {
    /// The datasets.
    #[schema(value_type = Vec<openapi::Dataset>)]
    datasets: Vec<DatasetRow>,
    /// Their columns.
    #[schema(value_type = Vec<openapi::Column>)]
    columns: Vec<ColumnRow>,
}

/// What a dataset's quarantine holds.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QuarantineAnswer {
    /// The dataset.
    dataset: String,
    /// By reason.
    #[schema(value_type = Vec<openapi::Quarantined>)]
    reasons: Vec<QuarantineRow>,
    /// The newest records, with the columns of the quarantine table.
    #[schema(value_type = Vec<Object>)]
    records: Vec<Map<String, Value>>,
}

/// Which datasets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LedgerParameters {
    /// Only of this dataset, `domain.name`.
    #[param(pattern = "^[a-z][a-z0-9_]{0,62}\\.[a-z][a-z0-9_]{0,62}$", example = "shop.orders")]
    dataset: Option<String>,
}

/// Which quarantined records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QuarantineParameters {
    /// At most so many.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Only those rejected for this reason.
    #[param(inline)]
    reason: Option<Reason>,
}

/// Why a record was rejected, in the words of the quarantine's `_reason`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reason(FindingKind);

impl Reason {
    /// The word in the quarantine table.
    pub fn as_str(self) -> &'static str {
        self.0.as_str()
    }
}

impl<'de> Deserialize<'de> for Reason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        FindingKind::reason(&word).map(Self).map_err(D::Error::custom)
    }
}

impl PartialSchema for Reason {
    fn schema() -> RefOr<Schema> {
        let words = FindingKind::REASONS.map(FindingKind::as_str);
        let schema = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
        schema.description(Some("Why a record was rejected.")).into()
    }
}

impl ToSchema for Reason {}

/// The flow map: every hop with its state, freshness, lag and counts.
#[utoipa::path(get, path = "/v1/status", tag = "flow", operation_id = "status", responses(
    (status = 200, description = "Every hop as it stands.", body = StatusAnswer),
    (status = 503, response = openapi::Unavailable),
))]
pub(crate) async fn status(State(api): State<Api>) -> Result<Json<StatusAnswer>, Problem> {
    let hops = read(&api.context, "order by dataset").await?;
    let plan = &api.context.plan;
    Ok(Json(StatusAnswer {
        project: plan.project.clone(),
        environment: plan.environment.name.clone(),
        version: plan.version.clone(),
        generated_at: api.context.clock.now(),
        hops,
    }))
}

/// The ledger: read = written + quarantined + duplicate + late + filtered, for each hop.
#[utoipa::path(get, path = "/v1/ledger", tag = "flow", operation_id = "ledger", params(LedgerParameters), responses(
    (status = 200, description = "The counts, and whether they balance.", body = LedgerAnswer),
    (status = 404, response = openapi::NotFound),
    (status = 503, response = openapi::Unavailable),
))]
pub(crate) async fn ledger(
    State(api): State<Api>,
    parameters: Result<Query<LedgerParameters>, QueryRejection>,
) -> Result<Json<LedgerAnswer>, Problem> {
    let Query(LedgerParameters { dataset }) =
        parameters.map_err(|error| Problem::bad_request(error.body_text()))?;
    let filter = match dataset.map(|name| name.parse::<DatasetName>()).transpose() {
        Ok(None) => String::new(),
        // A name holds letters, digits and `_` only, so that it can stand between quotes as it is.
        Ok(Some(name)) if api.context.plan.dataset(&name).is_some() => format!("where dataset = '{name}'"),
        Ok(Some(name)) => return Err(super::names::unknown_dataset(&api.context.plan, &name.to_string())),
        Err(error) => return Err(Problem::bad_request(error.to_string())),
    };
    let counts: Vec<CountRow> = read(&api.context, &format!("{filter} order by dataset")).await?;
    let balanced = counts.iter().all(|row| row.balance != "unbalanced" && row.gap.unwrap_or(0) == 0);
    Ok(Json(LedgerAnswer { balanced, counts }))
}

/// The datasets that are deployed, with their contracts.
#[utoipa::path(get, path = "/v1/datasets", tag = "flow", operation_id = "datasets", responses(
    (status = 200, description = "The datasets and their columns.", body = DatasetsAnswer),
    (status = 503, response = openapi::Unavailable),
))]
pub(crate) async fn datasets(State(api): State<Api>) -> Result<Json<DatasetsAnswer>, Problem> {
    let datasets = read(&api.context, "order by dataset").await?;
    let columns = read(&api.context, "order by dataset, ordinal").await?;
    Ok(Json(DatasetsAnswer { datasets, columns }))
}

/// What lies in the quarantine of a dataset: by reason, and the newest records with the reason for each.
#[utoipa::path(
    get, path = "/v1/quarantine/{dataset}", tag = "flow", operation_id = "quarantine",
    params(("dataset" = String, Path, description = "A dataset that has a quarantine, `domain.name`."), QuarantineParameters),
    responses(
        (status = 200, description = "What was rejected, and why.", body = QuarantineAnswer),
        (status = 404, response = openapi::NotFound),
        (status = 503, response = openapi::Unavailable),
    )
)]
pub(crate) async fn quarantine(
    State(api): State<Api>,
    name: Result<Path<String>, PathRejection>,
    parameters: Result<Query<QuarantineParameters>, QueryRejection>,
) -> Result<Json<QuarantineAnswer>, Problem> {
    let Query(parameters) = parameters.map_err(|error| Problem::bad_request(error.body_text()))?;
    let limit = parameters.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::bad_request("`limit` is from 1 to 1000"));
    }
    let dataset = quarantined_dataset(&api.context.plan, name)?;
    let filter = format!("where dataset = '{}' order by reason", dataset.name);
    let reasons = read(&api.context, &filter).await?;
    let records = quarantined_records(&api.context, dataset, parameters.reason, limit).await?;
    Ok(Json(QuarantineAnswer { dataset: dataset.name.to_string(), reasons, records }))
}

/// The newest records of a dataset's quarantine. The table is in the schema `quarantine` under the dataset's name.
async fn quarantined_records(
    context: &ServeContext,
    dataset: &Dataset,
    reason: Option<Reason>,
    limit: usize,
) -> Result<Vec<Map<String, Value>>, Problem> {
    let filter = reason.map_or(String::new(), |reason| format!("where _reason = '{}'", reason.as_str()));
    let newest_first = "order by _ingested_at desc, _partition desc, _offset desc";
    let sql = format!("select * from quarantine.\"{}\" {filter} {newest_first} limit {limit}", dataset.name);
    select(context, &sql).await
}

/// Rows of a system table, `select * from system.<table> <rest>`.
pub(crate) async fn read<R: SystemRow + DeserializeOwned>(
    context: &ServeContext,
    rest: &str,
) -> Result<Vec<R>, Problem> {
    select(context, &format!("select * from system.{} {rest}", R::TABLE)).await
}

async fn select<R: DeserializeOwned>(context: &ServeContext, sql: &str) -> Result<Vec<R>, Problem> {
    let options = QueryOptions {
        rows_max: Some(FACT_ROWS_MAX),
        timeout: Some(context.limits.query_timeout_default),
        ..QueryOptions::default()
    };
    let answer = context.engine.query(sql, &options).await.map_err(|error| query_problem(&error))?;
    let batches: Vec<_> =
        answer.stream.try_collect().await.map_err(|error| query_problem(&ProcessError::from(error)))?;
    flowline_view::rows(&batches).map_err(|error| Problem::internal(chain(&error)))
}
