//! The stand-in for the OpenAI admin API, over real HTTP.

mod control;
mod edges;
mod faults;
mod groups;
mod invites;
mod keys;
mod limiter;
mod paging;
mod people;
mod projects;
mod roles;

use std::sync::Once;

use jiff::SignedDuration;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::simulator::*;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running stand-in on a clock that stands still, with a client.
struct Standin {
    simulator: Simulator,
    base: String,
    http: reqwest::Client,
    _stop: DropGuard,
}

/// One answer.
struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn id(&self) -> String {
        self.json()["id"].as_str().unwrap().to_owned()
    }

    fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    fn ids(&self) -> Vec<String> {
        self.json()["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn client() -> reqwest::Client {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Standin {
    async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::default();
        options.limiter.enabled = false;
        change(&mut options);
        let simulator = Simulator::new(options, Clock::manual("2026-01-01T00:00:00Z".parse().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        tokio::spawn({
            let (simulator, stop) = (simulator.clone(), stop.clone());
            async move { simulator.serve(listener, stop.cancelled_owned()).await.unwrap() }
        });
        Self { simulator, base, http: client(), _stop: stop.drop_guard() }
    }

    async fn plain() -> Self {
        Self::start(|_| {}).await
    }

    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method.parse().unwrap(), format!("{}{path}", self.base))
            .header("authorization", "Bearer sk-admin-simulator")
    }

    async fn send(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Answer {
        Self::send(self.request("GET", &format!("/v1{path}"))).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request("POST", &format!("/v1{path}")).json(&body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        Self::send(self.request("DELETE", &format!("/v1{path}"))).await
    }

    async fn invite(&self, email: &str) -> Answer {
        self.post("/organization/invites", json!({"email": email, "role": "reader", "projects": []})).await
    }

    fn fail(&self, method: &str, template: &str, fault: Fault) {
        self.simulator.fail_next(method, template, fault, 1).unwrap();
    }
}

const INVITES: &str = "/organization/invites";
const USERS: &str = "/organization/users";
