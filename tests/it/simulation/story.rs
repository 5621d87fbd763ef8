//! The story of one seed: what the identity provider, the people of the organization, the network and the machine do,
//! what the directory must show after it, and what must have become of the organization in the end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use openai_scim_bridge::model::hold::{Brake, BrakeCause, Hold, HoldState};
use openai_scim_bridge::model::policy::OnAddressChange;
use openai_scim_bridge::simulator::{Effect, Fault, OrgRole, PageFault};
use openai_scim_bridge::store::StoreError;
use serde_json::{Value, json};

use super::Log;
use super::judge::{Judge, SECOND_OWNER, STRANGER, Wishes, owners};
use super::network::Name;
use super::reach::Point;
use super::seed::{Chance, GROUP, Gifts, NAMED_GROUP, PROJECT, ROLE, Setting};
use super::world::{Answer, Client, World};
use crate::harness::trail::trail;

/// How long faults may have been over before everything is as wished.
const LIVENESS_ROUNDS: usize = 40;

/// Somebody in the directory.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is so or not, whatever the others are")]
pub(super) struct Slot {
    pub(super) id: Option<String>,
    external_id: String,
    pub(super) address: String,
    pub(super) active: bool,
    /// Every address they had.
    addresses: BTreeSet<String>,
    /// Every id they had.
    ids: BTreeSet<String>,
    /// A member, or invited by hand, before the directory spoke of them.
    pub(super) was_there: bool,
    /// Taken away by hand: the bridge reports that and does not invite again.
    was_evicted: bool,
    was_renamed: bool,
}

/// The one group.
#[derive(Debug, Clone, Default)]
pub(super) struct Team {
    id: Option<String>,
    members: BTreeSet<usize>,
}

/// A directory as it must be.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) slots: Vec<Slot>,
    team: Team,
}

impl Model {
    fn wishes(&self) -> Wishes {
        let is_active = |slot: &&Slot| slot.id.is_some() && slot.active;
        let active = self.slots.iter().filter(is_active);
        let in_team = self.team.members.iter().map(|number| &self.slots[*number]).filter(is_active);
        Wishes {
            wanted: active.map(|slot| slot.address.clone()).collect(),
            in_team: in_team.flat_map(|slot| slot.addresses.iter().cloned()).collect(),
            has_team: self.team.id.is_some(),
            team_has_project: true,
        }
    }
}

/// A seed that is being played.
pub(super) struct Story {
    pub(super) chance: Chance,
    /// The choices of what happens beside the plain story.
    pub(super) aside: Chance,
    /// The choices of those who decide about what is held.
    pub(super) humans: Chance,
    pub(super) setting: Setting,
    pub(super) world: World,
    pub(super) judge: Judge,
    pub(super) model: Model,
    project: String,
    /// The custom role and the OpenAI group that the group may give.
    role: String,
    pub(super) named_group: String,
    log: Log,
    /// Addresses of invites that will appear although their sending was cut off.
    late: Vec<String>,
    /// Addresses of members whose removal may come late. Who is back by then loses access as if by hand: that is
    /// reported, and waits for a human.
    removed_late: BTreeSet<String>,
    /// Whom the neighbour knows, by their number.
    pub(super) neighbours: BTreeMap<usize, String>,
    /// How often time stood still for so long that invites ran out.
    pub(super) long_freezes: usize,
    /// A hold that a human was shown, and has not decided about yet.
    pub(super) shown: Option<Hold>,
}

