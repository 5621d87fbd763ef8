//! The public keys of an issuer: what of a key set (RFC 7517 §5) can verify a signature, and by which algorithms.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

/// The most keys of a set that are looked at.
const MAX_KEYS: usize = 64;

/// The keys of one issuer that signatures can be verified with.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// One key, and what it may be used for.
#[derive(Debug, Clone)]
pub(super) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
}

/// A text that is no key set, or has no key of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no public key in it can verify a signature: it must be a key set (RFC 7517) with RSA keys, EC keys on P-256 or P-384, \
     or Ed25519 keys, and without private keys"
)]
pub struct KeySetError;

impl KeySet {
    /// The keys of a set that are of use. Symmetric keys are not: whoever knows one can sign. A set that holds the
    /// private half of a key is refused as a whole, because it was shown to others.
    pub fn parse(set: &Value) -> Result<Self, KeySetError> {
        let entries = set.get("keys").and_then(Value::as_array).ok_or(KeySetError)?;
        if entries.iter().any(|entry| entry.get("d").is_some()) {
            return Err(KeySetError);
        }
        let keys: Vec<_> = entries.iter().take(MAX_KEYS).filter_map(Key::read).collect();
        if keys.is_empty() { Err(KeySetError) } else { Ok(Self { keys }) }
    }

    /// The key that a token's header means. Only a set of one key is clear without a name.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        match (id, self.keys.as_slice()) {
            (Some(id), keys) => {
                keys.iter().find(|key| key.id.as_deref() == Some(id) && key.algorithms.contains(&algorithm))
            }
            (None, [only]) => Some(only).filter(|key| key.algorithms.contains(&algorithm)),
            (None, _) => None,
        }
    }

    /// Whether some key has this name, whatever it may be used for.
    pub(super) fn knows(&self, id: Option<&str>) -> bool {
        match id {
            Some(id) => self.keys.iter().any(|key| key.id.as_deref() == Some(id)),
            None => true,
        }
    }
}

impl Key {
    fn read(entry: &Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(entry.clone()).ok()?;
        if jwk.common.public_key_use.as_ref().is_some_and(|usage| *usage != PublicKeyUse::Signature) {
            return None;
        }
        let of_kind = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                vec![Algorithm::ES256]
            }
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => {
                vec![Algorithm::ES384]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        let algorithms = match jwk.common.key_algorithm {
            None => of_kind,
            Some(named) => {
                of_kind.into_iter().filter(|algorithm| KeyAlgorithm::from(*algorithm) == named).collect()
            }
        };
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        (!algorithms.is_empty()).then_some(Self { id: jwk.common.key_id, algorithms, decoding })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ec(with: &[(&str, &str)]) -> Value {
        let mut key = json!({
            "kty": "EC", "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        });
        for (name, value) in with {
            key[*name] = json!(value);
        }
        key
    }

    #[test]
    fn only_public_keys_for_signatures_are_of_use() {
        let of_use = |key: Value| KeySet::parse(&json!({ "keys": [key] })).is_ok();
        assert!(of_use(ec(&[])));
        assert!(of_use(ec(&[("use", "sig"), ("alg", "ES256")])));
        assert!(!of_use(ec(&[("use", "enc")])));
        assert!(!of_use(ec(&[("alg", "RS256")])));
        assert!(!of_use(ec(&[("alg", "HS256")])));
        assert!(!of_use(ec(&[("d", "secret")])));
        assert!(!of_use(json!({ "kty": "oct", "k": "c2VjcmV0" })));
        assert!(!of_use(json!({ "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" })));
        assert!(KeySet::parse(&json!({ "keys": [] })).is_err());
        assert!(KeySet::parse(&json!([])).is_err());
    }

    #[test]
    fn a_key_is_found_by_its_name_for_its_own_algorithms_alone() {
        let set = KeySet::parse(&json!({ "keys": [ec(&[("kid", "a")]), ec(&[("kid", "b")])] })).unwrap();
        assert!(set.find(Some("a"), Algorithm::ES256).is_some());
        for (id, algorithm) in [
            (Some("a"), Algorithm::HS256),
            (Some("a"), Algorithm::ES384),
            (Some("a"), Algorithm::RS256),
            (Some("c"), Algorithm::ES256),
            (None, Algorithm::ES256),
        ] {
            assert!(set.find(id, algorithm).is_none(), "{id:?} {algorithm:?}");
        }
        let one = KeySet::parse(&json!({ "keys": [ec(&[])] })).unwrap();
        assert!(one.find(None, Algorithm::ES256).is_some());
    }
}
