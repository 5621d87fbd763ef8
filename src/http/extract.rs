//! What handlers take from a request: the caller, the body, the query and the preconditions, each with a refusal in
//! SCIM's own words.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use url::form_urlencoded;

use super::reply::Failure;
use crate::directory::Caller;
use crate::scim::error::ScimError;
use crate::scim::etag::Condition;
use crate::scim::schema::limits::MAX_BODY_BYTES;
use crate::scim::search;

/// Longest time from the head of a request to the end of its body.
const BODY_READ: Duration = Duration::from_secs(15);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Body(pub(super) Value);

impl<S: Sync> FromRequest<S> for Body {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        check_media_type(request.headers())?;
        let reading = Limited::new(request.into_body(), MAX_BODY_BYTES).collect();
        let bytes = match tokio::time::timeout(BODY_READ, reading).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return Err(ScimError::too_large(format!(
                    "the body is larger than {MAX_BODY_BYTES} bytes, which is the maxPayloadSize of bulk requests, too"
                ))
                .into());
            }
            Ok(Err(_)) => return Err(ScimError::invalid_syntax("the body broke off").into()),
            Err(_) => return Err(ScimError::request_timeout("the body took longer than 15 seconds").into()),
        };
        if bytes.is_empty() {
            return Err(ScimError::invalid_syntax("the request needs a JSON body").into());
        }
        // The parser's own words name a place and no content.
        let value = serde_json::from_slice(&bytes);
        Ok(Self(
            value
                .map_err(|error| ScimError::invalid_syntax(format!("the body is not valid JSON: {error}")))?,
        ))
    }
}

/// RFC 7644 §3.1 names `application/scim+json` and tells servers to take `application/json` as well. A body without
/// a type is taken for one of the two.
fn check_media_type(headers: &HeaderMap) -> Result<(), ScimError> {
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding.as_bytes() != b"identity");
    if encoded {
        return Err(ScimError::unsupported_media_type("send the body without a Content-Encoding"));
    }
    let Some(media_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = media_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if ["application/scim+json", "application/json"].iter().any(|known| essence.eq_ignore_ascii_case(known)) {
        Ok(())
    } else {
        Err(ScimError::unsupported_media_type("send the body as application/scim+json or application/json"))
    }
}

/// The parameters of the address. An empty one counts as not given, but for the cursor, which is empty on the first
/// page (RFC 9865 §2); an unknown one is ignored; of several with the same name the first counts.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes()).into_owned();
        let is_given = |(name, value): &(String, String)| {
            !value.trim().is_empty() || name.eq_ignore_ascii_case("cursor")
        };
        Self(pairs.filter(is_given).collect())
    }

    /// What is asked of a list. A parameter that a list knows counts once: a second one is refused.
    pub(super) fn search(&self) -> Result<search::Query, ScimError> {
        search::Query::from_parameters(self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// The value of a parameter; names are taken in any case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// The caller, whom the door has let in.
#[derive(Debug)]
pub(super) struct Admitted(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Admitted {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        // Nothing is served without the door: should a route ever miss it, this refuses.
        let caller = parts.extensions.get::<Caller>().cloned();
        Ok(Self(caller.ok_or_else(|| ScimError::unauthorized("send a bearer token of this tenant"))?))
    }
}

/// Under which conditions a request is meant, and how patient its client is.
#[derive(Debug)]
pub(super) struct Terms {
    /// The versions that a change is meant for (RFC 7644 §3.14).
    pub(super) if_match: Option<Condition>,
    /// The versions that the client has already.
    pub(super) if_none_match: Option<Condition>,
    /// How long the client would wait at most (RFC 7240 §4.3).
    pub(super) wait: Option<Duration>,
    /// Whether the client would have what it changed in the answer (RFC 7240 §4.2).
    pub(super) representation: Option<bool>,
}

impl<S: Sync> FromRequestParts<S> for Terms {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self {
            if_match: condition(&parts.headers, &IF_MATCH)?,
            if_none_match: condition(&parts.headers, &IF_NONE_MATCH)?,
            wait: preferred_wait(&parts.headers),
            representation: preferred_representation(&parts.headers),
        })
    }
}

/// The condition of a header that may come in several lines (RFC 9110 §5.3). One that cannot be read is refused: a
/// change that was meant for one version must not be made to whichever there is.
fn condition(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Condition>, ScimError> {
    let lines: Vec<_> =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
    (!lines.is_empty()).then(|| Condition::parse(&lines.join(", "))).transpose()
}

fn preferred_wait(headers: &HeaderMap) -> Option<Duration> {
    preferred(headers, "wait").find_map(|seconds| seconds.parse().ok()).map(Duration::from_secs)
}

fn preferred_representation(headers: &HeaderMap) -> Option<bool> {
    preferred(headers, "return").find_map(|what| match what {
        "representation" => Some(true),
        "minimal" => Some(false),
        _ => None,
    })
}

/// What this preference asks for, by every time it is given.
fn preferred<'a>(headers: &'a HeaderMap, preference: &str) -> impl Iterator<Item = &'a str> {
    preferences(headers).filter_map(move |given| {
        let (name, value) = given.split_once('=')?;
        name.trim().eq_ignore_ascii_case(preference).then(|| value.trim().trim_matches('"'))
    })
}

/// Whether the client would rather be answered before the work is done (RFC 7240 §4.1).
pub(super) fn prefers_async(headers: &HeaderMap) -> bool {
    preferences(headers).any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// The preferences of all `Prefer` headers, without their parameters (RFC 7240 §2).
fn preferences(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|preference| preference.split(';').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_parameter_is_not_given_and_the_first_of_several_counts() {
        let query = Query::parse("aadOptscim062020&attributes=&filter=a+eq%20%22x%2By%22&Filter=b&count=2");
        assert_eq!(query.get("attributes"), None);
        assert_eq!(query.get("filter"), Some("a eq \"x+y\""));
        assert_eq!(query.get("COUNT"), Some("2"));
    }

    #[test]
    fn media_types_of_json_are_taken_in_any_dress() {
        for (media_type, taken) in [
            ("application/scim+json", true),
            ("application/SCIM+JSON; charset=utf-8", true),
            ("application/json", true),
            ("text/plain", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, media_type.parse().unwrap())]);
            assert_eq!(check_media_type(&headers).is_ok(), taken, "{media_type}");
        }
    }

    #[test]
    fn preferences_are_found_among_others() {
        for (prefer, wait, representation) in [
            ("respond-async, wait=1", Some(1), None),
            ("wait=\"10\"; foo=bar, Return = representation", Some(10), Some(true)),
            ("wait=soon, return=everything", None, None),
            ("return=minimal", None, Some(false)),
        ] {
            let headers = HeaderMap::from_iter([("prefer".parse().unwrap(), prefer.parse().unwrap())]);
            assert_eq!(preferred_wait(&headers), wait.map(Duration::from_secs), "{prefer}");
            assert_eq!(preferred_representation(&headers), representation, "{prefer}");
            assert_eq!(prefers_async(&headers), prefer.starts_with("respond-async"), "{prefer}");
        }
    }
}