/// Plays a seed.
pub(super) async fn play(seed: u64, log: Log) {
    let mut chance = Chance::new(seed);
    let setting = Setting::draw(seed, &mut chance);
    let world = World::new(seed, &setting).await;
    world.simulator.seed_member(STRANGER, OrgRole::Reader);
    let project = world.simulator.seed_project(PROJECT);
    let (mut role, mut named_group) = (String::new(), String::new());
    if setting.gifts != Gifts::default() {
        role = world.simulator.seed_role(ROLE, None);
        named_group = world.simulator.seed_group(NAMED_GROUP, false);
    }
    let slots = (0..setting.people)
        .map(|number| {
            let (address, external_id) = (format!("p{number}@example.com"), format!("ext-{number}"));
            Slot { external_id, address, ..Slot::default() }
        })
        .collect();
    let judge = Judge::new(setting.guarded);
    let model = Model { slots, team: Team::default() };
    let steps = setting.steps;
    let mut story = Story {
        chance,
        aside: Chance::new(!seed ^ 1),
        humans: Chance::new(!seed ^ 4),
        setting,
        world,
        judge,
        model,
        project,
        role,
        named_group,
        log,
        late: Vec::new(),
        removed_late: BTreeSet::new(),
        neighbours: BTreeMap::new(),
        long_freezes: 0,
        shown: None,
    };
    story.settle_in();
    for _ in 0..steps {
        story.step().await;
        story.happen_aside().await;
        let pushes = story.chance.below(6);
        for _ in 0..pushes {
            story.stand_still().await;
            story.push().await;
        }
    }
    if story.setting.guarded && story.setting.extras.humans {
        story.dismiss_everybody().await;
    }
    story.end().await;
}

/// Time and network.
impl Story {
    pub(super) fn note(&self, line: &str) {
        let at = self.world.now();
        self.log.with(|told| told.trace.push(format!("{at} {line}")));
    }

    /// Notes that something of interest happened.
    pub(super) fn reach(&self, point: Point) {
        self.reach_if(true, point);
    }

    pub(super) fn reach_if(&self, is_so: bool, point: Point) {
        self.log.with(|told| told.reach.note_if(is_so, point));
    }

    /// Waits until nothing moves, and has every new call judged.
    pub(super) async fn stand_still(&mut self) {
        self.stand_still_with(&mut None).await;
    }

    async fn stand_still_with(&mut self, asked: &mut Option<super::world::Asked>) -> Option<Answer> {
        let answer = self.world.stand_still(asked).await;
        let mut new: Vec<Name> = Vec::new();
        for held in self.world.network.held().iter_mut().filter(|held| held.is_new) {
            held.is_new = false;
            new.push(held.name());
        }
        new.sort();
        for name in new {
            self.note(&format!("call {} {} {}", name.0, name.1, String::from_utf8_lossy(&name.2)));
            self.judge.see_call(&name, &self.world.simulator, self.world.now());
        }
        let landed = |address: &String| !self.world.simulator.pending_invites(address).is_empty();
        if let Some(index) = self.late.iter().position(landed) {
            let address = self.late.swap_remove(index);
            self.reach(Point::InviteLanded);
            self.reach_if(!self.judge.before.wanted.contains(&address), Point::InviteLandedForWhoIsToLeave);
        }
        answer
    }

    /// Lets one thing happen: an answer arrives, a call is served, or time passes up to the next event.
    pub(super) async fn push(&mut self) {
        if self.hand_over() || self.serve_one().await {
            return;
        }
        if let Some(at) = self.world.next_event() {
            self.world.go_on_to(at);
        }
    }

    fn hand_over(&mut self) -> bool {
        let Some((name, status)) = self.world.hand_over() else { return false };
        self.note(&format!("answer {} {}: {status:?}", name.0, name.1));
        self.judge.see_answer(&name, status, self.world.now());
        true
    }

    async fn serve_one(&mut self) -> bool {
        let unserved = self.world.network.unserved();
        if unserved.is_empty() {
            return false;
        }
        let name = self.chance.of(&unserved);
        let fault = self.setting.fault(&mut self.chance, &name.0);
        let takes = if self.setting.fault_percent > 0 && self.chance.percent(10) {
            SignedDuration::from_millis(self.chance.between(1, 8_000))
        } else if name.0 == "GET" {
            SignedDuration::ZERO
        } else {
            // What was asked for before a change was made must be told from what was asked for after it.
            SignedDuration::from_millis(1)
        };
        let owners = owners(&self.world.simulator);
        let status = self.world.serve(&name, fault.clone(), takes).await;
        self.note(&format!("serve {} {} with {fault:?}: {status:?} after {takes}", name.0, name.1));
        if let (Some(Fault::RateLimited { milliseconds, .. }), Some(429)) = (&fault, status) {
            self.judge.see_pause(&name, SignedDuration::from_millis(i64::from(*milliseconds)));
        }
        self.note_call(&name, fault.as_ref(), status);
        if name.0 != "GET" {
            self.judge.see_effect(&name, &self.world.simulator, owners, self.world.now());
        }
        true
    }

