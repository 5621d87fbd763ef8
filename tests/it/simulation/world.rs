//! One world: the bridge with all its parts, the organization, the network between them, and their clocks. Nothing
//! moves but by the hand of the simulation.
//!
//! Beside the tenant that is played there is a neighbour in the same database, with a token of its own. Nobody drives
//! its organization: whatever is done for it upstream would be seen as done in the wrong one.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::access::Door;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::directory::Directory;
use openai_scim_bridge::http::{self as bridge, Gate, Readiness};
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::openai::{self, Settings};
use openai_scim_bridge::planted;
use openai_scim_bridge::provision::Engine;
use openai_scim_bridge::provision::handle::{Handle, Rest};
use openai_scim_bridge::simulator::{Fault, Simulator};
use openai_scim_bridge::store::Store;
use openai_scim_bridge::telemetry::metrics::Metrics;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::network::{Name, Network};
use super::seed::Setting;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How soon to look again whether nothing moves any more, where nobody tells.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// The token of the tenant that is played.
pub(super) const TOKEN: &str = "static-token-of-the-default-tenant";
const NEIGHBOUR: &str = "neighbour";
const TOKEN_OF_NEIGHBOUR: &str = "static-token-of-the-neighbour-tenant";
const ADMIN_KEY: &str = "sk-admin-simulator";
const START: &str = "2026-01-01T00:00:00Z";

/// A running bridge.
pub(super) struct Running {
    pub(super) store: Store,
    pub(super) front: axum::Router,
    pub(super) handle: Handle,
    pub(super) rest: watch::Receiver<Option<Rest>>,
    pub(super) task: JoinHandle<()>,
    /// Asks the engine to end.
    pub(super) stop: CancellationToken,
}

/// The bridge and what is around it.
pub(super) struct World {
    /// The clock of the machine that the bridge runs on.
    clock: Clock,
    /// The clock of the organization, which goes as time does.
    upstream: Clock,
    /// How much the machine's clock is ahead.
    ahead: SignedDuration,
    pub(super) simulator: Simulator,
    pub(super) network: Network,
    pub(super) tenant: TenantId,
    setting: Setting,
    organization: axum::Router,
    base_url: String,
    running: Option<Running>,
    folder: TempDir,
    disk_is_full: bool,
    /// A copy of the database.
    backup: Option<Vec<u8>>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// The identity provider of the tenant that is played.
    Own,
    /// The one of its neighbour.
    Neighbour,
}

/// An answer to a SCIM request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

/// A SCIM request that is being answered.
pub(super) struct Asked(JoinHandle<Answer>);

impl World {
    pub(super) async fn new(seed: u64, setting: &Setting) -> Self {
        let clock = Clock::seeded(START.parse().unwrap(), seed);
        let upstream = Clock::seeded(START.parse().unwrap(), seed.wrapping_add(1));
        let folder = tempfile::tempdir_in(memory()).unwrap();
        std::fs::write(file(&folder), template().await).unwrap();
        let store = open(&folder, &clock).await;
        let simulator = Simulator::new(setting.options.clone(), upstream.clone());
        let network = Network::default();
        let base_url = network.listen().await;
        let tenant = TenantId::default_tenant();
        let organization = simulator.router();
        let running = Some(start(&setting.policy, PATIENCE, store, &clock, &base_url));
        let setting = setting.clone();
        Self {
            clock,
            upstream,
            ahead: SignedDuration::ZERO,
            simulator,
            network,
            tenant,
            setting,
            organization,
            base_url,
            running,
            folder,
            disk_is_full: false,
            backup: None,
        }
    }

    /// What the bridge believes the time to be.
    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Lets time pass until the bridge believes that it is `at`.
    pub(super) fn go_on_to(&self, at: Timestamp) {
        self.upstream.set(at.checked_sub(self.ahead).unwrap());
        self.clock.set(at);
    }

    /// Sets the clock of the machine so much ahead of the time.
    pub(super) fn set_ahead(&mut self, ahead: SignedDuration) {
        self.ahead = ahead;
        self.clock.set(self.upstream.now().checked_add(ahead).unwrap());
    }

    /// Whether the outcome of a call waits to be written down.
    pub(super) fn naps(&self) -> bool {
        self.clock.sleepers() > 1
    }

    /// Has every write fail from now on, or no longer.
    pub(super) fn fail_writes(&mut self, fail: bool) {
        planted::fail_commits(fail);
        self.disk_is_full = fail;
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("the bridge runs")
    }

