//! What hostile clients cost a well-behaved one, and what a refusal costs: measured on the real program, over HTTP.
//! `cargo bench --bench hostile`; takes two minutes.
//!
//! The well-behaved client makes assignments one after the other: a look-up by `userName`, then a durable create. In turns
//! it is alone, and beside 200 connections that are slow in every way and a flood of bad tokens on [`FLOOD`] more, as
//! many as one address may have. OpenAI cannot be reached meanwhile; it is not what is measured.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run fails by panicking")]
#![expect(clippy::print_stdout, reason = "the figures are what a benchmark is for")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openai_scim_bridge::access::token;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::store::{Store, StoreError};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const TOKEN: &str = "a-token-of-at-least-thirty-two-characters";
const SLOW: usize = 200;
const FLOOD: usize = 32;
const ROUNDS: usize = 6;
const ASSIGNMENTS: usize = 400;
const REFUSALS: usize = 2_000;
/// The well-behaved client is faster than any identity provider, and what it is allowed is not what is measured.
const UNLIMITED: &str = "\
    [network]\nrequests_per_second = 1000\nburst = 100000\n\
    requests_per_second_per_token = 1000\nburst_per_token = 100000\n";
/// Between two assignments; identity providers are no faster.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two bytes of a slow client.
const DRIP: Duration = Duration::from_millis(500);

/// The real program.
struct Bridge {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Bridge {
    fn start(folder: TempDir, settings: &str) -> Self {
        std::fs::write(folder.path().join("settings.toml"), settings).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_scim-bridge"))
            .env_clear()
            .current_dir(folder.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--config", "settings.toml"])
            .env("OPENAI_ADMIN_KEY", "sk-admin-of-nobody")
            .env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
            .env("SCIM_BRIDGE_TOKEN", TOKEN)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = log.find_map(|line| {
            let event: Value = serde_json::from_str(&line).ok()?;
            let is_it = event.get("message").is_some_and(|message| message == "serving");
            is_it.then(|| event.get("address")?.as_str()?.parse().ok()).flatten()
        });
        std::thread::spawn(move || log.for_each(drop));
        Self { child, address: address.unwrap(), folder }
    }

    /// Memory in MiB that the program has now (`VmRSS`), or had at most (`VmHWM`).
    fn memory(&self, what: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        let kib: f64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        kib / 1024.0
    }

    fn stop(mut self) -> TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.folder
    }
}

/// A client that keeps its connection.
struct Client {
    stream: TcpStream,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    /// Sends a request and reads the whole answer; tells its status. `None` if the connection is closed.
    async fn send(&mut self, token: &str, method: &str, path: &str, body: &str) -> Option<u16> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::with_capacity(2048);
        loop {
            if self.stream.read_buf(&mut answer).await.ok()? == 0 {
                return None;
            }
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let head = head.to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if body.len() >= length.unwrap_or("0").trim().parse::<usize>().unwrap() {
                return head.split(' ').nth(1)?.parse().ok();
            }
        }
    }

    async fn assign(&mut self, number: u64) {
        let user = format!("person{number}@example.com");
        let path = format!("/scim/v2/Users?filter=userName%20eq%20%22{user}%22");
        assert_eq!(self.send(TOKEN, "GET", &path, "").await, Some(200));
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": user,
            "name": { "givenName": "Test", "familyName": "User" },
            "emails": [{ "primary": true, "value": user, "type": "work" }],
            "active": true,
        });
        assert_eq!(self.send(TOKEN, "POST", "/scim/v2/Users", &body.to_string()).await, Some(201));
    }
}

