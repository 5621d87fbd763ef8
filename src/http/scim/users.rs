//! `/Users` and `/Users/{id}`.

use axum::extract::{Path, State as Given};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, LOCATION};
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::directory::{Reply, User, user_type};
use crate::http::State;
use crate::http::extract::{Admitted, Body, Query, Terms};
use crate::http::reply::{self, Failure};
use crate::scim::etag::Version;
use crate::scim::filter::Filter;
use crate::scim::list::Page;
use crate::scim::project::Projection;

/// `GET /Users`: those whom the filter describes (RFC 7644 §3.4.2), page by page, in the order of their making.
pub(super) async fn list(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
) -> Result<Response, Failure> {
    let filter = query.get("filter").map(Filter::parse).transpose()?;
    let filter = filter.map(|filter| filter.resolve(user_type())).transpose()?;
    let page = Page::parse(query.get("startIndex"), query.get("count"))?;
    let projection = projection(&query);
    let show = |user: User| Value::from(projection.apply(user_type(), user.resource));
    let list = state.directory.list_users(&caller, filter, page, &show).await?;
    Ok(reply::json(StatusCode::OK, &list.into_json()))
}

/// `POST /Users` (RFC 7644 §3.3).
pub(super) async fn create(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
    terms: Terms,
    Body(body): Body,
) -> Result<Response, Failure> {
    let user = match state.directory.create_user(&caller, body, terms.wait).await? {
        Reply::Now(user) => user,
        Reply::Later(accepted) => return Ok(reply::accepted(&accepted)),
    };
    let location = HeaderValue::from_str(&user.location);
    let mut response = show(StatusCode::CREATED, user, &query);
    if let Ok(location) = location {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `GET /Users/{id}` (RFC 7644 §3.4.1).
pub(super) async fn get(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    query: Query,
    terms: Terms,
) -> Result<Response, Failure> {
    let user = state.directory.get_user(&caller, &id).await?;
    if terms.if_none_match.is_some_and(|known| known.names(Version(user.version))) {
        let tag = Version(user.version).to_string();
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(show(StatusCode::OK, user, &query))
}

/// `PUT /Users/{id}` (RFC 7644 §3.5.1).
pub(super) async fn replace(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    query: Query,
    terms: Terms,
    Body(body): Body,
) -> Result<Response, Failure> {
    let reply = state.directory.replace_user(&caller, &id, body, terms.if_match, terms.wait).await?;
    Ok(match reply {
        Reply::Now(user) => show(StatusCode::OK, user, &query),
        Reply::Later(accepted) => reply::accepted(&accepted),
    })
}

/// `PATCH /Users/{id}` (RFC 7644 §3.5.2). The answer is the resource, which Okta and Entra ID both read.
pub(super) async fn patch(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    query: Query,
    terms: Terms,
    Body(body): Body,
) -> Result<Response, Failure> {
    let reply = state.directory.patch_user(&caller, &id, body, terms.if_match, terms.wait).await?;
    Ok(match reply {
        Reply::Now(user) => show(StatusCode::OK, user, &query),
        Reply::Later(accepted) => reply::accepted(&accepted),
    })
}

/// `DELETE /Users/{id}` (RFC 7644 §3.6).
pub(super) async fn delete(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    terms: Terms,
) -> Result<Response, Failure> {
    Ok(match state.directory.delete_user(&caller, &id, terms.if_match).await? {
        Reply::Now(()) => StatusCode::NO_CONTENT.into_response(),
        Reply::Later(accepted) => reply::accepted(&accepted),
    })
}

fn projection(query: &Query) -> Projection {
    Projection::parse(user_type(), query.get("attributes"), query.get("excludedAttributes"))
}

fn show(status: StatusCode, user: User, query: &Query) -> Response {
    let tag = Version(user.version).to_string();
    let resource = projection(query).apply(user_type(), user.resource);
    let mut response = reply::json(status, &resource.into());
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}
