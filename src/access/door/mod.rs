//! The decision about a presented credential: which tenant it opens, and for what.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::AccessError;
use super::fetch::FetchError;
use super::issuer::KeySource;
use super::jwt::{self, Expected, Fault, Kind, Unproven};
use super::oauth::{Endpoint, Issued};
use super::refusals::Refusals;
use super::token::{self, Presented};
use crate::clock::Clock;
use crate::events::key::SigningKey;
use crate::ids::TenantId;
use crate::model::scope::Scopes;
use crate::model::token::TokenRecord;
use crate::model::trust::Trust;
use crate::roster::Roster;
use crate::store::{Store, StoreError};
use crate::telemetry::chain;

/// How long a record read from the store is trusted: the longest time that a revocation takes to be effective.
const TRUSTED_FOR: SignedDuration = SignedDuration::from_secs(1);
/// How exactly the last use is kept.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// The name under which the token from the settings appears in logs and audit.
const STATIC_TOKEN: &str = "static";

/// The dress in which a credential stands in the `Authorization` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `Bearer` and the token (RFC 6750 §2.1).
    Bearer,
    /// The token alone.
    Bare,
    /// The password of Basic authentication (RFC 7617).
    Basic,
}

/// Somebody who wants to come in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The tenant that the path names; `None` is one that cannot exist.
    pub tenant: Option<&'a TenantId>,
    /// The SCIM base URL of that tenant, for which access tokens of ours are meant.
    pub audience: &'a str,
    /// How the credential is presented.
    pub form: Form,
    /// What is presented.
    pub credential: &'a str,
}

/// A caller who has proven to hold a good credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The one tenant that it opens.
    pub tenant: TenantId,
    /// The public name of it, for logs and audit.
    pub token: String,
    /// What it may do.
    pub scopes: Scopes,
}

/// Why somebody stays out. For logs, metrics and the audit trail, never for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason, one of few words.
    pub reason: &'static str,
    /// The public name of the credential, if it is one on record.
    pub token: Option<String>,
}

impl From<&'static str> for Refusal {
    fn from(reason: &'static str) -> Self {
        Self { reason, token: None }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        fault.as_str().into()
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Admitted(Admission),
    /// Stay out.
    Refused(Refusal),
}

/// The door of all tenants. Clones share everything.
#[derive(Debug, Clone)]
pub struct Door {
    store: Store,
    clock: Clock,
    fixed: Roster<[u8; 32]>,
    tenants: Roster<Arc<Tenant>>,
    endpoint: Arc<OnceLock<Endpoint>>,
    refusals: Refusals,
    recent: Arc<Mutex<BTreeMap<String, Recent>>>,
}

#[derive(Debug)]
struct Tenant {
    trust: Trust,
    issuers: Vec<KeySource>,
}

#[derive(Debug, Clone)]
struct Recent {
    record: TokenRecord,
    read_at: Timestamp,
}

impl Door {
    /// A door that opens to the tokens kept in `store`, and to those that the settings give in clear.
    pub fn new(store: Store, clock: Clock, fixed: &[(TenantId, SecretString)]) -> Self {
        let fixed =
            fixed.iter().filter_map(|(tenant, secret)| Some((tenant.clone(), hash_of(secret)?))).collect();
        let refusals = Refusals::new(store.clone(), clock.clone());
        Self {
            store,
            clock,
            fixed,
            tenants: Roster::default(),
            endpoint: Arc::default(),
            refusals,
            recent: Arc::default(),
        }
    }

    /// The same door with what the settings of tenants say about theirs. All others have [`Trust::default`].
    pub fn with_trust(
        self,
        tenants: impl IntoIterator<Item = (TenantId, Trust)>,
    ) -> Result<Self, FetchError> {
        for (id, trust) in tenants {
            self.trust(id, trust)?;
        }
        Ok(self)
    }

    /// Opens to what the settings of a tenant say, in place of what they said before.
    pub fn take_on(
        &self,
        tenant: TenantId,
        trust: Trust,
        fixed: Option<&SecretString>,
    ) -> Result<(), FetchError> {
        match fixed.and_then(hash_of) {
            Some(hash) => self.fixed.insert(tenant.clone(), hash),
            None => {
                self.fixed.remove(&tenant);
            }
        }
        self.trust(tenant, trust)
    }

    /// Opens no more to what the settings of a tenant said; its tokens on record are another matter.
    pub fn let_go(&self, tenant: &TenantId) {
        self.fixed.remove(tenant);
        self.tenants.remove(tenant);
    }

    fn trust(&self, tenant: TenantId, trust: Trust) -> Result<(), FetchError> {
        let issuers = trust.issuers.iter().map(|rules| KeySource::new(rules.clone(), self.clock.clone()));
        let issuers = issuers.collect::<Result<_, _>>()?;
        self.tenants.insert(tenant, Arc::new(Tenant { trust, issuers }));
        Ok(())
    }

