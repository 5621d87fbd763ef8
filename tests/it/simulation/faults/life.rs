//! One life of the program: from its start on what a disk holds to its death.

use std::time::Duration;

use http_body_util::BodyExt as _;
use openai_scim_bridge::access::Door;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::Directory;
use openai_scim_bridge::http::{self as bridge, Gate, Readiness};
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::openai::{Client, Settings};
use openai_scim_bridge::provision::Engine;
use openai_scim_bridge::provision::handle::{Handle, Rest};
use openai_scim_bridge::store::Store;
use openai_scim_bridge::telemetry::metrics::Metrics;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::disk::{self, Disk};
use crate::simulation::network::Network;
use crate::simulation::world::scim_request;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
const TOKEN: &str = "static-token-of-the-default-tenant";

/// A running program.
pub(super) struct Life {
    pub(super) store: Store,
    pub(super) network: Network,
    front: axum::Router,
    handle: Handle,
    rest: watch::Receiver<Option<Rest>>,
    engine: JoinHandle<()>,
    stop: CancellationToken,
    folder: TempDir,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.engine.abort();
        self.network.unplug();
    }
}

impl Life {
    /// Starts on what a disk holds.
    pub(super) async fn start(disk: &Disk, policy: &Policy, clock: &Clock) -> Self {
        Self::start_in(disk.unpack(), policy, clock).await
    }

    /// Starts in a folder.
    pub(super) async fn start_in(folder: TempDir, policy: &Policy, clock: &Clock) -> Self {
        let store = disk::open(folder.path(), clock).await;
        let network = Network::default();
        let upstream = network.listen().await.parse().unwrap();
        let tenant = TenantId::default_tenant();
        let (handle, mut inboxes) = Handle::new([tenant.clone()]);
        let (_, inbox) = inboxes.pop().unwrap();
        let settings = Settings::new("default", upstream, "sk-admin-simulator".into());
        let metrics = Metrics::new();
        let client = Client::new(settings, clock.clone(), metrics.clone()).unwrap();
        let engine = Engine::new(
            tenant.clone(),
            policy.clone(),
            store.clone(),
            client,
            clock.clone(),
            metrics.clone(),
            inbox,
        );
        let rest = engine.rest();
        let directory = Directory::new(
            store.clone(),
            handle.clone(),
            clock.clone(),
            [(tenant.clone(), policy.clone())],
            "https://scim.example.com",
        );
        let front = bridge::router(bridge::State {
            // What is acknowledged at once is owed from then on.
            directory: directory.with_answer_wait(Duration::ZERO),
            door: Door::new(store.clone(), clock.clone(), &[(tenant, TOKEN.into())]),
            metrics,
            readiness: Readiness::default(),
            gate: Gate::new(clock.clone(), Vec::new(), 1_000_000),
            clock: clock.clone(),
        });
        let stop = CancellationToken::new();
        let engine = tokio::spawn(engine.run(stop.clone()));
        Self { store, network, front, handle, rest, engine, stop, folder }
    }

    /// What a crash at this moment would leave.
    pub(super) fn disk(&self) -> Disk {
        Disk::read(self.folder.path())
    }

    /// Sends a SCIM request.
    pub(super) async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let request = scim_request(method, &format!("/scim/v2{path}"), TOKEN, body);
        let Ok(response) = self.front.clone().oneshot(request).await;
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Asks for a full pass.
    pub(super) fn sweep(&self) {
        self.handle.sweep(&TenantId::default_tenant());
    }

    /// Asks the engine to end.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.engine.is_finished()
    }

    /// When the next thing happens by itself.
    pub(super) fn wake_at(&self) -> Option<jiff::Timestamp> {
        (*self.rest.borrow()).and_then(|rest| rest.wake_at)
    }

    /// Waits until nothing moves any more: every call is held by the network, or the engine has ended.
    pub(super) async fn stand_still(&mut self) {
        tokio::time::timeout(PATIENCE, self.wait()).await.expect("the world comes to rest");
    }

    async fn wait(&mut self) {
        loop {
            // Whoever was woken has their turn.
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            if self.engine.is_finished() {
                assert!(self.stop.is_cancelled(), "the engine ended by itself");
                return;
            }
            let rest = *self.rest.borrow_and_update();
            let held = self.network.held().len();
            // An engine that drains tells nothing of its rest.
            if self.stop.is_cancelled() || rest.is_some_and(|rest| rest.under_way == held) {
                return;
            }
            tokio::select! {
                changed = self.rest.changed() => changed.expect("the engine lives"),
                () = self.network.news() => {}
            }
        }
    }

    /// Waits until the engine has ended, which was asked to.
    pub(super) async fn ended(&mut self) {
        let ended = tokio::time::timeout(PATIENCE, &mut self.engine);
        ended.await.expect("the engine ends").unwrap();
    }
}
