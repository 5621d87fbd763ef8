//! The client and its one door: every call passes through `send`.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, InvalidHeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::Url;

use crate::clock::Clock;
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::{Failure, FailureKind};
use crate::openai::limiter::Limiter;
use crate::openai::reply::Reply;
use crate::telemetry::{Metrics, redact};
use crate::tls;

/// A longer answer is not read to its end.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;
/// Ids of organizations are symbols; a longer one is not one.
const MAX_ORGANIZATION: usize = 100;
/// An idle connection is closed before the other side is likely to do so: a request that meets the closing would have
/// an unknown outcome.
const POOL_IDLE: Duration = Duration::from_secs(20);

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the tenant, for logs and metrics.
    pub tenant: String,
    /// `https://api.openai.com/v1`, or where something stands in for it.
    pub base_url: Url,
    /// The organization's admin key.
    pub admin_key: SecretString,
    /// The most calls per minute and endpoint; none lets the client find the limit by being refused.
    pub requests_per_minute: Option<u32>,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long a call may take altogether.
    pub timeout: Duration,
}

impl Settings {
    /// Settings with the usual deadlines (3 s to connect, 15 s in all) and a cap of 7 calls per minute and endpoint.
    pub fn new(tenant: impl Into<String>, base_url: Url, admin_key: SecretString) -> Self {
        Self {
            tenant: tenant.into(),
            base_url,
            admin_key,
            requests_per_minute: Some(7),
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(15),
        }
    }
}

/// A client cannot be made from these settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The base URL is none that paths can be put behind.
    #[error("the base URL must look like https://api.openai.com/v1, without user name, query or fragment")]
    BaseUrl,
    /// There is no key.
    #[error("the admin key is empty")]
    EmptyKey,
    /// The key holds characters that no header may carry.
    #[error("the admin key holds characters that no key has; was it copied whole, in one line?")]
    Key(#[source] InvalidHeaderValue),
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client could not be set up.
    #[error("the HTTP client could not be set up")]
    Http(#[source] reqwest::Error),
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What OpenAI answered.
    pub value: T,
    /// The answer's `x-request-id`, for the audit.
    pub request_id: Option<String>,
}

impl<T> Answer<T> {
    /// The same answer with its value changed.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        Answer { value: change(self.value), request_id: self.request_id }
    }
}

/// A client of one organization. Clones share connections and budgets.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: Url,
    tenant: String,
    limiter: Limiter,
    clock: Clock,
    metrics: Metrics,
    badge: Arc<RwLock<Badge>>,
}

/// Who the client is upstream.
struct Badge {
    key: SecretString,
    /// The key as a header.
    bearer: HeaderValue,
    /// The organization that answered last, if it said who it is.
    organization: Option<String>,
}

/// One call, before it is sent.
pub(super) struct Call<'a> {
    pub(super) endpoint: Endpoint,
    /// What goes where the template has `{…}`, in order.
    pub(super) ids: &'a [&'a str],
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<Value>,
}

impl<'a> Call<'a> {
    pub(super) fn new(endpoint: Endpoint, ids: &'a [&'a str]) -> Self {
        Self { endpoint, ids, query: Vec::new(), body: None }
    }

    pub(super) fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks for a page of at most `limit` objects, the first one or the one behind `after`.
    pub(super) fn with_page(mut self, after: Option<&str>, limit: u32) -> Self {
        self.query.push(("limit", limit.to_string()));
        self.query.extend(after.map(|after| ("after", after.to_owned())));
        self
    }
}

