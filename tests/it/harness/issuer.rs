//! An issuer of signed tokens: its keys, the server that publishes them, and whatever token a test wants signed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::model::trust::Issuer;
use serde_json::{Value, json};
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

use super::wire;

/// A key pair on P-256 with its name.
#[derive(Clone)]
pub(crate) struct TestKey {
    pub(crate) id: String,
    pub(crate) signing: EncodingKey,
}

impl TestKey {
    pub(crate) fn new(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Self { id: id.to_owned(), signing: EncodingKey::from_ec_der(pair.unwrap().as_ref()) }
    }

    /// The public half as it is published.
    pub(crate) fn public(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.signing, Algorithm::ES256).unwrap()).unwrap();
        jwk["kid"] = json!(self.id);
        jwk["use"] = json!("sig");
        jwk
    }

    /// A header that names this key.
    pub(crate) fn header(&self) -> Header {
        Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) }
    }

    /// These claims, signed.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_with(&self.header(), claims)
    }

    /// These claims under this header, signed.
    pub(crate) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.signing).unwrap()
    }
}

/// A key pair for RSA with its name, as Entra ID's are.
pub(crate) struct TestRsaKey {
    id: String,
    pair: RsaKeyPair,
}

impl TestRsaKey {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), pair: RsaKeyPair::generate(KeySize::Rsa2048).unwrap() }
    }

    /// The public half as Entra ID publishes it: without an algorithm, and with what it says besides.
    pub(crate) fn public(&self) -> Value {
        let part = |number: &[u8]| URL_SAFE_NO_PAD.encode(number);
        let public = self.pair.public_key();
        json!({
            "kty": "RSA", "use": "sig", "kid": self.id, "x5t": self.id, "x5c": ["MIIC/TCCAeWg"],
            "n": part(public.modulus().big_endian_without_leading_zero()), "e": part(public.exponent().big_endian_without_leading_zero()), "issuer": "https://sts.windows.net/x/",
        })
    }

    /// These claims, signed by RS256.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({ "typ": "JWT", "alg": "RS256", "x5t": self.id, "kid": self.id });
        let unsigned = forged(&header, claims, b"");
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let text = unsigned.trim_end_matches('.').as_bytes();
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).unwrap();
        forged(&header, claims, &signature)
    }
}

/// A token put together by hand: whatever header, and whatever signature.
pub(crate) fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!(
        "{}.{}.{}",
        part(header.to_string().as_bytes()),
        part(claims.to_string().as_bytes()),
        part(signature)
    )
}

/// A server that publishes keys.
pub(crate) struct TestIssuer {
    pub(crate) key: TestKey,
    pub(crate) url: String,
    published: Arc<Mutex<Answers>>,
    fetched: Arc<AtomicUsize>,
}

struct Answers {
    keys: Value,
    discovery: Value,
    status: u16,
}

impl TestIssuer {
    pub(crate) async fn start() -> Self {
        let key = TestKey::new("key-1");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let discovery = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let published =
            Arc::new(Mutex::new(Answers { keys: json!({ "keys": [key.public()] }), discovery, status: 200 }));
        let fetched = Arc::new(AtomicUsize::new(0));
        let (answers, count) = (Arc::clone(&published), Arc::clone(&fetched));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let line = wire::receive(&mut stream).await.line;
                let (status, body) = {
                    let answers = answers.lock().unwrap();
                    if line.contains("openid-configuration") {
                        (answers.status, answers.discovery.to_string())
                    } else {
                        count.fetch_add(1, Ordering::SeqCst);
                        (answers.status, answers.keys.to_string())
                    }
                };
                let answer = wire::answer(status, &[("location", "/")], &body);
                stream.write_all(&answer).await.unwrap();
            }
        });
        Self { key, url, published, fetched }
    }

    /// What the settings say of it: tokens for this audience, of the client `idp`.
    pub(crate) fn rules(&self, audience: &str) -> Issuer {
        Issuer {
            issuer: self.url.clone(),
            audience: audience.to_owned(),
            jwks_url: None,
            clients: vec!["idp".to_owned()],
            subjects: Vec::new(),
            directory: None,
            required_scope: None,
            scopes: Scopes::provisioning(),
            allow_private: true,
        }
    }

    /// The claims of a good token.
    pub(crate) fn claims(&self, audience: &str, clock: &Clock) -> Value {
        let now = clock.now().as_second();
        json!({ "iss": self.url, "aud": audience, "appid": "idp", "sub": "s", "iat": now, "nbf": now, "exp": now + 3600 })
    }

    /// Publishes these keys from now on.
    pub(crate) fn publish(&self, keys: &Value) {
        self.published.lock().unwrap().keys = keys.clone();
    }

    /// Tells this about itself from now on.
    pub(crate) fn describe(&self, discovery: Value) {
        self.published.lock().unwrap().discovery = discovery;
    }

    /// Answers with this status from now on.
    pub(crate) fn answer(&self, status: u16) {
        self.published.lock().unwrap().status = status;
    }

    /// How often its keys were fetched.
    pub(crate) fn fetched(&self) -> usize {
        self.fetched.load(Ordering::SeqCst)
    }
}
