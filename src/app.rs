//! The composition root: settings in, running services out, and the order in which they stop.
//!
//! Whoever stops the program loses nothing: answers under way are finished, calls to OpenAI under way are given time
//! to come to an end, and everything else is in the store for the next start.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::access::expiry::Watch;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, TenantConfig};
use crate::directory::{Directory, EVENTS};
use crate::events::key::SigningKey;
use crate::events::push::{Courier, Receiver};
use crate::events::{Feed, Stream};
use crate::http::{self, Condition, Limits, Readiness};
use crate::ids::TenantId;
use crate::openai;
use crate::provision::Engine;
use crate::provision::handle::{Handle, Upstream};
use crate::store::Store;
use crate::telemetry::Metrics;

/// How long the engines may finish what they are at: a little longer than they give themselves.
const ENGINE_DRAIN: Duration = Duration::from_secs(30);

/// The running program.
#[derive(Debug)]
pub struct App {
    address: SocketAddr,
    directory: Directory,
    store: Store,
    feed: Option<Feed>,
    server: JoinHandle<()>,
    engines: TaskTracker,
    stop_serving: CancellationToken,
    stop_driving: CancellationToken,
}

impl App {
    /// Starts everything: an engine for each tenant, and the listener.
    pub fn start(config: &Config, listener: TcpListener, store: Store, clock: Clock) -> anyhow::Result<Self> {
        check(config)?;
        let address = listener.local_addr()?;
        let metrics = Metrics::new();
        let readiness = Readiness::default();

        let (handle, inboxes) = Handle::new(config.tenants.keys().cloned());
        let engines = TaskTracker::new();
        let stop_driving = CancellationToken::new();
        for (id, inbox) in inboxes {
            let tenant = config.tenants.get(&id).context("every engine belongs to a tenant")?;
            let policy = tenant.policy.clone();
            let client = openai::Client::new(client_settings(tenant)?, clock.clone(), metrics.clone())?;
            let engine =
                Engine::new(id.clone(), policy, store.clone(), client, clock.clone(), metrics.clone(), inbox);
            engines.spawn(report(readiness.clone(), format!("upstream:{id}"), engine.upstream()));
            engines.spawn(engine.run(stop_driving.clone()));
        }

        let public_url = match &config.public_url {
            Some(url) => url.value.to_string(),
            None => format!("http://{address}"),
        };
        let policies = config.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.policy.clone()));
        let profiles = config.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.profile.value));
        let directory = Directory::new(store.clone(), handle, clock.clone(), policies, &public_url)
            .with_profiles(profiles);
        let feed = open_feed(config, &directory, &store, &clock)?;
        let directory = match &feed {
            Some(feed) => {
                start_couriers(config, feed, &engines, &stop_driving)?;
                let directory = directory.with_feed(feed.clone());
                engines.spawn(directory.clone().tend_feeds(stop_driving.clone()));
                directory
            }
            None => directory,
        };
        let fixed: Vec<_> = config
            .tenants
            .iter()
            .filter_map(|(id, tenant)| Some((id.clone(), tenant.static_token.as_ref()?.value.clone())))
            .collect();
        let door = open_door(config, &store, &clock, &fixed, &public_url)?;
        engines.spawn(door.refusals().clone().tend(stop_driving.clone()));
        let tenants = config.tenants.keys().cloned();
        let watch = Watch::new(store.clone(), clock.clone(), metrics.clone(), tenants);
        engines.spawn(watch.run(stop_driving.clone()));
        let router =
            http::router(http::State { directory: directory.clone(), door, metrics, readiness, clock });

        let stop_serving = CancellationToken::new();
        let server = tokio::spawn(http::serve(listener, router, Limits::default(), stop_serving.clone()));
        tracing::info!(%address, public_url, version = env!("CARGO_PKG_VERSION"), "serving");
        if !address.ip().is_loopback() {
            tracing::warn!(
                %address,
                "listening beyond this machine without TLS: tokens can be read on the way; put a TLS proxy in front and \
                 let only it reach this address"
            );
        }
        Ok(Self { address, directory, store, feed, server, engines, stop_serving, stop_driving })
    }

    /// Where the program listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The SCIM base URL of a tenant, as identity providers are told it.
    pub fn scim_url(&self, tenant: &TenantId) -> String {
        self.directory.base_url(tenant)
    }

    /// Stops: no new connections, then the answers under way, then the engines, then the store.
    pub async fn stop(self) {
        tracing::info!("stopping: answers under way are finished, the rest is kept for the next start");
        self.stop_serving.cancel();
        if let Some(feed) = &self.feed {
            feed.close().await;
        }
        if let Err(error) = self.server.await {
            tracing::error!(%error, "the listener broke down");
        }
        self.stop_driving.cancel();
        self.engines.close();
        if tokio::time::timeout(ENGINE_DRAIN, self.engines.wait()).await.is_err() {
            tracing::warn!(
                "a call to OpenAI did not end in time; its outcome is read back at the next start"
            );
        }
        self.store.close().await;
        tracing::info!("stopped");
    }
}

