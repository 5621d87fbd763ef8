//! The token endpoint: access tokens for clients that prove themselves, by a secret or by a key of their own
//! (RFC 6749 §4.4, RFC 7523), and their revocation (RFC 7009). Access tokens are those of RFC 9068.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::client::has_secret;
use super::door::Refusal;
use super::jwt::{self, Expected, Fault, Kind, Unproven};
use super::keys::KeySet;
use crate::clock::Clock;
use crate::events::key::SigningKey;
use crate::ids::TenantId;
use crate::model::audit::{Actor, AuditEntry};
use crate::model::client::ClientRecord;
use crate::model::scope::{Scope, Scopes};
use crate::store::{Store, StoreError};

/// How long an access token works.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How far ahead an assertion may expire: as long as it must be remembered.
const LONGEST_ASSERTION: SignedDuration = SignedDuration::from_mins(10);
/// How much longer than its own time something is remembered, for clocks that differ.
const GRACE: SignedDuration = SignedDuration::from_mins(2);
/// The longest `jti` of an assertion.
const MAX_JTI: usize = 128;
/// The type of our access tokens (RFC 9068 §2.1).
const TOKEN_TYPE: &str = "at+jwt";
/// The only type of assertion (RFC 7523 §2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Where tokens are given out, below the public address.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Where they are taken back.
pub const REVOCATION_PATH: &str = "/oauth/revoke";
/// Where the metadata is (RFC 8414 §3).
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";
/// Where the keys are.
pub const KEYS_PATH: &str = "/.well-known/jwks.json";

/// The endpoint. Clones share everything.
#[derive(Debug, Clone)]
pub struct Endpoint {
    store: Store,
    clock: Clock,
    key: Arc<SigningKey>,
    keys: Arc<KeySet>,
    issuer: Arc<str>,
}

/// An access token that was proven to be ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Issued {
    pub(super) client: String,
    pub(super) scopes: Scopes,
    id: String,
}

impl Issued {
    /// The name under which its revocation is kept.
    pub(super) fn spent_as(&self) -> String {
        format!("token:{}", self.id)
    }
}

/// What a client sends: the parameters of the body, and the credentials of Basic authentication if there are any.
#[derive(Debug, Default)]
pub struct Request {
    /// The parameters, each once.
    pub parameters: BTreeMap<String, String>,
    /// Client id and secret.
    pub basic: Option<(String, String)>,
}

