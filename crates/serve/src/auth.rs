//! Who is let in: bearer tokens, of which only the SHA-256 is known.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flowline_model::Token;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::ServeError;

/// The tokens of an environment, ready to be compared. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    holders: Arc<[(String, [u8; 32])]>,
}

impl Tokens {
    /// The tokens as an environment lists them.
    ///
    /// # Errors
    /// [`ServeError::Token`] names the first that is not 64 hexadecimal digits.
    pub fn new(tokens: &[Token]) -> Result<Self, ServeError> {
        let holders = tokens
            .iter()
            .map(|token| match decode_sha256(&token.sha256) {
                Some(hash) => Ok((token.name.clone(), hash)),
                None => Err(ServeError::Token { name: token.name.clone() }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { holders: holders.into() })
    }

    /// Whether a token is asked for at all.
    pub fn required(&self) -> bool {
        !self.holders.is_empty()
    }

    /// The holder of this token. Takes the same time whichever token is tried: hashes are compared, all of them, and
    /// each to its end.
    pub fn holder(&self, token: &str) -> Option<&str> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut found = u64::MAX;
        for (index, (_, known)) in self.holders.iter().enumerate() {
            found.conditional_assign(&(index as u64), known.ct_eq(&hash));
        }
        usize::try_from(found).ok().and_then(|index| self.holders.get(index)).map(|(name, _)| name.as_str())
    }

    /// Refuses an address that others can reach while no token is asked for.
    ///
    /// # Errors
    /// [`ServeError::Unauthenticated`].
    pub fn check_address(&self, address: SocketAddr) -> Result<(), ServeError> {
        if self.required() || address.ip().is_loopback() {
            return Ok(());
        }
        Err(ServeError::Unauthenticated { address })
    }
}

fn decode_sha256(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0u8; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).ok()?;
    }
    Some(hash)
}

/// The token in an `Authorization` header: `Bearer <token>`, or `Basic` with the token as password, which is what a
/// browser can send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Presented {
    /// The token.
    pub token: String,
    /// It came by `Basic`, so a browser may have sent it without being asked to.
    pub by_browser: bool,
}

impl Presented {
    /// Reads the value of an `Authorization` header.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(Self { token: rest.to_owned(), by_browser: false });
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        let (_, password) = decoded.split_once(':')?;
        Some(Self { token: password.to_owned(), by_browser: true })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that unwraps fails as it should")]

    use super::*;

    fn tokens() -> Tokens {
        let token = |name: &str, secret: &str| Token {
            name: name.to_owned(),
            sha256: Sha256::digest(secret).iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        Tokens::new(&[token("ci", "one"), token("ops", "two")]).unwrap()
    }

    #[test]
    fn a_token_is_known_by_its_hash() {
        assert_eq!(tokens().holder("one"), Some("ci"));
        assert_eq!(tokens().holder("two"), Some("ops"));
        assert_eq!(tokens().holder("three"), None);
        assert_eq!(tokens().holder(""), None);
        assert_eq!(Tokens::default().holder(""), None);
    }

    #[test]
    fn a_token_that_is_no_hash_is_refused() {
        for sha256 in ["", "secret", "zz", &"g".repeat(64), &"é".repeat(32)] {
            let token = Token { name: "ci".to_owned(), sha256: sha256.to_owned() };
            assert!(
                matches!(Tokens::new(&[token]), Err(ServeError::Token { name }) if name == "ci"),
                "{sha256}"
            );
        }
    }

    #[test]
    fn bearer_and_basic_are_read() {
        let basic = format!("Basic {}", STANDARD.encode("me:a:b"));
        let presented = |header: &str| Presented::parse(header).map(|found| (found.token, found.by_browser));
        assert_eq!(presented("Bearer abc"), Some(("abc".to_owned(), false)));
        assert_eq!(presented("bearer  abc"), Some(("abc".to_owned(), false)));
        assert_eq!(presented(&basic), Some(("a:b".to_owned(), true)));
        assert_eq!(presented("Basic !!!"), None);
        assert_eq!(presented("Digest abc"), None);
        assert_eq!(presented("abc"), None);
    }

    #[test]
    fn without_tokens_only_loopback_is_served() {
        let check = |tokens: &Tokens, address: &str| tokens.check_address(address.parse().unwrap()).is_ok();
        assert!(check(&Tokens::default(), "127.0.0.1:80"));
        assert!(check(&Tokens::default(), "[::1]:80"));
        assert!(!check(&Tokens::default(), "0.0.0.0:80"));
        assert!(!check(&Tokens::default(), "10.0.0.1:80"));
        assert!(check(&tokens(), "0.0.0.0:80"));
    }
}
