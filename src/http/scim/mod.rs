//! The SCIM side: its base paths, the door in front of it and its table of routes.

mod answer;
mod bulk;
mod catalogue;
mod discovery;
mod events;
mod groups;
mod members;
mod search;
mod users;

use axum::Router;
use axum::extract::{Request, State as Given};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::uri::PathAndQuery;
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;

use self::search::{list, search};
use super::layers::{Template, Trail};
use super::reply::{self, Failure};
use super::table::Table;
use super::{State, auth};
use crate::access::Refusal;
use crate::access::oauth::KEYS_PATH;
use crate::directory::{Caller, Catalogue, EVENTS, Kind, TRANSACTIONS};
use crate::ids::TenantId;
use crate::scim::error::ScimError;
use crate::scim::profile::Deviation;

/// The base paths, as templates.
pub(super) const BASES: [&str; 3] = ["/scim/v2", "/v1/scim/v2", "/tenants/{tenant}/scim/v2"];

/// A service that finds the tenant of a path, asks for its token, and only then routes the rest of the path.
pub(super) fn door(state: State) -> Router {
    let routes = routes().into_router().fallback(async || Failure::from(no_such_endpoint()));
    let routes = routes.with_state(state.clone());
    Router::new().fallback(enter).with_state((state, routes))
}

/// The keys of event tokens, which everybody may have.
pub(super) fn keys() -> Table {
    Table::default().route(KEYS_PATH, get(events::keys))
}

async fn enter(Given((state, routes)): Given<(State, Router)>, request: Request) -> Response {
    let request = match admit(&state, request).await {
        Ok(request) => request,
        Err(refusal) => return refusal,
    };
    let caller = request.extensions().get::<Caller>().cloned();
    let trail = request.extensions().get::<Trail>().cloned();
    let profile = caller.as_ref().map(|caller| state.directory.profile(&caller.tenant)).unwrap_or_default();
    // The routes are infallible.
    let response = routes.oneshot(request).await.unwrap_or_else(|never| match never {});
    if let (Some(caller), Some(trail)) = (caller, trail)
        && caller.rights.refused().is_some()
    {
        let refusal = Refusal { reason: "scope", token: Some(caller.token) };
        let is_first = auth::note(&state, &trail, Some(&caller.tenant), &refusal);
        // A bulk request may have done other things that it was allowed to do.
        if !is_first && response.status() == StatusCode::FORBIDDEN {
            trail.hush();
        }
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE && profile.has(Deviation::BusyIsTooMany) {
        return reply::too_many();
    }
    response
}

async fn admit(state: &State, mut request: Request) -> Result<Request, Response> {
    let trail = request.extensions().get::<Trail>().cloned();
    let trail = trail.ok_or_else(reply::internal)?;
    let uri = request.uri().clone();
    let nowhere = || reply::refusal(&no_such_endpoint());
    let base = Base::find(uri.path()).ok_or_else(nowhere)?;
    // A tenant that cannot exist is refused at the door like every other stranger.
    if let Some(tenant) = &base.tenant
        && let Err(reason) = state.gate.check(tenant, request.headers(), request.extensions())
    {
        return Err(auth::refuse(state, &trail, Some(tenant), &reason.into()).into_response());
    }
    let caller =
        auth::admit(state, &trail, base.tenant, request.headers()).await.map_err(Failure::into_response)?;
    state
        .gate
        .spend(&caller.tenant, &caller.token)
        .map_err(|wait| auth::slow_down(state, &trail, &caller.tenant, &caller.token, wait))?;

    // axum would answer what is not UTF-8 in words of its own.
    if percent_decode_str(base.rest).decode_utf8().is_err() {
        return Err(nowhere());
    }
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let target: Result<PathAndQuery, _> = format!("{}{query}", base.rest).parse();
    let target = target.map_err(|_malformed| nowhere())?;
    *request.uri_mut() = Uri::from(target);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(Template(base.template));
    Ok(request)
}

/// A path taken apart: whose it is, and what is asked of them.
#[derive(Debug, PartialEq, Eq)]
struct Base<'a> {
    /// `None` when the path names a tenant that cannot exist.
    tenant: Option<TenantId>,
    /// Begins with a slash, and does not end with one unless it is one.
    rest: &'a str,
    template: &'static str,
}

