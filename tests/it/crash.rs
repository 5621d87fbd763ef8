//! The crash test: the real program, killed at random moments under a stream of writes, against a stand-in that
//! resets connections after it has done what it was asked to.
//!
//! The stand-in's ledger is the judge. Whatever was acknowledged must come true, and nothing may be done twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use openai_scim_bridge::simulator::{Fault, FaultRule, Simulator};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::harness::program::{Running, call, folder, serving};
use super::harness::standin::upstream;

/// Each seed is another story; add one when it finds something. `SCIM_BRIDGE_CRASH_SEEDS=10..260` tells others: by hand,
/// for as long as one likes.
const SEEDS: [u64; 5] = [1, 2, 3, 4, 5];
const OTHER_SEEDS: &str = "SCIM_BRIDGE_CRASH_SEEDS";
/// People per seed. Each is created, and most are deactivated, reactivated or both.
const PEOPLE: u32 = 200;
/// Identity provider workers that write at the same time.
const WORKERS: u32 = 8;
/// How often the program is killed per seed.
const KILLS: u32 = 20;
/// The most time that one step may take; all together take seconds.
const CONVERGE_WITHIN: Duration = Duration::from_secs(150);
/// How often a worker or the judge looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_comes_true_however_often_the_program_is_killed() {
    for seed in seeds() {
        Story::new(seed).await.run().await;
    }
}

fn seeds() -> Vec<u64> {
    #[expect(clippy::disallowed_methods, reason = "how long to go on is the caller's word")]
    let Ok(range) = std::env::var(OTHER_SEEDS) else { return SEEDS.to_vec() };
    let (from, to) = range.split_once("..").expect("a range such as 10..260");
    (from.parse().unwrap()..to.parse().unwrap()).collect()
}

struct Story {
    seed: u64,
    simulator: Simulator,
    upstream: SocketAddr,
    folder: tempfile::TempDir,
    /// Where the program is at present; `None` while it is dead.
    address: watch::Sender<Option<SocketAddr>>,
    /// Requests that were acknowledged.
    acknowledged: Arc<AtomicU32>,
}

impl Story {
    async fn new(seed: u64) -> Self {
        let (simulator, upstream) = upstream().await;
        let folder = folder();
        std::fs::write(
            folder.path().join("settings.toml"),
            "[upstream]\nrequests_per_minute = 60000\nsettle_seconds = 1\n[reconcile]\ninterval_seconds = 10\n\
             [safety]\nmax_removals = 10000\nmax_removal_percent = 100\nmax_removals_per_day = 10000\n\
             max_removal_percent_per_day = 100\n",
        )
        .unwrap();
        let (address, _) = watch::channel(None);
        Self { seed, simulator, upstream, folder, address, acknowledged: Arc::default() }
    }

