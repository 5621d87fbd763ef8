//! The way in: the listener, the layers around every request, and the SCIM endpoints behind their door.
//!
//! A request passes [`layers`] (identity, account, limits), then either what is open to all ([`health`], [`oauth`]) or
//! the door of the SCIM side in [`scim`], where [`auth`] finds out who asks before the path, the query or the body are
//! looked at. Handlers call [`crate::directory`] and nothing else; [`reply`] turns every error into its answer.

mod auth;
mod bucket;
mod connection;
mod extract;
mod gate;
mod health;
mod layers;
mod listener;
mod oauth;
mod peer;
mod reply;
mod scim;
mod table;

use axum::Router;

use crate::access::Door;
use crate::clock::Clock;
use crate::directory::Directory;
use crate::telemetry::metrics::Metrics;
use table::Table;

pub use gate::Gate;
pub use health::{Condition, Readiness};
pub use listener::{Limits, serve, serve_tls};

/// What the endpoints work with. Clones share everything.
#[derive(Debug, Clone)]
pub struct State {
    /// What callers may do.
    pub directory: Directory,
    /// Who may call.
    pub door: Door,
    /// From where, with what and how often they may.
    pub gate: Gate,
    /// Where requests are counted.
    pub metrics: Metrics,
    /// How the parts of the program do.
    pub readiness: Readiness,
    /// Where request ids come from.
    pub clock: Clock,
}

/// Everything that is served, with all layers.
pub fn router(state: State) -> Router {
    let account = layers::Account {
        clock: state.clock.clone(),
        metrics: state.metrics.clone(),
        gate: state.gate.clone(),
        is_public_https: state.directory.is_https(),
    };
    let router = open_routes()
        .into_router()
        .fallback_service(scim::door(state.clone()))
        .method_not_allowed_fallback(reply::other_method)
        .with_state(state);
    layers::wrap(router, account)
}

/// What is not behind the door of a tenant.
fn open_routes() -> Table {
    health::routes().merge(scim::keys()).merge(oauth::routes())
}

/// The path of everything that is served, as templates: what is open to all, and what is behind the door under each
/// base path. Which methods a path serves, its `Allow` header tells.
pub fn paths() -> Vec<String> {
    let open = open_routes().paths().to_vec();
    let scim = scim::routes();
    let behind =
        scim::BASES.iter().flat_map(|base| scim.paths().iter().map(move |path| format!("{base}{path}")));
    open.into_iter().chain(behind).collect()
}
