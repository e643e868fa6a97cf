//! The OpenAPI description: paths from their handlers, rows from the columns of the system tables, and the problems
//! that every path may answer.

use std::borrow::Cow;

use arrow::datatypes::DataType;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use flowline_model::{Dataset as Declared, Origin, Plan};
use flowline_view::SystemRow;
use serde_json::json;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat, SchemaType, Type,
};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, ContentBuilder, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder, SecurityRequirement,
};
use utoipa::{Modify, OpenApi, PartialSchema, ToResponse, ToSchema};

use super::{Api, discard, facts, health, ingest, problem, query, replay, streams};

/// What went wrong (RFC 9457), and what to do next. Further members depend on the type.
#[derive(ToSchema)]
#[schema(example = json!({
    "type": "urn:flowline:problem:not-found", "title": "Not found", "status": 404, "detail": "there is nothing at `/x`"
}))]
#[allow(dead_code, reason = "describes what `Problem` writes")]
pub(crate) struct ProblemDocument {
    /// `urn:flowline:problem:<code>`; the code is stable.
    r#type: String,
    /// The code in words.
    title: String,
    /// The status, as in the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened, for people.
    detail: String,
    /// What would mend it.
    hint: Option<String>,
}

/// The whole description, before a project's names are put in.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Flowline",
        description = "Records in, tables out, and where the flow stands.\n\nErrors are problem documents (RFC 9457). \
                       Every answer carries a `traceparent`; one that is sent is taken over.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        ingest::append, query::query, facts::status, facts::ledger, facts::datasets, facts::quarantine, replay::replay, discard::discard, streams::replay,
        health::healthz, health::readyz, health::metrics, describe,
    ),
    components(
        schemas(ProblemDocument),
        responses(
            BadRequest, Unauthorized, Forbidden, NotFound, NotAcceptable, TimedOut, TooLarge, UnsupportedMediaType,
            InvalidRecords, TooMany, HeadersTooLarge, Internal, Unavailable, StorageFull,
        ),
    ),
    modifiers(&Common),
    tags(
        (name = "records", description = "Records in."),
        (name = "query", description = "Answers out."),
        (name = "flow", description = "Where the flow stands, read from the system tables."),
        (name = "node", description = "For probers, scrapers and generators of clients."),
    ),
)]
struct ApiDocument;

/// The OpenAPI description of the routes.
pub fn openapi() -> Document {
    ApiDocument::openapi()
}

/// This description, with the names of the project's sources and datasets.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "node",
    operation_id = "describe",
    responses((status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json")),
)]
pub(crate) async fn describe(State(api): State<Api>) -> Json<Document> {
    Json(with_names(openapi(), &api.context.plan))
}

/// Lists the names that a path parameter may have.
fn with_names(mut document: Document, plan: &Plan) -> Document {
    let names = |fits: &dyn Fn(&Declared) -> bool| -> Vec<serde_json::Value> {
        plan.datasets.iter().filter(|one| fits(one)).map(|one| one.name.to_string().into()).collect()
    };
    let sources = names(&|dataset| matches!(dataset.origin, Origin::Http(_)));
    let landed = names(&Declared::landed);
    let streams = names(&Declared::streams);
    let quarantined = names(&Declared::sets_aside);
    for (path, item) in &mut document.paths.paths {
        let values = match path.as_str() {
            path if path.starts_with("/v1/sources/") => &sources,
            path if path.starts_with("/v1/streams/") => &streams,
            "/v1/quarantine/{dataset}/replay" => &landed,
            _ => &quarantined,
        };
        let operations = [&mut item.get, &mut item.post].into_iter().flatten();
        for parameter in operations.filter_map(|operation| operation.parameters.as_mut()).flatten() {
            let in_path = matches!(parameter.parameter_in, utoipa::openapi::path::ParameterIn::Path);
            if let (true, false, Some(RefOr::T(Schema::Object(schema)))) =
                (in_path, values.is_empty(), parameter.schema.as_mut())
            {
                schema.enum_values = Some(values.clone());
            }
        }
    }
    document
}

/// What holds for every path: how to authenticate, and what may go wrong anywhere.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        let scheme = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
        components.add_security_scheme("token", scheme(HttpAuthScheme::Bearer));
        components.add_security_scheme("browser", scheme(HttpAuthScheme::Basic));
        let none: [&str; 0] = [];
        document.security = Some(vec![
            SecurityRequirement::default(),
            SecurityRequirement::new("token", none),
            SecurityRequirement::new("browser", none),
        ]);
        let anywhere = [
            ("400", "BadRequest"),
            ("401", "Unauthorized"),
            ("403", "Forbidden"),
            ("431", "HeadersTooLarge"),
            ("500", "Internal"),
        ];
        for item in document.paths.paths.values_mut() {
            for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
                for (status, name) in anywhere {
                    let response = RefOr::Ref(Ref::from_response_name(name));
                    operation.responses.responses.entry(status.to_owned()).or_insert(response);
                }
            }
        }
    }
}