/// The door of all tenants, with the token endpoint if some tenant has clients.
fn open_door(
    config: &Config,
    store: &Store,
    clock: &Clock,
    fixed: &[(TenantId, SecretString)],
    public_url: &str,
) -> anyhow::Result<Door> {
    let trust = config.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.trust.value.clone()));
    let door = Door::new(store.clone(), clock.clone(), fixed).with_trust(trust)?;
    let has_clients = config.tenants.values().any(|tenant| tenant.trust.value.oauth);
    Ok(match config.signing_key_path()? {
        Some(path) if has_clients => door.with_endpoint(Arc::new(SigningKey::open(&path)?), public_url),
        _ => door,
    })
}

/// The feeds of the tenants whose settings turn them on; `None` if there are none.
fn open_feed(
    config: &Config,
    directory: &Directory,
    store: &Store,
    clock: &Clock,
) -> anyhow::Result<Option<Feed>> {
    let Some(path) = config.signing_key_path()? else { return Ok(None) };
    if config.tenants.values().all(|tenant| tenant.events.is_none()) {
        return Ok(None);
    }
    let streams = config.tenants.iter().filter_map(|(id, tenant)| {
        let events = tenant.events.as_ref()?;
        let issuer = directory.base_url(id);
        let audience = events.audience.clone().unwrap_or_else(|| format!("{issuer}{EVENTS}"));
        Some((id.clone(), Stream { issuer, audience }))
    });
    Ok(Some(Feed::new(store.clone(), clock.clone(), SigningKey::open(&path)?, streams)))
}

/// Starts telling the receivers that are to be called.
fn start_couriers(
    config: &Config,
    feed: &Feed,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    for (id, tenant) in &config.tenants {
        if let Some(push) = tenant.events.as_ref().and_then(|events| events.push.as_ref()) {
            let token = push.token.as_ref().map(|token| token.value.clone());
            let receiver = Receiver { url: push.url.value.clone(), token };
            tasks.spawn(Courier::new(feed.clone(), id.clone(), receiver)?.run(stop.clone()));
        }
    }
    Ok(())
}

/// Keeps the board of `/readyz` true about one organization. Trouble there degrades the program and no more: what
/// identity providers wish is still taken and kept.
async fn report(readiness: Readiness, component: String, mut upstream: watch::Receiver<Upstream>) {
    loop {
        let condition = match *upstream.borrow_and_update() {
            Upstream::Ok => Condition::Ok,
            Upstream::KeyRefused | Upstream::Unreachable => Condition::Degraded,
        };
        readiness.set(&component, condition);
        if upstream.changed().await.is_err() {
            return;
        }
    }
}

pub(crate) fn client_settings(tenant: &TenantConfig) -> Result<openai::Settings, ConfigError> {
    let key = tenant.require_admin_key()?.clone();
    let settings = openai::Settings::new(tenant.tenant.to_string(), tenant.base_url.value.clone(), key);
    Ok(openai::Settings { requests_per_minute: Some(tenant.requests_per_minute.value), ..settings })
}

/// Checks what the settings alone cannot know to be missing: that every tenant has a key, and event feeds theirs.
pub fn check(config: &Config) -> anyhow::Result<()> {
    for tenant in config.tenants.values() {
        tenant.require_admin_key()?;
    }
    config.signing_key_path()?;
    Ok(())
}

/// Takes the address, or says why it cannot be had.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!(
                "{address} is in use by another program: stop that one, or choose another address with --listen"
            )
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// Resolves when the program is told to stop: by Ctrl-C, or by the signal that service managers send.
#[cfg(unix)]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Resolves when the program is told to stop by Ctrl-C.
#[cfg(not(unix))]
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        let _told = tokio::signal::ctrl_c().await.is_ok();
    })
}