impl<'a> Base<'a> {
    fn find(path: &'a str) -> Option<Self> {
        let [plain, alias, of_tenant] = BASES;
        let (tenant, rest, template) = if let Some(rest) = path.strip_prefix(plain) {
            (Some(TenantId::default_tenant()), rest, plain)
        } else if let Some(rest) = path.strip_prefix(alias) {
            (Some(TenantId::default_tenant()), rest, alias)
        } else {
            let (tenant, rest) = path.strip_prefix("/tenants/")?.split_once('/')?;
            (tenant.parse().ok(), rest.strip_prefix("scim/v2")?, of_tenant)
        };
        let rest = match rest.strip_suffix('/').unwrap_or(rest) {
            "" => "/",
            rest if rest.starts_with('/') => rest,
            // `/scim/v2x` is no path of ours.
            _ => return None,
        };
        Some(Self { tenant, rest, template })
    }
}

const USERS: &[Kind] = &[Kind::Users];
const GROUPS: &[Kind] = &[Kind::Groups];
const ROLES: &[Kind] = &[Kind::Catalogue(Catalogue::Roles)];
const ENTITLEMENTS: &[Kind] = &[Kind::Catalogue(Catalogue::Entitlements)];

/// The table of routes below a base path.
pub(super) fn routes() -> Table {
    let me = async || not_offered("the alias /Me");
    Table::default()
        .route("/", list(&Kind::ALL))
        .route("/.search", search(&Kind::ALL))
        .route("/Users", list(USERS).post(users::create))
        .route("/Users/.search", search(USERS))
        .route("/Users/{id}", get(users::get).put(users::replace).patch(users::patch).delete(users::delete))
        .route("/Groups", list(GROUPS).post(groups::create))
        .route("/Groups/.search", search(GROUPS))
        .route(
            "/Groups/{id}",
            get(groups::get).put(groups::replace).patch(groups::patch).delete(groups::delete),
        )
        .route("/Roles", list(ROLES))
        .route("/Roles/.search", search(ROLES))
        .route("/Roles/{id}", catalogue::item(Catalogue::Roles))
        .route("/Entitlements", list(ENTITLEMENTS))
        .route("/Entitlements/.search", search(ENTITLEMENTS))
        .route("/Entitlements/{id}", catalogue::item(Catalogue::Entitlements))
        .route("/ServiceProviderConfig", get(discovery::service_provider_config))
        .route("/ResourceTypes", get(discovery::resource_types))
        .route("/ResourceTypes/{name}", get(discovery::resource_type))
        .route("/Schemas", get(discovery::schemas))
        .route("/Schemas/{urn}", get(discovery::schema))
        .route(EVENTS, post(events::poll))
        .route(&format!("{TRANSACTIONS}/{{txn}}"), get(events::outcome))
        .route("/Bulk", post(bulk::run))
        .route("/Me", any(me))
}

fn not_offered(what: &str) -> Response {
    reply::refusal(&ScimError::not_implemented(format!("this server does not offer {what}")))
}

fn no_such_endpoint() -> ScimError {
    ScimError::not_found(
        "no endpoint here; the SCIM base URL ends in /scim/v2 and is followed by e.g. /Users",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_its_tenant_and_what_is_asked_of_them() {
        let check = |path: &str, expected: Option<(Option<&str>, &str)>| {
            let found =
                Base::find(path).map(|base| (base.tenant.map(|tenant| tenant.to_string()), base.rest));
            let found = found.as_ref().map(|(tenant, rest)| (tenant.as_deref(), *rest));
            assert_eq!(found, expected, "{path}");
        };
        check("/scim/v2", Some((Some("default"), "/")));
        check("/scim/v2/", Some((Some("default"), "/")));
        check("/scim/v2/Users", Some((Some("default"), "/Users")));
        check("/scim/v2/Users/", Some((Some("default"), "/Users")));
        check("/v1/scim/v2/Users/1", Some((Some("default"), "/Users/1")));
        check("/tenants/acme/scim/v2/Users", Some((Some("acme"), "/Users")));
        check("/tenants/AC%2fME/scim/v2/Users", Some((None, "/Users")));
        check("/scim/v2Users", None);
        check("/tenants/acme", None);
        check("/tenants/acme/scim/v1/Users", None);
        check("/", None);
        check("/users", None);
    }
}
