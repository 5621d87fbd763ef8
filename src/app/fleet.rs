//! The tenants that are served: each has an engine, a place in the directory and a gate of its own, and comes and goes
//! without the others noticing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{admin_key, board};
use crate::access::Door;
use crate::access::expiry;
use crate::alarms;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, TenantConfig};
use crate::directory::{Directory, EVENTS};
use crate::events::key::SigningKey;
use crate::events::push::{Courier, Receiver};
use crate::events::{Feed, Stream};
use crate::http::{Condition, Gate, Readiness};
use crate::ids::TenantId;
use crate::openai;
use crate::provision::Engine;
use crate::provision::handle::Handle;
use crate::store::Store;
use crate::telemetry::Metrics;

/// How long an engine may finish what it is at: a little longer than it gives itself.
const ENGINE_DRAIN: Duration = Duration::from_secs(30);

/// All tenants that are served, and what they share.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    pub(super) readiness: Readiness,
    pub(super) handle: Handle,
    pub(super) directory: Directory,
    pub(super) door: Door,
    pub(super) gate: Gate,
    pub(super) feed: Feed,
    pub(super) hang_ups: watch::Receiver<()>,
    /// How clients know the program.
    pub(super) public_url: String,
    /// The key that events and access tokens are signed with, once a tenant has needed it.
    pub(super) signing_key: OnceLock<Arc<SigningKey>>,
    pub(super) served: Mutex<BTreeMap<TenantId, Served>>,
}

