//! The composition root: settings in, running services out, and the order in which they stop.
//!
//! Whoever stops the program loses nothing: answers under way are finished, calls to OpenAI under way are given time
//! to come to an end, and everything else is in the store for the next start.

mod admin_key;

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Door;
use crate::access::expiry::Watch;
use crate::alarms;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, TenantConfig};
use crate::directory::{Directory, EVENTS};
use crate::events::key::SigningKey;
use crate::events::push::{Courier, Receiver};
use crate::events::{Feed, Stream};
use crate::http::{self, Condition, Limits, Readiness};
use crate::ids::TenantId;
use crate::model::observed::Collection;
use crate::openai;
use crate::provision::Engine;
use crate::provision::handle::{Handle, Health, Upstream};
use crate::store::Store;
use crate::telemetry::Metrics;

/// How long the engines may finish what they are at: a little longer than they give themselves.
const ENGINE_DRAIN: Duration = Duration::from_secs(30);

/// How often the high-water mark of the database is moved.
const MARK_EVERY: SignedDuration = SignedDuration::from_secs(5);

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
    pub async fn start(
        config: &Config,
        listener: TcpListener,
        store: Store,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        check(config)?;
        let address = listener.local_addr()?;
        let metrics = Metrics::new();
        let readiness = Readiness::default();

        let (handle, inboxes) = Handle::new(config.tenants.keys().cloned());
        let engines = TaskTracker::new();
        let stop_driving = CancellationToken::new();
        let hang_ups = admin_key::hang_ups(stop_driving.clone())?;
        for (id, inbox) in inboxes {
            let tenant = config.tenants.get(&id).context("every engine belongs to a tenant")?;
            let policy = tenant.policy.clone();
            let client = openai::Client::new(client_settings(tenant)?, clock.clone(), metrics.clone())?;
            let keeper = tenant
                .admin_key
                .as_ref()
                .and_then(|key| admin_key::Keeper::of(key, id.clone(), client.clone(), handle.clone()));
            if let Some(keeper) = keeper {
                engines.spawn(keeper.run(hang_ups.clone(), stop_driving.clone()));
            }
            let mut engine =
                Engine::new(id.clone(), policy, store.clone(), client, clock.clone(), metrics.clone(), inbox);
            if let Some(called) = &tenant.alarms {
                engine = engine.with_alarms();
                let (url, secret) = (called.url.value.clone(), called.secret.value.clone());
                let courier = alarms::Courier::new(store.clone(), clock.clone(), id.clone(), url, secret)?;
                engines.spawn(courier.run(stop_driving.clone()));
            }
            let board = (readiness.clone(), format!("upstream:{id}"));
            engines.spawn(report(board, engine.upstream(), engine.health()));
            engines.spawn(report_features(readiness.clone(), id.clone(), engine.not_offered()));
            engines.spawn(engine.run(stop_driving.clone()));
        }

        engines.spawn(keep_high_water(store.clone(), clock.clone(), stop_driving.clone()));

        let public_url = match &config.public_url {
            Some(url) => url.value.to_string(),
            None => format!("http://{address}"),
        };
        let policies = config.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.policy.clone()));
        let profiles = config.tenants.iter().map(|(id, tenant)| (id.clone(), tenant.profile.value));
        let directory = Directory::new(store.clone(), handle, clock.clone(), policies, &public_url)
            .with_profiles(profiles)
            .with_lasting_cursors()
            .await?;
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
        note_high_water(&self.store).await;
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
async fn report(
    (readiness, component): (Readiness, String),
    mut upstream: watch::Receiver<Upstream>,
    mut health: watch::Receiver<Health>,
) {
    loop {
        let condition = match *upstream.borrow_and_update() {
            Upstream::Ok => Condition::Ok,
            Upstream::KeyRefused | Upstream::Unreachable => Condition::Degraded,
        };
        let health_now = health.borrow_and_update().clone();
        let condition = if health_now.standstill.is_some() { Condition::Degraded } else { condition };
        readiness.set(&component, condition);
        readiness.explain(
            &component,
            json!({
                "key": health_now.key_trouble,
                "standstill": health_now.standstill.is_some(),
                "open_holds": health_now.open_holds,
                "oldest_removal_since": health_now.oldest_removal,
            }),
        );
        let ended = tokio::select! {
            changed = upstream.changed() => changed.is_err(),
            changed = health.changed() => changed.is_err(),
        };
        if ended {
            return;
        }
    }
}

/// Likewise about what OpenAI does not offer to the organization.
async fn report_features(
    readiness: Readiness,
    tenant: TenantId,
    mut not_offered: watch::Receiver<BTreeSet<Collection>>,
) {
    let mut told = BTreeSet::new();
    loop {
        let now = not_offered.borrow_and_update().clone();
        for collection in told.union(&now) {
            let condition = if now.contains(collection) { Condition::NotOffered } else { Condition::Ok };
            let feature = match collection {
                Collection::Projects => "projects",
                Collection::Roles => "roles",
                Collection::Groups => "groups",
                _ => continue,
            };
            readiness.set(&format!("{feature}:{tenant}"), condition);
        }
        told = now;
        if not_offered.changed().await.is_err() {
            return;
        }
    }
}

/// Moves the high-water mark of the database from time to time.
async fn keep_high_water(store: Store, clock: Clock, stop: CancellationToken) {
    loop {
        note_high_water(&store).await;
        let again = clock.now().checked_add(MARK_EVERY).unwrap_or(Timestamp::MAX);
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep_until(again) => {}
        }
    }
}

async fn note_high_water(store: &Store) {
    if let Err(error) = store.keep_high_water().await {
        tracing::debug!(%error, "the high-water mark cannot be moved at the moment");
    }
}

/// What a client of the tenant's organization needs to know.
pub fn client_settings(tenant: &TenantConfig) -> Result<openai::Settings, ConfigError> {
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
