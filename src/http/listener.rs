//! The listener: takes connections, holds them to their deadlines, and lets them end in peace.
//!
//! hyper is driven directly because `axum::serve` sets no timer, which leaves slow clients unlimited.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::directory::chain;
use crate::http::connection::{Connection, TrackedBody};
use crate::http::peer::{Peer, is_in};
use crate::tls::server::{self, ServerTls};

/// What connections may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once; more wait unaccepted.
    pub connections: usize,
    /// Connections at once from one address; more are closed. This machine is not limited.
    pub per_address: usize,
    /// Networks that are not limited either: the proxies, which speak for many.
    pub unlimited: Vec<IpNet>,
    /// From the first byte of a request's head to its last; also for the handshake of TLS.
    pub header_read: Duration,
    /// From the end of a request's head to the end of its body, whoever reads it. Handlers answer politely before.
    pub body_read: Duration,
    /// Between two requests of a connection.
    pub idle: Duration,
    /// For answers under way when the listener is told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            per_address: 32,
            unlimited: Vec::new(),
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(20),
            idle: Duration::from_mins(1),
            drain: Duration::from_secs(25),
        }
    }
}

/// Bytes of request line and headers that are read at all; [`super::layers`] refuses politely long before.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Header fields that are read at all.
const MAX_HEADER_FIELDS: usize = 128;
/// How often a certificate that cannot be read is told of.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);
/// Pause after the system refused a connection, e.g. because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves HTTP until `cancel` fires; then takes no more connections, finishes the answers under way and returns.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, cancel: CancellationToken) {
    run(listener, router, limits, None, cancel).await;
}

/// The same by HTTPS.
pub async fn serve_tls(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: ServerTls,
    cancel: CancellationToken,
) {
    run(listener, router, limits, Some(tls), cancel).await;
}

async fn run(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    tls: Option<ServerTls>,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let (neighbours, complaints) = (Neighbours::default(), Complaints::default());
    let graceful = GracefulShutdown::new();
    let limits = Arc::new(limits);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = cancel.cancelled() => break,
        };
        let Some((stream, address, place)) = accepted else { continue };
        let Some(seat) = neighbours.seat(address, &limits) else {
            tracing::debug!(%address, "an address has too many connections");
            continue;
        };
        let (router, limits, watcher) = (router.clone(), Arc::clone(&limits), graceful.watcher());
        let (acceptor, complaints) = (tls.as_ref().map(ServerTls::acceptor), complaints.clone());
        tokio::spawn(async move {
            if let Some(acceptor) = acceptor {
                let handshake = tokio::time::timeout(limits.header_read, acceptor.accept(stream));
                match handshake.await {
                    // An authority's question is answered by the handshake itself (RFC 8737 §3).
                    Ok(Ok(mut stream))
                        if stream.get_ref().1.alpn_protocol().is_some_and(|p| p != server::HTTP) =>
                    {
                        let _closed = stream.shutdown().await.is_ok();
                        tracing::debug!("an authority looked whether this program has the name");
                    }
                    Ok(Ok(stream)) => {
                        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
                        let certificates = certificates.iter().cloned().collect();
                        let peer = Peer { address, certificates, is_encrypted: true };
                        serve_connection(stream, peer, router, &limits, watcher).await;
                    }
                    Ok(Err(error)) if is_of_certificate(&error) => complaints.tell(&error),
                    Ok(Err(error)) => tracing::debug!(error = chain(&error), "a handshake failed"),
                    Err(_elapsed) => tracing::debug!("a handshake took too long"),
                }
            } else {
                let peer = Peer { address, certificates: Arc::default(), is_encrypted: false };
                serve_connection(stream, peer, router, &limits, watcher).await;
            }
            drop((seat, place));
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
) -> Option<(TcpStream, IpAddr, tokio::sync::OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are written whole, so there is nothing to wait for.
            let _delayed = stream.set_nodelay(true).is_err();
            Some((stream, address.ip().to_canonical(), place))
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

async fn serve_connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    limits: &Limits,
    watcher: Watcher,
) {
    let (stream, turn) = Connection::new(stream, limits.header_read);
    let body_read = limits.body_read;
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let (router, turn, peer) = (router.clone(), turn.clone(), peer.clone());
        async move {
            turn.begin();
            let mut request = request.map(|body| TrackedBody::new(body, turn.clone(), body_read));
            request.extensions_mut().insert(peer);
            let answer = router.oneshot(request).await;
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
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = chain(&error), "a connection ended early");
    }
}

/// Whether a handshake failed because the client's certificate cannot even be read.
fn is_of_certificate(error: &io::Error) -> bool {
    let source = error.get_ref().and_then(|source| source.downcast_ref::<rustls::Error>());
    matches!(source, Some(rustls::Error::InvalidCertificate(_)))
}

/// What an administrator should hear of, now and then: clients do not learn why their certificate is not taken.
#[derive(Debug, Clone, Default)]
struct Complaints(Arc<Mutex<Option<Instant>>>);

impl Complaints {
    fn tell(&self, error: &io::Error) {
        let mut told_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            *told_at = Some(Instant::now());
            tracing::warn!(
                error = chain(error),
                "a client's certificate cannot be read, so it got no connection; it must be an X.509 certificate of version 3"
            );
        }
    }
}

/// How many connections each address has.
#[derive(Debug, Clone, Default)]
struct Neighbours(Arc<Mutex<BTreeMap<IpAddr, usize>>>);

/// One connection of an address, until it is dropped.
#[derive(Debug)]
struct Seat {
    neighbours: Neighbours,
    address: IpAddr,
}

impl Neighbours {
    /// A seat for one more connection of the address, unless it has too many.
    fn seat(&self, address: IpAddr, limits: &Limits) -> Option<Seat> {
        let is_limited = !address.is_loopback() && !is_in(&limits.unlimited, address);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if is_limited && *count >= limits.per_address {
            return None;
        }
        *count += 1;
        Some(Seat { neighbours: self.clone(), address })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.neighbours.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places_but_this_machine_and_proxies_may() {
        let neighbours = Neighbours::default();
        let unlimited = vec!["10.0.0.0/8".parse().unwrap()];
        let limits = Limits { per_address: 2, unlimited, ..Limits::default() };
        let seat = |address: &str| neighbours.seat(address.parse().unwrap(), &limits);
        let mut seats = vec![seat("203.0.113.1").unwrap(), seat("203.0.113.1").unwrap()];
        assert!(seat("203.0.113.1").is_none());
        seats.push(seat("203.0.113.2").unwrap());
        for address in ["127.0.0.1", "::1", "10.1.2.3"] {
            seats.extend((0..3).map(|_| seat(address).unwrap()));
        }
        seats.remove(0);
        assert!(seat("203.0.113.1").is_some());
        drop(seats);
        assert!(neighbours.0.lock().unwrap().is_empty(), "nobody is remembered for ever");
    }
}
