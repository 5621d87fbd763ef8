//! Who may come in: from a presented bearer token to the tenant it opens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::directory::error::{DirectoryError, chain};
use crate::directory::token::{self, Presented};
use crate::ids::TenantId;
use crate::model::token::TokenRecord;
use crate::store::{Store, StoreError};

/// How long a record read from the store is trusted: the longest time that a revocation takes to be effective.
const TRUSTED_FOR: SignedDuration = SignedDuration::from_secs(1);
/// How exactly the last use is kept.
const TOUCH_EVERY: SignedDuration = SignedDuration::from_secs(60);
/// The name under which the token from the settings appears in logs and audit.
const STATIC_TOKEN: &str = "static";

/// A caller who has proven to hold a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    /// The one tenant that the token opens.
    pub tenant: TenantId,
    /// The public id of the token.
    pub token: String,
}

/// What came of presenting a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Come in.
    Admitted(Admission),
    /// Stay out; the word says why, for the metrics and never for the caller.
    Refused(&'static str),
}

/// The tokens of all tenants. Clones share one memory of recent ones.
#[derive(Debug, Clone)]
pub struct Tokens {
    store: Store,
    clock: Clock,
    fixed: Arc<[Fixed]>,
    recent: Arc<Mutex<BTreeMap<String, Recent>>>,
}

#[derive(Debug)]
struct Fixed {
    tenant: TenantId,
    hash: [u8; 32],
}

#[derive(Debug, Clone)]
struct Recent {
    record: TokenRecord,
    read_at: Timestamp,
}

impl Tokens {
    /// The tokens kept in `store`, and those that the settings give in clear.
    pub fn new(store: Store, clock: Clock, fixed: &[(TenantId, SecretString)]) -> Self {
        let fixed = fixed
            .iter()
            .filter(|(_, secret)| !secret.expose_secret().is_empty())
            .map(|(tenant, secret)| Fixed {
                tenant: tenant.clone(),
                hash: token::hash(secret.expose_secret()),
            })
            .collect();
        Self { store, clock, fixed, recent: Arc::default() }
    }

    /// Decides about a presented token. Unknown and wrong ones cost the same work.
    pub async fn admit(&self, presented: &str) -> Result<Verdict, DirectoryError> {
        if presented.is_empty() {
            return Ok(Verdict::Refused("missing"));
        }
        let hash = token::hash(presented);
        // Every fixed token is compared, so that the time does not tell which one came close.
        let fixed = self
            .fixed
            .iter()
            .fold(None, |found, fixed| if hash.ct_eq(&fixed.hash).into() { Some(fixed) } else { found });
        if let Some(fixed) = fixed {
            let admission = Admission { tenant: fixed.tenant.clone(), token: STATIC_TOKEN.to_owned() };
            return Ok(Verdict::Admitted(admission));
        }
        let Some(presented) = Presented::parse(presented) else {
            return Ok(Verdict::Refused("malformed"));
        };
        let record = self.record(&presented.id).await?;
        let expected = record.as_ref().map_or([0; 32], |record| record.secret_hash);
        let matches = presented.matches(&expected);
        let Some(record) = record.filter(|_| matches) else {
            return Ok(Verdict::Refused("unknown"));
        };
        let now = self.clock.now();
        if record.revoked_at.is_some() {
            return Ok(Verdict::Refused("revoked"));
        }
        if record.expires_at.is_some_and(|end| end <= now) {
            return Ok(Verdict::Refused("expired"));
        }
        self.touch(&record, now);
        Ok(Verdict::Admitted(Admission { tenant: record.tenant, token: record.id }))
    }

    /// The record of a token, as it stood at most [`TRUSTED_FOR`] ago.
    async fn record(&self, id: &str) -> Result<Option<TokenRecord>, DirectoryError> {
        let now = self.clock.now();
        let fresh = |recent: &&Recent| now.duration_since(recent.read_at).abs() < TRUSTED_FOR;
        if let Some(recent) = self.recent().get(id).filter(fresh) {
            return Ok(Some(recent.record.clone()));
        }
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

    /// Notes the use of a token, off the request's path.
    fn touch(&self, record: &TokenRecord, now: Timestamp) {
        let due = |used: Timestamp| now.duration_since(used) >= TOUCH_EVERY;
        {
            let mut recent = self.recent();
            let Some(recent) = recent.get_mut(&record.id) else { return };
            if !recent.record.last_used_at.is_none_or(due) {
                return;
            }
            recent.record.last_used_at = Some(now);
        }
        let (store, id) = (self.store.clone(), record.id.clone());
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
