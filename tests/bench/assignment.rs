//! What one assignment costs over HTTP: the look-up by `userName` that an identity provider begins with, then a
//! durable create, on 32 connections. Measured against a floor: a bare handler with the same reads and commits on the
//! same database, without SCIM, tokens, logs or metrics. `cargo bench --bench assignment`.

#![expect(clippy::get_unwrap, clippy::unwrap_used, reason = "a benchmark that cannot run fails by panicking")]

#[expect(dead_code, reason = "not every benchmark needs all of it")]
mod shared;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::routing::{get, post};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use openai_scim_bridge::access::Door;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::http::{self, Gate, Limits, Readiness};
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::store::{Condition, Sequence, Store};
use openai_scim_bridge::telemetry::metrics::Metrics;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

const CONNECTIONS: usize = 32;
const TOKEN: &str = "a-token-of-at-least-thirty-two-characters";

/// A server to be measured, and the connections to it.
struct Target {
    connections: Vec<Mutex<TcpStream>>,
    numbers: AtomicU64,
    lookup_path: &'static str,
    create_path: &'static str,
    _folder: TempDir,
}

impl Target {
    /// The bridge as it serves, with no engine behind it: OpenAI is not what is measured.
    async fn bridge() -> Arc<Self> {
        let (folder, store, clock) = shared::database().await;
        let fixed = [(TenantId::default_tenant(), SecretString::from(TOKEN))];
        let state = http::State {
            directory: shared::directory(store.clone(), clock.clone()),
            gate: Gate::new(clock.clone(), Vec::new(), 1_000_000),
            door: Door::new(store, clock.clone(), &fixed),
            metrics: Metrics::new(),
            readiness: Readiness::default(),
            clock,
        };
        let (listener, address) = listen().await;
        let stop = CancellationToken::new();
        let _served = tokio::spawn(http::serve(listener, http::router(state), Limits::default(), stop));
        Self::connect(address, folder, "/scim/v2/Users?filter=userName%20eq%20%22USER%22", "/scim/v2/Users")
            .await
    }

    /// A bare handler with the same reads and commits.
    async fn floor() -> Arc<Self> {
        let (folder, store, clock) = shared::database().await;
        let router = Router::new()
            .route("/look-up", get(look_up))
            .route("/create", post(create))
            .with_state((store, clock));
        let (listener, address) = listen().await;
        let _served = tokio::spawn(axum::serve(listener, router).into_future());
        Self::connect(address, folder, "/look-up?name=USER", "/create").await
    }

    async fn connect(
        address: SocketAddr,
        folder: TempDir,
        lookup_path: &'static str,
        create_path: &'static str,
    ) -> Arc<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let connection = TcpStream::connect(address).await.unwrap();
            connection.set_nodelay(true).unwrap();
            connections.push(Mutex::new(connection));
        }
        Arc::new(Self { connections, numbers: AtomicU64::new(0), lookup_path, create_path, _folder: folder })
    }

    /// One assignment on each turn of each connection, `rounds` in all.
    async fn assign(self: &Arc<Self>, rounds: u64) -> Duration {
        let target = Arc::clone(self);
        shared::time(CONNECTIONS, rounds, move |index| {
            let target = Arc::clone(&target);
            async move {
                let mut connection = target.connections.get(index).unwrap().lock().await;
                target.assign_one(&mut connection).await;
            }
        })
        .await
    }

    async fn assign_one(&self, connection: &mut TcpStream) {
        let user = format!("person{}@example.com", self.numbers.fetch_add(1, Ordering::Relaxed));
        let path = self.lookup_path.replace("USER", &user);
        let status = exchange(connection, "GET", &path, "").await;
        assert_eq!(status, 200);
        let body = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": user,
            "name": { "givenName": "Test", "familyName": "User" },
            "emails": [{ "primary": true, "value": user, "type": "work" }],
            "displayName": "Test User",
            "externalId": format!("00u-{user}"),
            "active": true,
        });
        let status = exchange(connection, "POST", self.create_path, &body.to_string()).await;
        assert_eq!(status, 201);
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends a request and reads the whole answer; tells its status.
async fn exchange(connection: &mut TcpStream, method: &str, path: &str, body: &str) -> u16 {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::with_capacity(2048);
    loop {
        assert!(connection.read_buf(&mut answer).await.unwrap() > 0, "the server closed the connection");
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
        if body.len() >= length.trim().parse::<usize>().unwrap() {
            return head.split(' ').nth(1).unwrap().parse().unwrap();
        }
    }
}

#[derive(Deserialize)]
struct LookUp {
    name: String,
}

type Bare = State<(Store, Clock)>;

async fn look_up(State((store, _)): Bare, Query(query): Query<LookUp>) -> String {
    let (tenant, condition) = (TenantId::default_tenant(), Condition::UserNameEq(query.name));
    let mut reader = store.reader().await.unwrap();
    let count = reader.count_people(&tenant, &condition).await.unwrap();
    let people = reader.page_people(&tenant, &condition, Sequence::default(), 0, 100).await.unwrap();
    format!("{{\"totalResults\":{count},\"found\":{}}}", people.len())
}

async fn create(State((store, clock)): Bare, body: String) -> (axum::http::StatusCode, String) {
    let attributes: Value = serde_json::from_str(&body).unwrap();
    let user_name = attributes.get("userName").unwrap().as_str().unwrap().to_owned();
    let person = shared::person(&clock, user_name, &attributes);
    let answer = person.id.to_string();
    shared::create(&store, person).await;
    (axum::http::StatusCode::CREATED, answer)
}

fn assignment(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("assignment");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(8));
    // Each is connected to just before it is measured: the bridge closes connections that stay silent.
    group.bench_function(BenchmarkId::new("floor", format!("{CONNECTIONS} connections")), |bencher| {
        let target = runtime.block_on(Target::floor());
        bencher.iter_custom(|rounds| runtime.block_on(target.assign(rounds)));
    });
    group.bench_function(BenchmarkId::new("bridge", format!("{CONNECTIONS} connections")), |bencher| {
        let target = runtime.block_on(Target::bridge());
        bencher.iter_custom(|rounds| runtime.block_on(target.assign(rounds)));
    });
    group.finish();
}

criterion_group!(benches, assignment);
criterion_main!(benches);
