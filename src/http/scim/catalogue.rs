//! `/Roles` and `/Entitlements`, which can only be read (draft-ietf-scim-roles-entitlements).

use axum::extract::{Path, State as Given};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::StatusCode;
use serde_json::Value;

use super::answer;
use crate::directory::Catalogue;
use crate::http::State;
use crate::http::extract::{Admitted, Query};
use crate::http::reply::{self, Failure};
use crate::scim::filter::Filter;
use crate::scim::list::{ListResponse, Page};
use crate::scim::resource::Resource;

/// A list: what the filter describes, page by page.
pub(super) fn list(catalogue: Catalogue) -> MethodRouter<State> {
    get(async move |Given(state): Given<State>, Admitted(caller): Admitted, query: Query| {
        let resource_type = state.directory.catalogue_type(&caller, catalogue);
        let filter = query.get("filter").map(Filter::parse).transpose()?;
        let filter = filter.map(|filter| filter.resolve(resource_type)).transpose()?;
        let page = Page::parse(query.get("startIndex"), query.get("count"))?;
        let projection = answer::projection(resource_type, &query);
        let found = state.directory.list_catalogue(&caller, catalogue, filter, page).await?;
        let show = |resource: Resource| Value::from(projection.apply(resource_type, resource));
        let list = ListResponse {
            total_results: found.total,
            start_index: page.start_index,
            resources: found.page.into_iter().map(show).collect(),
        };
        Ok::<Response, Failure>(reply::json(StatusCode::OK, &list.into_json()))
    })
}

/// One role or entitlement.
pub(super) fn item(catalogue: Catalogue) -> MethodRouter<State> {
    get(
        async move |Given(state): Given<State>,
                    Admitted(caller): Admitted,
                    Path(id): Path<String>,
                    query: Query| {
            let resource_type = state.directory.catalogue_type(&caller, catalogue);
            let resource = state.directory.get_from_catalogue(&caller, catalogue, &id).await?;
            let resource = answer::projection(resource_type, &query).apply(resource_type, resource);
            Ok::<Response, Failure>(reply::json(StatusCode::OK, &resource.into()))
        },
    )
}
