use flowline_base::system_clock;
use flowline_registry::{RegisterRequest, Registry, SchemaRequest, SettingsRequest};

pub async fn registry() -> Registry {
    Registry::new(flowline_ledger::connect("sqlite::memory:").await.unwrap(), system_clock())
}

pub fn schema(kind: &str, text: &str) -> SchemaRequest {
    SchemaRequest { kind: Some(kind.to_owned()), text: text.to_owned(), ..SchemaRequest::default() }
}

pub fn register(kind: &str, text: &str) -> RegisterRequest {
    RegisterRequest { schema: schema(kind, text), ..RegisterRequest::default() }
}

pub fn level(word: &str) -> SettingsRequest {
    SettingsRequest { level: Some(word.to_owned()), ..SettingsRequest::default() }
}
