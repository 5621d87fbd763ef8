//! `POST /Users` and `/Users/{id}`.

use axum::extract::{Path, State as Given};
use axum::response::Response;
use http::StatusCode;

use super::answer;
use crate::directory::{Reply, Shown, user_type};
use crate::http::State;
use crate::http::extract::{Admitted, Body, Query, Terms};
use crate::http::reply::{self, Failure};

/// `POST /Users` (RFC 7644 §3.3).
pub(super) async fn create(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
    terms: Terms,
    Body(body): Body,
) -> Result<Response, Failure> {
    let reply = state.directory.create_user(&caller, body, terms.wait).await?;
    Ok(written(StatusCode::CREATED, reply, &query))
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
    if let Some(response) = answer::not_modified(&terms, user.version) {
        return Ok(response);
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
    Ok(written(StatusCode::OK, reply, &query))
}

/// `PATCH /Users/{id}` (RFC 7644 §3.5.2). The answer is the resource, which Okta and Entra ID both read, unless the client
/// would rather have none.
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
        Reply::Now(user) if !answer::shows_patched(&query, terms.representation, true) => {
            answer::changed(user.version)
        }
        reply => written(StatusCode::OK, reply, &query),
    })
}

/// `DELETE /Users/{id}` (RFC 7644 §3.6).
pub(super) async fn delete(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    terms: Terms,
) -> Result<Response, Failure> {
    Ok(answer::deleted(state.directory.delete_user(&caller, &id, terms.if_match).await?))
}

fn written(status: StatusCode, reply: Reply<Shown>, query: &Query) -> Response {
    match reply {
        Reply::Now(user) => show(status, user, query),
        Reply::Later(accepted) => reply::accepted(&accepted),
    }
}

fn show(status: StatusCode, user: Shown, query: &Query) -> Response {
    answer::resource(status, user_type(), user, &answer::projection(user_type(), query))
}
