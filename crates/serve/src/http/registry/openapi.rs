//! The OpenAPI description of the registry, apart from that of the node: its media type and its errors are others.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answers::{MEDIA_TYPE, answer};

/// A route: method, path, what it does, its query, the name of its body, the name of its answer.
type Route = (&'static str, &'static str, &'static str, &'static [&'static str], &'static str, &'static str);

const ROUTES: &[Route] = &[
    (
        "get",
        "/subjects",
        "Names of subjects.",
        &["subjectPrefix", "deleted", "deletedOnly", "offset", "limit"],
        "",
        "Names",
    ),
    (
        "post",
        "/subjects/{subject}",
        "The version that has a schema.",
        &["normalize", "deleted", "format"],
        "Schema",
        "Version",
    ),
    (
        "delete",
        "/subjects/{subject}",
        "Hides a subject, or removes a hidden one.",
        &["permanent"],
        "",
        "Numbers",
    ),
    (
        "get",
        "/subjects/{subject}/versions",
        "Its versions.",
        &["deleted", "deletedOnly", "offset", "limit"],
        "",
        "Numbers",
    ),
    ("post", "/subjects/{subject}/versions", "Registers a schema.", &["normalize"], "Schema", "Id"),
    ("get", "/subjects/{subject}/versions/{version}", "One version.", &["deleted", "format"], "", "Version"),
    (
        "delete",
        "/subjects/{subject}/versions/{version}",
        "Hides a version, or removes a hidden one.",
        &["permanent"],
        "",
        "Number",
    ),
    (
        "get",
        "/subjects/{subject}/versions/{version}/schema",
        "The text of a version.",
        &["deleted"],
        "",
        "Any",
    ),
    (
        "get",
        "/subjects/{subject}/versions/{version}/referencedby",
        "Numbers of the schemas that refer to it.",
        &[],
        "",
        "Numbers",
    ),
    (
        "get",
        "/schemas",
        "All versions.",
        &["subjectPrefix", "deleted", "latestOnly", "offset", "limit"],
        "",
        "Versions",
    ),
    ("get", "/schemas/types", "The languages.", &[], "", "Names"),
    (
        "get",
        "/schemas/ids/{id}",
        "The schema of a number.",
        &["subject", "format", "fetchMaxId", "includeSubjects", "deleted"],
        "",
        "Schema",
    ),
    ("get", "/schemas/ids/{id}/schema", "Its text.", &["subject"], "", "Any"),
    ("get", "/schemas/ids/{id}/subjects", "The subjects that have it.", &["subject", "deleted"], "", "Names"),
    ("get", "/schemas/ids/{id}/versions", "The versions that have it.", &["subject", "deleted"], "", "Uses"),
    ("get", "/schemas/guids/{guid}", "The schema of a GUID.", &["format"], "", "Schema"),
    ("get", "/schemas/guids/{guid}/ids", "Its number in each context that has it.", &[], "", "ContextIds"),
    (
        "post",
        "/compatibility/subjects/{subject}/versions",
        "Whether a schema could be registered.",
        &["verbose", "normalize"],
        "Schema",
        "Compatibility",
    ),
    (
        "post",
        "/compatibility/subjects/{subject}/versions/{version}",
        "Whether it gets along with one version.",
        &["verbose", "normalize"],
        "Schema",
        "Compatibility",
    ),
    ("get", "/config", "What holds where nothing else is said.", &[], "", "Config"),
    ("put", "/config", "Says so.", &[], "ConfigUpdate", "ConfigUpdate"),
    ("delete", "/config", "Takes it back.", &[], "", "Config"),
    ("get", "/config/{subject}", "What holds for a subject.", &["defaultToGlobal"], "", "Config"),
    ("put", "/config/{subject}", "Says so.", &[], "ConfigUpdate", "ConfigUpdate"),
    ("delete", "/config/{subject}", "Takes it back.", &[], "", "Config"),
    ("get", "/mode", "What may be done where nothing else is said.", &[], "", "Mode"),
    ("put", "/mode", "Says so.", &["force"], "Mode", "Mode"),
    ("delete", "/mode", "Takes it back.", &[], "", "Mode"),
    ("get", "/mode/{subject}", "What may be done with a subject.", &["defaultToGlobal"], "", "Mode"),
    ("put", "/mode/{subject}", "Says so.", &["force"], "Mode", "Mode"),
    ("delete", "/mode/{subject}", "Takes it back.", &[], "", "Mode"),
    ("get", "/contexts", "The contexts.", &[], "", "Names"),
    ("get", "/v1/metadata/id", "What the registry is called.", &[], "", "Object"),
    ("get", "/v1/metadata/version", "The version of Flowline.", &[], "", "Object"),
];

/// This description.
pub(super) async fn describe() -> Response {
    answer(&document())
}

fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for (method, path, summary, query, body, answered) in ROUTES {
        let place = paths.entry(format!("/registry{path}")).or_insert_with(|| json!({}));
        place[*method] = operation(method, path, summary, query, body, answered);
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Flowline schema registry",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The REST API that clients of Confluent's schema registry speak.",
        },
        "paths": paths,
        "security": [{}, { "token": [] }, { "login": [] }],
        "components": {
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "login": { "type": "http", "scheme": "basic", "description": "The token is the password." },
            },
            "schemas": bodies(),
        },
    })
}