/// The times of many assignments.
async fn assignments(address: SocketAddr, numbers: &AtomicU64) -> Vec<Duration> {
    let mut client = Client::connect(address).await;
    let mut times = Vec::with_capacity(ASSIGNMENTS);
    for _ in 0..ASSIGNMENTS {
        let begun = Instant::now();
        client.assign(numbers.fetch_add(1, Ordering::Relaxed)).await;
        times.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    times
}

/// A connection that says something, goes on by single pieces, and is opened anew whenever it is cut.
async fn slow(address: SocketAddr, start: String, piece: &'static [u8], cuts: Arc<AtomicU64>) {
    loop {
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        let mut is_open = stream.write_all(start.as_bytes()).await.is_ok();
        while is_open {
            let mut read = [0; 1024];
            is_open = match tokio::time::timeout(DRIP, stream.read(&mut read)).await {
                Ok(count) => matches!(count, Ok(1..)),
                Err(_still_open) => stream.write_all(piece).await.is_ok(),
            };
        }
        cuts.fetch_add(1, Ordering::Relaxed);
    }
}

/// Bad tokens as fast as they are answered; counts the answers.
async fn flood(address: SocketAddr, refused: Arc<AtomicU64>) {
    let stranger =
        token::mint(&Clock::system(), "default".parse().unwrap(), String::new(), Scopes::admin(), None);
    let unknown = stranger.0.expose_secret().to_owned();
    let signed = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.x";
    loop {
        let mut client = Client::connect(address).await;
        for number in 0_u64.. {
            let token = match number % 3 {
                0 => unknown.as_str(),
                1 => "rubbish",
                _ => signed,
            };
            match client.send(token, "GET", "/scim/v2/Users", "").await {
                Some(401 | 429) => refused.fetch_add(1, Ordering::Relaxed),
                _ => break,
            };
        }
    }
}

/// The hostile clients, until they are dropped.
fn hostile(address: SocketAddr, cuts: &Arc<AtomicU64>, refused: &Arc<AtomicU64>) -> JoinSet<()> {
    let head = "GET /scim/v2/Users HTTP/1.1\r\nHost: b\r\n".to_owned();
    let body = format!(
        "POST /scim/v2/Users HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 60000\r\n\r\n{{"
    );
    let idle = "GET /healthz HTTP/1.1\r\nHost: b\r\n\r\n".to_owned();
    let starts: [(String, &[u8]); 3] = [(head, b"X-Drip: 1\r\n"), (body, b" "), (idle, b"")];
    let mut clients = JoinSet::new();
    for (start, piece) in starts.into_iter().cycle().take(SLOW) {
        clients.spawn(slow(address, start, piece, Arc::clone(cuts)));
    }
    for _ in 0..FLOOD {
        clients.spawn(flood(address, Arc::clone(refused)));
    }
    clients
}

fn median_and_p99(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |part: usize| {
        let time = times.get(times.len() * part / 100).copied().unwrap_or_default();
        time.as_secs_f64() * 1_000.0
    };
    (at(50), at(99))
}

async fn load() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let bridge = Bridge::start(folder, UNLIMITED);
    let address = bridge.address;
    let numbers = AtomicU64::new(0);
    let (cuts, refused) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (mut quiet, mut beside) = (Vec::new(), Vec::new());
    let mut under_fire = Duration::ZERO;
    // What is made at the first use is not measured.
    assignments(address, &numbers).await;
    let before = bridge.memory("VmRSS:");
    for _ in 0..ROUNDS {
        quiet.extend(assignments(address, &numbers).await);
        let mut clients = hostile(address, &cuts, &refused);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begun = Instant::now();
        beside.extend(assignments(address, &numbers).await);
        under_fire += begun.elapsed();
        clients.shutdown().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    // Long enough for every limit to take effect.
    let mut clients = hostile(address, &cuts, &refused);
    tokio::time::sleep(Duration::from_secs(25)).await;
    let during = bridge.memory("VmRSS:");
    clients.shutdown().await;

    let (median, p99) = median_and_p99(&mut quiet);
    let (median_beside, p99_beside) = median_and_p99(&mut beside);
    println!("one assignment, alone           median {median:.2} ms, p99 {p99:.2} ms");
    println!("one assignment, beside hostile  median {median_beside:.2} ms, p99 {p99_beside:.2} ms");
    println!(
        "ratio                           median {:.2}, p99 {:.2}",
        median_beside / median,
        p99_beside / p99
    );
    let (cuts, refused) = (cuts.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    println!(
        "slow connections cut {cuts}, bad tokens answered {refused}, over {under_fire:.0?} of load and 25 s after"
    );
    let most = bridge.memory("VmHWM:");
    println!("memory before {before:.1} MiB, under fire {during:.1} MiB, at most {most:.1} MiB");
    bridge.stop();
}

/// Tokens that are refused, by why.
async fn bad_tokens(folder: &Path) -> Vec<(&'static str, String)> {
    let clock = Clock::system();
    let url = format!("sqlite://{}", folder.join("scim-bridge.db").display());
    let store = Store::open(&url, clock.clone()).await.unwrap();
    let mut tokens = Vec::new();
    for (why, tenant) in [("expired", "default"), ("revoked", "default"), ("of another tenant", "acme")] {
        let expires = (why == "expired").then(|| clock.now());
        let tenant = tenant.parse().unwrap();
        let (text, record) = token::mint(&clock, tenant, String::new(), Scopes::provisioning(), expires);
        let now = clock.now();
        let kept: Result<(), StoreError> = store
            .write(move |tx| {
                let record = record.clone();
                Box::pin(async move {
                    tx.insert_token(&record).await?;
                    if why == "revoked" {
                        tx.revoke_token(&record.tenant, &record.id, now).await?;
                    }
                    Ok(())
                })
            })
            .await;
        kept.unwrap();
        tokens.push((why, text.expose_secret().to_owned()));
    }
    store.close().await;
    let foreign = tokens.last().unwrap().1.clone();
    let (stranger, _) = token::mint(&clock, "default".parse().unwrap(), String::new(), Scopes::admin(), None);
    let part = |text: &str, number: usize| text.split('_').nth(number).unwrap().to_owned();
    let body = format!("scim_{}_{}", part(&foreign, 1), part(stranger.expose_secret(), 2));
    tokens.push(("wrong secret", format!("{body}_{:08x}", crc32fast::hash(body.as_bytes()))));
    tokens.push(("unknown", stranger.expose_secret().to_owned()));
    tokens.push(("malformed", "rubbish".to_owned()));
    tokens
}

async fn refusals() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let tokens = bad_tokens(folder.path()).await;
    let settings = "[server]\nfailed_logins_per_minute = 1000000\n[tenants.acme.upstream]\n\
                    admin_key_env = 'OPENAI_ADMIN_KEY'\n";
    let bridge = Bridge::start(folder, settings);
    let mut client = Client::connect(bridge.address).await;
    let mut times = vec![Vec::with_capacity(REFUSALS); tokens.len()];
    for _ in 0..REFUSALS {
        for ((_, token), times) in tokens.iter().zip(&mut times) {
            let begun = Instant::now();
            assert_eq!(client.send(token, "GET", "/scim/v2/Users", "").await, Some(401));
            times.push(begun.elapsed());
        }
    }
    for ((why, _), times) in tokens.iter().zip(&mut times) {
        let (median, p99) = median_and_p99(times);
        println!("refused, {why:<17}      median {:.0} µs, p99 {:.0} µs", median * 1_000.0, p99 * 1_000.0);
    }
    bridge.stop();
}

fn main() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        refusals().await;
        load().await;
    });
}
