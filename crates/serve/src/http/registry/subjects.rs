//! Subjects, their versions, and what could become one.

use axum::response::Response;
use flowline_registry::{LookupRequest, RegisterRequest, RegisteredSchema, Registry, VersionChoice};
use serde_json::json;

use super::answers::{Refused, answer, text, version_of};
use super::asked::{Asked, SchemaBody};

pub(super) async fn list(asked: Asked) -> Result<Response, Refused> {
    Ok(answer(&asked.registry.subjects(&asked.listing()).await?))
}

pub(super) async fn versions(asked: Asked) -> Result<Response, Refused> {
    Ok(answer(&asked.registry.versions(&asked.subject(), &asked.listing()).await?))
}

pub(super) async fn register(mut asked: Asked) -> Result<Response, Refused> {
    let body: SchemaBody = asked.body().await?;
    let request = RegisterRequest {
        id: body.id.and_then(|id| u32::try_from(id).ok()).filter(|id| *id > 0),
        version: body.version.and_then(|version| i32::try_from(version).ok()).filter(|version| *version > 0),
        normalize: asked.flag_or_none("normalize"),
        schema: body.into(),
    };
    let registered = asked.registry.register(&asked.actor, &asked.subject(), request).await?;
    Ok(answer(&json!({ "id": registered.id, "guid": registered.schema.guid().to_string() })))
}

pub(super) async fn lookup(mut asked: Asked) -> Result<Response, Refused> {
    let body: SchemaBody = asked.body().await?;
    let request = LookupRequest {
        schema: body.into(),
        normalize: asked.flag_or_none("normalize"),
        deleted: asked.flag("deleted"),
    };
    let found = asked.registry.lookup(&asked.subject(), request).await?;
    shown(&asked.registry, asked.serialized(), &found).await
}

pub(super) async fn version(asked: Asked) -> Result<Response, Refused> {
    let found = asked.registry.version(&asked.subject(), asked.version()?, asked.flag("deleted")).await?;
    shown(&asked.registry, asked.serialized(), &found).await
}

async fn shown(registry: &Registry, serialized: bool, found: &RegisteredSchema) -> Result<Response, Refused> {
    let text = match serialized {
        true => Some(registry.serialized(&found.subject, found.id).await?),
        false => None,
    };
    Ok(answer(&version_of(found, text)))
}

pub(super) async fn version_text(asked: Asked) -> Result<Response, Refused> {
    let found = asked.registry.version(&asked.subject(), asked.version()?, asked.flag("deleted")).await?;
    Ok(text(found.schema.text.clone()))
}

pub(super) async fn referenced_by(asked: Asked) -> Result<Response, Refused> {
    Ok(answer(&asked.registry.referenced_by(&asked.subject(), asked.version()?).await?))
}

pub(super) async fn delete_version(asked: Asked) -> Result<Response, Refused> {
    let (subject, version, permanent) = (asked.subject(), asked.version()?, asked.flag("permanent"));
    Ok(answer(&asked.registry.delete_version(&asked.actor, &subject, version, permanent).await?))
}

pub(super) async fn delete(asked: Asked) -> Result<Response, Refused> {
    let permanent = asked.flag("permanent");
    Ok(answer(&asked.registry.delete_subject(&asked.actor, &asked.subject(), permanent).await?))
}

pub(super) async fn check(mut asked: Asked) -> Result<Response, Refused> {
    let version = asked.version()?;
    checked(&mut asked, Some(version)).await
}

pub(super) async fn check_all(mut asked: Asked) -> Result<Response, Refused> {
    checked(&mut asked, None).await
}

/// What does not get along is no error here.
async fn checked(asked: &mut Asked, version: Option<VersionChoice>) -> Result<Response, Refused> {
    let body: SchemaBody = asked.body().await?;
    let normalize = asked.flag_or_none("normalize");
    let found = asked.registry.check(&asked.subject(), version, body.into(), normalize).await?;
    Ok(answer(&match asked.flag("verbose") {
        true => json!({ "is_compatible": found.compatible, "messages": found.messages }),
        false => json!({ "is_compatible": found.compatible }),
    }))
}
