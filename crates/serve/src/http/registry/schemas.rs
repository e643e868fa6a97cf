//! Schemas by their numbers, and all of them.

use axum::response::Response;
use flowline_registry::Registry;
use serde_json::{Value, json};

use super::answers::{Refused, answer, schema_of, text, version_of};
use super::asked::Asked;

pub(super) async fn types() -> Response {
    answer(&["JSON", "PROTOBUF", "AVRO"])
}

pub(super) async fn list(asked: Asked) -> Result<Response, Refused> {
    let found = asked.registry.schemas(&asked.listing(), asked.flag("latestOnly")).await?;
    let found: Vec<Value> = found.iter().map(|found| version_of(found, None)).collect();
    Ok(answer(&found))
}

pub(super) async fn by_id(asked: Asked) -> Result<Response, Refused> {
    let (scope, id) = (asked.scope(), asked.id()?);
    let (schema, id_max) = asked.registry.schema(&scope, id).await?;
    let serialized = match asked.serialized() {
        true => Some(asked.registry.serialized(&scope, id).await?),
        false => None,
    };
    let mut object = schema_of(&schema, serialized);
    if asked.flag("includeSubjects") {
        let deleted = asked.flag("deleted");
        object.insert("subjects".to_owned(), subjects(&asked.registry, &scope, id, deleted).await?.into());
    }
    if asked.flag("fetchMaxId") {
        object.insert("maxId".to_owned(), id_max.into());
    }
    Ok(answer(&object))
}

pub(super) async fn text_by_id(asked: Asked) -> Result<Response, Refused> {
    let (schema, _) = asked.registry.schema(&asked.scope(), asked.id()?).await?;
    Ok(text(schema.text.clone()))
}

pub(super) async fn subjects_of(asked: Asked) -> Result<Response, Refused> {
    let (scope, id, deleted) = (asked.scope(), asked.id()?, asked.flag("deleted"));
    Ok(answer(&subjects(&asked.registry, &scope, id, deleted).await?))
}

/// The subjects that have a schema.
async fn subjects(registry: &Registry, scope: &str, id: u32, deleted: bool) -> Result<Vec<String>, Refused> {
    let uses = registry.uses(scope, id, deleted).await?;
    let mut subjects: Vec<String> = uses.into_iter().map(|(subject, _)| subject).collect();
    subjects.dedup();
    Ok(subjects)
}

pub(super) async fn versions_of(asked: Asked) -> Result<Response, Refused> {
    let uses = asked.registry.uses(&asked.scope(), asked.id()?, asked.flag("deleted")).await?;
    let versions: Vec<Value> =
        uses.iter().map(|(subject, version)| json!({ "subject": subject, "version": version })).collect();
    Ok(answer(&versions))
}

pub(super) async fn by_guid(asked: Asked) -> Result<Response, Refused> {
    let (schema, ids) = asked.registry.of_guid(asked.guid()).await?;
    let serialized = match (asked.serialized(), ids.first()) {
        (true, Some((context, id))) => Some(asked.registry.serialized(&format!(":{context}:"), *id).await?),
        _ => None,
    };
    Ok(answer(&schema_of(&schema, serialized)))
}

pub(super) async fn ids_of_guid(asked: Asked) -> Result<Response, Refused> {
    let (_, ids) = asked.registry.of_guid(asked.guid()).await?;
    let ids: Vec<Value> = ids.iter().map(|(context, id)| json!({ "context": context, "id": id })).collect();
    Ok(answer(&ids))
}
