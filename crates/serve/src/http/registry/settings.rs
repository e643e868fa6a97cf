//! Levels, modes, contexts, and what the registry says of itself.

use std::collections::BTreeMap;

use axum::response::Response;
use flowline_registry::{Settings, SettingsRequest};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::answers::{Refused, answer};
use super::asked::Asked;

/// Settings as clients send them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ConfigBody {
    #[serde(default)]
    compatibility: Option<String>,
    #[serde(default)]
    normalize: Option<bool>,
    #[serde(default)]
    compatibility_policy: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Settings that this registry does not have. Taking them and doing nothing would be worse than saying so.
const NOT_HAD: [&str; 6] = [
    "alias",
    "compatibilityGroup",
    "defaultMetadata",
    "overrideMetadata",
    "defaultRuleSet",
    "overrideRuleSet",
];

#[derive(Debug, Deserialize)]
pub(super) struct ModeBody {
    #[serde(default)]
    mode: Option<String>,
}

/// The level has one name where it is read and another one where it is written.
fn settings_of(settings: &Settings, level_name: &str) -> Map<String, Value> {
    let mut object = Map::new();
    if let Some(level) = settings.level {
        object.insert(level_name.to_owned(), level.as_str().into());
    }
    if let Some(normalize) = settings.normalize {
        object.insert("normalize".to_owned(), normalize.into());
    }
    if let Some(lenient) = settings.lenient {
        object.insert("compatibilityPolicy".to_owned(), if lenient { "LENIENT" } else { "STRICT" }.into());
    }
    object
}

pub(super) async fn config(asked: Asked) -> Result<Response, Refused> {
    let settings = asked.registry.settings(&asked.subject(), asked.flag("defaultToGlobal")).await?;
    Ok(answer(&settings_of(&settings, "compatibilityLevel")))
}

pub(super) async fn configure(mut asked: Asked) -> Result<Response, Refused> {
    let body: ConfigBody = asked.body().await?;
    if let Some(name) =
        NOT_HAD.iter().find(|name| body.others.get(**name).is_some_and(|value| !value.is_null()))
    {
        return Err(Refused::new(42205, format!("`{name}` is not had by this registry")));
    }
    let request = SettingsRequest {
        level: body.compatibility,
        normalize: body.normalize,
        policy: body.compatibility_policy,
    };
    let settings = asked.registry.configure(&asked.actor, &asked.subject(), request).await?;
    Ok(answer(&settings_of(&settings, "compatibility")))
}

pub(super) async fn unconfigure(asked: Asked) -> Result<Response, Refused> {
    let settings = asked.registry.unconfigure(&asked.actor, &asked.subject()).await?;
    Ok(answer(&settings_of(&settings, "compatibilityLevel")))
}

pub(super) async fn mode(asked: Asked) -> Result<Response, Refused> {
    let mode = asked.registry.mode(&asked.subject(), asked.flag("defaultToGlobal")).await?;
    Ok(answer(&json!({ "mode": mode })))
}

pub(super) async fn set_mode(mut asked: Asked) -> Result<Response, Refused> {
    let body: ModeBody = asked.body().await?;
    let (subject, word) = (asked.subject(), body.mode.unwrap_or_default());
    let mode = asked.registry.set_mode(&asked.actor, &subject, &word, asked.flag("force")).await?;
    Ok(answer(&json!({ "mode": mode })))
}

pub(super) async fn unset_mode(asked: Asked) -> Result<Response, Refused> {
    let mode = asked.registry.unset_mode(&asked.actor, &asked.subject()).await?;
    Ok(answer(&json!({ "mode": mode })))
}

pub(super) async fn contexts(asked: Asked) -> Result<Response, Refused> {
    Ok(answer(&asked.registry.contexts().await?))
}

pub(super) async fn metadata_id() -> Response {
    answer(&json!({
        "id": "flowline",
        "scope": { "path": [], "clusters": { "schema-registry-cluster": "flowline" } },
    }))
}

pub(super) async fn metadata_version() -> Response {
    answer(&json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "" }))
}