    pub(super) fn store(&self) -> &Store {
        &self.running().store
    }

    /// The engine dies at once, in the middle of whatever it does; if `reopen`, the whole process does. Another one
    /// starts on what is stored.
    pub(super) async fn kill(&mut self, reopen: bool) {
        let Running { store, mut task, .. } = self.running.take().unwrap();
        task.abort();
        let _cancelled = (&mut task).await.is_err();
        self.network.cut();
        let store = if reopen { self.reopen(store, None).await } else { store };
        self.running = Some(start(&self.setting.policy, PATIENCE, store, &self.clock, &self.base_url));
    }

    /// Closes the database and opens it again, with these contents if any.
    async fn reopen(&mut self, store: Store, contents: Option<Vec<u8>>) -> Store {
        store.keep_high_water().await.unwrap();
        store.close().await;
        drop(store);
        // What the engine had under way is dropped, and with it the last hold on the file.
        settle().await;
        match contents {
            Some(contents) => std::fs::write(file(&self.folder), contents).unwrap(),
            None => self.backup = Some(std::fs::read(file(&self.folder)).unwrap()),
        }
        open(&self.folder, &self.clock).await
    }

    /// The last copy of the database takes its place, and the bridge starts on it. Tells `false` if there is none.
    pub(super) async fn restore(&mut self) -> bool {
        let Some(backup) = self.backup.take() else { return false };
        let Running { store, mut task, .. } = self.running.take().unwrap();
        task.abort();
        let _cancelled = (&mut task).await.is_err();
        self.network.cut();
        let store = self.reopen(store, Some(backup)).await;
        self.running = Some(start(&self.setting.policy, PATIENCE, store, &self.clock, &self.base_url));
        true
    }

    pub(super) fn sweep(&self) {
        self.running().handle.sweep(&self.tenant);
    }

    /// Sends a request; it is answered while the world goes on.
    pub(super) fn ask(&self, client: Client, method: &str, path: &str, body: Option<&Value>) -> Asked {
        let (base, token) = match client {
            Client::Own => ("/scim/v2".to_owned(), TOKEN),
            Client::Neighbour => (format!("/tenants/{NEIGHBOUR}/scim/v2"), TOKEN_OF_NEIGHBOUR),
        };
        let request = scim_request(method, &format!("{base}{path}"), token, body);
        let (front, network) = (self.running().front.clone(), self.network.clone());
        Asked(tokio::spawn(async move {
            let Ok(response) = front.oneshot(request).await;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            let text = std::str::from_utf8(&bytes).unwrap();
            for secret in [ADMIN_KEY, TOKEN, TOKEN_OF_NEIGHBOUR] {
                assert!(!text.contains(secret), "I20: a secret in an answer: {text}");
            }
            network.tell();
            Answer { status, body: serde_json::from_str(text).unwrap_or_default() }
        }))
    }

    /// Sends a request that the engine has nothing to do with, and waits for its answer.
    pub(super) async fn get(&mut self, path: &str) -> Answer {
        self.ask_aside(Client::Own, "GET", path, None).await
    }

