//! One cell: an operation is asked for, its call meets its fate, the program dies, and another life begins on what
//! the disk holds. Nothing goes wrong any more, and soon everything is as wished.

use jiff::SignedDuration;
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::hold::{Decision, Hold};
use openai_scim_bridge::model::policy::Policy;
use openai_scim_bridge::simulator::{Dialect, Fault, PageFault, Simulator};
use openai_scim_bridge::store::{HoldFilter, StoreError, Verdict};
use serde_json::{Value, json};

use super::disk::{self, Disk};
use super::life::Life;
use super::scene::{self, Ask, GroupStanding, INVITED, MEMBER, Scene, Standing, TEAMMATE};
use super::{Cell, Operation, Outcome, Point};
use crate::harness::trail::trail_of_default;
use crate::simulation::Log;
use crate::simulation::judge::{Judge, owners};
use crate::simulation::network::{Name, Network};

/// The newest migration, and what takes it back; this one can be made again where it was made before.
const NEWEST: i64 = 15;
const UNDO: &str = "DROP INDEX operations_failed; ALTER TABLE operations DROP COLUMN unanswered_at;
     ALTER TABLE group_links DROP COLUMN unanswered_at; ALTER TABLE group_links DROP COLUMN missed_at;
     DELETE FROM _sqlx_migrations WHERE version = 15";
/// After the faults: seconds in which an effect may still land that was late, and minutes in which all must be done.
const SECONDS: [i64; 3] = [3, 30, 90];
const ROUNDS_OF_5_MINUTES: usize = 30;
/// How many things may happen before a call that is waited for.
const STEPS: usize = 200;
/// Longer than the engine goes without looking into the store.
const POLL: i64 = 6;

/// What goes wrong, for outcomes that the stand-in itself brings about.
fn fault(outcome: Outcome) -> Option<Fault> {
    let limited = |dialect| Some(Fault::RateLimited { dialect, milliseconds: 20_000 });
    match outcome {
        Outcome::Done => None,
        Outcome::DoneLate => Some(Fault::late(20_000)),
        Outcome::ResetBefore => Some(Fault::reset_before()),
        Outcome::ResetAfter => Some(Fault::reset_after()),
        Outcome::BadRequest => Some(Fault::status(400)),
        Outcome::KeyRefused => Some(Fault::status(401)),
        Outcome::Forbidden => Some(Fault::status(403)),
        Outcome::NotFound => Some(Fault::status(404)),
        Outcome::Conflict => Some(Fault::status(409)),
        Outcome::LimitedWithPause => limited(Dialect::RetryAfter),
        Outcome::Limited => limited(Dialect::PlainText),
        Outcome::ServerError => Some(Fault::status(500)),
        Outcome::Unavailable => Some(Fault::status(503)),
        Outcome::Malformed => Some(Fault::Malformed),
        Outcome::PageLost => Some(Fault::Page { page: PageFault::Truncated }),
        Outcome::ConnectionRefused | Outcome::HalfOpen => unreachable!("nothing reaches the organization"),
    }
}

/// How the program died.
struct Death {
    disk: Disk,
    /// A call that was on its way then, and arrives afterwards.
    in_flight: Option<(Network, Name)>,
}

/// A cell that is being played.
pub(super) struct Story {
    pub(super) life: Life,
    pub(super) simulator: Simulator,
    pub(super) clock: Clock,
    pub(super) judge: Judge,
    organization: axum::Router,
    policy: Policy,
    log: Log,
}