impl Request {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// An access token for a client.
#[derive(Debug)]
pub struct Granted {
    /// The answer's body (RFC 6749 §5.1).
    pub body: Value,
}

/// Why a client gets nothing (RFC 6749 §5.2).
#[derive(Debug, thiserror::Error)]
pub enum OauthError {
    /// The request makes no sense.
    #[error("invalid_request")]
    InvalidRequest(&'static str),
    /// The client is not who it says it is.
    #[error("invalid_client")]
    InvalidClient {
        /// The tenant of the client that was named, if there is one.
        tenant: Option<TenantId>,
        /// Why, for the account of the refused.
        refusal: Refusal,
    },
    /// Another grant than that of client credentials.
    #[error("unsupported_grant_type")]
    UnsupportedGrantType,
    /// More is asked for than the client may have.
    #[error("invalid_scope")]
    InvalidScope,
    /// The client asks too often.
    #[error("slow_down")]
    TooMany {
        /// The tenant of the client.
        tenant: TenantId,
        /// Its public name.
        client: String,
        /// After how many seconds it may come back.
        wait: i64,
    },
    /// The store cannot be read or written.
    #[error("temporarily_unavailable")]
    Store(#[from] StoreError),
    /// The token cannot be signed.
    #[error("server_error")]
    Broken,
}

/// How a client proves who it is.
enum Proof<'a> {
    Secret(&'a str),
    Assertion(&'a str),
}

impl Endpoint {
    pub(super) fn new(store: Store, clock: Clock, key: Arc<SigningKey>, public_url: &str) -> Self {
        // A key that signs is of use to verify, so the set cannot be empty; if it were, no token would be taken.
        let keys = KeySet::parse(&key.public_set()).unwrap_or_default();
        Self { store, clock, key, keys: Arc::new(keys), issuer: public_url.trim_end_matches('/').into() }
    }

    /// Who issues the tokens (`iss`): the public address of the program.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    pub(super) fn public_keys(&self) -> Value {
        self.key.public_set()
    }

    /// The metadata (RFC 8414 §2).
    pub fn metadata(&self) -> Value {
        let issuer = &self.issuer;
        let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
        let algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
        json!({
            "issuer": &**issuer,
            "token_endpoint": format!("{issuer}{TOKEN_PATH}"),
            "revocation_endpoint": format!("{issuer}{REVOCATION_PATH}"),
            "jwks_uri": format!("{issuer}{KEYS_PATH}"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "scopes_supported": Scope::ALL.map(Scope::as_str),
        })
    }

    /// Proves an access token of ours for this audience.
    pub(super) fn prove(&self, token: &str, audience: &str, now: Timestamp) -> Result<Issued, Fault> {
        let expected = Expected { kind: Kind::OwnAccess, issuer: &self.issuer, audiences: &[audience] };
        let claims = jwt::prove(token, &self.keys, expected, now)?;
        let text = |name| claims.text(name).map(str::to_owned).ok_or(Fault::Claims);
        let scopes = text("scope")?.parse().map_err(|_unknown| Fault::Claims)?;
        Ok(Issued { client: text("client_id")?, scopes, id: text("jti")? })
    }

    /// Gives a client an access token. `welcome` judges a client that has been proven, and tells the SCIM base URL of
    /// its tenant, or `None` if clients of that get none.
    pub async fn grant(
        &self,
        request: &Request,
        welcome: impl Fn(&ClientRecord) -> Result<Option<String>, OauthError>,
    ) -> Result<Granted, OauthError> {
        match request.get("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Err(OauthError::UnsupportedGrantType),
            None => return Err(OauthError::InvalidRequest("grant_type is missing; send client_credentials")),
        }
        let client = self.authenticate(request).await?;
        let audience = welcome(&client)?.ok_or_else(|| refused(Some(&client), "tenant without oauth"))?;
        let scopes = match request.get("scope") {
            None => client.scopes.clone(),
            Some(text) => {
                let asked: Scopes = text.parse().map_err(|_unknown| OauthError::InvalidScope)?;
                if !client.scopes.cover(&asked) {
                    return Err(OauthError::InvalidScope);
                }
                asked
            }
        };
        let now = self.clock.now();
        let id = self.clock.uuid().to_string();
        let claims = json!({
            "iss": &*self.issuer,
            "aud": audience,
            "sub": client.id,
            "client_id": client.id,
            "jti": id,
            "iat": now.as_second(),
            "exp": (now + LIFETIME).as_second(),
            "scope": scopes.to_string(),
        });
        let token = self.key.sign_as(TOKEN_TYPE, &claims).map_err(|_unsigned| OauthError::Broken)?;
        self.note(&client, "client.token", &id, now).await?;
        Ok(Granted {
            body: json!({
                "access_token": token,
                "token_type": "Bearer",
                "expires_in": LIFETIME.as_secs(),
                "scope": scopes.to_string(),
            }),
        })
    }

    /// Ends one of the client's own access tokens (RFC 7009 §2). What is no such token is none that could be ended.
    pub async fn revoke(
        &self,
        request: &Request,
        welcome: impl Fn(&ClientRecord) -> Result<Option<String>, OauthError>,
    ) -> Result<(), OauthError> {
        let token = request.get("token").ok_or(OauthError::InvalidRequest("token is missing"))?;
        let client = self.authenticate(request).await?;
        let now = self.clock.now();
        let audience = welcome(&client)?.unwrap_or_default();
        let Ok(issued) = self.prove(token, &audience, now) else { return Ok(()) };
        if issued.client != client.id {
            return Ok(());
        }
        // It expires by itself before this is forgotten.
        let until = now + LIFETIME + GRACE;
        self.spend(&client.id, issued.spent_as(), until, now).await?;
        self.note(&client, "client.token.revoke", &issued.id, now).await
    }

    /// Finds out which client asks (RFC 6749 §2.3). Only one way of proof may be used at once.
    async fn authenticate(&self, request: &Request) -> Result<ClientRecord, OauthError> {
        let assertion = request.get("client_assertion");
        if assertion.is_some() != request.get("client_assertion_type").is_some() {
            return Err(OauthError::InvalidRequest(
                "client_assertion and client_assertion_type belong together",
            ));
        }
        let (named, proof) = match (&request.basic, request.get("client_secret"), assertion) {
            (Some((id, secret)), None, None) => (Some(id.as_str()), Proof::Secret(secret)),
            (None, Some(secret), None) => (request.get("client_id"), Proof::Secret(secret)),
            (None, None, Some(assertion)) => {
                if request.get("client_assertion_type") != Some(ASSERTION_TYPE) {
                    return Err(OauthError::InvalidRequest("this client_assertion_type is not known"));
                }
                (None, Proof::Assertion(assertion))
            }
            (None, None, None) => return Err(refused(None, "missing")),
            _ => return Err(OauthError::InvalidRequest("prove the client in one way, not in several")),
        };
        if let (Some(named), Some(other)) = (named, request.get("client_id"))
            && named != other
        {
            return Err(OauthError::InvalidRequest("client_id names another client"));
        }
        match proof {
            Proof::Secret(secret) => {
                let client = self.load(named.unwrap_or_default()).await?;
                if !has_secret(client.as_ref(), secret) {
                    return Err(refused(client.as_ref(), "unknown"));
                }
                live(client)
            }
            Proof::Assertion(assertion) => self.check_assertion(request, assertion).await,
        }
    }

    /// Judges an assertion (RFC 7523 §3): signed by the client's own key, meant for us, short-lived and never shown
    /// before.
    async fn check_assertion(&self, request: &Request, assertion: &str) -> Result<ClientRecord, OauthError> {
        let id = Unproven::read(assertion).ok_or_else(|| refused(None, Fault::Malformed.as_str()))?.issuer;
        let client = self.load(&id).await?;
        let keys = client.as_ref().and_then(|client| client.public_keys.as_ref());
        let keys = keys.and_then(|keys| KeySet::parse(keys).ok());
        let Some(keys) = keys else { return Err(refused(client.as_ref(), "unknown")) };
        let now = self.clock.now();
        let endpoint = format!("{}{TOKEN_PATH}", self.issuer);
        let revocation = format!("{}{REVOCATION_PATH}", self.issuer);
        let expected = Expected {
            kind: Kind::Assertion,
            issuer: &id,
            audiences: &[&self.issuer, &endpoint, &revocation],
        };
        let fault = |fault: Fault| refused(client.as_ref(), fault.as_str());
        let claims = jwt::prove(assertion, &keys, expected, now).map_err(fault)?;
        if claims.text("sub") != Some(&id) || request.get("client_id").is_some_and(|named| named != id) {
            return Err(fault(Fault::Claims));
        }
        let jti = claims.text("jti").filter(|jti| !jti.is_empty() && jti.len() <= MAX_JTI);
        let jti = jti.ok_or_else(|| fault(Fault::Claims))?;
        let expires = claims.instant("exp").map_err(fault)?.unwrap_or_default();
        let until = now + LONGEST_ASSERTION + GRACE;
        if expires > until.as_duration().as_secs_f64() {
            return Err(fault(Fault::Claims));
        }
        let client = live(client)?;
        if !self.spend(&client.id, format!("assertion:{jti}"), until + GRACE, now).await? {
            return Err(refused(Some(&client), "replayed"));
        }
        Ok(client)
    }

    async fn load(&self, id: &str) -> Result<Option<ClientRecord>, StoreError> {
        self.store.reader().await?.load_client(id).await
    }

    async fn spend(
        &self,
        client: &str,
        id: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let client = client.to_owned();
        self.store
            .write(move |tx| {
                let (client, id) = (client.clone(), id.clone());
                Box::pin(async move { tx.spend(&client, &id, until, now).await })
            })
            .await
    }

    async fn note(
        &self,
        client: &ClientRecord,
        event: &str,
        jti: &str,
        now: Timestamp,
    ) -> Result<(), OauthError> {
        let id = client.id.clone();
        let actor = Actor::Token(id.clone());
        let entry = AuditEntry::by(actor, &client.tenant, now, event, json!({ "jti": jti }));
        let noted: Result<(), StoreError> = self
            .store
            .write(move |tx| {
                let (id, entry) = (id.clone(), entry.clone());
                Box::pin(async move {
                    tx.touch_client(&id, now).await?;
                    tx.append_audit(&entry).await
                })
            })
            .await;
        Ok(noted?)
    }
}

/// A client that was proven, if it was not removed.
fn live(client: Option<ClientRecord>) -> Result<ClientRecord, OauthError> {
    match client {
        Some(client) if client.revoked_at.is_none() => Ok(client),
        other => Err(refused(other.as_ref(), "revoked")),
    }
}

fn refused(client: Option<&ClientRecord>, reason: &'static str) -> OauthError {
    OauthError::InvalidClient {
        tenant: client.map(|client| client.tenant.clone()),
        refusal: Refusal { reason, token: client.map(|client| client.id.clone()) },
    }
}