    /// The same for any request that no engine of ours takes up.
    pub(super) async fn ask_aside(
        &self,
        client: Client,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Answer {
        let asked = self.ask(client, method, path, body);
        tokio::time::timeout(PATIENCE, asked.0).await.unwrap().unwrap()
    }

    /// Waits until nothing moves any more: every call is held by the network, and the request, if there is one, waits
    /// for the engine. Answers the request if it is done.
    pub(super) async fn stand_still(&mut self, asked: &mut Option<Asked>) -> Option<Answer> {
        let still = self.wait(asked);
        tokio::time::timeout(PATIENCE, still).await.expect("the world comes to rest")
    }

    async fn wait(&mut self, asked: &mut Option<Asked>) -> Option<Answer> {
        loop {
            settle().await;
            let running = self.running.as_mut().expect("the bridge runs");
            assert!(!running.task.is_finished(), "the engine ended by itself");
            let rest = *running.rest.borrow_and_update();
            // The engine sleeps, and with it every call whose outcome could not be written down.
            let napping = self.clock.sleepers().saturating_sub(1);
            let held = self.network.held().len();
            if let Some(rest) = rest.filter(|rest| rest.under_way == held + napping) {
                match asked {
                    None => return None,
                    Some(Asked(task)) if task.is_finished() => {
                        let answer = task.await.unwrap();
                        *asked = None;
                        return Some(answer);
                    }
                    Some(_) if rest.waiting > 0 => return None,
                    Some(_) => {}
                }
            }
            tokio::select! {
                changed = running.rest.changed() => changed.expect("the engine lives"),
                () = self.network.news() => {}
                // Nobody tells when a call begins to wait for the disk.
                () = tokio::time::sleep(LOOK_AGAIN), if self.disk_is_full => {}
            }
        }
    }

    /// Serves a call, with this fault if any; its answer takes so long to arrive.
    pub(super) async fn serve(
        &self,
        name: &Name,
        fault: Option<Fault>,
        takes: SignedDuration,
    ) -> Option<u16> {
        let at = self.upstream.now().checked_add(takes).unwrap();
        self.network.serve(name, &self.simulator, &self.organization, fault, at).await
    }

    /// The next instant at which something happens by itself.
    pub(super) fn next_event(&self) -> Option<Timestamp> {
        let rest = *self.running().rest.borrow();
        let wake_at = rest.and_then(|rest| rest.wake_at);
        let arrival = self.network.next_arrival().map(|at| at.checked_add(self.ahead).unwrap());
        let nap = (self.clock.sleepers() > 1).then(|| self.now().checked_add(NAP).unwrap());
        [wake_at, arrival, nap].into_iter().flatten().min()
    }

    /// Hands over one answer that has arrived by now, if there is one.
    pub(super) fn hand_over(&self) -> Option<(Name, Option<u16>)> {
        self.network.hand_over(self.upstream.now())
    }
}

/// How soon to look after calls whose outcome could not be written down.
const NAP: SignedDuration = SignedDuration::from_millis(500);

/// Gives whoever was woken their turn.
async fn settle() {
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("bridge.db")
}

async fn open(folder: &TempDir, clock: &Clock) -> Store {
    let url = format!("sqlite://{}", file(folder).display());
    Store::open(&url, clock.clone()).await.unwrap()
}

/// Where databases live that are gone in a moment.
fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// An empty database with all its tables.
async fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    if TEMPLATE.get().is_none() {
        let folder = tempfile::tempdir_in(memory()).unwrap();
        open(&folder, &Clock::manual(START.parse().unwrap())).await.close().await;
        let _first = TEMPLATE.set(std::fs::read(file(&folder)).unwrap()).is_ok();
    }
    TEMPLATE.get().unwrap()
}

/// What an identity provider sends.
pub(super) fn scim_request(method: &str, path: &str, token: &str, body: Option<&Value>) -> Request<Body> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "scim.example.com")
        .header("authorization", format!("Bearer {token}"));
    if body.is_some() {
        request = request.header("content-type", "application/scim+json");
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    request.body(body).unwrap()
}

/// Starts a bridge whose requests wait so long for what they ask of OpenAI.
pub(super) fn start(
    policy: &Policy,
    answer_wait: Duration,
    store: Store,
    clock: &Clock,
    base_url: &str,
) -> Running {
    let (tenant, neighbour) = (TenantId::default_tenant(), NEIGHBOUR.parse::<TenantId>().unwrap());
    let (handle, mut inboxes) = Handle::new([tenant.clone()]);
    let (_, inbox) = inboxes.pop().unwrap();
    let settings = Settings::new("default", base_url.parse().unwrap(), ADMIN_KEY.into());
    let client = openai::Client::new(settings, clock.clone(), Metrics::new()).unwrap();
    let clock = clock.clone();
    let engine = Engine::new(
        tenant.clone(),
        policy.clone(),
        store.clone(),
        client,
        clock.split(),
        Metrics::new(),
        inbox,
    );
    let rest = engine.rest();
    let directory = Directory::new(
        store.clone(),
        handle.clone(),
        clock.clone(),
        [(tenant.clone(), policy.clone()), (neighbour.clone(), policy.clone())],
        "https://scim.example.com",
    );
    let tokens = [(tenant, TOKEN.into()), (neighbour, TOKEN_OF_NEIGHBOUR.into())];
    let state = bridge::State {
        directory: directory.with_answer_wait(answer_wait),
        door: Door::new(store.clone(), clock.clone(), &tokens),
        metrics: Metrics::new(),
        readiness: Readiness::default(),
        gate: Gate::new(clock.clone(), Vec::new(), 1_000_000),
        clock,
    };
    let front = bridge::router(state);
    let stop = CancellationToken::new();
    let task = tokio::spawn(engine.run(stop.clone()));
    Running { store, front, handle, rest, task, stop }
}