/// Plays a cell.
pub(super) async fn play(cell: Cell, log: Log) {
    let scene = scene::of(cell.operation).await;
    let (simulator, clock) = scene.organization();
    let life = Life::start(&scene.disk, &scene.policy, &clock).await;
    let mut story = Story::new(life, simulator, clock, scene.policy.clone(), log);
    story.judge.managed = Scene::managed();
    story.judge.see_all_read();
    story.judge.before = scene.wishes(None);
    story.judge.after = scene.wishes(None);
    story.settle().await;
    assert_eq!(story.complaint(scene, None, &[]).await, None, "the beginning");
    if cell.operation == Operation::FullPass {
        story.simulator.accept_invite(&story.simulator.pending_invites(INVITED)[0].id).unwrap();
    }
    if cell.operation == Operation::FullPass || cell.point == Point::BetweenListPages {
        story.simulator.set_options(|options| options.page_cap = Some(2));
    }
    story.judge.after = scene.wishes(Some(cell.operation));
    match cell.operation {
        Operation::Delete => story.judge.see_deletion([&MEMBER.to_owned()], story.clock.now()),
        Operation::RemoveMember | Operation::ReplaceMembers | Operation::DeleteGroup => {
            story.judge.reduced.extend([TEAMMATE.to_owned()]);
        }
        _ => {}
    }
    let base = story.life.disk();
    let death = story.die(cell, scene, &base).await;
    let after = scene.after(cell.operation).get_or_init(|| story.view()).await;
    story.reborn(&death.disk).await;
    if let Some((network, name)) = &death.in_flight {
        story.stand_still().await;
        story.meet(network, name, cell.outcome).await;
    }
    story.make_sure(cell, scene, after).await;
    story.end(cell, scene).await;
    assert_eq!(story.view().await, *after, "I13: the directory in the end");
}

/// Time and network.
impl Story {
    pub(super) fn new(life: Life, simulator: Simulator, clock: Clock, policy: Policy, log: Log) -> Self {
        let organization = simulator.router();
        Self { life, simulator, clock, judge: Judge::new(false), organization, policy, log }
    }

    fn note(&self, line: &str) {
        self.log.with(|told| told.trace.push(format!("{} {line}", self.clock.now())));
    }

    /// Waits until nothing moves, and has every new call judged.
    async fn stand_still(&mut self) {
        self.life.stand_still().await;
        let mut new: Vec<Name> = Vec::new();
        for held in self.life.network.held().iter_mut().filter(|held| held.is_new) {
            held.is_new = false;
            new.push(held.name());
        }
        new.sort();
        for name in new {
            self.note(&format!("call {} {} {}", name.0, name.1, String::from_utf8_lossy(&name.2)));
            self.judge.see_call(&name, &self.simulator, self.clock.now());
        }
    }

    async fn serve(&mut self, network: &Network, name: &Name, fault: Option<Fault>) {
        let (now, owners) = (self.clock.now(), owners(&self.simulator));
        let status = network.serve(name, &self.simulator, &self.organization, fault.clone(), now).await;
        self.note(&format!("serve {} {} with {fault:?}: {status:?}", name.0, name.1));
        if let (Some(Fault::RateLimited { milliseconds, .. }), Some(429)) = (&fault, status) {
            self.judge.see_pause(name, SignedDuration::from_millis(i64::from(*milliseconds)));
        }
        if name.0 != "GET" {
            self.judge.see_effect(name, &self.simulator, owners, now);
        }
    }

    /// A call meets its fate; its answer, if there is one, does not arrive yet.
    async fn meet(&mut self, network: &Network, name: &Name, outcome: Outcome) {
        if outcome == Outcome::HalfOpen {
            self.note("nobody answers");
        } else {
            self.serve(network, name, fault(outcome)).await;
        }
    }

    /// An answer arrives, or the client gives up.
    fn hand_over(&mut self, name: &Name, outcome: Outcome) {
        if outcome == Outcome::HalfOpen {
            self.life.network.lose(name);
            self.judge.see_answer(name, None, self.clock.now());
        } else {
            self.hand_over_all();
        }
    }

    fn hand_over_all(&mut self) -> bool {
        let mut any = false;
        while let Some((name, status)) = self.life.network.hand_over(self.clock.now()) {
            self.note(&format!("answer {} {}: {status:?}", name.0, name.1));
            self.judge.see_answer(&name, status, self.clock.now());
            any = true;
        }
        any
    }

    /// Lets everything happen that can happen at this instant.
    pub(super) async fn settle(&mut self) {
        loop {
            self.stand_still().await;
            if self.hand_over_all() {
                continue;
            }
            let unserved = self.life.network.unserved();
            let Some(name) = unserved.first() else { return };
            let network = self.life.network.clone();
            self.serve(&network, name, None).await;
        }
    }

    /// Lets some time pass at once, and everything happen that is due then.
    pub(super) async fn pass(&mut self, seconds: i64) {
        self.settle().await;
        self.clock.advance(SignedDuration::from_secs(seconds));
        self.settle().await;
    }

    /// Lets hours pass, in steps in which everything happens that is due.
    pub(super) async fn pass_hours(&mut self, hours: usize) {
        for _ in 0..12 * hours {
            self.pass(300).await;
        }
    }