    /// Notes what a call that was served was an example of.
    fn note_call(&mut self, (method, path, body): &Name, fault: Option<&Fault>, status: Option<u16>) {
        let kind = path.trim_start_matches("/organization/").split(['/', '?']).next().unwrap_or_default();
        let is_done = status.is_some_and(|status| status < 300);
        let has_effect = is_done
            || matches!(fault, Some(Fault::Reset { effect } | Fault::Status { effect, .. }) if *effect != Effect::Never);
        let point = match (method.as_str(), kind) {
            ("POST", "invites") if is_done => Some(Point::InviteSent),
            ("POST", "invites") if has_effect => Some(Point::InviteWithoutAnswer),
            ("DELETE", "invites") if is_done => Some(Point::InviteWithdrawn),
            ("DELETE", "users") if is_done && !path.contains("/roles/") => Some(Point::MemberRemoved),
            ("DELETE", "users") if has_effect && !path.contains("/roles/") => {
                Some(Point::RemovalWithoutAnswer)
            }
            ("POST", "projects") if is_done => Some(Point::ProjectGiven),
            ("DELETE", "projects") if is_done => Some(Point::ProjectTaken),
            ("POST", "groups") if is_done && path.ends_with("/groups") => Some(Point::OpenAiGroupMade),
            ("DELETE", "groups") if is_done && !path.contains("/users/") => Some(Point::OpenAiGroupDeleted),
            ("POST", "groups") if is_done => Some(Point::OpenAiGroupGiven),
            ("DELETE", "groups") if is_done => Some(Point::OpenAiGroupTaken),
            ("POST", "users") if is_done && path.ends_with("/roles") => Some(Point::CustomRoleGiven),
            ("DELETE", "users") if is_done && path.contains("/roles/") => Some(Point::CustomRoleTaken),
            _ => None,
        };
        if let Some(point) = point {
            self.reach(point);
        }
        if let (Some(Point::InviteWithoutAnswer), Some(Fault::Reset { effect: Effect::Late { .. } })) =
            (point, fault)
        {
            let body: Value = serde_json::from_slice(body).unwrap();
            self.late.push(body["email"].as_str().unwrap().to_lowercase());
        }
        if let ("DELETE", "users", Some(Fault::Reset { effect: Effect::Late { .. } })) =
            (method.as_str(), kind, fault)
        {
            let user = path.trim_start_matches("/organization/users/");
            let address = self.world.simulator.member(user).and_then(|member| member.email);
            self.removed_late.extend(address.map(|address| address.to_lowercase()));
        }
        let point = match (fault, status) {
            (None, Some(429)) => Some(Point::RefusedByLimiter),
            (Some(Fault::RateLimited { .. }), Some(429)) => Some(Point::PausedByRefusal),
            (_, Some(401)) => Some(Point::KeyRefused),
            (Some(Fault::Page { page: PageFault::Repeated }), _) => Some(Point::ListRepeated),
            (Some(Fault::Page { .. }), _) => Some(Point::ListCutShort),
            _ => None,
        };
        if let Some(point) = point {
            self.reach(point);
        }
    }

    /// Lets time pass, and everything happen that falls due in it.
    pub(super) async fn pass(&mut self, time: SignedDuration) {
        let end = self.world.now().checked_add(time).unwrap();
        loop {
            self.stand_still().await;
            if self.hand_over() {
                continue;
            }
            if self.setting.fault_percent > 0 && self.chance.percent(1) {
                self.kill().await;
                continue;
            }
            if self.serve_one().await {
                continue;
            }
            match self.world.next_event() {
                Some(next) if next <= end => self.world.go_on_to(next),
                _ => break,
            }
        }
        self.world.go_on_to(end);
        self.stand_still().await;
    }

    async fn kill(&mut self) {
        let reopen = self.chance.percent(30);
        self.reach_if(!self.world.network.held().is_empty(), Point::KilledWithCallsUnderWay);
        self.reach_if(reopen, Point::KilledAndOpenedAnew);
        self.note(&format!("killed{}", if reopen { " with the store" } else { "" }));
        self.world.kill(reopen).await;
        self.judge.forget_life();
        self.stand_still().await;
        if reopen {
            for number in 0..self.model.slots.len() {
                self.compare(number, "I1").await;
            }
        }
    }
}

