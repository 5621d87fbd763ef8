//! Answers that carry resources: the part of each that was asked for, its entity tag and its place.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};

use crate::directory::{Reply, Shown};
use crate::http::extract::{Query, Terms};
use crate::http::reply;
use crate::scim::etag::Version;
use crate::scim::project::Projection;
use crate::scim::schema::ResourceType;

/// The part of each resource that the query asks for.
pub(super) fn projection(resource_type: &ResourceType, query: &Query) -> Projection {
    Projection::parse(resource_type, query.get("attributes"), query.get("excludedAttributes"))
}

/// A resource with its version in the head; with its place as well, if it is new.
pub(super) fn resource(
    status: StatusCode,
    resource_type: &ResourceType,
    shown: Shown,
    projection: &Projection,
) -> Response {
    let (version, location) = (shown.version, shown.location);
    let body = projection.apply(resource_type, shown.resource);
    with_head(reply::json(status, &body.into()), version, &location)
}

/// Adds the version, and the place of what is new, to an answer.
pub(super) fn with_head(mut response: Response, version: i64, location: &str) -> Response {
    if let Ok(tag) = HeaderValue::from_str(&Version(version).to_string()) {
        response.headers_mut().insert(ETAG, tag);
    }
    if response.status() == StatusCode::CREATED
        && let Ok(location) = HeaderValue::from_str(location)
    {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// Whether a PATCH is answered with the resource (RFC 7644 §3.5.2): always if attributes are asked for, else as the client
/// prefers, which the status tells (RFC 7240 §3), or else as clients expect of the type.
pub(super) fn shows_patched(query: &Query, preferred: Option<bool>, is_usual: bool) -> bool {
    query.get("attributes").is_some() || preferred.unwrap_or(is_usual)
}

/// That a change is made, without what became of the resource.
pub(super) fn changed(version: i64) -> Response {
    with_head(StatusCode::NO_CONTENT.into_response(), version, "")
}

/// That something is deleted, or will be.
pub(super) fn deleted(reply: Reply<()>) -> Response {
    match reply {
        Reply::Now(()) => StatusCode::NO_CONTENT.into_response(),
        Reply::Later(accepted) => reply::accepted(&accepted),
    }
}

/// 304, if the client has this version already.
pub(super) fn not_modified(terms: &Terms, version: i64) -> Option<Response> {
    let known = terms.if_none_match.as_ref()?;
    known.names(Version(version)).then(|| {
        let response = (StatusCode::NOT_MODIFIED, Body::empty()).into_response();
        with_head(response, version, "")
    })
}