    /// Lets everything happen up to the operation's call, which the network then holds.
    async fn until_call(&mut self, cell: Cell) -> Name {
        if cell.operation == Operation::FullPass {
            self.until(is_page).await
        } else {
            self.until(|name| name.0 != "GET").await
        }
    }

    /// Lets everything happen up to such a call.
    async fn until(&mut self, is_it: impl Fn(&Name) -> bool) -> Name {
        for _ in 0..STEPS {
            self.stand_still().await;
            if self.hand_over_all() {
                continue;
            }
            let unserved = self.life.network.unserved();
            if let Some(name) = unserved.iter().find(|name| is_it(name)) {
                return name.clone();
            }
            if let Some(name) = unserved.first() {
                let network = self.life.network.clone();
                self.serve(&network, name, None).await;
            } else if let Some(at) = self.life.wake_at() {
                self.clock.set(at);
            }
        }
        panic!("the call that is waited for does not come");
    }
}

/// Whether it asks for a page of the members.
fn is_page(name: &Name) -> bool {
    name.0 == "GET" && name.1.starts_with("/organization/users")
}

/// Asking.
impl Story {
    /// Makes a resource; tells its id.
    pub(super) async fn make(&mut self, path: &str, body: &Value) -> String {
        let (status, made) = self.life.send("POST", path, Some(body)).await;
        assert_eq!(status, 201, "{made}");
        let mut wishes = self.judge.before.clone();
        wishes.wanted.extend(body["userName"].as_str().map(ToOwned::to_owned));
        wishes.in_team.extend(wishes.wanted.clone());
        (self.judge.before, self.judge.after) = (wishes.clone(), wishes);
        made["id"].as_str().unwrap().to_owned()
    }

    async fn ask(&mut self, cell: Cell, scene: &Scene) {
        let ask = scene.ask(cell.operation);
        self.note(&format!("{ask:?}"));
        match ask {
            Ask::Scim { method, path, body } => {
                let (status, answer) = self.life.send(method, &path, body.as_ref()).await;
                assert!((200..300).contains(&status), "I25: {method} {path} is answered {status} {answer}");
            }
            Ask::Pass => self.life.sweep(),
            Ask::Approval => {
                assert!(self.approve().await, "somebody is held");
                self.stand_still().await;
                self.clock.advance(SignedDuration::from_secs(POLL));
            }
        }
    }

    /// A human approves what is held, as the command line does it.
    async fn approve(&self) -> bool {
        let Some(hold) = self.undecided().await else { return false };
        let decision = Decision { at: self.clock.now(), by: "ann".into(), why: Some("asked HR".into()) };
        let write = self.life.store.write::<_, StoreError>(move |tx| {
            let (hold, decision) = (hold.clone(), decision.clone());
            Box::pin(async move { tx.decide_hold(&hold, true, &decision).await })
        });
        write.await.unwrap()
    }

    /// What waits for a human.
    pub(super) async fn undecided(&self) -> Option<Hold> {
        let open = HoldFilter { is_over: Some(false), ..HoldFilter::default() };
        let mut reader = self.life.store.reader().await.unwrap();
        let holds = reader.list_holds(&TenantId::default_tenant(), &open, None, 10).await.unwrap();
        holds.into_iter().find(|hold| hold.decision.is_none())
    }

    /// The directory as it shows itself, without what only the engine knows.
    pub(super) async fn view(&self) -> Value {
        let (_, users) = self.life.send("GET", "/Users?count=100", None).await;
        let (_, groups) = self.life.send("GET", "/Groups?count=100", None).await;
        let list = |list: &Value| list["Resources"].as_array().cloned().unwrap_or_default();
        let users: Vec<Value> = list(&users)
            .iter()
            .map(|user| json!([user["userName"], user["externalId"], user["displayName"], user["active"]]))
            .collect();
        let groups: Vec<Value> = list(&groups)
            .iter()
            .map(|group| {
                let members = group["members"].as_array().cloned().unwrap_or_default();
                let mut members: Vec<String> =
                    members.iter().map(|member| member["value"].to_string()).collect();
                members.sort();
                json!([group["displayName"], members])
            })
            .collect();
        json!({"users": users, "groups": groups})
    }
}

