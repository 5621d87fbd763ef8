//! The listener: takes connections, holds them to their deadlines, and lets them end in peace.
//!
//! hyper is driven directly because `axum::serve` sets no timer, which leaves slow clients unlimited.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::directory::chain;
use crate::http::connection::{Connection, TrackedBody};

/// What a connection may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait unaccepted.
    pub connections: usize,
    /// From the first byte of a request's head to its last.
    pub header_read: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// For answers under way when the listener is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            header_read: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            drain: Duration::from_secs(25),
        }
    }
}

/// Bytes of request line and headers that are read at all; [`super::layers`] refuses politely long before.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Header fields that are read at all.
const MAX_HEADER_FIELDS: usize = 128;
/// Pause after the system refused a connection, e.g. because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `cancel` fires; then takes no more connections, finishes the answers under way and returns.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = cancel.cancelled() => break,
        };
        let Some((stream, place)) = accepted else { continue };
        let connection = serve_connection(stream, router.clone(), &limits, &graceful);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = chain(&error), "a connection ended early");
            }
            drop(place);
        });
    }
    drop(listener);
    if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some connections were still open at the end of the drain and are cut");
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // Answers are written whole, so there is nothing to wait for.
            let _delayed = stream.set_nodelay(true).is_err();
            Some((stream, place))
        }
        Err(error) => {
            if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                tracing::error!(error = chain(&error), "no connection can be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}

fn serve_connection(
    stream: TcpStream,
    router: Router,
    limits: &Limits,
    graceful: &GracefulShutdown,
) -> impl Future<Output = hyper::Result<()>> + use<> {
    let (stream, turn) = Connection::new(stream, limits.header_read);
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (router, turn) = (router.clone(), turn.clone());
        async move {
            turn.begin();
            let answer = router.oneshot(request.map(|body| TrackedBody::new(body, turn.clone()))).await;
            turn.end();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // hyper counts from the end of the last answer, which makes this the idle limit; the stream itself holds the
        // head to its shorter one.
        .header_read_timeout(limits.idle)
        .max_header_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADER_FIELDS)
        .serve_connection(TokioIo::new(stream), service);
    graceful.watch(connection)
}
