//! The bridge as clients reach it: a real listener and a real database, with a clock that stands still.
//! No engine runs, so everything that is asked of OpenAI stays queued.

use std::net::SocketAddr;
use std::sync::Arc;

use openai_scim_bridge::access::{Door, token};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::Directory;
use openai_scim_bridge::events::key::SigningKey;
use openai_scim_bridge::events::{Feed, Stream};
use openai_scim_bridge::http::{self, Gate, Limits, Readiness};
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::model::scope::Scopes;
use openai_scim_bridge::model::trust::Trust;
use openai_scim_bridge::provision::handle::Handle;
use openai_scim_bridge::scim::profile::Profile;
use openai_scim_bridge::store::{Store, StoreError};
use openai_scim_bridge::telemetry::metrics::Metrics;
use openai_scim_bridge::tls::server::ServerTls;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::database::Database;
use super::wire::{Answer, exchange};

/// How clients reach the bridge.
pub(crate) const PUBLIC_URL: &str = "https://scim.example.com";
/// Whom events are meant for.
pub(crate) const AUDIENCE: &str = "https://hr.example.com";
/// The token that the settings give for the default tenant.
pub(crate) const STATIC_TOKEN: &str = "static-token-of-the-default-tenant";

/// How a bridge is to be.
#[derive(Debug)]
pub(crate) struct Builder {
    tenants: Vec<(TenantId, Policy)>,
    engine: Handle,
    limits: Limits,
    feeds: Vec<TenantId>,
    database: Option<Database>,
    profiles: Vec<(TenantId, Profile)>,
    shared: Option<(Store, Clock)>,
    gate: Option<Gate>,
    tls: Option<ServerTls>,
    trust: Vec<(TenantId, Trust)>,
}

impl Builder {
    /// With this policy for the default tenant.
    pub(crate) fn policy(mut self, policy: Policy) -> Self {
        self.tenants[0].1 = policy;
        self
    }

    /// With another tenant.
    pub(crate) fn tenant(mut self, name: &str) -> Self {
        self.tenants.push((name.parse().unwrap(), Policy::default()));
        self
    }

    /// With another tenant that is set up for an identity provider.
    pub(crate) fn tenant_of(mut self, name: &str, profile: Profile) -> Self {
        self.profiles.push((name.parse().unwrap(), profile));
        self.tenant(name)
    }

    /// With this profile of the default tenant.
    pub(crate) fn profile(mut self, profile: Profile) -> Self {
        self.profiles.push((TenantId::default_tenant(), profile));
        self
    }

    /// With these settings of a tenant's door.
    pub(crate) fn trust(mut self, tenant: &str, trust: Trust) -> Self {
        self.trust.push((tenant.parse().unwrap(), trust));
        self
    }

    /// On a store that somebody else works on as well.
    pub(crate) fn sharing(mut self, store: Store, clock: Clock) -> Self {
        self.shared = Some((store, clock));
        self
    }

    /// With the engines behind this handle.
    pub(crate) fn engine(mut self, engine: Handle) -> Self {
        self.engine = engine;
        self
    }

    /// With an event feed for a tenant.
    pub(crate) fn feed(mut self, tenant: &str) -> Self {
        self.feeds.push(tenant.parse().unwrap());
        self
    }

    /// Behind this gate.
    pub(crate) fn gate(mut self, gate: Gate) -> Self {
        self.gate = Some(gate);
        self
    }

    /// By HTTPS.
    pub(crate) fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// With other limits on connections.
    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// On this database.
    pub(crate) fn on(mut self, database: Database) -> Self {
        self.database = Some(database);
        self
    }

    /// Starts it.
    pub(crate) async fn start(mut self) -> TestBridge {
        let database = match self.database.take() {
            Some(database) => database,
            None => fresh_database().await,
        };
        self.start_on(database, tempfile::tempdir().unwrap()).await
    }