/// A tenant that is served.
#[derive(Debug)]
pub(super) struct Served {
    config: TenantConfig,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Fleet {
    /// Serves exactly these tenants from now on. Those whose settings did not change go on as they are, and so do
    /// those for which nothing can be signed; one that cannot be served is reported and keeps no other from it.
    pub(super) async fn apply(&self, mut wanted: BTreeMap<TenantId, TenantConfig>, config: &Config) {
        let mut unsigned = BTreeSet::new();
        wanted.retain(|id, tenant| {
            let key = if tenant.signs() { self.signing_key(config).map(|_key| ()) } else { Ok(()) };
            if let Err(error) = &key {
                self.readiness.set(&format!("tenant:{id}"), Condition::Degraded);
                tracing::error!(tenant = %id, "the new settings of tenant {id} cannot be taken up: {error:#}");
                unsigned.insert(id.clone());
            }
            key.is_ok()
        });
        let leaving: Vec<_> = {
            let served = self.served();
            let stays = |id: &TenantId, served: &Served| {
                unsigned.contains(id)
                    || wanted.get(id).is_some_and(|tenant| tenant.means_the_same(&served.config))
            };
            served.iter().filter(|(id, served)| !stays(id, served)).map(|(id, _)| id.clone()).collect()
        };
        join_all(leaving.iter().map(|id| self.stop(id))).await;
        for (id, tenant) in wanted {
            let component = format!("tenant:{id}");
            if self.served().contains_key(&id) {
                self.readiness.forget(&component);
                continue;
            }
            match self.start(tenant, config) {
                Ok(()) => {
                    self.readiness.forget(&component);
                    tracing::info!(tenant = %id, "tenant {id} is served from now on");
                }
                Err(error) => {
                    self.readiness.set(&component, Condition::Degraded);
                    tracing::error!(tenant = %id, "tenant {id} cannot be served: {error:#}");
                }
            }
        }
    }

    /// Starts serving a tenant, by its settings among all.
    pub(super) fn start(&self, config: TenantConfig, all: &Config) -> anyhow::Result<()> {
        let id = config.tenant.clone();
        let client =
            openai::Client::new(client_settings(&config)?, self.clock.clone(), self.metrics.clone())?;
        self.gate.take_on(id.clone(), &config.network).with_context(|| format!("tenant `{id}`"))?;
        self.open_door(&config, all).with_context(|| format!("tenant `{id}`"))?;
        let courier = self.open_feed(&config, all)?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let keeper = config
            .admin_key
            .as_ref()
            .and_then(|key| admin_key::Keeper::of(key, id.clone(), client.clone(), self.handle.clone()));
        let mut engine = Engine::new(
            id.clone(),
            config.policy.clone(),
            self.store.clone(),
            client,
            self.clock.clone(),
            self.metrics.clone(),
            self.handle.open(id.clone()),
        );
        if let Some(called) = &config.alarms {
            engine = engine.with_alarms();
            let (url, secret) = (called.url.value.clone(), called.secret.value.clone());
            let (store, clock) = (self.store.clone(), self.clock.clone());
            let courier = alarms::Courier::new(store, clock, id.clone(), url, secret)?;
            tasks.spawn(courier.run(stop.clone()));
        }
        if let Some(keeper) = keeper {
            tasks.spawn(keeper.run(self.hang_ups.clone(), stop.clone()));
        }
        if let Some(courier) = courier {
            tasks.spawn(courier.run(stop.clone()));
        }
        let (store, clock, metrics) = (self.store.clone(), self.clock.clone(), self.metrics.clone());
        tasks.spawn(expiry::Watch::new(store, clock, metrics, [id.clone()]).run(stop.clone()));
        tasks.spawn(board::report(self.readiness.clone(), id.clone(), engine.upstream(), engine.health()));
        tasks.spawn(board::report_features(self.readiness.clone(), id.clone(), engine.not_offered()));
        tasks.spawn(engine.run(stop.clone()));
        self.directory.take_on(id.clone(), config.policy.clone(), config.profile.value);
        self.served().insert(id, Served { config, tasks, stop });
        Ok(())
    }

    /// Serves a tenant no longer: the door is closed first, then calls under way may end. What is left of the work is
    /// in the store.
    async fn stop(&self, id: &TenantId) {
        let Some(Served { tasks, stop, .. }) = self.served().remove(id) else { return };
        self.directory.let_go(id);
        self.door.let_go(id);
        self.gate.let_go(id);
        self.feed.let_go(id);
        self.handle.close(id);
        stop.cancel();
        tasks.close();
        if tokio::time::timeout(ENGINE_DRAIN, tasks.wait()).await.is_err() {
            tracing::warn!(tenant = %id, "a call to OpenAI did not end in time; its outcome is read back later");
        }
        board::forget(&self.readiness, id);
        self.readiness.forget(&format!("tenant:{id}"));
        tracing::info!(tenant = %id, "tenant {id} is not served any more by its earlier settings");
    }

    /// Lets all calls under way end; the door is closed already.
    pub(super) async fn drain(&self) {
        let served = std::mem::take(&mut *self.served());
        for served in served.values() {
            served.stop.cancel();
            served.tasks.close();
        }
        let ended = join_all(served.values().map(|served| served.tasks.wait()));
        if tokio::time::timeout(ENGINE_DRAIN, ended).await.is_err() {
            tracing::warn!(
                "a call to OpenAI did not end in time; its outcome is read back at the next start"
            );
        }
    }

    /// Opens the door to what the tenant's settings trust.
    fn open_door(&self, config: &TenantConfig, all: &Config) -> anyhow::Result<()> {
        let trust = config.trust.value.clone();
        if trust.oauth {
            self.door.open_endpoint(self.signing_key(all)?, &self.public_url);
        }
        let fixed = config.static_token.as_ref().map(|token| &token.value);
        Ok(self.door.take_on(config.tenant.clone(), trust, fixed)?)
    }

    /// Has a feed of the tenant, if its settings turn one on, and prepares telling the receiver that is to be called.
    fn open_feed(&self, config: &TenantConfig, all: &Config) -> anyhow::Result<Option<Courier>> {
        let Some(events) = &config.events else { return Ok(None) };
        let (id, feed) = (&config.tenant, &self.feed);
        let issuer = self.directory.base_url(id);
        let audience = events.audience.clone().unwrap_or_else(|| format!("{issuer}{EVENTS}"));
        feed.take_on(id.clone(), Stream { issuer, audience }, self.signing_key(all)?);
        let receiver = events.push.as_ref().map(|push| {
            let token = push.token.as_ref().map(|token| token.value.clone());
            Receiver { url: push.url.value.clone(), token }
        });
        Ok(receiver.map(|receiver| Courier::new(feed.clone(), id.clone(), receiver)).transpose()?)
    }

    /// The key that events and access tokens are signed with; read, or made, when the first tenant needs it.
    fn signing_key(&self, config: &Config) -> anyhow::Result<Arc<SigningKey>> {
        if let Some(key) = self.signing_key.get() {
            return Ok(Arc::clone(key));
        }
        let key = Arc::new(SigningKey::open(&config.signing_key_place()?)?);
        Ok(Arc::clone(self.signing_key.get_or_init(|| key)))
    }

    fn served(&self) -> MutexGuard<'_, BTreeMap<TenantId, Served>> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client of the tenant's organization needs to know.
pub fn client_settings(tenant: &TenantConfig) -> Result<openai::Settings, ConfigError> {
    let key = tenant.require_admin_key()?.clone();
    let settings = openai::Settings::new(tenant.tenant.to_string(), tenant.base_url.value.clone(), key);
    Ok(openai::Settings { requests_per_minute: Some(tenant.requests_per_minute.value), ..settings })
}
