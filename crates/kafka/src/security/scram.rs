//! SCRAM (RFC 5802) with SHA-256 and SHA-512: the password never leaves us, and the broker shows that it knows it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256, Sha512};

/// More rounds than any broker asks for; a larger number is an attack on our time.
const ITERATIONS_MAX: u32 = 1_000_000;
const ITERATIONS_MIN: u32 = 4_096;
/// `n,,` in base64: no channel binding.
const CHANNEL: &str = "biws";

/// The hash that a mechanism is built on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha256 => digest::<Sha256>(parts),
            Self::Sha512 => digest::<Sha512>(parts),
        }
    }

    /// HMAC (RFC 2104).
    fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let block = match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        };
        let mut padded = if key.len() > block { self.digest(&[key]) } else { key.to_vec() };
        padded.resize(block, 0);
        let with = |byte: u8| padded.iter().map(|key| key ^ byte).collect::<Vec<u8>>();
        let (inner_pad, outer_pad) = (with(0x36), with(0x5c));
        let inner: Vec<&[u8]> = std::iter::once(inner_pad.as_slice()).chain(parts.iter().copied()).collect();
        self.digest(&[&outer_pad, &self.digest(&inner)])
    }

    /// PBKDF2 with one block of output.
    fn salted(self, password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
        let mut last = self.hmac(password, &[salt, &1u32.to_be_bytes()]);
        let mut salted = last.clone();
        for _ in 1..iterations {
            last = self.hmac(password, &[&last]);
            salted.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
        }
        salted
    }
}

fn digest<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
    let mut digest = D::new();
    parts.iter().for_each(|part| digest.update(part));
    digest.finalize().to_vec()
}

/// One login.
pub(crate) struct Scram<'a> {
    pub(crate) hash: Hash,
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// Random, without `,`.
    pub(crate) nonce: String,
}

/// Our last message, and what the broker must answer to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) message: String,
    expected: String,
}

impl Scram<'_> {
    /// The first message.
    pub(crate) fn first(&self) -> String {
        format!("n,,{}", self.first_bare())
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", self.user.replace('=', "=3D").replace(',', "=2C"), self.nonce)
    }

    /// The answer to the broker's first message.
    pub(crate) fn prove(&self, server_first: &str) -> Result<Proof, String> {
        let field = |name: &str| {
            let value = server_first.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.ok_or_else(|| format!("its challenge has no `{name}`"))
        };
        let (nonce, salt, iterations) = (field("r")?, field("s")?, field("i")?);
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("its challenge answers somebody else".to_owned());
        }
        let salt = BASE64.decode(salt).map_err(|_| "the salt of its challenge is not base64".to_owned())?;
        let iterations: u32 =
            iterations.parse().map_err(|_| "its challenge has no number of rounds".to_owned())?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(format!("it asks for {iterations} rounds, which is too few or too many"));
        }
        let salted = self.hash.salted(self.password.as_bytes(), &salt, iterations);
        let without_proof = format!("c={CHANNEL},r={nonce}");
        let signed = format!("{},{server_first},{without_proof}", self.first_bare());
        let client_key = self.hash.hmac(&salted, &[b"Client Key"]);
        let stored_key = self.hash.digest(&[&client_key]);
        let signature = self.hash.hmac(&stored_key, &[signed.as_bytes()]);
        let proof: Vec<u8> = client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
        let server_key = self.hash.hmac(&salted, &[b"Server Key"]);
        let expected = self.hash.hmac(&server_key, &[signed.as_bytes()]);
        Ok(Proof {
            message: format!("{without_proof},p={}", BASE64.encode(proof)),
            expected: format!("v={}", BASE64.encode(expected)),
        })
    }
}

impl Proof {
    /// Whether the broker knows the password as well.
    pub(crate) fn verify(&self, server_final: &str) -> Result<(), String> {
        match server_final.split(',').next() {
            Some(verifier) if verifier == self.expected => Ok(()),
            Some(refused) if refused.starts_with("e=") => Err(refused.trim_start_matches("e=").to_owned()),
            _ => Err("it does not know the password that it asks for".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677.
    #[test]
    fn the_example_of_the_standard() {
        let scram = Scram {
            hash: Hash::Sha256,
            user: "user",
            password: "pencil",
            nonce: "rOprNGfwEbeRWgbNEkqO".to_owned(),
        };
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let proof = scram.prove(challenge).unwrap();
        assert_eq!(
            proof.message,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        proof.verify("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=").unwrap();
        assert!(proof.verify("v=AAAA").is_err());
        assert_eq!(proof.verify("e=unknown-user"), Err("unknown-user".to_owned()));
    }

    #[test]
    fn strange_challenges_are_refused() {
        let scram = Scram { hash: Hash::Sha512, user: "a=b,c", password: "p", nonce: "n0".to_owned() };
        assert_eq!(scram.first(), "n,,n=a=3Db=2Cc,r=n0");
        for challenge in
            ["", "r=n0,s=AA==,i=4096", "r=n0x,s=AA==,i=1", "r=n0x,s=?,i=4096", "r=x,s=AA==,i=4096"]
        {
            assert!(scram.prove(challenge).is_err(), "{challenge}");
        }
    }
}