    /// Starts it on what another one left behind: its database, and the folder of its signing key.
    pub(crate) async fn start_on(self, database: Database, keys: TempDir) -> TestBridge {
        let (store, clock) = match self.shared {
            Some(shared) => shared,
            None => (database.open().await, database.clock.clone()),
        };
        let mut directory = Directory::new(
            store.clone(),
            self.engine,
            clock.clone(),
            self.tenants,
            &format!("{PUBLIC_URL}/"),
        )
        .with_profiles(self.profiles)
        .with_lasting_cursors()
        .await
        .unwrap();
        let streams = self.feeds.into_iter().map(|tenant| {
            let issuer = directory.base_url(&tenant);
            (tenant, Stream { issuer, audience: AUDIENCE.to_owned() })
        });
        let streams: Vec<_> = streams.collect();
        let key = || Arc::new(SigningKey::open(&keys.path().join("signing-key")).unwrap());
        let feed = (!streams.is_empty()).then(|| {
            let (feed, key) = (Feed::new(store.clone(), clock.clone()), key());
            for (tenant, stream) in streams {
                feed.take_on(tenant, stream, Arc::clone(&key));
            }
            feed
        });
        if let Some(feed) = &feed {
            directory = directory.with_feed(feed.clone());
        }
        database.hand_out(STATIC_TOKEN);
        let fixed = [(TenantId::default_tenant(), SecretString::from(STATIC_TOKEN))];
        let door = Door::new(store.clone(), clock.clone(), &fixed).with_trust(self.trust.clone()).unwrap();
        if self.trust.iter().any(|(_, trust)| trust.oauth) {
            door.open_endpoint(key(), PUBLIC_URL);
        }
        let state = http::State {
            directory: directory.clone(),
            gate: self.gate.unwrap_or_else(|| Gate::new(clock.clone(), Vec::new(), 1_000_000)),
            door: door.clone(),
            metrics: Metrics::new(),
            readiness: Readiness::default(),
            clock: clock.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let readiness = state.readiness.clone();
        let router = http::router(state);
        let served = match self.tls {
            Some(tls) => tokio::spawn(http::serve_tls(listener, router, self.limits, tls, stop.clone())),
            None => tokio::spawn(http::serve(listener, router, self.limits, stop.clone())),
        };
        TestBridge { address, clock, store, directory, door, feed, readiness, stop, served, database, keys }
    }
}

/// An embedded database; with `SCIM_BRIDGE_TEST_ON=postgres`, a schema on the test server.
async fn fresh_database() -> Database {
    #[expect(clippy::disallowed_methods, reason = "which database to test on is the caller's word")]
    let wanted = std::env::var("SCIM_BRIDGE_TEST_ON");
    if wanted.as_deref() == Ok("postgres") {
        Database::postgres().await.expect("SCIM_BRIDGE_TEST_POSTGRES names a server")
    } else {
        Database::sqlite()
    }
}

/// A running bridge.
pub(crate) struct TestBridge {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) directory: Directory,
    pub(crate) door: Door,
    pub(crate) feed: Option<Feed>,
    pub(crate) readiness: Readiness,
    pub(crate) stop: CancellationToken,
    pub(crate) served: tokio::task::JoinHandle<()>,
    pub(crate) database: Database,
    keys: TempDir,
}

impl TestBridge {
    /// Stops it, and leaves behind what the next one can start on.
    pub(crate) async fn leave(self) -> (Database, TempDir) {
        self.stop.cancel();
        if let Some(feed) = &self.feed {
            feed.close().await;
        }
        self.served.await.unwrap();
        self.store.close().await;
        (self.database, self.keys)
    }

    /// One with the default tenant and its default policy.
    pub(crate) async fn start() -> Self {
        Self::builder().start().await
    }

    /// One to be described.
    pub(crate) fn builder() -> Builder {
        let tenants = vec![(TenantId::default_tenant(), Policy::default())];
        Builder {
            tenants,
            engine: Handle::default(),
            limits: Limits::default(),
            feeds: Vec::new(),
            database: None,
            profiles: Vec::new(),
            shared: None,
            gate: None,
            tls: None,
            trust: Vec::new(),
        }
    }

    /// A SCIM client with Okta's headers.
    pub(crate) fn okta(&self) -> Actor {
        Actor {
            address: self.address,
            base: "/scim/v2".to_owned(),
            headers: vec![
                ("Authorization", format!("Bearer {STATIC_TOKEN}")),
                ("User-Agent", "Okta SCIM Client 1.0.0".to_owned()),
                ("Accept", "application/scim+json".to_owned()),
                ("Accept-Charset", "utf-8".to_owned()),
            ],
            content_type: "application/scim+json; charset=utf-8",
        }
    }

    /// A SCIM client with Entra's headers.
    pub(crate) fn entra(&self) -> Actor {
        Actor {
            address: self.address,
            base: "/scim/v2".to_owned(),
            headers: vec![
                ("Authorization", format!("Bearer {STATIC_TOKEN}")),
                ("Accept", "*/*".to_owned()),
                ("adscimversion", "2".to_owned()),
            ],
            content_type: "application/scim+json",
        }
    }

    /// Somebody without a token.
    pub(crate) fn anonymous(&self) -> Actor {
        Actor {
            address: self.address,
            base: String::new(),
            headers: Vec::new(),
            content_type: "application/json",
        }
    }

