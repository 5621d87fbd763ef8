//! The whole bridge in one process: HTTP, directory, store, engine, and the stand-in behind it, on one clock that
//! stands still until it is moved.

use jiff::SignedDuration;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::model::trust::Trust;
use openai_scim_bridge::openai::{Client, Settings};
use openai_scim_bridge::provision::Engine;
use openai_scim_bridge::provision::handle::Handle;
use openai_scim_bridge::simulator::{Entry, Simulator};
use openai_scim_bridge::telemetry::metrics::Metrics;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::bridge::TestBridge;
use super::database::Database;
use super::standin;

/// What an engine may put off and still count as at once: the pauses between looks at what it has just done.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(60);
/// Longer than the engine goes without looking into the store for work that nobody told it of.
const POLL: SignedDuration = SignedDuration::from_secs(6);
/// Longer than anything takes on a busy machine.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(1);

/// A bridge with all its parts.
pub(crate) struct Stage {
    pub(crate) bridge: TestBridge,
    pub(crate) simulator: Simulator,
    handle: Handle,
    tenant: TenantId,
    /// How much of the ledger has been read.
    read: usize,
    _stop: DropGuard,
}

impl Stage {
    /// Sets the default tenant up on `database`, against this organization, whose clock must be the database's.
    pub(crate) async fn new(database: Database, policy: Policy, simulator: Simulator) -> Self {
        let tenant = TenantId::default_tenant();
        let (handle, mut inboxes) = Handle::new([tenant.clone()]);
        let (_, inbox) = inboxes.pop().unwrap();
        // Some identity providers send the token as the password of Basic authentication.
        let any_dress = Trust { basic: true, ..Trust::default() };
        let bridge =
            TestBridge::builder().policy(policy.clone()).engine(handle.clone()).trust("default", any_dress);
        let bridge = bridge.on(database).start().await;
        let (upstream, _task) = standin::serve(&simulator).await;
        let upstream = format!("http://{upstream}/v1").parse().unwrap();
        let stop = CancellationToken::new();
        let (clock, metrics) = (bridge.clock.clone(), Metrics::new());
        let settings = Settings::new("default", upstream, "sk-admin-simulator".into());
        let client = Client::new(settings, clock.clone(), metrics.clone()).unwrap();
        let engine = Engine::new(tenant.clone(), policy, bridge.store.clone(), client, clock, metrics, inbox);
        tokio::spawn(engine.run(stop.clone()));
        let mut stage = Self { bridge, simulator, handle, tenant, read: 0, _stop: stop.drop_guard() };
        stage.settle().await;
        stage
    }

    /// Lets everything happen that follows at once; returns what the organization was asked to change.
    pub(crate) async fn settle(&mut self) -> Vec<Entry> {
        let clock = &self.bridge.clock;
        self.idle().await;
        clock.advance(POLL);
        let end = clock.now().checked_add(AT_ONCE).unwrap();
        while let Some(next) = self.idle().await.filter(|next| *next <= end) {
            clock.set(next.max(clock.now()));
        }
        let ledger = self.simulator.ledger();
        let news = ledger.get(self.read..).unwrap_or_default();
        self.read = ledger.len();
        news.iter().filter(|entry| entry.method != "GET").cloned().collect()
    }

    /// Lets somebody accept their invite, and the bridge find out.
    pub(crate) fn accept(&self, address: &str) {
        self.simulator.accept_invite(address).unwrap();
        self.handle.sweep(&self.tenant);
    }

    /// Waits until nothing more can happen at this instant.
    pub(crate) async fn rest(&self) {
        self.idle().await;
    }

    async fn idle(&self) -> Option<jiff::Timestamp> {
        tokio::time::timeout(PATIENCE, self.handle.idle(&self.tenant))
            .await
            .expect("the engine comes to rest")
    }
}
