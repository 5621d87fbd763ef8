//! The door of the SCIM side: from the `Authorization` header to a caller, before anything else of the request is
//! looked at.

use std::borrow::Cow;

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use super::layers::Trail;
use super::reply::{self, Failure};
use super::{State, extract};
use crate::access::{AccessError, Attempt, Form, Refusal, Verdict};
use crate::directory::{Caller, DirectoryError, Rights};
use crate::ids::TenantId;
use crate::scim::error::ScimError;

/// Lets a caller in who holds a credential of `tenant`; `None` is a tenant that cannot exist. Whatever is wrong, the
/// answer is the same, so that nobody learns which tenants there are.
pub(super) async fn admit(
    state: &State,
    trail: &Trail,
    tenant: Option<TenantId>,
    headers: &HeaderMap,
) -> Result<Caller, Failure> {
    let verdict = match presented(headers) {
        Ok((form, credential)) => {
            let audience = tenant.as_ref().map(|tenant| state.directory.base_url(tenant)).unwrap_or_default();
            let tenant = tenant.as_ref();
            let attempt = Attempt { tenant, audience: &audience, form, credential: &credential };
            state.door.admit(attempt).await.map_err(undecided)?
        }
        Err(reason) => Verdict::Refused(reason.into()),
    };
    let refusal = match verdict {
        Verdict::Admitted(admission) if !state.directory.serves(&admission.tenant) => {
            Refusal { reason: "unknown tenant", token: Some(admission.token) }
        }
        Verdict::Admitted(admission) => {
            let caller = Caller {
                tenant: admission.tenant.clone(),
                token: admission.token.clone(),
                rights: Rights::new(admission.scopes.clone()),
                request: trail.request,
                prefers_async: extract::prefers_async(headers),
            };
            let _first = trail.admission.set(admission).is_ok();
            return Ok(caller);
        }
        Verdict::Refused(refusal) => refusal,
    };
    Err(refuse(state, trail, tenant.as_ref(), &refusal))
}

/// The one answer to whoever is not let in.
pub(super) fn refuse(state: &State, trail: &Trail, tenant: Option<&TenantId>, refusal: &Refusal) -> Failure {
    turn_away(state, trail, tenant, refusal);
    ScimError::unauthorized(
        "send `Authorization: Bearer` with a token of this tenant; `scim-bridge token create` makes one",
    )
    .into()
}

/// The answer to a caller with a good credential who asks too often.
pub(super) fn slow_down(state: &State, trail: &Trail, tenant: &TenantId, token: &str, wait: i64) -> Response {
    let refusal = Refusal { reason: "too many", token: Some(token.to_owned()) };
    turn_away(state, trail, Some(tenant), &refusal);
    reply::slow_down(wait)
}

/// Accounts for somebody who was turned away. One more of a kind leaves no line of its own in the log.
pub(super) fn turn_away(state: &State, trail: &Trail, tenant: Option<&TenantId>, refusal: &Refusal) {
    if !note(state, trail, tenant, refusal) {
        trail.hush();
    }
}

/// Accounts for something that was refused; tells whether it is the first of its kind within a minute, and so worth a
/// line in the log. What is no tenant of ours has no trail to enter it in, and is not worth one.
pub(super) fn note(state: &State, trail: &Trail, tenant: Option<&TenantId>, refusal: &Refusal) -> bool {
    state.metrics.token_refused(refusal.reason);
    tenant
        .filter(|tenant| state.directory.serves(tenant))
        .is_some_and(|tenant| state.door.refusals().note(tenant, refusal, trail.request, trail.client))
}

/// What is said when nothing can be decided.
pub(super) fn undecided(error: AccessError) -> DirectoryError {
    match error {
        AccessError::Store(error) => error.into(),
        AccessError::NoKeys => ScimError::unavailable(
            "the keys of the token's issuer cannot be read at the moment; send the same request again in a minute",
        )
        .into(),
    }
}

