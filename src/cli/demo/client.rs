//! The two ends that the demo plays: an identity provider at the bridge's public door, and the people and the
//! administrator at the stand-in. All of it over HTTP.

use std::time::Duration;

use anyhow::{Context, anyhow};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;

use crate::tls;

/// Longer than any answer takes, the bridge's own wait included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A base address and the token that opens it.
#[derive(Debug, Clone)]
pub(super) struct Door {
    http: reqwest::Client,
    base: String,
    token: String,
}

/// An answer: the status and the body, `null` if there is none.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Door {
    pub(super) fn new(base: &str, token: &str) -> anyhow::Result<Self> {
        // Both ends are plain HTTP on this machine.
        let http = tls::client(tls::trusting_nobody()?).timeout(TIMEOUT).build()?;
        Ok(Self { http, base: base.to_owned(), token: token.to_owned() })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Sends a request. `path` may hold a query with blanks and quotation marks; they are escaped on the way.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let url = format!("{}{path}", self.base);
        let mut request =
            self.http.request(method, &url).bearer_auth(&self.token).header(ACCEPT, "application/scim+json");
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/scim+json").body(body.to_string());
        }
        let response = request.send().await.with_context(|| format!("no answer from {url}"))?;
        let status = response.status().as_u16();
        let text = response.text().await.with_context(|| format!("the answer from {url} broke off"))?;
        let body = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).map_err(|error| anyhow!("{url} answered no JSON: {error}"))?
        };
        Ok(Answer { status, body })
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.call(Method::GET, path, None).await
    }
}
