//! What orchestrators and scrapers ask: whether the program lives, whether it is ready, and its numbers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State as Given;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::State;
use super::table::Table;
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
    /// OpenAI does not offer it to the organization, or not to its key: what grants ask of it waits.
    NotOffered,
    /// Requests cannot be served.
    Down,
}

impl Condition {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::NotOffered => "not offered",
            Self::Down => "down",
        }
    }
}

/// How the parts of the program do, as they report it themselves. Clones share the same board.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<Board>>);

#[derive(Debug, Default)]
struct Board {
    conditions: BTreeMap<String, Condition>,
    details: BTreeMap<String, Value>,
}

impl Readiness {
    /// Notes how `component` does, such as `upstream:default`.
    pub fn set(&self, component: &str, condition: Condition) {
        self.board().conditions.insert(component.to_owned(), condition);
    }

    /// Says no more of `component`.
    pub fn forget(&self, component: &str) {
        let mut board = self.board();
        board.conditions.remove(component);
        board.details.remove(component);
    }

    /// Notes what there is to say about `component`: numbers and reasons, and nothing that is anybody's.
    pub fn explain(&self, component: &str, detail: Value) {
        self.board().details.insert(component.to_owned(), detail);
    }

    fn read(&self) -> (BTreeMap<String, Condition>, BTreeMap<String, Value>) {
        let board = self.board();
        (board.conditions.clone(), board.details.clone())
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The routes that need no token.
pub(super) fn routes() -> Table {
    Table::default()
        .route("/healthz", get(async || plain_json(StatusCode::OK, &json!({ "status": "ok" }))))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics_page))
}

async fn ready(Given(state): Given<State>) -> Response {
    let database = tokio::time::timeout(DATABASE_ANSWER, state.directory.check_store()).await;
    let (mut components, details) = state.readiness.read();
    let condition = if matches!(database, Ok(Ok(()))) { Condition::Ok } else { Condition::Down };
    components.insert("database".to_owned(), condition);
    let is_down = components.values().any(|condition| *condition == Condition::Down);
    let (status, word) =
        if is_down { (StatusCode::SERVICE_UNAVAILABLE, "not ready") } else { (StatusCode::OK, "ready") };
    let components: Map<_, _> =
        components.into_iter().map(|(name, condition)| (name, Value::from(condition.as_str()))).collect();
    let mut answer = json!({ "status": word, "components": components });
    if let (Value::Object(answer), false) = (&mut answer, details.is_empty()) {
        answer.insert("details".to_owned(), details.into_iter().collect());
    }
    plain_json(status, &answer)
}

async fn metrics_page(Given(state): Given<State>) -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], state.metrics.render()).into_response()
}

fn plain_json(status: StatusCode, body: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
