//! A table of routes that can tell what is in it, so that nothing is served that no test knows of.

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::MethodRouter;

use super::State;
use super::layers::note_route;
use super::reply;

/// Routes and their paths.
#[derive(Debug, Default)]
pub(super) struct Table {
    router: Router<State>,
    paths: Vec<String>,
}

impl Table {
    /// Adds a route.
    pub(super) fn route(mut self, path: &str, methods: MethodRouter<State>) -> Self {
        self.paths.push(path.to_owned());
        self.router = self.router.route(path, methods);
        self
    }

    /// Adds all routes of another table.
    pub(super) fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        self.router = self.router.merge(other.router);
        self
    }

    /// The paths, as templates such as `/Users/{id}`.
    pub(super) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The router.
    pub(super) fn into_router(self) -> Router<State> {
        self.router.method_not_allowed_fallback(reply::other_method).route_layer(from_fn(note_route))
    }
}
