//! The server: an accept loop of its own, because a connection reset has to happen below HTTP.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::{Disruption, Simulator};

/// How long to rest when the system has no more connections to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a request gets no answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to be reset")]
struct Hangup;

impl Simulator {
    /// Serves until `shutdown` resolves: no connection is accepted any more, begun answers are finished, silent and
    /// slow ones are cut off.
    ///
    /// # Errors
    /// The listener has no address any more.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        listener.local_addr()?;
        let (router, stop, connections) = (self.router(), CancellationToken::new(), TaskTracker::new());
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(converse(router.clone(), stream, stop.clone()));
                    }
                    // Out of file descriptors, or a caller that went away while waiting.
                    Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        drop(listener);
        stop.cancel();
        connections.close();
        connections.wait().await;
        Ok(())
    }
}

/// Serves one connection, and resets it when an answer is to be a reset.
async fn converse(router: axum::Router, stream: TcpStream, stop: CancellationToken) {
    let _set = stream.set_nodelay(true).is_ok();
    let token = stop.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (router, token) = (router.clone(), token.clone());
        async move {
            let answered = router.oneshot(request.map(axum::body::Body::new));
            tokio::select! {
                biased;
                answered = answered => finish(answered, &token).await,
                () = token.cancelled() => Err(Hangup),
            }
        }
    });
    // The timer ends connections that never finish their headers, which would hold up the shutdown.
    let mut connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = stop.cancelled() => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        Pin::new(&mut connection).graceful_shutdown();
        (&mut connection).await
    };
    if ended.is_err_and(|error| error.is_user()) {
        // With nothing left to linger for, the system closes the connection by a reset.
        let stream = connection.into_parts().io.into_inner();
        let _set = stream.set_zero_linger().is_ok();
    }
}

async fn finish(
    answered: Result<Response, Infallible>,
    stop: &CancellationToken,
) -> Result<Response, Hangup> {
    let Ok(response) = answered;
    match response.extensions().get::<Disruption>() {
        None => Ok(response),
        Some(Disruption::Reset) => Err(Hangup),
        Some(Disruption::Silence) => {
            stop.cancelled().await;
            Err(Hangup)
        }
    }
}
