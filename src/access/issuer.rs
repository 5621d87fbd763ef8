//! An issuer whose tokens are taken, with its keys: found once, kept, and read again when they must be and no more
//! often.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use url::Url;

use super::fetch::{FetchError, Fetcher};
use super::keys::KeySet;
use crate::clock::Clock;
use crate::model::trust::Issuer;
use crate::telemetry::chain;

/// Keys are read again when they are older.
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(1);
/// Keys that cannot be read again serve no longer than this: an issuer may have withdrawn one.
const USABLE_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The shortest time between two readings, whatever tokens ask for.
const PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// An issuer with its keys. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct KeySource {
    pub(super) rules: Arc<Issuer>,
    clock: Clock,
    fetcher: Fetcher,
    kept: Arc<Mutex<Kept>>,
    /// Held by the one who reads; the others wait for what comes of it.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct Kept {
    keys: Option<(Arc<KeySet>, Timestamp)>,
    tried_at: Option<Timestamp>,
}

impl KeySource {
    pub(super) fn new(rules: Issuer, clock: Clock) -> Result<Self, FetchError> {
        let fetcher = Fetcher::new(rules.allow_private)?;
        Ok(Self { rules: Arc::new(rules), clock, fetcher, kept: Arc::default(), reading: Arc::default() })
    }

    /// The keys for a token whose header names this one; `None` if there are none to be had at the moment.
    pub(super) async fn keys(&self, id: Option<&str>) -> Option<Arc<KeySet>> {
        if let Some(keys) = self.fresh(id) {
            return Some(keys);
        }
        let _turn = self.reading.lock().await;
        if let Some(keys) = self.fresh(id) {
            return Some(keys);
        }
        let now = self.clock.now();
        let is_due = self.kept().tried_at.is_none_or(|at| now.duration_since(at).abs() >= PAUSE);
        if is_due {
            self.kept().tried_at = Some(now);
            match self.read().await {
                Ok(keys) => self.kept().keys = Some((Arc::new(keys), now)),
                Err(error) => {
                    let issuer = &self.rules.issuer;
                    tracing::warn!(%issuer, error = chain(&error), "the keys of the issuer {issuer} cannot be read");
                }
            }
        }
        let kept = self.kept();
        let (keys, read_at) = kept.keys.as_ref()?;
        (now.duration_since(*read_at) < USABLE_FOR).then(|| Arc::clone(keys))
    }

    /// The keys that are kept, if they are fresh and the one that is asked for is among them.
    fn fresh(&self, id: Option<&str>) -> Option<Arc<KeySet>> {
        let now = self.clock.now();
        let kept = self.kept();
        let (keys, read_at) = kept.keys.as_ref()?;
        let is_fresh = now.duration_since(*read_at).abs() < FRESH_FOR;
        (is_fresh && keys.knows(id)).then(|| Arc::clone(keys))
    }

    async fn read(&self) -> Result<KeySet, FetchError> {
        let url = match &self.rules.jwks_url {
            Some(url) => url.clone(),
            None => self.discover().await?,
        };
        let set = self.fetcher.json(&url).await?;
        KeySet::parse(&set).map_err(|_nothing_of_use| FetchError::Unusable("the key set has no key of use"))
    }

    /// Where the issuer says its keys are (`OpenID` Connect Discovery 1.0 §4): on its own host, else the settings must
    /// name the place.
    async fn discover(&self) -> Result<Url, FetchError> {
        let issuer = &self.rules.issuer;
        let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let at: Url = at.parse().map_err(|_bad| FetchError::Unusable("the issuer is not an address"))?;
        let document = self.fetcher.json(&at).await?;
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(FetchError::Unusable("the document is about another issuer"));
        }
        let url = document.get("jwks_uri").and_then(Value::as_str).and_then(|text| text.parse::<Url>().ok());
        let url = url.ok_or(FetchError::Unusable("the document names no jwks_uri"))?;
        if url.origin() != at.origin() {
            return Err(FetchError::Unusable(
                "the document names keys on another host; if that is right, set jwks_url",
            ));
        }
        Ok(url)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
