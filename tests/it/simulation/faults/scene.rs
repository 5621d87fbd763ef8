//! Where a cell begins: a directory and an organization that agree, what each operation asks for, and what must have
//! become of both in the end.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::model::grant::ProjectRole as Granted;
use openai_scim_bridge::model::policy::{
    DriftPolicy, GroupMode, GroupRule, GroupSelector, OnAddressChange, OnDrift, Policy, RemovalLimits,
    RuleEffect,
};
use openai_scim_bridge::provision::desired::EXTENSION;
use openai_scim_bridge::simulator::{Options, OrgRole, ProjectRole, Simulator};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::Operation;
use super::cell::Story;
use super::disk::{self, Disk};
use super::life::Life;
use crate::simulation::Log;
use crate::simulation::judge::{STRANGER, Wishes};
use crate::simulation::seed::GROUP;

const START: &str = "2026-01-01T00:00:00Z";
const SEED: u64 = 7;
const PROJECT: &str = "Research";

pub(super) const MEMBER: &str = "member@example.com";
pub(super) const TEAMMATE: &str = "teammate@example.com";
pub(super) const INVITED: &str = "invited@example.com";
const PARKED: &str = "parked@example.com";
const EXISTING: &str = "existing@example.com";
const NEW: &str = "new@example.com";
const RENAMED: &str = "renamed@example.com";
/// The removal of the last one is held.
const LEAVERS: [&str; 4] = ["l1@example.com", "l2@example.com", "l3@example.com", "l4@example.com"];
/// They have the project by the OpenAI group that is kept for the team, and by nothing else. That the group loses it is
/// held.
const CREW: [&str; 5] =
    ["c1@example.com", "c2@example.com", "c3@example.com", "c4@example.com", "c5@example.com"];
/// Its members get the project.
const TEAM: &str = GROUP;
const OTHER_TEAM: &str = "Engineering East";
/// Its members own the project.
const LEADS: &str = "Leads";

/// How somebody stands in the organization: pending invites, whether they are a member, their role in the project.
pub(super) type Standing = (usize, bool, Option<ProjectRole>);

/// How an OpenAI group stands that is kept for the team: how many are in it, and whether it is in the project.
pub(super) type GroupStanding = (usize, bool);

const ABSENT: Standing = (0, false, None);
const PENDING: Standing = (1, false, None);
const IN: Standing = (0, true, None);
const IN_PROJECT: Standing = (0, true, Some(ProjectRole::Member));
const OWNS_PROJECT: Standing = (0, true, Some(ProjectRole::Owner));

/// What somebody asks of the bridge.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Scim { method: &'static str, path: String, body: Option<Value> },
    Pass,
    Approval,
}

/// What came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Everybody does their work.
    Office,
    /// Many are to leave at once: [`LEAVERS`].
    Exodus,
    /// The team is to lose its project: [`CREW`].
    Retreat,
}

/// A place to begin at.
pub(super) struct Scene {
    pub(super) disk: Disk,
    pub(super) policy: Policy,
    pub(super) project: String,
    /// How many calls were on record by then.
    pub(super) sent: usize,
    /// How the directory shows itself.
    pub(super) before: Value,
    /// The same after each operation, as the first life told it.
    after: BTreeMap<Operation, OnceCell<Value>>,
    organization: Simulator,
    end: Timestamp,
    ids: BTreeMap<&'static str, String>,
    kind: Kind,
}

/// Where the cells of an operation begin.
pub(super) async fn of(operation: Operation) -> &'static Scene {
    static OFFICE: OnceCell<Scene> = OnceCell::const_new();
    static EXODUS: OnceCell<Scene> = OnceCell::const_new();
    static RETREAT: OnceCell<Scene> = OnceCell::const_new();
    match operation {
        Operation::GuardRelease => EXODUS.get_or_init(|| Scene::make(Kind::Exodus)).await,
        Operation::GroupRelease => RETREAT.get_or_init(|| Scene::make(Kind::Retreat)).await,
        _ => OFFICE.get_or_init(|| Scene::make(Kind::Office)).await,
    }
}