    /// A SCIM client of another tenant, with a token of its own.
    pub(crate) async fn client_of(&self, tenant: &str) -> Actor {
        let (_, token) = self.mint(tenant, None).await;
        let base = match tenant {
            "default" => "/scim/v2".to_owned(),
            tenant => format!("/tenants/{tenant}/scim/v2"),
        };
        let client = self.anonymous().at(&base).with_authorization(format!("Bearer {token}"));
        client.with_content_type("application/scim+json")
    }

    /// Makes a token of a tenant and tells its text.
    pub(crate) async fn mint(&self, tenant: &str, expires_at: Option<&str>) -> (String, String) {
        self.mint_for(tenant, Scopes::admin(), expires_at).await
    }

    /// Makes a token of a tenant that may do no more than this.
    pub(crate) async fn mint_for(
        &self,
        tenant: &str,
        scopes: Scopes,
        expires_at: Option<&str>,
    ) -> (String, String) {
        let expires_at = expires_at.map(|text| text.parse().unwrap());
        let tenant = tenant.parse().unwrap();
        let (text, record) = token::mint(&self.clock, tenant, "test".to_owned(), scopes, expires_at);
        let id = record.id.clone();
        self.store
            .write(move |tx| {
                let record = record.clone();
                Box::pin(async move { tx.insert_token(&record).await })
            })
            .await
            .map_err(|error: StoreError| error)
            .unwrap();
        self.database.hand_out(text.expose_secret());
        (id, text.expose_secret().to_owned())
    }
}

/// Somebody who sends requests.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    address: SocketAddr,
    base: String,
    headers: Vec<(&'static str, String)>,
    content_type: &'static str,
}

impl Actor {
    /// The same one, with requests below another base path.
    pub(crate) fn at(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    /// The same one, with one more header.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same one, presenting this as `Authorization`.
    pub(crate) fn with_authorization(mut self, value: impl Into<String>) -> Self {
        self.headers.retain(|(name, _)| *name != "Authorization");
        self.with("Authorization", value)
    }

    /// What is presented as `Authorization`.
    pub(crate) fn authorization(&self) -> &str {
        let header = self.headers.iter().find(|(name, _)| *name == "Authorization");
        header.map_or("", |(_, value)| value)
    }

    /// The same one, with bodies of another type.
    pub(crate) fn with_content_type(mut self, content_type: &'static str) -> Self {
        self.content_type = content_type;
        self
    }

    /// Sends a request; `path` follows the base path and is sent as it is.
    pub(crate) async fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        let base = &self.base;
        let mut head = vec![
            format!("{method} {base}{path} HTTP/1.1"),
            "Host: bridge".to_owned(),
            "Connection: close".to_owned(),
        ];
        head.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        if let Some(body) = body {
            head.push(format!("Content-Type: {}", self.content_type));
            head.push(format!("Content-Length: {}", body.len()));
        }
        let mut bytes = format!("{}\r\n\r\n", head.join("\r\n")).into_bytes();
        bytes.extend_from_slice(body.unwrap_or_default());
        exchange(self.address, &bytes).await.expect("an answer")
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None).await
    }

    /// GET with a filter, percent-encoded as most clients do.
    pub(crate) async fn find(&self, filter: &str) -> Answer {
        self.find_in("/Users", filter).await
    }

    /// GET of a collection with a filter; parameters that go with it may follow the path.
    pub(crate) async fn find_in(&self, path: &str, filter: &str) -> Answer {
        let encoded: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let separator = if path.contains('?') { '&' } else { '?' };
        self.get(&format!("{path}{separator}filter={}", encoded.replace('+', "%20"))).await
    }

    /// POST.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().as_bytes())).await
    }

    /// PUT.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send("PUT", path, Some(body.to_string().as_bytes())).await
    }

    /// PATCH with these operations.
    pub(crate) async fn patch(&self, path: &str, operations: &Value) -> Answer {
        let body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": operations,
        });
        self.send("PATCH", path, Some(body.to_string().as_bytes())).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None).await
    }

    /// Creates a user and returns the resource.
    #[track_caller]
    pub(crate) fn create(&self, body: &Value) -> impl Future<Output = Value> {
        let (actor, body) = (self.clone(), body.clone());
        async move { actor.post("/Users", &body).await.expect(201) }
    }

    /// Creates a user with little more than this `userName`, which is an address, and returns the id.
    pub(crate) async fn create_named(&self, user_name: &str) -> String {
        let user = self.create(&user(user_name)).await;
        user["id"].as_str().unwrap().to_owned()
    }
}

/// A minimal user.
pub(crate) fn user(user_name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": user_name,
        "name": {"givenName": "Test", "familyName": "User"},
        "emails": [{"primary": true, "value": user_name, "type": "work"}],
        "active": true,
    })
}
