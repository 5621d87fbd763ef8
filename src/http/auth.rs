//! The door of the SCIM side: from the `Authorization` header to a caller, before anything else of the request is
//! looked at.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::layers::Trail;
use super::reply::Failure;
use super::{State, extract};
use crate::directory::Caller;
use crate::directory::access::Verdict;
use crate::ids::TenantId;
use crate::scim::error::ScimError;

/// Lets a caller in who holds a token of `tenant`; `None` is a tenant that cannot exist. Whatever is wrong, the
/// answer is the same, so that nobody learns which tenants there are.
pub(super) async fn admit(
    state: &State,
    trail: &Trail,
    tenant: Option<TenantId>,
    headers: &HeaderMap,
) -> Result<Caller, Failure> {
    let verdict = match presented(headers) {
        Ok(token) => state.tokens.admit(&token).await?,
        Err(reason) => Verdict::Refused(reason),
    };
    let reason = match verdict {
        Verdict::Admitted(admission) if tenant.as_ref() != Some(&admission.tenant) => "foreign tenant",
        Verdict::Admitted(admission) if !state.directory.serves(&admission.tenant) => "unknown tenant",
        Verdict::Admitted(admission) => {
            let caller = Caller {
                tenant: admission.tenant.clone(),
                token: admission.token.clone(),
                request: trail.request,
                prefers_async: extract::prefers_async(headers),
            };
            let _first = trail.admission.set(admission).is_ok();
            return Ok(caller);
        }
        Verdict::Refused(reason) => reason,
    };
    Err(refuse(state, reason))
}

/// The one answer to whoever is not let in.
pub(super) fn refuse(state: &State, reason: &'static str) -> Failure {
    state.metrics.token_refused(reason);
    ScimError::unauthorized(
        "send `Authorization: Bearer` with a token of this tenant; `scim-bridge token create` makes one",
    )
    .into()
}

/// The one token that the request presents: as a bearer token (RFC 6750 §2.1); bare, as Okta's header mode does; or
/// as the password of Basic authentication (RFC 7617) with any user name, which is all that some connectors offer.
fn presented(headers: &HeaderMap) -> Result<Cow<'_, str>, &'static str> {
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
        (Some(token), None, _) => Ok(token.into()),
        (Some(scheme), Some(token), None) if is(scheme, "bearer") => Ok(token.into()),
        (Some(scheme), Some(credentials), None) if is(scheme, "basic") => {
            password(credentials).ok_or("malformed")
        }
        (Some(_), Some(_), None) => Err("scheme"),
        _ => Err("malformed"),
    }
}

/// The password in the credentials of Basic authentication.
fn password(credentials: &str) -> Option<Cow<'static, str>> {
    let decoded = String::from_utf8(STANDARD.decode(credentials).ok()?).ok()?;
    let (_user, password) = decoded.split_once(':')?;
    Some(password.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_in_one_header_is_taken_with_or_without_its_scheme_or_as_a_password() {
        let check = |values: &[&str], expected: Result<&str, &str>| {
            let headers: HeaderMap =
                values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect();
            assert_eq!(presented(&headers).as_deref(), expected.as_deref(), "{values:?}");
        };
        check(&["Bearer t0k"], Ok("t0k"));
        check(&["bearer  t0k"], Ok("t0k"));
        check(&["t0k"], Ok("t0k"));
        check(&[], Err("missing"));
        check(&[""], Err("missing"));
        check(&["Bearer"], Err("missing"));
        check(&["Bearer "], Err("missing"));
        check(&["Basic Og=="], Ok(""));
        check(&["Basic dXNlcjp0MGs="], Ok("t0k"));
        check(&["basic OnQwazp4"], Ok("t0k:x"));
        check(&["Basic"], Err("missing"));
        check(&["Basic dXNlcg=="], Err("malformed"));
        check(&["Basic !"], Err("malformed"));
        check(&["Digest dXNlcjp0MGs="], Err("scheme"));
        check(&["Bearer a b"], Err("malformed"));
        check(&["Bearer t0k", "Bearer t0k"], Err("repeated"));
    }
}