fn policy(kind: Kind) -> Policy {
    let rule = |group: &str, role| GroupRule {
        group: GroupSelector::Name(group.to_owned()),
        effect: RuleEffect { project: Some((PROJECT.to_owned(), role)), ..RuleEffect::default() },
    };
    let unlimited = RemovalLimits {
        max_removals: 1000,
        max_removal_percent: 1000,
        max_removals_per_day: 1000,
        max_removal_percent_per_day: 1000,
        ..RemovalLimits::default()
    };
    let keeps_groups = kind == Kind::Retreat;
    Policy {
        removals: if kind == Kind::Office { unlimited } else { RemovalLimits::default() },
        groups: if keeps_groups { GroupMode::Mirror } else { GroupMode::Off },
        // Whoever is taken out of a project by hand stays out of it.
        drift: DriftPolicy {
            project_removed: if keeps_groups { OnDrift::Adopt } else { OnDrift::Revert },
            ..DriftPolicy::default()
        },
        on_address_change: OnAddressChange::Reinvite,
        max_invites_per_address: 100,
        group_rules: vec![rule("Engineering*", Granted::Member), rule(LEADS, Granted::Owner)],
        reconcile_interval: SignedDuration::from_mins(20),
        ..Policy::default()
    }
}

/// The organization before anybody came to the directory.
fn found(clock: &Clock, kind: Kind) -> (Simulator, String) {
    let simulator = Simulator::new(Options::default(), clock.clone());
    let project = simulator.seed_project(PROJECT);
    simulator.seed_member(STRANGER, OrgRole::Reader);
    for address in [MEMBER, TEAMMATE, PARKED, EXISTING] {
        simulator.seed_member(address, OrgRole::Reader);
    }
    let teammate = simulator.member(TEAMMATE).unwrap().id;
    simulator.seed_project_user(&project, &teammate, ProjectRole::Member).unwrap();
    simulator.seed_invite(INVITED, OrgRole::Reader);
    for address in kind.others() {
        simulator.seed_member(address, OrgRole::Reader);
    }
    (simulator, project)
}

impl Kind {
    /// Who is there beside the usual ones.
    fn others(self) -> &'static [&'static str] {
        match self {
            Self::Office => &[],
            Self::Exodus => &LEAVERS,
            Self::Retreat => &CREW,
        }
    }

    /// Who leaves, in this order.
    fn leaving(self) -> &'static [&'static str] {
        match self {
            Self::Exodus => &LEAVERS,
            Self::Office | Self::Retreat => &[PARKED],
        }
    }

    /// The groups, and who is in them. Where OpenAI groups are kept, the team is the only one.
    fn groups(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Office | Self::Exodus => &[(TEAM, &[TEAMMATE]), (LEADS, &[])],
            Self::Retreat => &[(TEAM, &CREW)],
        }
    }
}

fn user(address: &str, active: bool) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": address,
        "externalId": address,
        "displayName": address,
        "emails": [{"primary": true, "value": address, "type": "work"}],
        "active": active,
    })
}

fn with_project(mut user: Value, project: &str, role: &str) -> Value {
    user["schemas"].as_array_mut().unwrap().push(json!(EXTENSION));
    user[EXTENSION] = json!({"projects": [{"value": project, "role": role}]});
    user
}

fn patch(operation: &Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": [operation]})
}

