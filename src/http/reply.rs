//! Answers. The one place where an error becomes a status, a body and a log line.

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;

use crate::directory::{Accepted, DirectoryError, chain};
use crate::scim::error::ScimError;

/// The media type of every SCIM answer (RFC 7644 §3.1).
pub(super) const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json; charset=utf-8");
/// Seconds after which a request that could not be served now is worth repeating. Okta takes whole seconds only.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");
/// Which preference of the client's was granted (RFC 7240 §3).
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The transaction that an outcome will name (RFC 9967 §3).
const SET_TXN: HeaderName = HeaderName::from_static("set-txn");
/// What to send to come in (RFC 6750 §3).
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"SCIM\"");

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, SCIM_JSON)], body.to_string()).into_response()
}

/// The answer to a request whose outcome is told later (RFC 9967 §2.5.1.1). It has no body.
pub(super) fn accepted(accepted: &Accepted) -> Response {
    let mut response = StatusCode::ACCEPTED.into_response();
    let headers = response.headers_mut();
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    for (name, value) in [(SET_TXN, accepted.txn.as_str()), (LOCATION, &accepted.location)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The answer to a question whose answer is not known yet.
pub(super) fn not_yet() -> Response {
    (StatusCode::ACCEPTED, [(RETRY_AFTER, RETRY_AFTER_SECONDS)]).into_response()
}

/// An answer that says what went wrong. Every handler's error type.
#[derive(Debug)]
pub(super) struct Failure(DirectoryError);

impl<E: Into<DirectoryError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Failure {
    /// What the client is told; the log is told the rest.
    pub(super) fn tell(self) -> ScimError {
        match self.0 {
            DirectoryError::Refused(error) => error,
            DirectoryError::Unavailable(error) => {
                tracing::warn!(error = chain(&error), "the store cannot serve a request now");
                ScimError::unavailable(COME_BACK)
            }
            DirectoryError::Broken(error) => {
                tracing::error!(error = chain(&*error), "a request failed by a defect");
                defect()
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        refusal(&self.tell())
    }
}

/// A SCIM error (RFC 7644 §3.12).
pub(super) fn refusal(error: &ScimError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json(status, &error.to_json());
    match status {
        StatusCode::UNAUTHORIZED => {
            response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
        }
        _ => {}
    }
    response
}

/// `OPTIONS`, or a method that the endpoint does not know; the router adds `Allow`.
pub(super) async fn other_method(method: Method) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    refusal(&ScimError::method_not_allowed(format!(
        "{method} is not served here; the Allow header names the methods that are"
    )))
}

/// What to do about an answer that is not to be had at the moment.
const COME_BACK: &str = "the bridge cannot serve this now; send the same request again in a few seconds";

/// 503 with the time after which to come back.
pub(super) fn unavailable() -> Response {
    refusal(&ScimError::unavailable(COME_BACK))
}

/// The same as 429, for clients that come back after no other status.
pub(super) fn too_many() -> Response {
    refusal(&ScimError::too_many(COME_BACK))
}

/// 429: more requests than the caller may send. The wait is in whole seconds, because Okta takes no other.
pub(super) fn slow_down(wait_seconds: i64) -> Response {
    later(
        wait_seconds,
        &format!(
            "too many requests; send this one again in {wait_seconds} seconds (the limits are under [network] in the \
             settings)"
        ),
    )
}

/// The same for whoever was refused too often.
pub(super) fn stop_guessing(wait_seconds: i64) -> Response {
    later(
        wait_seconds,
        &format!(
            "too many requests from this address were refused; check the token, and try again in {wait_seconds} seconds \
             (the limit is failed_logins_per_minute under [server] in the settings)"
        ),
    )
}

fn later(wait_seconds: i64, detail: &str) -> Response {
    let mut response = refusal(&ScimError::too_many(detail));
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait_seconds));
    response
}

/// 500 without particulars: those are in the log, under the request id.
pub(super) fn internal() -> Response {
    refusal(&defect())
}

fn defect() -> ScimError {
    ScimError::internal(
        "the bridge failed; its log has the particulars under the X-Request-Id of this answer",
    )
}