/// Dying.
impl Story {
    /// Asks for the operation and kills the program; tells what the disk held at that moment.
    async fn die(&mut self, cell: Cell, scene: &Scene, base: &Disk) -> Death {
        match cell.point {
            Point::BetweenListPages => self.die_between_pages(cell, scene).await,
            _ if cell.outcome == Outcome::ConnectionRefused => self.die_unconnected(cell, scene, base).await,
            Point::InDrain => self.die_in_drain(cell, scene).await,
            _ => self.die_on_the_way(cell, scene, base).await,
        }
    }

    async fn die_on_the_way(&mut self, cell: Cell, scene: &Scene, base: &Disk) -> Death {
        self.ask(cell, scene).await;
        let name = self.until_call(cell).await;
        let network = self.life.network.clone();
        let asked = self.life.disk();
        let commits = asked.commits_after(base.len());
        let first = commits.first().copied().unwrap_or(base.len());
        let disk = match cell.point {
            Point::BeforeCommit => asked.cut(base.len()),
            Point::InsideCommit => asked.torn(first),
            Point::AfterCommit | Point::AfterAnswer => asked.cut(first),
            // The last commit is the record of the call.
            Point::AfterLease => asked.cut(commits.iter().rev().nth(1).copied().unwrap_or(base.len())),
            Point::InMigration => self.torn_migration(&asked.cut(first)).await,
            Point::AfterSend => {
                self.meet(&network, &name, cell.outcome).await;
                asked
            }
            Point::BeforeConfirm | Point::InsideConfirm | Point::BetweenSteps | Point::InSettleWait => {
                self.answered(cell, name, network, &asked).await
            }
            Point::MidSend => return Death { disk: asked, in_flight: Some((network, name)) },
            Point::BeforeFirstByte => asked,
            Point::BetweenListPages | Point::InDrain => unreachable!("they die otherwise"),
        };
        Death { disk, in_flight: None }
    }

    /// A page of a list meets its fate, and its answer arrives. Tells what the disk held before.
    async fn answer_page(&mut self, cell: Cell, name: Name) -> Disk {
        let network = self.life.network.clone();
        let mut name = name;
        let is_repeated = cell.outcome == Outcome::PageLost && is_repeated(cell);
        if is_repeated {
            self.serve(&network, &name, None).await;
            self.hand_over_all();
            name = self.until(is_page).await;
        }
        let before = self.life.disk();
        if is_repeated {
            self.serve(&network, &name, Some(Fault::Page { page: PageFault::Repeated })).await;
        } else {
            self.meet(&network, &name, cell.outcome).await;
        }
        self.hand_over(&name, cell.outcome);
        self.stand_still().await;
        before
    }

    /// The call is answered, and the program dies while it takes that in. `asked` is what the disk held before.
    async fn answered(&mut self, cell: Cell, name: Name, network: Network, asked: &Disk) -> Disk {
        let before = if cell.operation == Operation::FullPass {
            self.answer_page(cell, name).await
        } else {
            self.meet(&network, &name, cell.outcome).await;
            self.hand_over(&name, cell.outcome);
            self.stand_still().await;
            asked.clone()
        };
        let disk = self.life.disk();
        let confirmed =
            || disk.commits_after(before.len()).first().copied().expect("the answer is written down");
        match cell.point {
            Point::BeforeConfirm => disk.cut(before.len()),
            Point::InsideConfirm => disk.torn(confirmed()),
            Point::BetweenSteps => disk.cut(confirmed()),
            _ => disk,
        }
    }

    /// Nobody listens where the organization was.
    async fn die_unconnected(&mut self, cell: Cell, scene: &Scene, base: &Disk) -> Death {
        self.life.network.unplug();
        self.ask(cell, scene).await;
        self.stand_still().await;
        if cell.point == Point::InDrain {
            self.life.stop();
            self.life.ended().await;
        }
        let disk = self.life.disk();
        let mut disk_at = disk.clone();
        if cell.operation != Operation::FullPass && cell.point != Point::InDrain {
            let commits = disk.commits_after(base.len());
            let mut recorded = None;
            for (place, end) in commits.iter().enumerate() {
                let open = "SELECT (SELECT COUNT(*) FROM operations WHERE state = 'sending')
                     + (SELECT COUNT(*) FROM group_links WHERE operation IS NOT NULL)";
                if disk.cut(*end).ask(open).await > 0 {
                    recorded = Some(place);
                    break;
                }
            }
            let recorded = recorded.expect("the call was on record");
            disk_at = match cell.point {
                Point::BeforeConfirm => disk.cut(commits[recorded]),
                Point::InsideConfirm => disk.torn(commits[recorded + 1]),
                Point::BetweenSteps => disk.cut(commits[recorded + 1]),
                _ => unreachable!("it cannot happen"),
            };
        }
        Death { disk: disk_at, in_flight: None }
    }