/// The identity provider.
impl Story {
    /// Sends a request and lets the world go on until it is answered.
    pub(super) async fn ask(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        after: &Model,
    ) -> Answer {
        self.stand_still().await;
        let shown = body.map(ToString::to_string).unwrap_or_default();
        self.note(&format!("{method} {path} {shown}"));
        self.judge.see_request(after.wishes());
        let mut asked = Some(self.world.ask(Client::Own, method, path, body));
        let answer = loop {
            if let Some(answer) = self.stand_still_with(&mut asked).await {
                break answer;
            }
            self.push().await;
        };
        self.note(&format!("{}", answer.status));
        answer
    }

    /// Sends a request that must succeed; from then on the directory is `after`.
    pub(super) async fn change(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        status: u16,
        after: Model,
    ) -> Answer {
        let answer = self.ask(method, path, body, &after).await;
        assert_eq!(answer.status, status, "I25: {method} {path} {body:?} is answered {}", answer.body);
        self.model = after;
        self.judge.before = self.model.wishes();
        self.judge.after = self.model.wishes();
        answer
    }

    /// Sends a request that must be refused and change nothing.
    pub(super) async fn refused(
        &mut self,
        method: &str,
        path: &str,
        body: &Value,
        status: u16,
        number: usize,
    ) {
        let after = self.model.clone();
        let answer = self.ask(method, path, Some(body), &after).await;
        assert_eq!(answer.status, status, "I12: {method} {path} {body} is answered {}", answer.body);
        self.compare(number, "I12").await;
    }

    /// The directory shows somebody as they must be.
    pub(super) async fn compare(&mut self, number: usize, invariant: &str) {
        let slot = self.model.slots[number].clone();
        let Some(id) = slot.id else { return };
        self.stand_still().await;
        let found = self.world.get(&format!("/Users/{id}")).await;
        assert_eq!(found.status, 200, "{invariant}: {} is not found", slot.address);
        let shown = (found.body["userName"].as_str(), found.body["active"].as_bool());
        assert_eq!(shown, (Some(slot.address.as_str()), Some(slot.active)), "{invariant}: {}", found.body);
    }

    /// The directory shows the group as it must be.
    async fn compare_team(&mut self) {
        let Some(id) = self.model.team.id.clone() else { return };
        let found = self.world.get(&format!("/Groups/{id}")).await;
        assert_eq!(found.status, 200, "I13: the group is not found");
        let members = found.body["members"].as_array().cloned().unwrap_or_default();
        let shown: BTreeSet<&str> = members.iter().filter_map(|member| member["value"].as_str()).collect();
        let slots = &self.model.slots;
        let wished = self.model.team.members.iter().filter_map(|number| slots[*number].id.as_deref());
        assert_eq!(shown, wished.collect(), "I15: the members of the group");
    }