impl Scene {
    /// Has the directory filled by an identity provider, and everything happen that follows.
    async fn make(kind: Kind) -> Self {
        let (clock, mut policy) = (Clock::seeded(START.parse().unwrap(), SEED), policy(kind));
        let (simulator, project) = found(&clock, kind);
        let folder = tempfile::tempdir_in(disk::memory()).unwrap();
        let life = Life::start_in(folder, &policy, &clock).await;
        let mut story = Story::new(life, simulator, clock, policy.clone(), Log::default());
        story.judge.before.has_team = true;
        let people = [&[MEMBER, TEAMMATE, PARKED, INVITED], kind.others()].concat();
        story.judge.managed.extend(people.iter().map(|address| (*address).to_owned()));
        story.settle().await;
        let mut ids = BTreeMap::new();
        for address in people {
            ids.insert(address, story.make("/Users", &user(address, true)).await);
            story.pass(61).await;
        }
        for (name, members) in kind.groups() {
            let members: Vec<Value> = members.iter().map(|address| json!({"value": ids[address]})).collect();
            let group = json!({"displayName": name, "members": members});
            ids.insert(name, story.make("/Groups", &group).await);
            story.pass(61).await;
        }
        for address in kind.leaving() {
            let path = format!("/Users/{}", ids[address]);
            let body = patch(&json!({"op": "replace", "value": {"active": false}}));
            story.judge.before.wanted.remove(*address);
            story.judge.before.in_team.remove(*address);
            story.judge.after = story.judge.before.clone();
            let (status, answer) = story.life.send("PATCH", &path, Some(&body)).await;
            assert_eq!(status, 200, "{answer}");
            story.pass(61).await;
        }
        if kind == Kind::Retreat {
            for address in CREW {
                story.simulator.remove_project_user(&project, address).unwrap();
            }
            story.pass_hours(1).await;
            policy.group_rules.clear();
            story.restart(&policy).await;
            story.pass_hours(1).await;
        }
        assert_eq!(story.undecided().await.is_some(), kind != Kind::Office, "what waits for a human");
        let (sent, before) = (story.sent().await, story.view().await);
        let after = Operation::ALL.iter().map(|operation| (*operation, OnceCell::new())).collect();
        story.life.store.close().await;
        let (disk, end, organization) = (story.life.disk(), story.clock.now(), story.simulator.clone());
        Self { disk, policy, project, sent, before, after, organization, end, ids, kind }
    }

    /// The organization as this scene leaves it, on a clock of its own.
    pub(super) fn organization(&self) -> (Simulator, Clock) {
        let clock = Clock::seeded(self.end, SEED + 1);
        (self.organization.fork(clock.clone()), clock)
    }

    /// How the directory shows itself after an operation; empty until somebody has asked for it.
    pub(super) fn after(&self, operation: Operation) -> &OnceCell<Value> {
        &self.after[&operation]
    }

    /// Addresses that the directory knows, or is to know.
    pub(super) fn managed() -> BTreeSet<String> {
        let all = [MEMBER, TEAMMATE, INVITED, PARKED, EXISTING, NEW, RENAMED];
        all.into_iter().chain(LEAVERS).chain(CREW).map(ToOwned::to_owned).collect()
    }

    /// What the operation is.
    pub(super) fn ask(&self, operation: Operation) -> Ask {
        let path = |name: &str| {
            let collection = if name.contains('@') { "Users" } else { "Groups" };
            format!("/{collection}/{}", self.ids[name])
        };
        let value = |name: &str| json!({"value": self.ids[name]});
        let active = |active: bool| patch(&json!({"op": "replace", "path": "active", "value": active}));
        let (method, path, body) = match operation {
            Operation::CreateNew => ("POST", "/Users".to_owned(), Some(user(NEW, true))),
            Operation::CreateExisting => {
                let body = with_project(user(EXISTING, true), &self.project, "member");
                ("POST", "/Users".to_owned(), Some(body))
            }
            Operation::DeactivateMember => ("PATCH", path(MEMBER), Some(active(false))),
            Operation::DeactivateInvited => ("PUT", path(INVITED), Some(user(INVITED, false))),
            Operation::Reactivate => ("PATCH", path(PARKED), Some(active(true))),
            Operation::Delete => ("DELETE", path(MEMBER), None),
            Operation::ReplaceRole => {
                let mut body = with_project(user(TEAMMATE, true), &self.project, "owner");
                body["displayName"] = json!("Another name");
                ("PUT", path(TEAMMATE), Some(body))
            }
            Operation::Rename => {
                let mut body = user(RENAMED, true);
                body["externalId"] = json!(INVITED);
                ("PUT", path(INVITED), Some(body))
            }
            Operation::GroupCreate => {
                let body = json!({"displayName": OTHER_TEAM, "members": [value(MEMBER)]});
                ("POST", "/Groups".to_owned(), Some(body))
            }
            Operation::AddMember => {
                let add = json!({"op": "add", "path": "members", "value": [value(MEMBER)]});
                ("PATCH", path(TEAM), Some(patch(&add)))
            }
            Operation::RemoveMember => {
                let remove = json!({"op": "remove", "path": "members", "value": [value(TEAMMATE)]});
                ("PATCH", path(TEAM), Some(patch(&remove)))
            }
            Operation::ReplaceMembers => {
                let body = json!({"displayName": TEAM, "members": [value(MEMBER)]});
                ("PUT", path(TEAM), Some(body))
            }
            Operation::DeleteGroup => ("DELETE", path(TEAM), None),
            Operation::RoleByGroup => {
                let add = json!({"op": "add", "path": "members", "value": [value(TEAMMATE)]});
                ("PATCH", path(LEADS), Some(patch(&add)))
            }
            Operation::FullPass => return Ask::Pass,
            Operation::GuardRelease | Operation::GroupRelease => return Ask::Approval,
        };
        Ask::Scim { method, path, body }
    }