    /// The program is asked to end while the call is under way.
    async fn die_in_drain(&mut self, cell: Cell, scene: &Scene) -> Death {
        self.ask(cell, scene).await;
        let name = self.until_call(cell).await;
        let network = self.life.network.clone();
        self.life.stop();
        self.meet(&network, &name, cell.outcome).await;
        self.hand_over(&name, cell.outcome);
        while !self.life.has_ended() {
            if let Some(other) = network.unserved().first() {
                self.serve(&network, other, None).await;
            }
            if !self.hand_over_all() {
                self.life.ended().await;
            }
        }
        Death { disk: self.life.disk(), in_flight: None }
    }

    /// A list is being read when the operation is asked for.
    async fn die_between_pages(&mut self, cell: Cell, scene: &Scene) -> Death {
        if cell.outcome == Outcome::ConnectionRefused {
            self.life.network.unplug();
        }
        self.life.sweep();
        if cell.outcome == Outcome::ConnectionRefused {
            self.stand_still().await;
        } else {
            let name = self.until(is_page).await;
            self.answer_page(cell, name).await;
        }
        if cell.operation != Operation::FullPass {
            self.ask(cell, scene).await;
            self.stand_still().await;
        }
        Death { disk: self.life.disk(), in_flight: None }
    }

    /// What is left when the next version of the program dies while it brings the database up to date.
    async fn torn_migration(&self, disk: &Disk) -> Disk {
        let newest = disk.ask("SELECT MAX(version) FROM _sqlx_migrations").await;
        assert_eq!(newest, NEWEST, "there is a new migration: say here what takes it back");
        let older = disk.change(UNDO).await;
        let folder = older.unpack();
        let _store = disk::open(folder.path(), &self.clock).await;
        let newer = Disk::read(folder.path());
        let migrated = newer.commits_after(older.len());
        let torn = newer.torn(*migrated.first().expect("it was brought up to date"));
        assert_eq!(torn.ask("SELECT MAX(version) FROM _sqlx_migrations").await, NEWEST - 1);
        torn
    }
}

/// Whether the list shows a page again; otherwise it loses one.
fn is_repeated(cell: Cell) -> bool {
    let place = Operation::ALL.iter().position(|operation| *operation == cell.operation).unwrap();
    let point = Point::ALL.iter().position(|point| *point == cell.point).unwrap();
    (place + point) % 2 == 0
}

/// Living again.
impl Story {
    /// Ends the program as a shutdown does, and starts it with another policy.
    pub(super) async fn restart(&mut self, policy: &Policy) {
        self.life.stop();
        self.life.ended().await;
        self.life.store.close().await;
        self.policy = policy.clone();
        self.life = Life::start(&self.life.disk(), policy, &self.clock).await;
        self.judge.forget_life();
    }

    async fn reborn(&mut self, disk: &Disk) {
        self.note("killed");
        self.life = Life::start(disk, &self.policy, &self.clock).await;
        self.judge.forget_life();
    }

    /// What was acknowledged is there; what was not is whole or not there at all, and is asked for again.
    async fn make_sure(&mut self, cell: Cell, scene: &Scene, after: &Value) {
        let view = self.view().await;
        if matches!(cell.point, Point::BeforeCommit | Point::InsideCommit) {
            assert_eq!(view, scene.before, "I12: something is left of a request that was not committed");
        } else {
            assert_eq!(view, *after, "I1: something is missing of a request that was committed");
        }
        if cell.point <= Point::AfterCommit {
            self.ask_again(cell, scene).await;
            assert_eq!(self.view().await, *after, "I26: the request that was repeated");
        }
        self.judge.before = self.judge.after.clone();
    }

