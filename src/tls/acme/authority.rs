//! Asking an authority for a certificate (RFC 8555), step by step.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, BodyWrapper, BytesResponse, CertificateIdentifier,
    ChallengeType, Error as AcmeError, HttpClient, Identifier, NewAccount, NewOrder, Order, OrderStatus,
    Problem, RetryPolicy,
};
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use secrecy::{ExposeSecret, SecretString};

use super::certificate::Shown;
use super::folder::{Folder, FolderError};
use super::{Settings, SetupError, Unusable};
use crate::clock::Clock;
use crate::tls;

/// How long an authority may take to accept a connection, and for each answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may take to look at a name, and to issue.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_mins(2));
/// The largest answer that is read, in bytes; a certificate with its chain has a few thousand.
const MAX_BYTES: usize = 256 * 1024;
/// The longest that an authority is left alone because it says so.
const LONGEST_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// The authority does not know the account (RFC 8555 §6.7).
const UNKNOWN_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// There is no answer, or one that says no.
    #[error(transparent)]
    Acme(#[from] AcmeError),
    /// The authority looked at a name and did not find this program.
    #[error("{name} was not validated: {reason}; its port 443 must lead to this program")]
    NotValidated { name: String, reason: String },
    /// It will not look that way.
    #[error(
        "the authority does not validate {0} by TLS (tls-alpn-01), which is the one way that this program knows"
    )]
    OtherWay(String),
    /// Nothing came of the order, without a reason.
    #[error("the authority gave the order up")]
    GivenUp,
    /// A key or a request cannot be made.
    #[error("a key or a request for a certificate cannot be made")]
    Making(#[from] rcgen::Error),
    /// The account cannot be kept.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The account was not kept by this program.
    #[error("the account in the folder cannot be understood; move account.json away, and a new one is made")]
    Account(#[source] serde_json::Error),
    /// The certificate cannot be served.
    #[error("the authority issued a certificate that cannot be used")]
    Unusable(#[from] Unusable),
}

/// An authority, and who we are there.
#[derive(Debug, Clone)]
pub(super) struct Authority {
    http: Http,
    settings: Settings,
    folder: Folder,
}

impl Authority {
    /// Opens no connection yet.
    pub(super) fn new(settings: &Settings, folder: Folder, clock: Clock) -> Result<Self, SetupError> {
        let http = Http { client: client(settings)?, clock, leave_alone_until: Arc::default() };
        Ok(Self { http, settings: settings.clone(), folder })
    }

    /// A certificate with its key and its chain, in PEM. Meanwhile the authority's questions are answered by `shown`.
    pub(super) async fn certificate(
        &self,
        shown: &Shown,
        replaces: Option<&CertificateIdentifier<'static>>,
    ) -> Result<SecretString, Refusal> {
        let _of_before = self.leave_alone_until();
        let got = match self.order(&self.account().await?, shown, replaces).await {
            Err(Refusal::Acme(AcmeError::Api(problem)))
                if problem.r#type.as_deref() == Some(UNKNOWN_ACCOUNT) =>
            {
                tracing::warn!("the authority does not know the account any more, so another one is made");
                self.folder.drop_account()?;
                self.order(&self.account().await?, shown, replaces).await
            }
            got => got,
        };
        shown.fall_silent();
        got
    }

    /// When the authority would like to see a certificate replaced, if it says so (RFC 9773).
    pub(super) async fn renewal_window(
        &self,
        id: &CertificateIdentifier<'static>,
    ) -> Option<(Timestamp, Timestamp)> {
        self.folder.account().ok()??;
        let (info, _again_after) = self.account().await.ok()?.renewal_info(id).await.ok()?;
        let window = info.suggested_window;
        let instant = |seconds| Timestamp::from_second(seconds).ok();
        Some((instant(window.start.unix_timestamp())?, instant(window.end.unix_timestamp())?))
    }

    /// Until when the authority last said that it wants to be left alone.
    pub(super) fn leave_alone_until(&self) -> Option<Timestamp> {
        self.http.leave_alone_until.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn account(&self) -> Result<Account, Refusal> {
        let builder = Account::builder_with_http(Box::new(self.http.clone()));
        if let Some(kept) = self.folder.account()? {
            let credentials: AccountCredentials =
                serde_json::from_str(kept.expose_secret()).map_err(Refusal::Account)?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        let contact = self.settings.contact.as_ref().map(|address| format!("mailto:{address}"));
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        // The settings are not taken unless the administrator has agreed.
        let new =
            NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, self.settings.directory.to_string(), None).await?;
        self.folder.keep_account(&serde_json::to_string(&credentials).map_err(Refusal::Account)?.into())?;
        Ok(account)
    }

    async fn order(
        &self,
        account: &Account,
        shown: &Shown,
        replaces: Option<&CertificateIdentifier<'static>>,
    ) -> Result<SecretString, Refusal> {
        let domains = &self.settings.domains;
        let identifiers: Vec<_> = domains.iter().cloned().map(Identifier::Dns).collect();
        let mut wish = NewOrder::new(&identifiers);
        if let Some(former) = replaces {
            wish = wish.replaces(former.clone());
        }
        let mut order = match account.new_order(&wish).await {
            // The authority does not know what replacing is.
            Err(AcmeError::Unsupported(_)) => account.new_order(&NewOrder::new(&identifiers)).await?,
            ordered => ordered?,
        };
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(Refusal::OtherWay(name));
            };
            shown.answer(&name, challenge.key_authorization().digest().as_ref())?;
            challenge.set_ready().await?;
        }
        match order.poll_ready(&PATIENCE).await {
            Ok(OrderStatus::Ready) => {}
            unready => {
                if let Some(refusal) = not_validated(&mut order).await {
                    return Err(refusal);
                }
                unready?;
                return Err(Refusal::GivenUp);
            }
        }
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(domains.clone())?;
        params.distinguished_name = DistinguishedName::new();
        order.finalize_csr(params.serialize_request(&key)?.der()).await?;
        let chain = order.poll_certificate(&PATIENCE).await?;
        Ok(format!("{}{chain}", key.serialize_pem()).into())
    }
}

/// What the authority says of the first name that it did not find here.
async fn not_validated(order: &mut Order) -> Option<Refusal> {
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.ok()?;
        let name = authorization.identifier().to_string();
        let state = authorization.refresh().await.ok()?;
        if let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
            return Some(Refusal::NotValidated { name, reason: said(problem) });
        }
    }
    None
}