/// The one credential that the request presents, and its dress. Nowhere else in the request is one looked for.
fn presented(headers: &HeaderMap) -> Result<(Form, Cow<'_, str>), &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or("missing")?;
    if values.next().is_some() {
        return Err("repeated");
    }
    let mut words = value.to_str().map_err(|_not_ascii| "malformed")?.split_ascii_whitespace();
    let is = |word: &str, scheme: &str| word.eq_ignore_ascii_case(scheme);
    match (words.next(), words.next(), words.next()) {
        (None, ..) => Err("missing"),
        (Some(scheme), None, _) if is(scheme, "bearer") || is(scheme, "basic") => Err("missing"),
        (Some(token), None, _) => Ok((Form::Bare, token.into())),
        (Some(scheme), Some(token), None) if is(scheme, "bearer") => Ok((Form::Bearer, token.into())),
        (Some(scheme), Some(credentials), None) if is(scheme, "basic") => {
            let (_user, password) = user_and_password(credentials).ok_or("malformed")?;
            Ok((Form::Basic, password.into()))
        }
        (Some(_), Some(_), None) => Err("scheme"),
        _ => Err("malformed"),
    }
}

/// What the credentials of Basic authentication hold (RFC 7617 §2).
fn user_and_password(credentials: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The credentials of Basic authentication as a client of the token endpoint sends them: both parts encoded like those
/// of a form (RFC 6749 §2.3.1). `Ok(None)` if the header is not there.
pub(super) fn client_credentials(headers: &HeaderMap) -> Result<Option<(String, String)>, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err("repeated");
    }
    let value = value.to_str().map_err(|_not_ascii| "malformed")?;
    let (scheme, credentials) = value.split_once(' ').ok_or("malformed")?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err("scheme");
    }
    let (id, secret) = user_and_password(credentials.trim()).ok_or("malformed")?;
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_not_text| "malformed")
    };
    Ok(Some((decode(&id)?, decode(&secret)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_in_one_header_is_taken_with_or_without_its_scheme_or_as_a_password() {
        let check = |values: &[&str], expected: Result<(Form, &str), &str>| {
            let headers: HeaderMap =
                values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect();
            let found = presented(&headers);
            let found = found.as_ref().map(|(form, text)| (*form, &**text)).map_err(|reason| *reason);
            assert_eq!(found, expected, "{values:?}");
        };
        check(&["Bearer t0k"], Ok((Form::Bearer, "t0k")));
        check(&["bearer  t0k"], Ok((Form::Bearer, "t0k")));
        check(&["t0k"], Ok((Form::Bare, "t0k")));
        check(&[], Err("missing"));
        check(&[""], Err("missing"));
        check(&["Bearer"], Err("missing"));
        check(&["Bearer "], Err("missing"));
        check(&["Basic Og=="], Ok((Form::Basic, "")));
        check(&["Basic dXNlcjp0MGs="], Ok((Form::Basic, "t0k")));
        check(&["basic OnQwazp4"], Ok((Form::Basic, "t0k:x")));
        check(&["Basic"], Err("missing"));
        check(&["Basic dXNlcg=="], Err("malformed"));
        check(&["Basic !"], Err("malformed"));
        check(&["Digest dXNlcjp0MGs="], Err("scheme"));
        check(&["Bearer a b"], Err("malformed"));
        check(&["Bearer t0k", "Bearer t0k"], Err("repeated"));
    }

    #[test]
    fn clients_encode_their_credentials_like_a_form() {
        let headers = |value: &str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
        let encoded = format!("Basic {}", STANDARD.encode("a%3Ab:c+d%25"));
        let both = Some(("a:b".to_owned(), "c d%".to_owned()));
        assert_eq!(client_credentials(&headers(&encoded)), Ok(both));
        assert_eq!(client_credentials(&HeaderMap::new()), Ok(None));
        assert_eq!(client_credentials(&headers("Bearer x")), Err("scheme"));
    }
}
