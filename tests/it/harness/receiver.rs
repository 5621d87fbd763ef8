//! A receiver of pushed events (RFC 8935) whose every answer the test gives itself.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use openai_scim_bridge::clock::Clock;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

use super::wire::{self, Received};

/// A listener.
#[derive(Debug)]
pub(crate) struct Receiver {
    listener: TcpListener,
}

/// A call that waits for its answer.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) line: String,
    /// Headers by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// The token.
    pub(crate) body: String,
    stream: BufReader<TcpStream>,
}

impl Receiver {
    pub(crate) async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> Url {
        format!("http://{}/events?stream=1", self.listener.local_addr().unwrap()).parse().unwrap()
    }

    /// The next call, which comes without any time passing.
    pub(crate) async fn next(&self) -> Call {
        read(self.listener.accept().await.unwrap().0).await
    }

    /// The next call, while time passes.
    pub(crate) async fn next_in_time(&self, clock: &Clock) -> Call {
        loop {
            tokio::select! {
                biased;
                accepted = self.listener.accept() => return read(accepted.unwrap().0).await,
                () = tokio::task::yield_now() => clock.advance(SignedDuration::from_millis(100)),
            }
        }
    }
}

impl Call {
    /// Answers it.
    pub(crate) async fn answer(mut self, status: u16, headers: &[(&str, &str)], body: &str) {
        self.stream.write_all(&wire::answer(status, headers, body)).await.unwrap();
        self.stream.shutdown().await.unwrap();
    }

    /// Takes note of the event.
    pub(crate) async fn accept(self) {
        self.answer(202, &[], "").await;
    }
}

async fn read(stream: TcpStream) -> Call {
    let mut stream = BufReader::new(stream);
    let Received { line, headers, body } = wire::receive(&mut stream).await;
    Call { line, headers, body: String::from_utf8(body).unwrap(), stream }
}