    /// Who got no answer asks again, as identity providers do.
    async fn ask_again(&mut self, cell: Cell, scene: &Scene) {
        match scene.ask(cell.operation) {
            Ask::Scim { method, path, body } => {
                let (status, answer) = self.life.send(method, &path, body.as_ref()).await;
                let was_done = cell.point == Point::AfterCommit;
                let is_good = match (method, status) {
                    ("POST", 409) | ("DELETE", 404) => was_done,
                    ("POST", 201) => !was_done,
                    (_, 200 | 204) => true,
                    _ => false,
                };
                assert!(is_good, "I26: {method} {path} again is answered {status} {answer}");
            }
            Ask::Approval => assert_eq!(self.approve().await, cell.point != Point::AfterCommit),
            Ask::Pass => {}
        }
    }

    /// Nothing goes wrong any more, and soon everything is as wished.
    async fn end(&mut self, cell: Cell, scene: &Scene) {
        let refused: &[&str] = if cell.outcome.is_refusal() { &["refused"] } else { &[] };
        for seconds in SECONDS {
            self.pass(seconds).await;
        }
        let mut complaint = self.complaint(scene, Some(cell.operation), refused).await;
        for _ in 0..ROUNDS_OF_5_MINUTES {
            if complaint.is_none() {
                break;
            }
            self.pass(300).await;
            complaint = self.complaint(scene, Some(cell.operation), refused).await;
        }
        assert_eq!(complaint, None, "the end");
        let sent = self.sent().await - scene.sent;
        let changes = self.simulator.ledger().iter().filter(|entry| entry.method != "GET").count();
        assert!(sent >= changes, "I19: {changes} changes and {sent} of them on record");
        if matches!(scene.ask(cell.operation), Ask::Approval) {
            let effects = self.simulator.effects("*", "*");
            assert!(effects <= 1, "I7: one approval came to {effects} changes");
        }
        let mut reader = self.life.store.reader().await.unwrap();
        let trail = reader.verify_trail(&TenantId::default_tenant(), None).await.unwrap();
        assert!(matches!(trail, Verdict::Sound(_)), "I19: {trail:?}");
    }

    /// How many calls are on record.
    pub(super) async fn sent(&self) -> usize {
        let trail = trail_of_default(&self.life.store).await;
        let is_sent = |event: &str| matches!(event, "operation.send" | "group.send");
        trail.iter().filter(|told| is_sent(&told.event)).count()
    }

    /// What is not as wished in the organization. Of somebody whom it `refused` it is enough that this is shown.
    async fn complaint(
        &self,
        scene: &Scene,
        operation: Option<Operation>,
        refused: &[&str],
    ) -> Option<String> {
        let groups = self.groups(scene);
        if groups != scene.groups(operation) {
            return Some(format!("I16: the groups stand as {groups:?}"));
        }
        let former = scene.standings(None);
        for (address, wished) in scene.standings(operation) {
            let stands = self.standing(scene, address);
            if stands == wished {
                continue;
            }
            let may_be_refused = !refused.is_empty() && former.get(address) == Some(&stands);
            if !may_be_refused || self.shown_reason(address).await.is_none() {
                return Some(format!("I16: {address} stands as {stands:?} and not as {wished:?}"));
            }
        }
        None
    }

    fn standing(&self, scene: &Scene, address: &str) -> Standing {
        let pending = self.simulator.pending_invites(address).len();
        let Some(member) = self.simulator.member(address) else { return (pending, false, None) };
        let project = self.simulator.project_users(&scene.project);
        let role = project.into_iter().find(|(user, _)| *user == member.id).map(|(_, role)| role);
        (pending, true, role)
    }

    fn groups(&self, scene: &Scene) -> Vec<GroupStanding> {
        let in_project = self.simulator.project_groups(&scene.project);
        let is_in_project = |id: &String| in_project.iter().any(|(known, _)| known == id);
        let groups = self.simulator.groups().into_iter();
        groups.map(|(id, _)| (self.simulator.group_members(&id).len(), is_in_project(&id))).collect()
    }

    /// The reason that is shown for what could not be done for somebody.
    async fn shown_reason(&self, address: &str) -> Option<String> {
        let tenant = TenantId::default_tenant();
        let key = Address::parse(address).unwrap().key();
        let mut reader = self.life.store.reader().await.unwrap();
        let people = reader.find_people_by_address(&tenant, &key).await.unwrap();
        let person = people.first()?.id;
        let work = reader.load_work(&tenant, person).await.unwrap()?;
        work.mapping?.status_reason
    }
}
