//! Lists: `GET` on an endpoint or on the base path, and `POST` on the `.search` of either (RFC 7644 §3.4.2, §3.4.3).

use axum::extract::State as Given;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use serde_json::Value;

use super::members::{Item, Writer};
use crate::directory::{Caller, Kind, Listing, Turn, group_type};
use crate::http::State;
use crate::http::extract::{Admitted, Body, Query};
use crate::http::reply::Failure;
use crate::scim::list::{CursorResponse, ListResponse};
use crate::scim::search;

/// `GET` of a list of these kinds.
pub(super) fn list(kinds: &'static [Kind]) -> MethodRouter<State> {
    get(async move |Given(state): Given<State>, Admitted(caller): Admitted, query: Query| {
        answer(&state, &caller, kinds, &query.search()?).await
    })
}

/// The same by `POST`.
pub(super) fn search(kinds: &'static [Kind]) -> MethodRouter<State> {
    post(async move |Given(state): Given<State>, Admitted(caller): Admitted, Body(body): Body| {
        answer(&state, &caller, kinds, &search::Query::from_body(body)?).await
    })
}

async fn answer(
    state: &State,
    caller: &Caller,
    kinds: &[Kind],
    query: &search::Query,
) -> Result<Response, Failure> {
    let Listing { total, turn, entries } = state.directory.list(caller, kinds, query).await?;
    let message = match turn {
        Turn::Index(start_index) => {
            let total_results = total.unwrap_or_default();
            ListResponse { total_results, start_index, resources: vec![Value::Null; entries.len()] }
                .into_json()
        }
        Turn::Cursor { next, previous } => CursorResponse {
            total_results: total,
            resources: vec![Value::Null; entries.len()],
            next_cursor: next,
            previous_cursor: previous,
        }
        .into_json(),
    };
    let items = entries.into_iter().map(|entry| Item {
        resource: query.projection(entry.resource_type).apply(entry.resource_type, entry.resource),
        group: entry.group,
    });
    Writer::new(state, caller, query.projection(group_type())).list(&message, items.collect()).await
}