    pub(super) fn resource(slot: &Slot) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": slot.address,
            "externalId": slot.external_id,
            "name": {"givenName": "Test", "familyName": "User"},
            "emails": [{"primary": true, "value": slot.address, "type": "work"}],
            "active": slot.active,
        })
    }

    async fn create(&mut self, number: usize) {
        let mut after = self.model.clone();
        let slot = &mut after.slots[number];
        slot.active = true;
        slot.addresses.insert(slot.address.clone());
        self.judge.managed.insert(slot.address.clone());
        let body = Self::resource(slot);
        let was_there = self.world.simulator.member(&slot.address).is_some();
        // Known before the answer, so that what the engine does meanwhile is judged by it.
        slot.id = Some(String::new());
        self.reach_if(was_there, Point::MemberThereBefore);
        let made = self.change("POST", "/Users", Some(&body), 201, after).await;
        let id = made.body["id"].as_str().unwrap().to_owned();
        self.model.slots[number].ids.insert(id.clone());
        self.model.slots[number].id = Some(id);
        if self.chance.percent(20) {
            self.refused("POST", "/Users", &body, 409, number).await;
        }
    }

    /// Deactivates somebody who is active, and the other way round.
    pub(super) async fn activate(&mut self, number: usize, id: &str) {
        let mut after = self.model.clone();
        let active = !after.slots[number].active;
        after.slots[number].active = active;
        let patch = |operation: Value| json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]});
        let word = if active { "True" } else { "False" };
        let (method, body) = match self.chance.below(3) {
            0 => ("PATCH", patch(json!({"op": "replace", "value": {"active": active}}))),
            1 => ("PATCH", patch(json!({"op": "Replace", "path": "active", "value": word}))),
            _ => ("PUT", Self::resource(&after.slots[number])),
        };
        let path = format!("/Users/{id}");
        self.change(method, &path, Some(&body), 200, after.clone()).await;
        if self.chance.percent(25) {
            self.change(method, &path, Some(&body), 200, after).await;
        }
    }

    async fn rename(&mut self, number: usize, id: &str) {
        let mut after = self.model.clone();
        let slot = &mut after.slots[number];
        slot.address = format!("x{}", slot.address);
        slot.addresses.insert(slot.address.clone());
        slot.was_renamed = true;
        self.judge.managed.insert(slot.address.clone());
        let path = format!("/Users/{id}");
        let is_member = self.world.simulator.member(&self.model.slots[number].address).is_some();
        self.reach_if(is_member, Point::AddressChanged);
        let (method, body) = if self.chance.percent(50) {
            slot.active = false;
            let value = json!({
                "userName": slot.address,
                "emails": [{"primary": true, "value": slot.address, "type": "work"}],
                "active": false,
            });
            (
                "PATCH",
                json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "value": value}]}),
            )
        } else {
            ("PUT", Self::resource(slot))
        };
        let answer = self.change(method, &path, Some(&body), 200, after).await;
        assert_eq!(answer.body["id"], id, "I28: somebody else was changed");
    }

    async fn delete(&mut self, number: usize, id: &str) {
        let mut after = self.model.clone();
        after.slots[number].id = None;
        after.slots[number].active = false;
        let addresses = after.slots[number].addresses.clone();
        self.judge.see_deletion(&addresses, self.world.simulator.now());
        after.team.members.remove(&number);
        self.reach(Point::PersonDeleted);
        self.change("DELETE", &format!("/Users/{id}"), None, 204, after).await;
        self.judge.see_deletion(&addresses, self.world.simulator.now());
        let found = self.world.get(&format!("/Users/{id}")).await;
        assert_eq!(found.status, 404, "I13: somebody who was deleted is found");
    }

    /// A good operation and a bad one in one request.
    async fn half_bad(&mut self, number: usize, id: &str) {
        let flipped = !self.model.slots[number].active;
        let body = json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [
            {"op": "replace", "path": "active", "value": flipped},
            {"op": "replace", "path": "userName", "value": ["a@example.com", "b@example.com"]},
        ]});
        self.refused("PATCH", &format!("/Users/{id}"), &body, 400, number).await;
    }

    async fn regroup(&mut self) {
        let living: Vec<usize> =
            (0..self.model.slots.len()).filter(|number| self.model.slots[*number].id.is_some()).collect();
        if living.is_empty() {
            return;
        }
        let number = self.chance.of(&living);
        let slots = self.model.slots.clone();
        let value = |number: usize| json!({"value": slots[number].id});
        let mut after = self.model.clone();
        let Some(id) = self.model.team.id.clone() else {
            after.team = Team { id: Some(String::new()), members: BTreeSet::from([number]) };
            let body = json!({"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
                "displayName": GROUP, "members": [value(number)]});
            let made = self.change("POST", "/Groups", Some(&body), 201, after).await;
            self.model.team.id = Some(made.body["id"].as_str().unwrap().to_owned());
            return self.compare_team().await;
        };
        let path = format!("/Groups/{id}");
        if self.chance.percent(10) {
            self.reduce(&self.model.team.members.clone());
            after.team = Team::default();
            self.reach(Point::GroupDeleted);
            self.change("DELETE", &path, None, 204, after).await;
            self.judge.had_team = true;
            return;
        }
        let operation = if after.team.members.contains(&number) {
            after.team.members.remove(&number);
            self.reduce(&BTreeSet::from([number]));
            let by_list = json!({"op": "Remove", "path": "members", "value": [value(number)]});
            let id = self.model.slots[number].id.clone().unwrap();
            let by_path = json!({"op": "remove", "path": format!("members[value eq \"{id}\"]")});
            if self.chance.percent(50) { by_list } else { by_path }
        } else {
            after.team.members.insert(number);
            json!({"op": "add", "path": "members", "value": [value(number)]})
        };
        let body =
            json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]});
        let answer = self.ask("PATCH", &path, Some(&body), &after).await;
        assert!(matches!(answer.status, 200 | 204), "I25: {path} {body} is answered {}", answer.body);
        self.model = after;
        self.compare_team().await;
    }

    fn reduce(&mut self, numbers: &BTreeSet<usize>) {
        for number in numbers {
            self.judge.reduced.extend(self.model.slots[*number].addresses.iter().cloned());
        }
    }
}

