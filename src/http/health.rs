//! What orchestrators and scrapers ask: whether the program lives, whether it is ready, and its numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State as Given;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::State;
use super::layers::note_route;
use crate::telemetry::metrics;

/// Longest time that the database has to answer a question about its health.
const DATABASE_ANSWER: Duration = Duration::from_secs(2);

/// How a part of the program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As it should.
    Ok,
    /// Something needs a human, and requests are served all the same: what they ask for waits.
    Degraded,
    /// Requests cannot be served.
    Down,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// How the parts of the program do, as they report it themselves. Clones share the same board.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<String, Condition>>>);

impl Readiness {
    /// Notes how `component` does, such as `upstream:default`.
    pub fn set(&self, component: &str, condition: Condition) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(component.to_owned(), condition);
    }

    /// Says no more of `component`.
    pub fn forget(&self, component: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(component);
    }

    fn read(&self) -> BTreeMap<String, Condition> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The routes that need no token.
pub(super) fn routes() -> Router<State> {
    Router::new()
        .route("/healthz", get(async || plain_json(StatusCode::OK, &json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_page))
        .route_layer(from_fn(note_route))
}

async fn ready(Given(state): Given<State>) -> Response {
    let database = tokio::time::timeout(DATABASE_ANSWER, state.directory.check_store()).await;
    let mut components = state.readiness.read();
    let condition = if matches!(database, Ok(Ok(()))) { Condition::Ok } else { Condition::Down };
    components.insert("database".to_owned(), condition);
    let is_down = components.values().any(|condition| *condition == Condition::Down);
    let (status, word) =
        if is_down { (StatusCode::SERVICE_UNAVAILABLE, "not ready") } else { (StatusCode::OK, "ready") };
    let components: Map<_, _> =
        components.into_iter().map(|(name, condition)| (name, Value::from(condition.as_str()))).collect();
    plain_json(status, &json!({ "status": word, "components": components }))
}

async fn metrics_page(Given(state): Given<State>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics.render()).into_response()
}

fn plain_json(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
