//! `/Roles/{id}` and `/Entitlements/{id}`, which can only be read (draft-ietf-scim-roles-entitlements).

use axum::extract::{Path, State as Given};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use http::StatusCode;

use super::answer;
use crate::directory::Catalogue;
use crate::http::State;
use crate::http::extract::{Admitted, Query};
use crate::http::reply::{self, Failure};

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