impl Client {
    /// A client of the organization that the key belongs to. Opens no connection yet.
    pub fn new(settings: Settings, clock: Clock, metrics: Metrics) -> Result<Self, SetupError> {
        let base_url = settings.base_url;
        let is_plain = base_url.username().is_empty()
            && base_url.password().is_none()
            && base_url.query().is_none()
            && base_url.fragment().is_none();
        let tls = match base_url.scheme() {
            "https" if is_plain => tls::verifying(),
            "http" if is_plain => tls::trusting_nobody(),
            _ => return Err(SetupError::BaseUrl),
        };
        let http = tls::client(tls.map_err(SetupError::Tls)?)
            .default_headers(HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]))
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(POOL_IDLE)
            .build()
            .map_err(SetupError::Http)?;
        let limiter = Limiter::new(settings.requests_per_minute);
        let badge = Arc::new(RwLock::new(Badge {
            bearer: bearer(&settings.admin_key)?,
            key: settings.admin_key,
            organization: None,
        }));
        Ok(Self { http, base_url, tenant: settings.tenant, limiter, clock, metrics, badge })
    }

    /// Uses another admin key from the next call on. Tells whether it is another one.
    ///
    /// # Errors
    /// The key is empty or cannot be sent; the former one stays.
    pub fn set_key(&self, admin_key: &SecretString) -> Result<bool, SetupError> {
        let bearer = bearer(admin_key)?;
        let mut badge = self.badge.write().unwrap_or_else(PoisonError::into_inner);
        if badge.bearer == bearer {
            return Ok(false);
        }
        let organization = badge.organization.take();
        *badge = Badge { key: admin_key.clone(), bearer, organization };
        Ok(true)
    }

    /// The organization that answered last, if it said who it is.
    pub fn organization(&self) -> Option<String> {
        self.badge.read().unwrap_or_else(PoisonError::into_inner).organization.clone()
    }

    pub(super) fn has_key(&self, is_it: impl FnOnce(&str) -> bool) -> bool {
        is_it(self.badge.read().unwrap_or_else(PoisonError::into_inner).key.expose_secret())
    }

    fn bearer(&self) -> HeaderValue {
        self.badge.read().unwrap_or_else(PoisonError::into_inner).bearer.clone()
    }

    fn note_organization(&self, headers: &HeaderMap) {
        let named = headers.get("openai-organization").and_then(|value| value.to_str().ok());
        let named =
            named.map(|named| redact::plain(named, MAX_ORGANIZATION)).filter(|named| !named.is_empty());
        if named.is_some() && named != self.organization() {
            self.badge.write().unwrap_or_else(PoisonError::into_inner).organization = named;
        }
    }

    /// The budgets of this client's endpoints.
    pub fn limiter(&self) -> &Limiter {
        &self.limiter
    }

    /// Makes one attempt. `ours` tells whether a success is about what was asked for.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        ours: impl Fn(&T) -> bool,
    ) -> Result<Answer<T>, Failure> {
        let endpoint = call.endpoint;
        let url = self.url(&call)?;
        let now = self.clock.now();
        if !self.limiter.take(endpoint, now) {
            let until = self.limiter.ready_at(endpoint, now);
            let words = "this minute's calls are used up, nothing was sent".to_owned();
            return Err(Failure::unanswered(FailureKind::RateLimited { until }, words));
        }

        let client_request_id = self.clock.uuid().to_string();
        let mut request = self
            .http
            .request(endpoint.method(), url)
            .header(AUTHORIZATION, self.bearer())
            .header("x-client-request-id", &client_request_id);
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let started = Instant::now();
        let result = match exchange(request).await {
            Err(failure) => Err(failure),
            Ok(reply) => {
                self.note_organization(&reply.headers);
                let now = self.clock.now();
                let result =
                    reply.decode(now, ours, |pause| self.limiter.on_rate_limited(endpoint, now, pause));
                if reply.status != http::StatusCode::TOO_MANY_REQUESTS {
                    self.limiter.on_let_through(endpoint, now);
                }
                result.map(|answer| (reply.status, answer))
            }
        };
        self.record(endpoint, started.elapsed(), &client_request_id, &result);
        result.map(|(_, answer)| answer)
    }

    /// The address of a call: ids are escaped, so that none can reach another path.
    fn url(&self, call: &Call<'_>) -> Result<Url, Failure> {
        let misfit = || {
            let words = "an id that cannot stand in a path, nothing was sent".to_owned();
            Failure::unanswered(FailureKind::Rejected, words)
        };
        let mut url = self.base_url.clone();
        let mut ids = call.ids.iter();
        {
            let mut path = url.path_segments_mut().map_err(|()| misfit())?;
            path.pop_if_empty();
            for segment in call.endpoint.template().split('/').skip(1) {
                let segment =
                    if segment.starts_with('{') { *ids.next().ok_or_else(misfit)? } else { segment };
                // Url leaves "." and ".." out of a path, and an empty segment would name the collection.
                if matches!(segment, "" | "." | "..") {
                    return Err(misfit());
                }
                path.push(segment);
            }
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        Ok(url)
    }

    /// One log line and one entry in the metrics: never the query, a body, a key or OpenAI's words.
    fn record<T>(
        &self,
        endpoint: Endpoint,
        took: Duration,
        client_request_id: &str,
        result: &Result<(http::StatusCode, Answer<T>), Failure>,
    ) {
        let (outcome, status, code, request_id) = match result {
            Ok((status, answer)) => ("ok", Some(status.as_u16()), None, answer.request_id.as_deref()),
            Err(failure) => {
                let Failure { status, code, request_id, .. } = failure;
                (failure.kind.as_str(), *status, code.as_deref(), request_id.as_deref())
            }
        };
        let left = self.limiter.left(endpoint, self.clock.now());
        self.metrics.upstream_call(&self.tenant, endpoint.name(), outcome, took.as_secs_f64());
        self.metrics.set_budget_left(&self.tenant, endpoint.name(), left);
        tracing::info!(
            tenant = self.tenant,
            upstream.endpoint = endpoint.name(),
            upstream.status = status,
            upstream.code = code,
            upstream.request_id = request_id,
            upstream.client_request_id = client_request_id,
            elapsed_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "{} {}: {outcome}",
            endpoint.method(),
            endpoint.template(),
        );
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({} at {})", self.tenant, self.base_url)
    }
}

fn bearer(admin_key: &SecretString) -> Result<HeaderValue, SetupError> {
    if admin_key.expose_secret().is_empty() {
        return Err(SetupError::EmptyKey);
    }
    let bearer = format!("Bearer {}", admin_key.expose_secret());
    let mut bearer = HeaderValue::try_from(bearer).map_err(SetupError::Key)?;
    bearer.set_sensitive(true);
    Ok(bearer)
}

/// Sends a request and reads its answer to the end, within the bounds.
async fn exchange(request: reqwest::RequestBuilder) -> Result<Reply, Failure> {
    let mut response = request.send().await.map_err(lost)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let body = read(response).await.map_err(|mut failure| {
        failure.status = Some(status.as_u16());
        failure
    })?;
    Ok(Reply { status, headers, body })
}

async fn read(mut response: reqwest::Response) -> Result<Bytes, Failure> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        if body.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
            let words = format!("the answer is longer than {MAX_BODY_BYTES} bytes");
            return Err(Failure::unanswered(FailureKind::Unknown, words));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// A call without a whole answer. Only a connection that was never made proves that nothing happened.
fn lost(error: reqwest::Error) -> Failure {
    let kind =
        if error.is_connect() || error.is_builder() { FailureKind::NotSent } else { FailureKind::Unknown };
    // The error's own text would quote the URL, and with it an address in the query.
    let error = error.without_url();
    let mut words = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        words.push_str(": ");
        words.push_str(&cause.to_string());
        source = cause.source();
    }
    Failure::unanswered(kind, redact::plain(&words, 500))
}
