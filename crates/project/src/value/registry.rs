//! Where the schemas of records are known.

use flowline_model::{SchemaRegistry, Secret};
use url::Url;

use super::{Lexical, Unreadable};

/// The word for the node's own registry.
const OWN: &str = "own";

/// A schema registry.
pub(crate) struct RegistryText;

impl Lexical for RegistryText {
    type Meaning = SchemaRegistry;
    const FORMAT: &'static str = "flowline-registry";
    const NOUN: &'static str = "a schema registry";
    const HOW: &'static str =
        "`own` for the one that this node serves, or a URL: `https://user:${PASSWORD}@registry.example.org`";
    const EXAMPLES: &'static [&'static str] = &["own", "http://registry:8081", "${SCHEMA_REGISTRY_URL}"];

    // No message shows the text: it may hold a password.
    fn read(text: &str) -> Result<SchemaRegistry, Unreadable> {
        let text = text.trim();
        if text == OWN {
            return Ok(SchemaRegistry::Own);
        }
        let wrong = |what: &str| Unreadable::Because(format!("this is not a schema registry: {what}"), None);
        let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong("its URL begins with `http://` or `https://` and names a host"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("its URL has no `?` and no `#`"));
        }
        let decoded = |text: &str| {
            let bytes = percent_decoded(text);
            String::from_utf8(bytes).map_err(|_| wrong("user or password are not UTF-8"))
        };
        let user = Some(url.username()).filter(|user| !user.is_empty()).map(decoded).transpose()?;
        let password = url.password().map(decoded).transpose()?.map(Secret::new);
        // Both can be taken out where there is a host.
        let _ = (url.set_username(""), url.set_password(None));
        let url = url.as_str().trim_end_matches('/').to_owned();
        Ok(SchemaRegistry::At { url, user, password })
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (first, hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries() {
        assert_eq!(RegistryText::read("own"), Ok(SchemaRegistry::Own));
        let at = |url: &str, user: Option<&str>, password: Option<&str>| {
            Ok(SchemaRegistry::At {
                url: url.to_owned(),
                user: user.map(str::to_owned),
                password: password.map(Secret::new),
            })
        };
        assert_eq!(RegistryText::read("http://r:8081"), at("http://r:8081", None, None));
        assert_eq!(
            RegistryText::read("https://me:a%40b@r.example.org/x/"),
            at("https://r.example.org/x", Some("me"), Some("a@b"))
        );
        for text in ["", "own!", "r:8081", "ftp://r", "http://", "http://r/?x=1", "http://me:geheim@/"] {
            let Err(Unreadable::Because(message, _)) = RegistryText::read(text) else {
                panic!("`{text}` was read")
            };
            assert!(!message.contains("geheim"), "{message}");
        }
    }
}