fn operation(method: &str, path: &str, summary: &str, query: &[&str], body: &str, answered: &str) -> Value {
    let mut parameters = Vec::new();
    for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let schema = match name {
            "id" => json!({ "type": "integer", "minimum": 1, "maximum": 2_147_483_647 }),
            "guid" => json!({ "type": "string", "format": "uuid" }),
            "version" => json!({ "type": "string", "pattern": "^([1-9][0-9]{0,8}|latest|-1)$" }),
            _ => {
                json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[a-z][A-Za-z0-9._-]*$" })
            }
        };
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    for name in query {
        let schema = match *name {
            "offset" | "limit" => json!({ "type": "integer" }),
            "subjectPrefix" | "subject" => json!({ "type": "string" }),
            "format" => json!({ "type": "string", "enum": ["", "serialized"] }),
            _ => json!({ "type": "boolean" }),
        };
        parameters.push(json!({ "name": name, "in": "query", "schema": schema }));
    }
    let schema = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    let content = |name: &str| json!({ MEDIA_TYPE: { "schema": schema(name) } });
    let mut responses = json!({ "200": { "description": "Done.", "content": content(answered) } });
    for status in ["400", "401", "403", "404", "406", "408", "409", "413", "415", "422", "429", "431", "500"]
    {
        responses[status] = json!({ "description": "Not done.", "content": content("Error") });
    }
    let id: String = format!("{method}{path}").chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let mut operation =
        json!({ "summary": summary, "operationId": id, "parameters": parameters, "responses": responses });
    if !body.is_empty() {
        operation["requestBody"] = json!({ "required": true, "content": content(body) });
    }
    operation
}

fn bodies() -> Value {
    let level = json!({ "type": "string", "enum": [
        "NONE", "BACKWARD", "BACKWARD_TRANSITIVE", "FORWARD", "FORWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE",
    ] });
    let array =
        |name: &str| json!({ "type": "array", "items": { "$ref": format!("#/components/schemas/{name}") } });
    let schema = json!({
        "schema": { "type": "string", "examples": ["\"string\""] },
        "schemaType": { "type": "string", "enum": ["AVRO", "JSON", "PROTOBUF"] },
        "guid": { "type": "string", "format": "uuid", "readOnly": true },
        "references": { "type": "array", "items": {
            "type": "object", "required": ["name", "subject", "version"],
            "properties": {
                "name": { "type": "string" }, "subject": { "type": "string" },
                "version": { "type": "integer", "minimum": -1, "maximum": 2_147_483_647 },
            },
        } },
    });
    let mut version = schema.clone();
    for (name, kind) in
        [("subject", "string"), ("version", "integer"), ("id", "integer"), ("deleted", "boolean")]
    {
        version[name] = json!({ "type": kind });
    }
    json!({
        "Any": {},
        "Object": { "type": "object" },
        "Name": { "type": "string" },
        "Names": array("Name"),
        "Number": { "type": "integer" },
        "Numbers": array("Number"),
        "Id": { "type": "object", "required": ["id"], "properties": {
            "id": { "type": "integer" }, "guid": { "type": "string", "format": "uuid" },
        } },
        "ContextId": { "type": "object", "required": ["context", "id"], "properties": {
            "context": { "type": "string" }, "id": { "type": "integer" },
        } },
        "ContextIds": array("ContextId"),
        "Schema": { "type": "object", "required": ["schema"], "properties": schema },
        "Version": { "type": "object", "required": ["subject", "version", "id", "schema"], "properties": version },
        "Versions": array("Version"),
        "Use": { "type": "object", "required": ["subject", "version"], "properties": {
            "subject": { "type": "string" }, "version": { "type": "integer" },
        } },
        "Uses": array("Use"),
        "Compatibility": { "type": "object", "required": ["is_compatible"], "properties": {
            "is_compatible": { "type": "boolean" }, "messages": array("Name"),
        } },
        "Config": { "type": "object", "properties": {
            "compatibilityLevel": level, "normalize": { "type": "boolean" },
            "compatibilityPolicy": { "type": "string", "enum": ["STRICT", "LENIENT"] },
        } },
        "ConfigUpdate": { "type": "object", "properties": {
            "compatibility": level, "normalize": { "type": "boolean" },
            "compatibilityPolicy": { "type": "string", "enum": ["STRICT", "LENIENT"] },
        } },
        "Mode": { "type": "object", "required": ["mode"], "properties": {
            "mode": { "type": "string", "enum": ["READWRITE", "READONLY", "READONLY_OVERRIDE", "IMPORT"] },
        } },
        "Error": { "type": "object", "required": ["error_code", "message"], "properties": {
            "error_code": { "type": "integer" }, "message": { "type": "string" },
        } },
    })
}