    async fn run(self) {
        self.make_trouble();
        let mut program = self.start().await;
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let client = Client {
                    address: self.address.subscribe(),
                    acknowledged: Arc::clone(&self.acknowledged),
                };
                tokio::spawn(client.work(self.seed, worker, self.simulator.clone()))
            })
            .collect();

        let mut chance = StdRng::seed_from_u64(self.seed);
        // Every person takes two writes on average.
        let mut killing_at = 0;
        for _ in 0..KILLS {
            killing_at += chance.random_range(1..2 * PEOPLE / KILLS);
            let is_due = || self.acknowledged.load(Ordering::Relaxed) >= killing_at;
            while !is_due() && !workers.iter().all(JoinHandle::is_finished) {
                sleep(Duration::from_millis(1)).await;
            }
            sleep(Duration::from_millis(chance.random_range(0..30))).await;
            self.address.send_replace(None);
            program.kill();
            program = self.start().await;
        }
        let mut wanted = BTreeMap::new();
        for worker in workers {
            wanted.extend(worker.await.unwrap());
        }
        self.simulator.clear_faults();
        assert!(self.acknowledged.load(Ordering::Relaxed) >= 300, "too small a stream: seed {}", self.seed);
        self.converge(&wanted).await;
        self.judge(&wanted);
        drop(program);
    }

    /// Connections are reset after the call took effect; those of removals sometimes also before. (An invite that was
    /// lost twice is left alone for a minute or two, because each try may be one more e-mail.)
    fn make_trouble(&self) {
        let invites = "/organization/invites";
        let (invite, user) = ("/organization/invites/{invite_id}", "/organization/users/{user_id}");
        let faults = [
            ("POST", invites, Fault::reset_after(), 0.06),
            ("DELETE", invite, Fault::reset_after(), 0.06),
            ("DELETE", user, Fault::reset_after(), 0.06),
            ("DELETE", invite, Fault::reset_before(), 0.03),
            ("DELETE", user, Fault::reset_before(), 0.03),
        ];
        for (seed, (method, template, fault, chance)) in (self.seed * 10..).zip(faults) {
            self.simulator.add_fault(FaultRule::sometimes(method, template, fault, chance, seed)).unwrap();
        }
    }

    async fn start(&self) -> Running {
        let mut command = serving(self.folder.path(), self.upstream);
        let (program, address) = Running::serve(command.args([
            "--config",
            "settings.toml",
            "--log",
            "warn,openai_scim_bridge::app=info",
        ]))
        .await;
        self.address.send_replace(Some(address));
        program
    }

    /// Waits until the organization is as acknowledged.
    async fn converge(&self, wanted: &BTreeMap<String, Wish>) {
        let deadline = Instant::now() + CONVERGE_WITHIN;
        while let Some((address, wish)) =
            wanted.iter().find(|(address, wish)| !self.is_so(address, wish.active))
        {
            assert!(
                Instant::now() < deadline,
                "seed {}: {address} is not as acknowledged, {wish:?}\n{}",
                self.seed,
                self.story_of(address).await
            );
            sleep(LOOK_AGAIN).await;
        }
    }

    /// One invite or one membership for whom access is wanted, and nothing for whom it is not.
    fn is_so(&self, address: &str, active: bool) -> bool {
        let invites = self.simulator.pending_invites(address).len();
        let memberships = usize::from(self.simulator.member(address).is_some());
        invites + memberships == usize::from(active)
    }

    /// What OpenAI was asked and what the bridge shows, to be read when something is not as it should be.
    async fn story_of(&self, address: &str) -> String {
        let calls = self.simulator.ledger();
        let mut lines: Vec<_> = calls
            .iter()
            .filter(|call| call.body["email"] == address)
            .map(|call| format!("{call:?}"))
            .collect();
        let bridge = self.address.borrow().expect("the program runs");
        let path = format!("/scim/v2/Users?filter=userName%20eq%20%22{address}%22");
        lines.push(format!("{:?}", call(bridge, "GET", &path, None).await));
        lines.join("\n")
    }

    fn judge(&self, wanted: &BTreeMap<String, Wish>) {
        let seed = self.seed;
        let mut sent: BTreeMap<String, usize> = BTreeMap::new();
        for call in self.simulator.ledger() {
            let is_invite = call.method == "POST" && call.template == Some("/organization/invites");
            if is_invite && call.effect_at.is_some() {
                *sent.entry(call.body["email"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            // A second live invite would be a 400 and a second removal a 404: what happened is read back first.
            let is_blind = is_invite && call.outcome == Some(400)
                || call.method == "DELETE" && call.outcome == Some(404);
            assert!(!is_blind, "seed {seed}: done again without looking: {call:?}");
        }
        for (address, wish) in wanted {
            assert!(self.is_so(address, wish.active), "seed {seed}: {address} was right and is no longer");
            let sent = sent.get(address).copied().unwrap_or_default();
            assert!(sent <= wish.activations, "seed {seed}: {address} got {sent} invites: {wish:?}");
        }
    }
}

/// What was acknowledged of a person.
#[derive(Debug)]
struct Wish {
    /// Whether they should have access.
    active: bool,
    /// How often they were given it: the most invites there may have been.
    activations: usize,
}

/// An identity provider's worker: it repeats what was not answered, as they do.
struct Client {
    address: watch::Receiver<Option<SocketAddr>>,
    acknowledged: Arc<AtomicU32>,
}

impl Client {
    /// Writes its share of people; returns what was acknowledged of each.
    async fn work(mut self, seed: u64, worker: u32, simulator: Simulator) -> BTreeMap<String, Wish> {
        let mut chance = StdRng::seed_from_u64(seed * 1000 + u64::from(worker));
        let mut wanted = BTreeMap::new();
        for number in (0..PEOPLE).filter(|number| number % WORKERS == worker) {
            let address = format!("person{number}@example.com");
            let id = self.create(&address).await;
            let mut wish = Wish { active: true, activations: 1 };
            if chance.random_bool(0.6) {
                let is_invited = simulator.until(|simulator| !simulator.pending_invites(&address).is_empty());
                timeout(CONVERGE_WITHIN, is_invited).await.expect("the invite goes out");
                // The person may accept at any time, also while being taken off.
                if chance.random_bool(0.4) {
                    simulator.accept_invite(&address).unwrap();
                }
            }
            for probability in [0.7, 0.3] {
                if chance.random_bool(probability) {
                    wish.active = !wish.active;
                    wish.activations += usize::from(wish.active);
                    self.set_active(&id, wish.active).await;
                }
            }
            wanted.insert(address, wish);
        }
        wanted
    }

    async fn create(&mut self, address: &str) -> String {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": address,
            "emails": [{ "value": address, "type": "work", "primary": true }],
            "active": true,
        });
        let (status, body) = self.insist("POST", "/scim/v2/Users", Some(&user)).await;
        if status == 201 {
            return body["id"].as_str().unwrap().to_owned();
        }
        // The answer to the first try was lost; the person is there.
        assert_eq!(status, 409, "{body}");
        let (status, found) =
            self.insist("GET", &format!("/scim/v2/Users?filter=userName%20eq%20%22{address}%22"), None).await;
        assert_eq!((status, &found["totalResults"]), (200, &json!(1)), "{found}");
        found["Resources"][0]["id"].as_str().unwrap().to_owned()
    }

    async fn set_active(&mut self, id: &str, active: bool) {
        let patch = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{ "op": "replace", "value": { "active": active } }],
        });
        let (status, body) = self.insist("PATCH", &format!("/scim/v2/Users/{id}"), Some(&patch)).await;
        assert_eq!(status, 200, "{body}");
    }

    /// Sends a request until it is answered.
    async fn insist(&mut self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let deadline = Instant::now() + CONVERGE_WITHIN;
        loop {
            let alive = timeout_at(deadline, self.address.wait_for(Option::is_some)).await;
            let address = alive.expect("the program comes back").unwrap().unwrap();
            if let Some(answer) = call(address, method, path, body).await {
                assert!(answer.status < 500, "{method} {path}: {answer:?}");
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
                return (answer.status, answer.json());
            }
            assert!(Instant::now() < deadline, "{method} {path} is never answered");
            sleep(LOOK_AGAIN).await;
        }
    }
}
