//! The event feed (RFC 8936), the outcome of deferred requests (RFC 9967 §2.5.1.1), and the keys to verify both.

use axum::extract::{Path, State as Given};
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::Value;

use crate::directory::Progress;
use crate::http::State;
use crate::http::extract::{Admitted, Body};
use crate::http::reply::{self, Failure};
use crate::scim::error::ScimError;

/// The media type of a poll answer (RFC 8936 §2.3).
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The media type of a token (RFC 8417 §7.2).
const TOKEN: HeaderValue = HeaderValue::from_static("application/secevent+jwt");
/// The media type of a key set (RFC 7517 §8.5).
const KEYS: HeaderValue = HeaderValue::from_static("application/jwk-set+json");

/// `POST /Events`: the events that the receiver has not acknowledged.
pub(super) async fn poll(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Body(body): Body,
) -> Result<Response, Failure> {
    let answer = state.directory.poll_events(&caller, &body).await?;
    Ok(typed(JSON, answer.to_string()))
}

/// `GET /Transactions/{txn}`: the outcome of a deferred request, as the token that the feed tells of it with; as
/// plain JSON for a client that asks for JSON. 202 as long as there is none.
pub(super) async fn outcome(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(txn): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    Ok(match state.directory.progress(&caller, &txn).await? {
        Progress::Pending => reply::not_yet(),
        Progress::Settled { operation, .. } if wants_json(&headers) => {
            reply::json(StatusCode::OK, &operation)
        }
        Progress::Settled { token, .. } => {
            let gone = || ScimError::new(410, "the event is forgotten; ask for application/json");
            typed(TOKEN, token.ok_or_else(gone)?)
        }
    })
}

/// `GET /.well-known/jwks.json`: one key signs events and access tokens.
pub(super) async fn keys(Given(state): Given<State>) -> Result<Response, Failure> {
    let none = || ScimError::not_found("nothing is signed: no tenant has an event feed or clients");
    let keys: Value = state.directory.event_keys().or_else(|| state.door.public_keys()).ok_or_else(none)?;
    Ok(typed(KEYS, keys.to_string()))
}

fn typed(media_type: HeaderValue, body: String) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, media_type)], body).into_response()
}

/// Whether some JSON is asked for, and a token is not.
fn wants_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let essences: Vec<_> =
        accepted.flat_map(|value| value.split(',')).filter_map(|range| range.split(';').next()).collect();
    let asks_for = |wanted: &str| essences.iter().any(|essence| essence.trim().eq_ignore_ascii_case(wanted));
    (asks_for("application/json") || asks_for("application/scim+json"))
        && !asks_for("application/secevent+jwt")
}
