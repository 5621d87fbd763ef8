//! `POST /Groups` and `/Groups/{id}`.

use axum::extract::{Path, State as Given};
use axum::response::Response;
use http::StatusCode;

use super::answer;
use super::members::Writer;
use crate::directory::{Caller, Reply, ShownGroup, group_type};
use crate::http::State;
use crate::http::extract::{Admitted, Body, Query, Terms};
use crate::http::reply::{self, Failure};

/// `POST /Groups` (RFC 7644 §3.3).
pub(super) async fn create(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
    Body(body): Body,
) -> Result<Response, Failure> {
    let reply = state.directory.create_group(&caller, body).await?;
    written(StatusCode::CREATED, &state, &caller, reply, &query).await
}

/// `GET /Groups/{id}` (RFC 7644 §3.4.1).
pub(super) async fn get(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    query: Query,
    terms: Terms,
) -> Result<Response, Failure> {
    let group = state.directory.get_group(&caller, &id).await?;
    if let Some(response) = answer::not_modified(&terms, group.shown.version) {
        return Ok(response);
    }
    show(StatusCode::OK, &state, &caller, group, &query).await
}

/// `PUT /Groups/{id}` (RFC 7644 §3.5.1).
pub(super) async fn replace(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    query: Query,
    terms: Terms,
    Body(body): Body,
) -> Result<Response, Failure> {
    let reply = state.directory.replace_group(&caller, &id, body, terms.if_match).await?;
    written(StatusCode::OK, &state, &caller, reply, &query).await
}

/// `PATCH /Groups/{id}` (RFC 7644 §3.5.2). The answer has no body, which is what Entra ID wants of groups, unless one is
/// asked for.
pub(super) async fn patch(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    query: Query,
    terms: Terms,
    Body(body): Body,
) -> Result<Response, Failure> {
    let group = match state.directory.patch_group(&caller, &id, body, terms.if_match).await? {
        Reply::Now(group) => group,
        Reply::Later(accepted) => return Ok(reply::accepted(&accepted)),
    };
    if answer::shows_patched(&query, terms.representation, false) {
        return show(StatusCode::OK, &state, &caller, group, &query).await;
    }
    Ok(answer::changed(group.shown.version))
}

/// `DELETE /Groups/{id}` (RFC 7644 §3.6).
pub(super) async fn delete(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    Path(id): Path<String>,
    terms: Terms,
) -> Result<Response, Failure> {
    Ok(answer::deleted(state.directory.delete_group(&caller, &id, terms.if_match).await?))
}

async fn written(
    status: StatusCode,
    state: &State,
    caller: &Caller,
    reply: Reply<ShownGroup>,
    query: &Query,
) -> Result<Response, Failure> {
    match reply {
        Reply::Now(group) => show(status, state, caller, group, query).await,
        Reply::Later(accepted) => Ok(reply::accepted(&accepted)),
    }
}

async fn show(
    status: StatusCode,
    state: &State,
    caller: &Caller,
    group: ShownGroup,
    query: &Query,
) -> Result<Response, Failure> {
    let (version, location) = (group.shown.version, group.shown.location.clone());
    let writer = Writer::new(state, caller, answer::projection(group_type(), query));
    Ok(answer::with_head(writer.group(status, group).await?, version, &location))
}
