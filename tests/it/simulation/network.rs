//! The network between the engine and the stand-in: it holds every call until the simulation lets it go on, so that
//! the seed alone decides which call is served first, what goes wrong with it, and when its answer arrives.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use openai_scim_bridge::simulator::{Fault, Simulator};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tower::ServiceExt as _;

/// A call on its way.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) method: String,
    /// Path and query below `/v1`.
    pub(super) path: String,
    pub(super) body: Bytes,
    /// Whether the judge has seen it.
    pub(super) is_new: bool,
    request: Option<Request<Bytes>>,
    /// The answer that is on its way back, and when it arrives.
    answer: Option<(Timestamp, Option<Response>)>,
    reply: oneshot::Sender<Option<Response>>,
}

/// What the call is about, in a form that sorts.
pub(super) type Name = (String, String, Bytes);

impl Held {
    pub(super) fn name(&self) -> Name {
        (self.method.clone(), self.path.clone(), self.body.clone())
    }

    /// Whether the organization has not seen it yet.
    pub(super) fn is_unserved(&self) -> bool {
        self.request.is_some()
    }
}

/// All calls on their way. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Network(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    held: Mutex<Vec<Held>>,
    news: Notify,
    listener: Mutex<Option<AbortHandle>>,
}

impl Network {
    /// Takes calls in, on a free port; answers the URL to be given to a client.
    pub(super) async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let network = self.clone();
        let listening = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                let network = network.clone();
                let service = service_fn(move |request| network.clone().hold(request));
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        *self.0.listener.lock().unwrap() = Some(listening.abort_handle());
        url
    }

    /// Ends all connections and refuses further ones.
    pub(super) fn unplug(&self) {
        if let Some(listening) = self.0.listener.lock().unwrap().take() {
            listening.abort();
        }
    }

    /// Breaks the connection of a call that nobody serves.
    pub(super) fn lose(&self, name: &Name) {
        self.held().retain(|held| held.name() != *name);
    }

    /// Holds a call until it is let go on; without an answer the connection breaks.
    async fn hold(self, request: Request<Incoming>) -> Result<Response, std::io::Error> {
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_gone| broken())?.to_bytes();
        let target = parts.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str);
        let (method, path) = (parts.method.to_string(), target.trim_start_matches("/v1").to_owned());
        let (reply, answer) = oneshot::channel();
        let request = Some(Request::from_parts(parts, body.clone()));
        self.held().push(Held { method, path, body, is_new: true, request, answer: None, reply });
        self.tell();
        answer.await.ok().flatten().ok_or_else(broken)
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Vec<Held>> {
        self.0.held.lock().unwrap()
    }

    /// Waits until one more call has come in, or somebody said that something else has.
    pub(super) async fn news(&self) {
        self.0.news.notified().await;
    }

    /// Wakes who waits for news.
    pub(super) fn tell(&self) {
        self.0.news.notify_one();
    }

    /// The calls that the organization has not seen yet, in an order that does not depend on how they came.
    pub(super) fn unserved(&self) -> Vec<Name> {
        let mut names: Vec<Name> =
            self.held().iter().filter(|held| held.is_unserved()).map(Held::name).collect();
        names.sort();
        names
    }

    /// The call is served now, with this fault if any; its answer arrives at `at`.
    pub(super) async fn serve(
        &self,
        name: &Name,
        simulator: &Simulator,
        router: &axum::Router,
        fault: Option<Fault>,
        at: Timestamp,
    ) -> Option<u16> {
        let request = {
            let mut held = self.held();
            held.iter_mut().find(|held| held.is_unserved() && held.name() == *name).unwrap().request.take()
        };
        let request = request.unwrap().map(Body::from);
        let breaks = matches!(fault, Some(Fault::Reset { .. }));
        if let Some(fault) = fault {
            simulator.fail_next("*", "*", fault, 1).unwrap();
        }
        let Ok(response) = router.clone().oneshot(request).await;
        simulator.clear_faults();
        let status = response.status().as_u16();
        // A refusal by the limiter comes before any fault.
        let is_lost = breaks && response.status() == StatusCode::BAD_GATEWAY;
        let answer = (!is_lost).then_some(response);
        let mut held = self.held();
        let served =
            held.iter_mut().find(|held| !held.is_unserved() && held.answer.is_none() && held.name() == *name);
        served.unwrap().answer = Some((at, answer));
        (!is_lost).then_some(status)
    }

    /// The next instant at which an answer arrives.
    pub(super) fn next_arrival(&self) -> Option<Timestamp> {
        self.held().iter().filter_map(|held| held.answer.as_ref().map(|(at, _)| *at)).min()
    }

    /// Hands over one answer that has arrived by now, if there is one: its call and its status.
    pub(super) fn hand_over(&self, now: Timestamp) -> Option<(Name, Option<u16>)> {
        let mut held = self.held();
        let arrived = (0..held.len())
            .filter(|index| held[*index].answer.as_ref().is_some_and(|(at, _)| *at <= now))
            .min_by_key(|index| held[*index].name());
        let name = held[arrived?].name();
        let Held { answer, reply, .. } = held.swap_remove(arrived?);
        let answer = answer.and_then(|(_, answer)| answer);
        let status = answer.as_ref().map(|answer| answer.status().as_u16());
        let _gone = reply.send(answer).is_err();
        Some((name, status))
    }

    /// Forgets the calls of an engine that is gone.
    pub(super) fn cut(&self) {
        self.held().clear();
    }
}
