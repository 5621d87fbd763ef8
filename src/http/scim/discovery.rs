//! What the server can do: `/ServiceProviderConfig`, `/ResourceTypes` and `/Schemas` (RFC 7644 §4).

use axum::extract::{Path, State as Given};
use axum::response::Response;
use http::StatusCode;
use serde_json::Value;

use crate::directory::Caller;
use crate::http::State;
use crate::http::extract::{Admitted, Query};
use crate::http::reply::{self, Failure};
use crate::model::event::EventKind;
use crate::scim::error::ScimError;
use crate::scim::schema::features::{Features, OFFERED};
use crate::scim::schema::{Registry, discovery};

pub(super) async fn service_provider_config(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
) -> Result<Response, Failure> {
    let has_feed = state.directory.has_feed(&caller.tenant);
    answer(&state, &caller, &query, |registry, base| {
        let event_uris = if has_feed { EventKind::ALL.map(EventKind::uri).to_vec() } else { Vec::new() };
        let features = Features { event_uris, ..OFFERED };
        Some(discovery::service_provider_config(registry, base, &features))
    })
}

pub(super) async fn resource_types(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
) -> Result<Response, Failure> {
    answer(&state, &caller, &query, |registry, base| Some(discovery::resource_types(registry, base)))
}

pub(super) async fn resource_type(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
    Path(name): Path<String>,
) -> Result<Response, Failure> {
    answer(&state, &caller, &query, |registry, base| discovery::resource_type(registry, &name, base))
}

pub(super) async fn schemas(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
) -> Result<Response, Failure> {
    answer(&state, &caller, &query, |registry, base| Some(discovery::schemas(registry, base)))
}

pub(super) async fn schema(
    Given(state): Given<State>,
    Admitted(caller): Admitted,
    query: Query,
    Path(urn): Path<String>,
) -> Result<Response, Failure> {
    answer(&state, &caller, &query, |registry, base| discovery::schema(registry, &urn, base))
}

fn answer(
    state: &State,
    caller: &Caller,
    query: &Query,
    document: impl FnOnce(&Registry, &str) -> Option<Value>,
) -> Result<Response, Failure> {
    if query.get("filter").is_some() {
        // RFC 7644 §4 asks for 403 here, so that no client takes the whole list for what it asked for.
        return Err(ScimError::forbidden("this endpoint cannot be filtered; leave the filter out").into());
    }
    let registry = Registry::of(state.directory.profile(&caller.tenant));
    let document = document(registry, &state.directory.base_url(&caller.tenant));
    let document = document.ok_or_else(|| ScimError::not_found("nothing is published under this name"))?;
    Ok(reply::json(StatusCode::OK, &document))
}
