//! The key that tokens are signed with: an ECDSA key on P-256 (`ES256`, RFC 7518 §3.4) in a file of its own.
//!
//! Whoever holds the private key can make events up, so it is never in the database, which is copied and backed up.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use crate::files;

/// The media type of a security event token, and what is left of it in its header (RFC 8417 §2.3).
const TOKEN_TYPE: &str = "secevent+jwt";
/// Characters in a line of a PEM file (RFC 7468 §2).
const PEM_LINE: usize = 64;

/// Why there is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read, or written where there is none.
    #[error("the signing key {} cannot be {done}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        done: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{} holds no key that events can be signed with: it must be a PKCS#8 key on the curve P-256 in PEM, as made \
         by `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
        path.display()
    )]
    Unusable {
        /// The file.
        path: PathBuf,
    },
    /// The library refused to make a key or to sign.
    #[error("the signing of events failed")]
    Signing,
}

/// The private key and what is published of it.
pub struct SigningKey {
    key: EncodingKey,
    header: Header,
    public: Value,
}

impl SigningKey {
    /// The key in this file; a new one, for the owner's eyes only, if there is no file.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let failed = |done, source| KeyError::File { path: path.to_owned(), done, source };
        if !path.try_exists().map_err(|error| failed("read", error))? {
            let pem = generate()?;
            files::create(path, &pem).map_err(|error| failed("written", error))?;
            tracing::info!(path = %path.display(), "made a key to sign events and access tokens with");
        }
        let pem = fs::read(path).map_err(|error| failed("read", error))?;
        Self::from_pem(&pem).ok_or_else(|| KeyError::Unusable { path: path.to_owned() })
    }

    /// Reads a key; `None` if it is none of the right kind.
    fn from_pem(pem: &[u8]) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).ok()?;
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der()).ok()?;
        let key = EncodingKey::from_ec_der(der.secret_pkcs8_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).ok()?;
        // RFC 7638: a new key has a new id without anybody having to think of one.
        let id = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        jwk.common.key_id = Some(id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(id);
        Some(Self { key, header, public: serde_json::to_value(&jwk).ok()? })
    }

    /// The claims of an event, signed (RFC 7515 §3.1).
    pub fn sign(&self, claims: &Value) -> Result<String, KeyError> {
        self.sign_as(TOKEN_TYPE, claims)
    }

    /// The claims of a token of another type, signed. The type keeps one kind of token from passing for another
    /// (RFC 8725 §3.11).
    pub fn sign_as(&self, token_type: &str, claims: &Value) -> Result<String, KeyError> {
        let header = Header { typ: Some(token_type.to_owned()), ..self.header.clone() };
        jsonwebtoken::encode(&header, claims, &self.key).map_err(|_particulars| KeyError::Signing)
    }

    /// What verifies the signatures, as a key set (RFC 7517 §5).
    pub fn public_set(&self) -> Value {
        json!({ "keys": [self.public] })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.header.kid).finish_non_exhaustive()
    }
}

/// A new private key in PEM.
fn generate() -> Result<String, KeyError> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    let text = STANDARD.encode(key.map_err(|_unspecified| KeyError::Signing)?.as_ref());
    let mut pem = "-----BEGIN PRIVATE KEY-----\n".to_owned();
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing-key");
        let first = SigningKey::open(&path).unwrap();
        let second = SigningKey::open(&path).unwrap();
        assert_eq!(first.public_set(), second.public_set());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let other = SigningKey::open(&folder.path().join("other")).unwrap();
        assert_ne!(first.header.kid, other.header.kid);
    }

    #[test]
    fn what_is_published_and_shown_tells_nothing_of_the_private_key() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::open(&folder.path().join("signing-key")).unwrap();
        let published = &key.public_set()["keys"][0];
        let names: Vec<_> = published.as_object().unwrap().keys().map(String::as_str).collect();
        for name in names {
            assert!(["use", "alg", "kid", "kty", "crv", "x", "y"].contains(&name), "{name}");
        }
        assert_eq!((&published["kty"], &published["alg"]), (&json!("EC"), &json!("ES256")));
        let shown = format!("{key:?}");
        assert!(shown.len() < 100 && shown.contains(published["kid"].as_str().unwrap()), "{shown}");
    }

    #[test]
    fn a_file_with_something_else_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signing-key");
        for text in ["", "hello", "-----BEGIN PRIVATE KEY-----\naGVsbG8=\n-----END PRIVATE KEY-----\n"] {
            fs::write(&path, text).unwrap();
            assert!(matches!(SigningKey::open(&path), Err(KeyError::Unusable { .. })), "{text}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