/// Everybody else.
impl Story {
    async fn step(&mut self) {
        // What the last move set going is not to race with this one.
        self.stand_still().await;
        let number = self.chance.below(self.model.slots.len());
        let slot = self.model.slots[number].clone();
        match (self.chance.below(100), slot.id) {
            (0..45, None) => self.create(number).await,
            (0..20, Some(id)) => self.activate(number, &id).await,
            (20..25, Some(id)) => self.delete(number, &id).await,
            (25..30, Some(id)) => self.rename(number, &id).await,
            (30..33, Some(id)) => self.half_bad(number, &id).await,
            (33..45, Some(_)) => self.regroup().await,
            (45..65, _) => {
                let invites = self.world.simulator.pending_invites(&slot.address);
                let accepted = self.world.simulator.accept_invite(&slot.address);
                if accepted.is_ok() {
                    self.note_acceptance(&slot.address, &invites[0].id);
                }
                self.note(&format!("{} accepts: {accepted:?}", slot.address));
                self.world.sweep();
            }
            (65..69, _) => self.evict(number),
            (69..72, _) => self.promote(&slot.address),
            (72..74, _) => self.brake().await,
            (74..77, _) => self.kill().await,
            (77..80, _) => {
                self.note("a sweep is asked for");
                self.world.sweep();
            }
            _ => {
                let seconds = self.chance.of(&[1, 5, 30, 61, 120, 301, 900]);
                self.pass(SignedDuration::from_secs(seconds)).await;
            }
        }
        self.compare(number, "I13").await;
    }

    fn note_acceptance(&self, address: &str, invite: &str) {
        self.reach(Point::InviteAccepted);
        self.reach_if(!self.judge.before.wanted.contains(address), Point::InviteAcceptedByWhoIsToLeave);
        let withdrawal = format!("/organization/invites/{invite}");
        let is_withdrawn = |(method, path, _): &Name| method == "DELETE" && *path == withdrawal;
        self.reach_if(
            self.world.network.unserved().iter().any(is_withdrawn),
            Point::InviteAcceptedWhileItWasWithdrawn,
        );
    }

    /// Somebody takes member or invite away by hand.
    fn evict(&mut self, number: usize) {
        let slot = &mut self.model.slots[number];
        slot.was_evicted = true;
        let (address, simulator) = (slot.address.clone(), &self.world.simulator);
        if let Some(member) = simulator.member(&address) {
            self.judge.see_eviction(&member.id);
            if member.role == OrgRole::Owner {
                self.judge.owners_changed_at = Some(self.world.now());
            }
        }
        let done = (simulator.remove_invite(&address).is_ok(), simulator.remove_member(&address).is_ok());
        self.reach_if(done.1, Point::MemberRemovedByHand);
        self.note(&format!("{address} is taken away by hand: {done:?}"));
    }

    /// Owners are made and unmade by hand.
    fn promote(&mut self, address: &str) {
        self.judge.owners_changed_at = Some(self.world.now());
        let (who, role) = match self.chance.below(3) {
            0 => (SECOND_OWNER, OrgRole::Reader),
            1 => (SECOND_OWNER, OrgRole::Owner),
            _ => (address, OrgRole::Owner),
        };
        let simulator = &self.world.simulator;
        let done = simulator.set_role(who, role).is_ok();
        if let Some(member) = simulator.member(who).filter(|_| done && role == OrgRole::Owner) {
            self.judge.see_promotion(member.id, simulator.now());
            self.reach(Point::OwnerMadeByHand);
        }
        self.note(&format!("{who} becomes {role:?} by hand: {done}"));
    }