fn said(problem: &Problem) -> String {
    problem.detail.clone().unwrap_or_else(|| problem.to_string())
}

/// A client for calls to the authority.
pub(super) fn client(settings: &Settings) -> Result<reqwest::Client, SetupError> {
    use SetupError::{Http, Roots, Tls};
    let tls = match (&settings.roots, settings.directory.scheme()) {
        (Some(roots), _) => tls::trusting(roots).map_err(Roots)?,
        (None, "https") => tls::verifying().map_err(Tls)?,
        (None, _) => tls::trusting_nobody().map_err(Tls)?,
    };
    tls::client(tls)
        // From there come addresses that are gone to as well.
        .https_only(settings.directory.scheme() == "https")
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .build()
        .map_err(Http)
}

/// Carries the library's requests.
#[derive(Debug, Clone)]
struct Http {
    client: reqwest::Client,
    clock: Clock,
    leave_alone_until: Arc<Mutex<Option<Timestamp>>>,
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, AcmeError>> + Send>> {
        let http = self.clone();
        Box::pin(async move { http.send(request).await })
    }
}

impl Http {
    async fn send(&self, request: Request<BodyWrapper<Bytes>>) -> Result<BytesResponse, AcmeError> {
        let (mut head, body) = request.into_parts();
        let Ok(body) = body.collect().await;
        // It names the library, and RFC 8555 §6.1 wants to know the program.
        head.headers.remove(USER_AGENT);
        let request = self
            .client
            .request(head.method, head.uri.to_string())
            .headers(head.headers)
            .body(body.to_bytes());
        let mut answer = request.send().await.map_err(other)?;
        let status = answer.status();
        let is_problem = answer
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.to_str().is_ok_and(|kind| kind.starts_with("application/problem+json")));
        if !status.is_success() {
            let until = retry_after(answer.headers(), self.clock.now());
            *self.leave_alone_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
            if !is_problem {
                return Err(other(format!("{} answers {status}", answer.url())));
            }
        }
        let headers = std::mem::take(answer.headers_mut());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(other)? {
            if body.len().saturating_add(chunk.len()) > MAX_BYTES {
                return Err(other(format!("{} answers with more than 256 KiB", answer.url())));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response.into())
    }
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> AcmeError {
    AcmeError::Other(error.into())
}

/// Until when the answer asks to be left alone: for so many seconds, or until a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let word = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let latest = now.checked_add(LONGEST_RETRY_AFTER).ok()?;
    let until = match word.parse() {
        Ok(seconds) => now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(latest),
        Err(_no_number) => rfc2822::parse(word).ok()?.timestamp(),
    };
    Some(until.clamp(now, latest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_can_ask_to_be_left_alone_for_a_day_at_most() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let until = |word: &'static str| {
            let headers = [(RETRY_AFTER, word.parse().unwrap())].into_iter().collect();
            retry_after(&headers, now).map(|until| until.to_string())
        };
        assert_eq!(until("120").unwrap(), "2026-01-01T00:02:00Z");
        assert_eq!(until("Thu, 01 Jan 2026 01:00:00 GMT").unwrap(), "2026-01-01T01:00:00Z");
        assert_eq!(until("Wed, 31 Dec 2025 01:00:00 GMT").unwrap(), "2026-01-01T00:00:00Z");
        for endless in ["9999999", "9223372036854775807", "Thu, 01 Jan 2099 01:00:00 GMT"] {
            assert_eq!(until(endless).unwrap(), "2026-01-02T00:00:00Z", "{endless}");
        }
        for nonsense in ["", "soon", "1.5"] {
            assert_eq!(until(nonsense), None, "{nonsense}");
        }
    }
}