    /// Has a token endpoint from now on; `public_url` is how clients know the program, and names it as the issuer. One
    /// that there is already stays.
    pub fn open_endpoint(&self, key: Arc<SigningKey>, public_url: &str) {
        self.endpoint.get_or_init(|| Endpoint::new(self.store.clone(), self.clock.clone(), key, public_url));
    }

    /// The token endpoint, if there is one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.endpoint.get()
    }

    /// Whether clients of the tenant get access tokens.
    pub fn gives_tokens(&self, tenant: &TenantId) -> bool {
        self.endpoint().is_some() && self.tenants.get(tenant).is_some_and(|tenant| tenant.trust.oauth)
    }

    /// The keys of access tokens, for everybody.
    pub fn public_keys(&self) -> Option<Value> {
        self.endpoint().map(Endpoint::public_keys)
    }

    /// The account of those who were turned away.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Decides about an attempt. Whatever is wrong with a static token, refusing it costs the same hashes, comparisons
    /// and one look into the store, so that the time tells nothing.
    pub async fn admit(&self, attempt: Attempt<'_>) -> Result<Verdict, AccessError> {
        let settings = attempt.tenant.and_then(|tenant| self.tenants.get(tenant));
        let settings = settings.as_deref();
        let verdict = if jwt::is_jwt(attempt.credential) {
            self.admit_jwt(attempt, settings).await?
        } else {
            self.admit_static(attempt).await?
        };
        let admission = match verdict {
            Ok(admission) => admission,
            Err(refusal) => return Ok(Verdict::Refused(refusal)),
        };
        let (bare, basic) = settings.map_or((true, false), |tenant| (tenant.trust.bare, tenant.trust.basic));
        let in_form = match attempt.form {
            Form::Bearer => true,
            Form::Bare => bare,
            Form::Basic => basic,
        };
        let refused = |reason| Refusal { reason, token: Some(admission.token.clone()) };
        Ok(if attempt.tenant != Some(&admission.tenant) {
            Verdict::Refused(refused("foreign tenant"))
        } else if !in_form {
            Verdict::Refused(refused("form"))
        } else {
            // Only now: who rotates a token relies on the new one having been let in, not merely shown.
            self.touch(&admission.token);
            Verdict::Admitted(admission)
        })
    }

    async fn admit_static(&self, attempt: Attempt<'_>) -> Result<Result<Admission, Refusal>, AccessError> {
        let text = attempt.credential;
        if text.is_empty() {
            return Ok(Err("missing".into()));
        }
        let hash = token::hash(text);
        // Every fixed token is compared, so that the time does not tell which one came close.
        let fixed = self.fixed.entries();
        let matching =
            fixed.into_iter().fold(
                None,
                |found, (tenant, fixed)| if hash.ct_eq(&fixed).into() { Some(tenant) } else { found },
            );
        if let Some(tenant) = matching {
            return Ok(Ok(Admission { tenant, token: STATIC_TOKEN.to_owned(), scopes: Scopes::admin() }));
        }
        let parsed = Presented::parse(text);
        let is_well_formed = parsed.is_some();
        let presented = parsed.unwrap_or_else(Presented::nobody);
        let now = self.clock.now();
        // Only whoever comes in is spared the look into the store.
        let is_welcome = |record: &TokenRecord| {
            presented.matches(&record.secret_hash)
                && record.is_live(now)
                && attempt.tenant == Some(&record.tenant)
        };
        let record = match self.remembered(&presented.id, now).filter(is_welcome) {
            Some(record) => Some(record),
            None => self.read(&presented.id).await?,
        };
        let expected = record.as_ref().map_or([0; 32], |record| record.secret_hash);
        let matches = presented.matches(&expected);
        let Some(record) = record else {
            return Ok(Err(if is_well_formed { "unknown" } else { "malformed" }.into()));
        };
        let refused = |reason| Ok(Err(Refusal { reason, token: Some(record.id.clone()) }));
        if !matches {
            return refused("unknown");
        }
        if record.revoked_at.is_some() {
            return refused("revoked");
        }
        if !record.is_live(now) {
            return refused("expired");
        }
        Ok(Ok(Admission { tenant: record.tenant, token: record.id, scopes: record.scopes }))
    }

    async fn admit_jwt(
        &self,
        attempt: Attempt<'_>,
        settings: Option<&Tenant>,
    ) -> Result<Result<Admission, Refusal>, AccessError> {
        let (Some(tenant), Some(settings)) = (attempt.tenant, settings) else {
            return Ok(Err(Fault::Issuer.into()));
        };
        let Some(unproven) = Unproven::read(attempt.credential) else {
            return Ok(Err(Fault::Malformed.into()));
        };
        let now = self.clock.now();
        if let Some(endpoint) = self.endpoint().filter(|own| own.issuer() == unproven.issuer) {
            if !settings.trust.oauth {
                return Ok(Err(Fault::Issuer.into()));
            }
            return self
                .admit_issued(tenant, endpoint.prove(attempt.credential, attempt.audience, now))
                .await;
        }
        let mut fault = Fault::Issuer;
        let of_issuer = |source: &&KeySource| source.rules.issuer == unproven.issuer;
        for source in settings.issuers.iter().filter(of_issuer) {
            let keys = source.keys(unproven.key_id.as_deref()).await.ok_or(AccessError::NoKeys)?;
            let rules = &source.rules;
            let expected =
                Expected { kind: Kind::Access, issuer: &rules.issuer, audiences: &[&*rules.audience] };
            let holder = jwt::prove(attempt.credential, &keys, expected, now)
                .and_then(|claims| jwt::check_holder(&claims, rules).map(str::to_owned));
            match holder {
                Ok(holder) => {
                    let token = format!("jwt:{holder}");
                    return Ok(Ok(Admission { tenant: tenant.clone(), token, scopes: rules.scopes.clone() }));
                }
                Err(found) => fault = found,
            }
        }
        Ok(Err(fault.into()))
    }

    /// Decides about an access token of ours: its client must still be there, and it must not have been revoked.
    async fn admit_issued(
        &self,
        tenant: &TenantId,
        issued: Result<Issued, Fault>,
    ) -> Result<Result<Admission, Refusal>, AccessError> {
        let issued = match issued {
            Ok(issued) => issued,
            Err(fault) => return Ok(Err(fault.into())),
        };
        let mut reader = self.store.reader().await?;
        let client = reader.load_client(&issued.client).await?.filter(|client| client.tenant == *tenant);
        let Some(client) = client else { return Ok(Err(Fault::Client.into())) };
        let refused = |reason| Ok(Err(Refusal { reason, token: Some(client.id.clone()) }));
        if client.revoked_at.is_some() || reader.is_spent(&client.id, &issued.spent_as()).await? {
            return refused("revoked");
        }
        let Some(scopes) = issued.scopes.both(&client.scopes) else {
            return refused(Fault::Scope.as_str());
        };
        Ok(Ok(Admission { tenant: client.tenant, token: client.id, scopes }))
    }

    /// The record of a token, if it was read less than [`TRUSTED_FOR`] ago.
    fn remembered(&self, id: &str, now: Timestamp) -> Option<TokenRecord> {
        let fresh = |recent: &&Recent| now.duration_since(recent.read_at).abs() < TRUSTED_FOR;
        self.recent().get(id).filter(fresh).map(|recent| recent.record.clone())
    }

    /// The record of a token as the store has it.
    async fn read(&self, id: &str) -> Result<Option<TokenRecord>, AccessError> {
        #[cfg(test)]
        token::work::LOOKS.set(token::work::LOOKS.get() + 1);
        let now = self.clock.now();
        let record = self.store.reader().await?.load_token(id).await?;
        let mut recent = self.recent();
        match &record {
            // Only tokens on record are remembered, so strangers cannot make the memory grow.
            Some(record) => {
                let mut record = record.clone();
                let used_before = recent.get(id).and_then(|recent| recent.record.last_used_at);
                record.last_used_at = record.last_used_at.max(used_before);
                recent.insert(id.to_owned(), Recent { record, read_at: now });
            }
            None => {
                recent.remove(id);
            }
        }
        Ok(record)
    }

    /// Notes the use of a token on record, off the request's path.
    fn touch(&self, id: &str) {
        let now = self.clock.now();
        let due = |used: Timestamp| now.duration_since(used) >= TOUCH_EVERY;
        {
            let mut recent = self.recent();
            let Some(recent) = recent.get_mut(id) else { return };
            if !recent.record.last_used_at.is_none_or(due) {
                return;
            }
            recent.record.last_used_at = Some(now);
        }
        let (store, id) = (self.store.clone(), id.to_owned());
        tokio::spawn(async move {
            let token = id.clone();
            let touched: Result<(), StoreError> = store
                .write(move |tx| {
                    let id = id.clone();
                    Box::pin(async move { tx.touch_token(&id, now).await })
                })
                .await;
            if let Err(error) = touched {
                tracing::warn!(token.id = %token, error = chain(&error), "the use of token {token} was not noted");
            }
        });
    }

    fn recent(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The hash of a token that the settings give; an empty one is none.
fn hash_of(secret: &SecretString) -> Option<[u8; 32]> {
    let secret = secret.expose_secret();
    (!secret.is_empty()).then(|| token::hash(secret))
}

#[cfg(test)]
mod tests;