    /// The stop switch is used, or let go again.
    async fn brake(&mut self) {
        self.stand_still().await;
        let stop = !self.judge.is_braked;
        self.note(if stop { "stopped" } else { "resumed" });
        let is_done = self.complaint().await.is_none();
        self.reach_if(stop && !is_done, Point::StoppedWithWorkToDo);
        let at = self.world.now();
        let brake = Brake { cause: BrakeCause::Stop, reason: "test".to_owned(), by: "test".to_owned(), at };
        let tenant = self.world.tenant.clone();
        self.world
            .store()
            .write::<_, StoreError>(move |tx| {
                let (tenant, brake) = (tenant.clone(), brake.clone());
                Box::pin(async move {
                    if stop {
                        tx.put_brake(Some(&tenant), &brake).await
                    } else {
                        tx.release_brakes(Some(&tenant)).await.map(drop)
                    }
                })
            })
            .await
            .unwrap();
        self.judge.is_braked = stop;
    }
}

/// The end.
impl Story {
    /// Nothing goes wrong any more, and soon everything is as wished.
    async fn end(&mut self) {
        self.note("faults are over");
        self.setting.fault_percent = 0;
        if self.judge.is_braked {
            self.brake().await;
        }
        let mut complaint = None;
        for _ in 0..LIVENESS_ROUNDS {
            self.pass(SignedDuration::from_mins(5)).await;
            complaint = self.complaint().await;
            if complaint.is_none() {
                break;
            }
        }
        if complaint.is_some() {
            for slot in self.model.slots.clone() {
                let Some(id) = slot.id else { continue };
                let shown = self.world.get(&format!("/Users/{id}")).await;
                self.note(&format!("in the end: {}", shown.body));
            }
        }
        assert!(complaint.is_none(), "{} in the end", complaint.unwrap_or_default());
        for number in 0..self.model.slots.len() {
            self.compare(number, "I13").await;
        }
        self.compare_team().await;
        self.audit().await;
        if self.setting.extras.restore {
            self.put_back().await;
        }
    }

    /// What is not as wished in the organization. What a guard holds need not be, but then there is a hold.
    async fn complaint(&self) -> Option<String> {
        let simulator = &self.world.simulator;
        let moves = self.setting.policy.on_address_change == OnAddressChange::Reinvite;
        let in_project: BTreeSet<String> =
            simulator.project_users(&self.project).into_iter().map(|(user, _)| user).collect();
        for (number, slot) in self.model.slots.iter().enumerate() {
            let is_wanted = slot.id.is_some() && slot.active;
            let has_arrived = simulator.member(&slot.address).is_some();
            for address in &slot.addresses {
                let (pending, member) = (simulator.pending_invites(address).len(), simulator.member(address));
                let present = pending + usize::from(member.is_some());
                if is_wanted && *address == slot.address {
                    // Taken away by hand is reported; a move of a member waits for a human if the policy says so, and
                    // that of somebody whom others made an owner always.
                    let is_owner = |address: &String| {
                        simulator.member(address).is_some_and(|member| member.role == OrgRole::Owner)
                    };
                    let may_be_missing = slot.was_evicted
                        || (slot.was_renamed && (!moves || slot.addresses.iter().any(is_owner)))
                        || !self.removed_late.is_disjoint(&slot.addresses);
                    if present > 1 || (present == 0 && !may_be_missing) {
                        return Some(format!("I16: {present} invites and memberships of {address}"));
                    }
                    let Some(member) = member.filter(|_| self.removed_late.is_disjoint(&slot.addresses))
                    else {
                        continue;
                    };
                    let is_to_be_in = self.model.team.members.contains(&number);
                    for (what, is_given) in self.gifts_of(&member.id) {
                        // An owner whom somebody made before they were bound waits for a human, too.
                        if is_given != is_to_be_in && !self.is_held(slot).await {
                            return Some(format!("I16: {address} has {what}: {is_given}"));
                        }
                    }
                    // Owners are in every project anyway.
                    if member.role == OrgRole::Owner {
                        continue;
                    }
                    let is_in = in_project.contains(&member.id);
                    if is_in != is_to_be_in && (is_to_be_in || !self.is_held(slot).await) {
                        return Some(format!("I16: {address} in the project: {is_in}"));
                    }
                } else if present > 0
                    && (!is_wanted || (moves && has_arrived))
                    // What was there before and was never bound is none of the bridge's business.
                    && !slot.was_there
                    && !self.is_held(slot).await
                {
                    return Some(format!("I2: {present} invites and memberships of {address}"));
                }
            }
        }
        self.complaint_of_kept_group()
    }