    /// Who wishes what, before the operation and after it.
    pub(super) fn wishes(&self, operation: Option<Operation>) -> Wishes {
        let mut wanted: BTreeSet<&str> = [MEMBER, TEAMMATE, INVITED].into();
        if self.kind == Kind::Retreat {
            wanted.extend(CREW);
        }
        match operation {
            Some(Operation::CreateNew) => drop(wanted.insert(NEW)),
            Some(Operation::CreateExisting) => drop(wanted.insert(EXISTING)),
            Some(Operation::DeactivateMember | Operation::Delete) => drop(wanted.remove(MEMBER)),
            Some(Operation::DeactivateInvited) => drop(wanted.remove(INVITED)),
            Some(Operation::Reactivate) => drop(wanted.insert(PARKED)),
            Some(Operation::Rename) => {
                wanted.remove(INVITED);
                wanted.insert(RENAMED);
            }
            _ => {}
        }
        let wanted: BTreeSet<String> = wanted.into_iter().map(ToOwned::to_owned).collect();
        let mut in_team = wanted.clone();
        if matches!(
            operation,
            Some(Operation::RemoveMember | Operation::ReplaceMembers | Operation::DeleteGroup)
        ) {
            in_team.remove(TEAMMATE);
        }
        Wishes {
            wanted,
            in_team,
            has_team: true,
            team_has_project: operation != Some(Operation::GroupRelease),
        }
    }

    /// How each OpenAI group must stand that is kept for the team.
    pub(super) fn groups(&self, operation: Option<Operation>) -> Vec<GroupStanding> {
        let is_in_project = operation != Some(Operation::GroupRelease);
        if self.kind == Kind::Retreat { vec![(CREW.len(), is_in_project)] } else { Vec::new() }
    }

    /// Who must stand how, before the operation or after it.
    pub(super) fn standings(&self, operation: Option<Operation>) -> BTreeMap<&'static str, Standing> {
        let mut all: BTreeMap<&'static str, Standing> = [
            (MEMBER, IN),
            (TEAMMATE, IN_PROJECT),
            (INVITED, PENDING),
            (PARKED, if self.kind == Kind::Exodus { IN } else { ABSENT }),
            (EXISTING, IN),
            (NEW, ABSENT),
            (RENAMED, ABSENT),
        ]
        .into();
        match self.kind {
            Kind::Office => {}
            Kind::Exodus => {
                all.extend(LEAVERS.map(|address| (address, ABSENT)));
                all.insert(LEAVERS[3], IN);
            }
            Kind::Retreat => all.extend(CREW.map(|address| (address, IN))),
        }
        let changed: &[(&'static str, Standing)] = match operation {
            None => &[],
            Some(operation) => match operation {
                Operation::CreateNew => &[(NEW, PENDING)],
                Operation::CreateExisting => &[(EXISTING, IN_PROJECT)],
                Operation::DeactivateMember | Operation::Delete => &[(MEMBER, ABSENT)],
                Operation::DeactivateInvited => &[(INVITED, ABSENT)],
                Operation::Reactivate => &[(PARKED, PENDING)],
                Operation::ReplaceRole | Operation::RoleByGroup => &[(TEAMMATE, OWNS_PROJECT)],
                Operation::Rename => &[(INVITED, ABSENT), (RENAMED, PENDING)],
                Operation::GroupCreate | Operation::AddMember => &[(MEMBER, IN_PROJECT)],
                Operation::RemoveMember | Operation::DeleteGroup => &[(TEAMMATE, IN)],
                Operation::ReplaceMembers => &[(TEAMMATE, IN), (MEMBER, IN_PROJECT)],
                Operation::FullPass => &[(INVITED, IN)],
                Operation::GuardRelease => &[(LEAVERS[3], ABSENT)],
                Operation::GroupRelease => &[],
            },
        };
        all.extend(changed.iter().copied());
        all
    }
}
