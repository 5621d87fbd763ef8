//! The token endpoint over HTTP: forms in, JSON out, errors in the words of RFC 6749 §5.2.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, State as Given};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::State;
use super::auth;
use super::layers::Trail;
use super::reply;
use super::table::Table;
use crate::access::Refusal;
use crate::access::oauth::{Endpoint, METADATA_PATH, OauthError, REVOCATION_PATH, Request, TOKEN_PATH};
use crate::directory::chain;
use crate::model::client::ClientRecord;
use crate::scim::error::ScimError;

/// Bytes of a form; an assertion takes one or two thousand.
const MAX_FORM_BYTES: usize = 16 * 1024;
/// Longest time from the head of a request to the end of its form.
const FORM_READ: Duration = Duration::from_secs(10);
/// The most parameters of a form.
const MAX_PARAMETERS: usize = 32;

/// The routes; they answer 404 where no tenant has clients.
pub(super) fn routes() -> Table {
    Table::default()
        .route(TOKEN_PATH, post(token))
        .route(REVOCATION_PATH, post(revoke))
        .route(METADATA_PATH, get(metadata))
}

async fn metadata(Given(state): Given<State>) -> Response {
    match state.door.endpoint() {
        Some(endpoint) => answer(StatusCode::OK, &endpoint.metadata()),
        None => absent(),
    }
}

async fn token(
    Given(state): Given<State>,
    Extension(trail): Extension<Trail>,
    request: axum::extract::Request,
) -> Response {
    let Some(endpoint) = state.door.endpoint() else { return absent() };
    let (head, body) = request.into_parts();
    let granted =
        async { endpoint.grant(&read(&head, body).await?, |client| welcome(&state, &head, client)).await };
    match granted.await {
        Ok(granted) => answer(StatusCode::OK, &granted.body),
        Err(error) => refuse(&state, &trail, &error),
    }
}

async fn revoke(
    Given(state): Given<State>,
    Extension(trail): Extension<Trail>,
    request: axum::extract::Request,
) -> Response {
    let Some(endpoint): Option<&Endpoint> = state.door.endpoint() else { return absent() };
    let (head, body) = request.into_parts();
    let revoked =
        async { endpoint.revoke(&read(&head, body).await?, |client| welcome(&state, &head, client)).await };
    match revoked.await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => refuse(&state, &trail, &error),
    }
}

/// Holds a client who has been proven to the rules of its tenant's gate. Tells what access tokens of that tenant are
/// meant for, if it gives any.
fn welcome(state: &State, head: &Parts, client: &ClientRecord) -> Result<Option<String>, OauthError> {
    let tenant = &client.tenant;
    state.gate.check(tenant, &head.headers, &head.extensions).map_err(|reason| {
        let refusal = Refusal { reason, token: Some(client.id.clone()) };
        OauthError::InvalidClient { tenant: Some(tenant.clone()), refusal }
    })?;
    state.gate.spend(tenant, &client.id).map_err(|wait| {
        let (tenant, client) = (tenant.clone(), client.id.clone());
        OauthError::TooMany { tenant, client, wait }
    })?;
    let gives = state.directory.serves(tenant) && state.door.gives_tokens(tenant);
    Ok(gives.then(|| state.directory.base_url(tenant)))
}

/// Reads the form and the header. A parameter that comes twice is refused (RFC 6749 §3.2).
async fn read(head: &Parts, body: Body) -> Result<Request, OauthError> {
    let is_form = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
        let essence = value.split(';').next().unwrap_or_default().trim();
        essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
    });
    if !is_form {
        return Err(OauthError::InvalidRequest("send the parameters as application/x-www-form-urlencoded"));
    }
    let basic = auth::client_credentials(&head.headers);
    let basic =
        basic.map_err(|_reason| OauthError::InvalidRequest("the Authorization header is not Basic"))?;
    let reading = Limited::new(body, MAX_FORM_BYTES).collect();
    let Ok(Ok(form)) = tokio::time::timeout(FORM_READ, reading).await else {
        return Err(OauthError::InvalidRequest("the form is too large, or broke off"));
    };
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(&form.to_bytes()).into_owned() {
        if parameters.len() >= MAX_PARAMETERS || parameters.insert(name, value).is_some() {
            return Err(OauthError::InvalidRequest("a parameter comes twice, or there are too many"));
        }
    }
    Ok(Request { parameters, basic })
}

fn refuse(state: &State, trail: &Trail, error: &OauthError) -> Response {
    let (status, description) = match error {
        OauthError::InvalidRequest(description) => (StatusCode::BAD_REQUEST, *description),
        OauthError::UnsupportedGrantType => (StatusCode::BAD_REQUEST, "send grant_type=client_credentials"),
        OauthError::InvalidScope => (StatusCode::BAD_REQUEST, "the client may not have this scope"),
        OauthError::TooMany { client, tenant, wait } => {
            return auth::slow_down(state, trail, tenant, client, *wait);
        }
        OauthError::InvalidClient { tenant, refusal } => {
            auth::turn_away(state, trail, tenant.as_ref(), refusal);
            (StatusCode::UNAUTHORIZED, "the client could not be proven; see `scim-bridge client list`")
        }
        OauthError::Store(error) => {
            tracing::warn!(error = chain(error), "the token endpoint cannot reach the store");
            return reply::unavailable();
        }
        OauthError::Broken => return reply::internal(),
    };
    let mut response =
        answer(status, &json!({ "error": error.to_string(), "error_description": description }));
    if status == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Basic realm=\"token endpoint\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

fn absent() -> Response {
    reply::refusal(&ScimError::not_found(
        "no tenant of this bridge has clients; set oauth = true under [auth]",
    ))
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json");
    let no_cache = HeaderValue::from_static("no-cache");
    (status, [(CONTENT_TYPE, json), (PRAGMA, no_cache)], body.to_string()).into_response()
}
