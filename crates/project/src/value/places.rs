//! Paths, URLs and addresses, and what belongs to them.

use std::net::SocketAddr;

use super::{Lexical, Unreadable};

/// A file of the project.
pub(crate) struct FilePath;

impl Lexical for FilePath {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-path";
    const NOUN: &'static str = "a path within the project";
    const HOW: &'static str =
        "a path from the folder of flowline.yaml, with `/` between its parts: `runbooks/orders.md`";
    const EXAMPLES: &'static [&'static str] = &["runbooks/orders.md"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let parts_hold = text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        if parts_hold && !text.contains(['\\', '\0', ':']) {
            Ok(text.to_owned())
        } else {
            Err(Unreadable::Form)
        }
    }
}

/// A folder of this machine.
pub(crate) struct FolderText;

impl Lexical for FolderText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-folder";
    const NOUN: &'static str = "a folder of this machine";
    const HOW: &'static str =
        "a path, from the folder of flowline.yaml when it is relative: `.flowline`, `/var/lib/flowline`";
    const EXAMPLES: &'static [&'static str] = &[".flowline", "/var/lib/flowline"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let text = text.trim();
        if text.is_empty() || text.contains("://") || text.contains(char::is_control) {
            return Err(Unreadable::Form);
        }
        Ok(text.to_owned())
    }
}

/// Where a server listens.
pub(crate) struct AddressText;

impl Lexical for AddressText {
    type Meaning = SocketAddr;
    const FORMAT: &'static str = "flowline-address";
    const NOUN: &'static str = "an address to listen on";
    const HOW: &'static str = "an IP address and a port: `127.0.0.1:8200`, `0.0.0.0:8200`, `[::1]:8200`";
    const EXAMPLES: &'static [&'static str] = &["127.0.0.1:8200", "0.0.0.0:8200"];

    fn read(text: &str) -> Result<SocketAddr, Unreadable> {
        let text = text.trim();
        let address = match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}"),
            None => text.to_owned(),
        };
        address.parse().map_err(|_| Unreadable::Form)
    }
}

/// Where a server listens, or `off`.
pub(crate) struct WireAddress;

impl Lexical for WireAddress {
    type Meaning = Option<SocketAddr>;
    const FORMAT: &'static str = "flowline-address-or-off";
    const NOUN: &'static str = "an address to listen on";
    const HOW: &'static str = "an IP address and a port, `127.0.0.1:5433`, or `off`";
    const EXAMPLES: &'static [&'static str] = &["127.0.0.1:5433", "off"];

    fn read(text: &str) -> Result<Self::Meaning, Unreadable> {
        if text.trim() == "off" { Ok(None) } else { AddressText::read(text).map(Some) }
    }
}

/// Splits a URL at its scheme; a plain path has none.
fn scheme_of(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let valid = scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '-');
    (valid && !scheme.is_empty()).then_some(scheme)
}

fn known_scheme(text: &str, schemes: &[&str], noun: &str) -> Result<String, Unreadable> {
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_control) {
        return Err(Unreadable::Form);
    }
    match scheme_of(text) {
        Some(scheme) if !schemes.contains(&scheme) => {
            let hint = crate::nearest::suggestion(scheme, schemes);
            Err(Unreadable::Because(format!("no {noun} is reached by `{scheme}://`"), Some(hint)))
        }
        _ => Ok(text.to_owned()),
    }
}

/// Where tables or files lie: a path, or the URL of an object store.
pub(crate) struct LakeUrl;

impl Lexical for LakeUrl {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-storage-url";
    const NOUN: &'static str = "a place for files";
    const HOW: &'static str = "a folder (`lake`, from the folder of flowline.yaml) or a URL: `file:///srv/lake`, `s3://bucket/lake`, `gs://bucket/lake`, `az://container/lake`";
    const EXAMPLES: &'static [&'static str] =
        &["lake", "s3://bucket/lake", "gs://bucket/lake", "az://container/lake"];

    fn read(text: &str) -> Result<String, Unreadable> {
        known_scheme(
            text,
            &["file", "s3", "s3a", "gs", "az", "azure", "adl", "abfs", "abfss", "https", "http"],
            "object store",
        )
    }
}

/// The database of the ledger.
pub(crate) struct LedgerUrl;

impl Lexical for LedgerUrl {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-ledger-url";
    const NOUN: &'static str = "a ledger";
    const HOW: &'static str = "`sqlite://ledger.db` (a path from the folder of flowline.yaml), `sqlite:///srv/ledger.db` or `postgres://user:${PASSWORD}@host/database`";
    const EXAMPLES: &'static [&'static str] =
        &["sqlite:///srv/flowline/ledger.db", "postgres://flowline:${LEDGER_PASSWORD}@db/flowline"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let text = known_scheme(text, &["sqlite", "postgres", "postgresql"], "ledger")?;
        let path =
            scheme_of(&text).and_then(|scheme| text.get(scheme.len() + 3..)).ok_or(Unreadable::Form)?;
        if path.is_empty() { Err(Unreadable::Form) } else { Ok(text) }
    }
}

/// The hash of a token.
pub(crate) struct Sha256Text;

impl Lexical for Sha256Text {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-sha256";
    const NOUN: &'static str = "a SHA-256 in hexadecimal";
    const HOW: &'static str =
        "the 64 digits that `printf %s \"$TOKEN\" | sha256sum` prints, never the token itself";
    const EXAMPLES: &'static [&'static str] = &["${API_TOKEN_SHA256}"];

    fn read(text: &str) -> Result<String, Unreadable> {
        let text = text.trim().to_ascii_lowercase();
        let hexadecimal = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if hexadecimal {
            Ok(text)
        } else {
            Err(Unreadable::Because("this is not a SHA-256 in hexadecimal".to_owned(), None))
        }
    }
}

/// An option that is handed on as it is written.
pub(crate) struct AnyText;

impl Lexical for AnyText {
    type Meaning = String;
    const FORMAT: &'static str = "flowline-option";
    const NOUN: &'static str = "an option";
    const HOW: &'static str = "a text, a number, or true or false";
    const EXAMPLES: &'static [&'static str] = &["flowline"];
    const TYPES: &'static [&'static str] = &["string", "integer", "boolean"];

    fn read(text: &str) -> Result<String, Unreadable> {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        assert!(
            LakeUrl::read("s3://bucket/x").is_ok()
                && LakeUrl::read("lake").is_ok()
                && LakeUrl::read("../lake").is_ok()
        );
        assert!(LakeUrl::read("s4://bucket").is_err() && LakeUrl::read("").is_err());
        assert!(LedgerUrl::read("sqlite:///x").is_ok() && LedgerUrl::read("ledger.db").is_err());
        assert!(LedgerUrl::read("mysql://x/y").is_err() && LedgerUrl::read("sqlite://").is_err());
        assert!(FilePath::read("runbooks/a.md").is_ok());
        for text in ["", "/etc/passwd", "../x", "a//b", "a/./b", "c:\\x"] {
            assert!(FilePath::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(
            AddressText::read("localhost:8200"),
            "127.0.0.1:8200".parse().map_err(|_| Unreadable::Form)
        );
        assert_eq!(WireAddress::read("off"), Ok(None));
        for text in ["8200", ":8200", "example.org:80", "127.0.0.1", "127.0.0.1:99999"] {
            assert!(AddressText::read(text).is_err(), "{text}");
        }
    }
}
