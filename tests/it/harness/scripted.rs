//! A server that plays a script: one prepared turn per connection, over real TCP, so that it can also break off,
//! fall silent or lie about its length. Remembers every request it saw.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

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
        let headers: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (length, headers) = (body.len(), headers.concat());
        let head =
            format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}");
        Self::Bytes(format!("{head}\r\n{body}").into_bytes())
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
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
        let request = read(&mut stream).await;
        seen.lock().unwrap().push(request);
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

async fn read(stream: &mut BufReader<TcpStream>) -> Seen {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        if line.trim_end().is_empty() {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let headers: BTreeMap<String, String> = lines[1..]
        .iter()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let line = lines[0].trim_end_matches(" HTTP/1.1").to_owned();
    Seen { line, headers, body: serde_json::from_slice(&body).ok() }
}
