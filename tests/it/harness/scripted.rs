//! A server that plays a script: one prepared turn per connection, over real TCP, so that it can also break off,
//! fall silent or lie about its length. Remembers every request it saw.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use url::Url;

use super::wire::{self, Received};

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Turn {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Reads the request and resets the connection.
    Reset,
    /// Reads the request and never answers.
    Silence,
}

impl Turn {
    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &str) -> Self {
        Self::answer(status, &[("content-type", "application/json")], body)
    }

    /// An answer with any headers and body.
    pub(crate) fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Self {
        Self::Bytes(wire::answer(status, headers, body))
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Method and target, such as `GET /v1/organization/users?limit=2`.
    pub(crate) line: String,
    /// Headers by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, if it was JSON.
    pub(crate) body: Option<serde_json::Value>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Scripted {
    /// Where it listens, with `/v1` as path.
    pub(crate) base_url: Url,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Starts a server that plays these turns and then accepts nothing more.
    pub(crate) async fn start(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").await.unwrap(), turns)
    }

    /// The same where the turns have to name the address.
    pub(crate) fn on(listener: TcpListener, turns: impl IntoIterator<Item = Turn>) -> Self {
        let base_url = Url::parse(&format!("http://{}/v1", listener.local_addr().unwrap())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let turns: VecDeque<Turn> = turns.into_iter().collect();
        let task = tokio::spawn(play(listener, turns, Arc::clone(&seen)));
        Self { base_url, seen, task }
    }

    /// Every request so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn play(listener: TcpListener, turns: VecDeque<Turn>, seen: Arc<Mutex<Vec<Seen>>>) {
    let mut silent = Vec::new();
    for turn in turns {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let Received { line, headers, body } = wire::receive(&mut stream).await;
        let line = line.trim_end_matches(" HTTP/1.1").to_owned();
        seen.lock().unwrap().push(Seen { line, headers, body: serde_json::from_slice(&body).ok() });
        match turn {
            Turn::Bytes(bytes) => {
                // The client may hang up in the middle of an answer it finds too long.
                let _sent = stream.write_all(&bytes).await.is_ok() && stream.shutdown().await.is_ok();
            }
            Turn::Reset => stream.get_ref().set_zero_linger().unwrap(),
            Turn::Silence => silent.push(stream),
        }
    }
}