macro_rules! problem_responses {
    ($($name:ident, $status:ident, $code:literal, $description:literal;)*) => {$(
        pub(crate) struct $name;

        impl<'r> ToResponse<'r> for $name {
            fn response() -> (&'r str, RefOr<Response>) {
                (stringify!($name), RefOr::T(problem_response(StatusCode::$status, $code, $description)))
            }
        }
    )*};
}

problem_responses! {
    BadRequest, BAD_REQUEST, "bad-request", "The request is wrong; the detail says where.";
    Unauthorized, UNAUTHORIZED, "unauthorized", "A token is needed, and none that is known was given.";
    Forbidden, FORBIDDEN, "foreign-origin", "The request came from a page of another site.";
    NotFound, NOT_FOUND, "not-found", "There is nothing of that name; `nearest` lists the names most like it.";
    NotAcceptable, NOT_ACCEPTABLE, "not-acceptable", "None of the accepted media types can be answered.";
    TimedOut, REQUEST_TIMEOUT, "query-timeout", "The body stalled, or the query did not end in time.";
    TooLarge, PAYLOAD_TOO_LARGE, "body-too-large", "The body is over the limit, before or after decompression.";
    UnsupportedMediaType, UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "The media type or its encoding is not read.";
    InvalidRecords, UNPROCESSABLE_ENTITY, "invalid-records", "Records do not fit the contract: nothing was appended. Or the key was used for another body (`idempotency-key-reused`): nothing was appended to the partitions that know it.";
    TooMany, TOO_MANY_REQUESTS, "overloaded", "A limit is reached; try again after `Retry-After` seconds.";
    HeadersTooLarge, REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "The headers are over the limit.";
    Internal, INTERNAL_SERVER_ERROR, "internal", "A defect; the log of the node has it under the trace.";
    Unavailable, SERVICE_UNAVAILABLE, "unavailable", "Not now; nothing was done.";
    StorageFull, INSUFFICIENT_STORAGE, "storage-full", "The disk is full; nothing was acknowledged.";
}

fn problem_response(status: StatusCode, code: &str, description: &str) -> Response {
    let example = json!({
        "type": format!("urn:flowline:problem:{code}"), "title": code.replace('-', " "), "status": status.as_u16(),
        "detail": description,
    });
    let content: Content = ContentBuilder::new()
        .schema(Some(RefOr::Ref(Ref::from_schema_name("ProblemDocument"))))
        .example(Some(example))
        .build();
    ResponseBuilder::new().description(description).content(problem::MEDIA_TYPE, content).build()
}

/// The schema of a system table's rows, from its columns.
fn row_schema<R: SystemRow>() -> RefOr<Schema> {
    let mut object = ObjectBuilder::new().description(Some(format!("One row of `system.{}`.", R::TABLE)));
    for field in R::schema().fields() {
        object = object.property(field.name(), column_schema(field.data_type(), field.is_nullable()));
        if !field.is_nullable() {
            object = object.required(field.name());
        }
    }
    object.build().into()
}

fn column_schema(data_type: &DataType, nullable: bool) -> Schema {
    let (kind, format) = match data_type {
        DataType::Boolean => (Type::Boolean, None),
        DataType::Int32 | DataType::Int64 => (Type::Integer, Some(KnownFormat::Int64)),
        DataType::Float64 => (Type::Number, Some(KnownFormat::Double)),
        DataType::Timestamp(..) => (Type::String, Some(KnownFormat::DateTime)),
        DataType::List(item) => {
            return ArrayBuilder::new()
                .items(RefOr::T(column_schema(item.data_type(), false)))
                .build()
                .into();
        }
        _ => (Type::String, None),
    };
    let kind = if nullable { SchemaType::from_iter([kind, Type::Null]) } else { SchemaType::Type(kind) };
    ObjectBuilder::new().schema_type(kind).format(format.map(SchemaFormat::KnownFormat)).build().into()
}

macro_rules! row_schemas {
    ($($name:ident of $row:ident),* $(,)?) => {$(
        /// Describes the rows of a system table.
        pub(crate) struct $name;

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                row_schema::<flowline_view::$row>()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*};
}

row_schemas! {
    Hop of HopRow,
    Count of CountRow,
    Dataset of DatasetRow,
    Column of ColumnRow,
    Quarantined of QuarantineRow,
}
