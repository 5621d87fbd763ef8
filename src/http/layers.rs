//! What happens to every request, whatever its path, from the outside in: identity and account, compression, the fence
//! around panics, the time limit, and the limits on the head.

use std::any::Any;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;

use super::gate::Gate;
use super::peer::Peer;
use super::reply;
use crate::access::Admission;
use crate::clock::Clock;
use crate::ids::RequestId;
use crate::scim::error::ScimError;
use crate::telemetry::metrics::Metrics;

/// Longest time from a request's head to its answer's head; an answer that waits for the engine takes 2 s of it.
const WHOLE_REQUEST: Duration = Duration::from_secs(30);
/// Bytes of header names and values.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Header fields.
const MAX_HEADER_FIELDS: usize = 64;
/// Bytes of path and query.
const MAX_TARGET_BYTES: usize = 8 * 1024;
/// Shown as the route of what is served nowhere.
const NO_ROUTE: &str = "none";

/// What every answer says about itself: nothing of it is kept, guessed at, shown in a frame or run.
const ALWAYS: [(HeaderName, HeaderValue); 4] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];
/// A year of HTTPS alone (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the inner parts learn about a request and the account of it shows. Never the query, a body or an
/// e-mail address.
#[derive(Debug, Clone)]
pub(super) struct Trail {
    /// The id of the request: ours, whatever the client may have sent.
    pub(super) request: RequestId,
    /// Where it came from, if over a connection.
    pub(super) client: Option<IpAddr>,
    /// The template of the route, such as `/scim/v2/Users/{id}`.
    pub(super) route: Arc<OnceLock<String>>,
    /// Who asked.
    pub(super) admission: Arc<OnceLock<Admission>>,
    /// Whether the account goes without a line in the log.
    is_hushed: Arc<OnceLock<()>>,
}

impl Trail {
    /// Keeps the request out of the log, because somebody was turned away like another one just before: a flood must
    /// not fill it.
    pub(super) fn hush(&self) {
        let _first = self.is_hushed.set(()).is_ok();
    }
}

/// The template of the base path below which a request is routed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template(pub(super) &'static str);

/// Notes the template of the route for the account of the request.
pub(super) async fn note_route(matched: MatchedPath, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let Some(trail) = extensions.get::<Trail>() {
        let base = extensions.get::<Template>().map_or("", |template| template.0);
        let _first = trail.route.set(format!("{base}{}", matched.as_str())).is_ok();
    }
    next.run(request).await
}

/// What the account of a request is made with.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) gate: Gate,
    /// Whether clients come by HTTPS, here or at a proxy.
    pub(super) is_public_https: bool,
}

/// Wraps the layers around `router`.
pub(super) fn wrap(router: Router, accounting: Account) -> Router {
    // The last one added is the first one to see the request.
    router
        .layer(from_fn(limit_head))
        .layer(from_fn(limit_time))
        .layer(CatchPanicLayer::custom(answer_panic))
        .layer(CompressionLayer::new())
        .layer(from_fn_with_state(accounting, account))
}

/// Gives the request its id, and accounts for it in one log line and in the metrics.
async fn account(
    State(Account { clock, metrics, gate, is_public_https }): State<Account>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let client = gate.client_of(request.headers(), request.extensions());
    let trail = Trail {
        request: RequestId::new(&clock),
        client,
        route: Arc::default(),
        admission: Arc::default(),
        is_hushed: Arc::default(),
    };
    let method = request.method().clone();
    request.extensions_mut().insert(trail.clone());
    let is_encrypted = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_encrypted);
    let mut response = next.run(request).await;
    // Guessing is slowed down; whoever has a good token is not concerned.
    if response.status() == StatusCode::UNAUTHORIZED
        && let Some(client) = client
        && let Err(wait) = gate.count_failure(client)
    {
        gate.keep_waiting().await;
        response = reply::stop_guessing(wait);
    }

    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&trail.request.to_string()) {
        headers.insert(X_REQUEST_ID, id);
    }
    headers.extend(ALWAYS);
    if is_encrypted || is_public_https {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }

    let route = trail.route.get().map_or(NO_ROUTE, String::as_str);
    let status = response.status().as_u16();
    let took = started.elapsed();
    metrics.request(method.as_str(), route, status, took.as_secs_f64());
    if trail.is_hushed.get().is_some() {
        tracing::debug!(request.id = %trail.request, http.status = status, "{method} {route} answered {status}");
        return response;
    }
    let admission = trail.admission.get();
    tracing::info!(
        request.id = %trail.request,
        http.method = %method,
        http.route = route,
        http.status = status,
        duration_ms = took.as_millis(),
        tenant = admission.map(|admission| admission.tenant.as_str()),
        token.id = admission.map(|admission| admission.token.as_str()),
        "{method} {route} answered {status}",
    );
    response
}

/// Cuts a request that takes too long. A write that was under way may have happened; sending it again is harmless.
async fn limit_time(request: Request, next: Next) -> Response {
    tokio::time::timeout(WHOLE_REQUEST, next.run(request))
        .await
        .unwrap_or_else(|_elapsed| reply::unavailable())
}

/// Refuses heads that are larger than any client's, and those that name two hosts.
async fn limit_head(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let bytes = headers.iter().fold(0_usize, |sum, (name, value)| {
        sum.saturating_add(name.as_str().len()).saturating_add(value.len())
    });
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let refusal = if bytes > MAX_HEADER_BYTES || headers.len() > MAX_HEADER_FIELDS {
        ScimError::new(431, "the headers of the request are too large")
    } else if target > MAX_TARGET_BYTES {
        ScimError::new(414, "the address of the request is too long; shorten the filter")
    } else if headers.get_all(HOST).iter().nth(1).is_some() {
        ScimError::new(400, "the request names more than one host")
    } else {
        return next.run(request).await;
    };
    reply::refusal(&refusal)
}

/// The answer of last resort: a defect in one request must not look like anything else to the client.
fn answer_panic(_panic: Box<dyn Any + Send + 'static>) -> Response {
    // The panic's own message is on standard error by the hook; it may hold data and is not repeated here.
    tracing::error!("a request failed by a panic");
    reply::internal()
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::StatusCode;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_like_any_defect_and_accounted_for() {
        async fn broken() {
            panic!("jane@x.example");
        }
        let (clock, metrics) = (Clock::manual("2026-01-01T00:00:00Z".parse().unwrap()), Metrics::new());
        let accounting = Account {
            clock: clock.clone(),
            metrics: metrics.clone(),
            gate: Gate::new(clock, Vec::new(), 1),
            is_public_https: false,
        };
        let router = wrap(Router::new().route("/", get(broken)), accounting);
        let answer =
            router.oneshot(Request::get("/").body(axum::body::Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(answer.headers().contains_key(X_REQUEST_ID));
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["status"], "500");
        assert!(!body["detail"].as_str().unwrap().contains("jane"));
        assert!(metrics.render().contains("route=\"none\",status=\"500\"} 1"));
    }
}
