//! One life of the program: from its start on what a disk holds to its death.

use std::time::Duration;

use http_body_util::BodyExt as _;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::provision::handle::{Handle, Rest};
use openai_scim_bridge::store::Store;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::disk::{self, Disk};
use crate::simulation::network::Network;
use crate::simulation::world::{self, Running, TOKEN, scim_request};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

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
        let base_url = network.listen().await;
        // What is acknowledged at once is owed from then on.
        let running = world::start(policy, Duration::ZERO, store, clock, &base_url);
        let Running { store, front, handle, rest, task: engine, stop } = running;
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