    /// What the group gives beside the project, and whether this member has it.
    fn gifts_of(&self, user: &str) -> Vec<(&'static str, bool)> {
        let (simulator, gifts) = (&self.world.simulator, self.setting.gifts);
        let is_in = |group: &str| simulator.group_members(group).iter().any(|member| member == user);
        let mut found = Vec::new();
        if gifts.role {
            found.push((ROLE, simulator.assigned_roles(user).contains(&self.role)));
        }
        if gifts.named_group {
            found.push((NAMED_GROUP, is_in(&self.named_group)));
        }
        if gifts.mirror && !self.is_name_taken() {
            found.push((GROUP, self.kept_groups().iter().any(|group| is_in(group))));
        }
        found
    }

    /// The OpenAI groups that the bridge keeps, or once kept.
    pub(super) fn kept_groups(&self) -> Vec<String> {
        let groups = self.world.simulator.groups().into_iter();
        groups.filter(|(_, name)| name == GROUP).map(|(id, _)| id).collect()
    }

    /// Whether what was kept for a former group cannot go, because others are in it, and has the name.
    fn is_name_taken(&self) -> bool {
        let others = [STRANGER].map(|stranger| self.world.simulator.member(stranger).unwrap().id);
        let has_others = |group: &String| {
            self.world.simulator.group_members(group).iter().any(|member| others.contains(member))
        };
        self.judge.had_team && self.kept_groups().iter().any(has_others)
    }

    /// What is wrong with the OpenAI group that is kept for the group.
    fn complaint_of_kept_group(&self) -> Option<String> {
        if self.is_name_taken() {
            return None;
        }
        let kept = self.kept_groups();
        let admitted = self.world.simulator.project_groups(&self.project);
        match (self.model.team.id.is_some() && self.setting.gifts.mirror, kept.as_slice()) {
            (true, [group]) if admitted.iter().any(|(id, _)| id == group) => None,
            // With others in it, or with people in it of whom a guard does not let go, it stays.
            (false, [group]) if !self.world.simulator.group_members(group).is_empty() => None,
            (false, []) => None,
            (is_wanted, kept) => Some(format!(
                "I16: {kept:?} kept for the group, wanted: {is_wanted}, in the project: {admitted:?}"
            )),
        }
    }

    /// Whether something about somebody waits for a human, or is left because one said no.
    async fn is_held(&self, slot: &Slot) -> bool {
        let mut reader = self.world.store().reader().await.unwrap();
        for id in &slot.ids {
            let holds = reader.standing_holds(&self.world.tenant, id.parse().unwrap()).await.unwrap();
            if holds.iter().any(|hold| matches!(hold.state, HoldState::Open | HoldState::Rejected)) {
                return true;
            }
        }
        false
    }

    /// Every change is on record before it is made.
    async fn audit(&self) {
        let trail = trail(self.world.store(), &self.world.tenant).await;
        let is_sent = |event: &str| matches!(event, "operation.send" | "group.send");
        let sent = trail.iter().filter(|told| is_sent(&told.event)).count();
        let changes = self.judge.changes;
        assert!(sent >= changes, "I19: {changes} changes and {sent} of them on record");
        assert!(trail.iter().zip(1..).all(|(told, seq)| told.seq == seq), "I19: a gap in the trail");
        let has = |event: &str, outcome: Option<&str>| {
            trail.iter().any(|told| {
                told.event == event && outcome.is_none_or(|outcome| told.detail["outcome"] == outcome)
            })
        };
        self.reach_if(has("hold.open", None), Point::HeldByGuard);
        self.reach_if(self.judge.approved_removals > 0, Point::RemovedByApproval);
        self.reach_if(has("operation.conclude", Some("done")), Point::OutcomeReadBack);
        self.reach_if(has("operation.conclude", Some("failed")), Point::OutcomeReadBackAsFailed);
        self.reach_if(has("drift.found", None), Point::DriftFound);
        self.reach_if(has("user.restore", None), Point::PersonRestored);
    }
}
