//! Plan scripts: `tests/plans/*.txt` say what is stored and what the plan is. They are the readable specification of
//! the engine.
//!
//! Above the line `---` stands the state, one fact a line; below it the plan, one step a line, and the status it
//! leads to. `~` stands for a blank in a name. Instants are relative to now (`-90s`, `+2h`, `-3d`). `UPDATE_PLANS=1`
//! writes the plans anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use openai_scim_bridge::clock::Clock;
use openai_scim_bridge::ids::{HoldId, OperationId, PersonId, ProjectId, TenantId};
use openai_scim_bridge::model::address::Address;
use openai_scim_bridge::model::grant::{Assignment, OrgRole, ProjectGrant};
use openai_scim_bridge::model::group::GroupName;
use openai_scim_bridge::model::hold::{About, Decision, Hold, HoldState};
use openai_scim_bridge::model::inventory::{Listing, Mirrored};
use openai_scim_bridge::model::mapping::{Mapping, Origin, Status};
use openai_scim_bridge::model::observed::{
    Assigned, Collection, Invite, InviteStatus, Member, OpenAiGroup, Project, ProjectMember, Role, Sweep,
};
use openai_scim_bridge::model::operation::{Action, Operation, OperationState};
use openai_scim_bridge::model::person::Person;
use openai_scim_bridge::model::policy::{
    Alias, GroupMode, GroupNaming, GroupRule, GroupSelector, OnAddressChange, OnDrift, OnExistingMember,
    Policy, Resend, RoleChange, RuleEffect,
};
use openai_scim_bridge::model::upkeep::{Drift, DriftClass, Instruction, Wanted};
use openai_scim_bridge::provision::desired::{EXTENSION, desired};
use openai_scim_bridge::provision::plan::{Claim, Facts, Look, Observed, Read, Step, plan_person};
use openai_scim_bridge::provision::status::status;
use serde_json::json;

#[test]
fn every_script_has_its_plan() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plans");
    let mut scripts: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    assert!(scripts.len() >= 80);
    #[expect(clippy::disallowed_methods, reason = "whether to write the plans anew is the caller's word")]
    let update = std::env::var("UPDATE_PLANS").is_ok();
    let mut wrong = String::new();
    for path in scripts {
        let text = fs::read_to_string(&path).unwrap();
        let (given, expected) = text.split_once("---\n").unwrap_or((&text, ""));
        let found = Script::read(given).plan();
        if update {
            fs::write(&path, format!("{}\n---\n{found}", given.trim_end())).unwrap();
        } else if found != expected {
            write!(wrong, "\n{}\nexpected:\n{expected}found:\n{found}", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

struct Script {
    now: Timestamp,
    clock: Clock,
    policy: Policy,
    person: Person,
    groups: Vec<GroupName>,
    observed: Observed,
    facts: Facts,
}

/// The words of a line: plain ones in order, and `key=value` ones.
struct Line<'a> {
    plain: Vec<&'a str>,
    named: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Self {
        let (named, plain): (Vec<_>, Vec<_>) = text.split_whitespace().partition(|word| word.contains('='));
        Self { plain, named: named.into_iter().filter_map(|word| word.split_once('=')).collect() }
    }

    fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }
}

impl Script {
    fn read(text: &str) -> Self {
        let now: Timestamp = "2026-01-10T12:00:00Z".parse().unwrap();
        let clock = Clock::manual(now);
        let person = Person {
            tenant: TenantId::default_tenant(),
            id: PersonId::new(&clock),
            user_name: "jane@example.com".into(),
            external_id: None,
            address: Address::parse("jane@example.com").ok(),
            active: true,
            deleted_at: None,
            version: 1,
            created_at: now,
            modified_at: now,
            attributes: serde_json::Map::new(),
        };
        let observed = Observed::nothing_of(&person);
        let mut script = Self {
            now,
            clock,
            policy: Policy::default(),
            person,
            groups: Vec::new(),
            observed,
            facts: Facts::default(),
        };
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
            script.take(line);
        }
        script
    }

    fn take(&mut self, text: &str) {
        let line = Line::read(text);
        match line.plain[0] {
            "policy" => line.named.iter().for_each(|(key, value)| self.set_policy(key, value)),
            "rule" => self.add_rule(&line),
            "alias" => self
                .policy
                .aliases
                .push(Alias { value: line.named["value"].replace('~', " "), effect: effect_of(&line) }),
            "inventory" => self.set_inventory(&line),
            "has" => self
                .observed
                .assignments
                .push(Assigned { user: line.plain[1].into(), what: assignment_of(line.plain[2]) }),
            "person" => self.set_person(&line),
            "group" => self.groups.push(GroupName {
                id: line.named["id"].parse().unwrap(),
                external_id: line.named.get("external").map(|id| (*id).to_owned()),
                display_name: line.plain[1].replace('~', " "),
            }),
            "mapping" => self.set_mapping(&line),
            "member" => self.add_member(&line),
            "invite" => self.add_invite(&line),
            "in" => self.observed.projects.push(ProjectMember {
                project: line.plain[1].into(),
                user: line.plain[2].into(),
                role: line.plain[3].parse().ok(),
            }),
            "open" | "recent" => self.add_operation(&line),
            "look" => {
                let read = read_of(&line.plain[1..]);
                let found = !line.has("missing");
                self.observed.looks.push(Look { read, at: self.at(line.named["at"]), found });
            }
            "swept" => {
                for (collection, at) in &line.named {
                    let at = self.at(at);
                    let sweep = Sweep { started_at: at, finished_at: at, count: 9 };
                    self.facts.sweeps.insert(collection_of(collection), sweep);
                }
            }
            "owner" => {
                let owner = self.member_from(&line, OrgRole::Owner);
                self.facts.owners.push(owner);
            }
            "hold" => self.add_hold(&line),
            "key_owner" => drop(self.facts.key_owners.insert(line.plain[1].into())),
            "wanted_elsewhere" => self.observed.address_wanted_elsewhere = true,
            "in_transit" => self.observed.address_in_transit = true,
            other => panic!("`{other}` is no fact"),
        }
    }

    fn at(&self, text: &str) -> Timestamp {
        let (number, unit) = text.split_at(text.len() - 1);
        let number: i64 = number.parse().unwrap();
        let seconds = match unit {
            "s" => number,
            "m" => number * 60,
            "h" => number * 3600,
            "d" => number * 86_400,
            _ => panic!("`{text}` is no instant"),
        };
        self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap()
    }

    fn set_policy(&mut self, key: &str, value: &str) {
        let policy = &mut self.policy;
        match (key, value) {
            ("existing", "hold") => policy.on_existing_member = OnExistingMember::Hold,
            ("existing", "conflict") => policy.on_existing_member = OnExistingMember::Conflict,
            ("max_resends", number) => policy.max_resends = number.parse().unwrap(),
            ("resend_pause", hours) => {
                policy.resend_pause = SignedDuration::from_hours(hours.parse().unwrap());
            }
            ("member_removed", word) => policy.drift.member_removed = reaction_of(word),
            ("invite_withdrawn", word) => policy.drift.invite_withdrawn = reaction_of(word),
            ("role_changed", word) => policy.drift.role_changed = reaction_of(word),
            ("project_added", word) => policy.drift.project_added = reaction_of(word),
            ("project_removed", word) => policy.drift.project_removed = reaction_of(word),
            ("resend", "never") => policy.resend = Resend::Never,
            ("address", "reinvite") => policy.on_address_change = OnAddressChange::Reinvite,
            ("domains", domain) => drop(policy.allowed_domains.insert(domain.into())),
            ("protected", address) => drop(policy.protected.insert(address.into())),
            ("min_owners", number) => policy.min_owners = number.parse().unwrap(),
            ("owner_grants", "allowed") => policy.allow_owner_grants = true,
            ("groups", "off") => policy.groups = GroupMode::Off,
            ("groups", "mirror") => policy.groups = GroupMode::Mirror,
            ("role_change", "reinvite") => policy.role_change = RoleChange::Reinvite,
            ("group_names", prefix) => {
                let own = str::to_owned;
                policy.group_naming =
                    Some(GroupNaming { prefix: own(prefix), separator: own(":"), suffix: own("") });
            }
            ("default_project", grant) => policy.default_projects.push(grant_of(grant)),
            _ => panic!("`{key}={value}` is no policy"),
        }
    }

    fn add_rule(&mut self, line: &Line<'_>) {
        let group = match (line.named.get("id"), line.named.get("external")) {
            (Some(id), _) => GroupSelector::Id((*id).into()),
            (None, Some(id)) => GroupSelector::ExternalId((*id).into()),
            (None, None) => GroupSelector::Name(line.named["group"].into()),
        };
        self.policy.group_rules.push(GroupRule { group, effect: effect_of(line) });
    }

    /// `inventory projects|roles|groups|managed|mirrored ID=NAME…`, or `off`. A SCIM group that is not mirrored says
    /// `refused:WHY`.
    fn set_inventory(&mut self, line: &Line<'_>) {
        let inventory = &mut self.facts.inventory;
        let things = line.named.iter().map(|(id, name)| (*id, (*name).to_owned()));
        let group = |is_scim_managed| {
            move |(id, name): (&str, String)| OpenAiGroup {
                id: id.into(),
                name,
                is_scim_managed,
                created_at: Timestamp::UNIX_EPOCH,
            }
        };
        match (line.plain[1], line.has("off")) {
            ("projects", false) => {
                let project = |(id, name): (&str, String)| Project { id: id.into(), name: Some(name) };
                inventory.projects = Listing::Read(things.map(project).collect());
            }
            ("roles", false) => {
                let role = |(id, name): (&str, String)| Role {
                    id: id.into(),
                    name,
                    description: None,
                    is_predefined: false,
                };
                inventory.roles = Listing::Read(things.map(role).collect());
            }
            ("groups", false) => inventory.groups = Listing::Read(things.map(group(false)).collect()),
            ("managed", false) => inventory.groups = Listing::Read(things.map(group(true)).collect()),
            ("mirrored", false) => {
                let mirrored = |(id, name): (&str, String)| {
                    let refused = name.strip_prefix("refused:").map(|words| words.replace('~', " "));
                    (
                        id.parse().unwrap(),
                        refused.map_or_else(|| Mirrored::As(name.into()), Mirrored::Refused),
                    )
                };
                inventory.mirrored = things.map(mirrored).collect();
            }
            ("roles", true) => inventory.roles = Listing::NotOffered,
            ("groups", true) => inventory.groups = Listing::NotOffered,
            other => panic!("{other:?} is no inventory"),
        }
    }

    fn set_person(&mut self, line: &Line<'_>) {
        let person = &mut self.person;
        person.active = !line.has("inactive");
        person.deleted_at = line.has("deleted").then_some(self.now);
        if let Some(address) = line.named.get("address") {
            person.address = Address::parse(address).ok();
        }
        if let Some(version) = line.named.get("version") {
            person.version = version.parse().unwrap();
            self.observed.version = person.version;
        }
        let projects: Vec<_> = line
            .named
            .get("projects")
            .map(|list| list.split(',').map(grant_of).collect())
            .unwrap_or_default();
        let projects: Vec<_> = projects
            .iter()
            .map(|grant: &ProjectGrant| json!({ "value": grant.id.as_str(), "role": grant.role.as_str() }))
            .collect();
        let role = line.named.get("role");
        for attribute in ["roles", "entitlements"] {
            let values = line.named.get(attribute).map(|list| list.split(',').collect::<Vec<_>>());
            let values = values
                .unwrap_or_default()
                .into_iter()
                .map(|value| json!({ "value": value.replace('~', " ") }));
            person.attributes.insert(attribute.into(), values.collect());
        }
        person.attributes.insert(EXTENSION.into(), json!({ "role": role, "projects": projects }));
    }

    fn set_mapping(&mut self, line: &Line<'_>) {
        let mut mapping = Mapping::new(self.observed.tenant.clone(), self.observed.person);
        mapping.address = Address::parse(line.named.get("address").unwrap_or(&"jane@example.com")).ok();
        mapping.invite_id = line.named.get("invite").map(|id| (*id).into());
        mapping.invite_expires_at = line.named.get("expires").map(|at| self.at(at));
        mapping.user_id = line.named.get("user").map(|id| (*id).into());
        let role = line.named.get("had").map_or(OrgRole::Reader, |word| word.parse().unwrap());
        mapping.effective_role = mapping.user_id.as_ref().map(|_| role);
        mapping.upkeep.invites_sent = line.named.get("sent").map_or(0, |number| number.parse().unwrap());
        mapping.upkeep.instruction = line.named.get("told").map(|word| self.instruction_of(word));
        mapping.upkeep.drift = line.named.get("drift").into_iter().map(|text| drift_of(text)).collect();
        mapping.effective_projects = line
            .named
            .get("effective")
            .map(|list| list.split(',').map(grant_of).collect())
            .unwrap_or_default();
        mapping.effective_assignments = line
            .named
            .get("assigned")
            .map(|list| list.split(',').map(assignment_of).collect())
            .unwrap_or_default();
        mapping.status_reason = line.named.get("because").map(|words| words.replace('~', " "));
        mapping.status = line.named.get("status").map_or(Status::Pending, |word| word.parse().unwrap());
        mapping.origin = line.named.get("origin").map_or(Origin::Invited, |word| word.parse().unwrap());
        self.observed.mapping = Some(mapping);
    }

    /// `resend@-1h`, `withhold@-1h`, `link:user-1@-1h`
    fn instruction_of(&self, text: &str) -> Instruction {
        let (word, at) = text.split_once('@').unwrap();
        let what = match word.split_once(':') {
            Some(("link", user)) => Wanted::Link(user.into()),
            _ if word == "resend" => Wanted::Resend,
            _ if word == "withhold" => Wanted::Withhold,
            _ => panic!("`{text}` is no instruction"),
        };
        Instruction { what, at: self.at(at), by: "kim".into(), why: "asked by phone".into() }
    }

    fn member_from(&self, line: &Line<'_>, role: OrgRole) -> Member {
        Member {
            id: line.plain[1].into(),
            email: line.plain.get(2).map(|email| (*email).to_owned()),
            name: None,
            role: line.plain.get(3).map_or(Some(role), |word| word.parse().ok()),
            is_service_account: line.has("service"),
            is_scim_managed: line.has("managed"),
            is_default: line.has("default"),
            added_at: self.at(line.named.get("added").unwrap_or(&"-1h")),
        }
    }

    fn add_member(&mut self, line: &Line<'_>) {
        let member = self.member_from(line, OrgRole::Reader);
        self.add_claim(line, member.id.as_str());
        self.observed.members.push(member);
    }

    fn add_invite(&mut self, line: &Line<'_>) {
        let id = line.plain[1];
        self.add_claim(line, id);
        let status = [InviteStatus::Pending, InviteStatus::Accepted, InviteStatus::Expired];
        self.observed.invites.push(Invite {
            id: id.into(),
            email: line.plain[2].into(),
            role: line.named.get("role").unwrap_or(&"reader").parse().ok(),
            status: status.into_iter().find(|status| status.as_str() == line.plain[3]).unwrap(),
            projects: Vec::new(),
            created_at: self.at(line.named.get("created").unwrap_or(&"-1h")),
            expires_at: line.named.get("expires").map(|at| self.at(at)),
        });
    }

    fn add_claim(&mut self, line: &Line<'_>, id: &str) {
        if line.has("claimed") {
            let claim = Claim { person: PersonId::new(&self.clock), leaving: line.has("leaving") };
            self.observed.claims.insert(id.into(), claim);
        }
    }

    /// `open|recent KIND [ID…] [STATE] sent=… [unanswered=…] [version=…] [words=…]`
    fn add_operation(&mut self, line: &Line<'_>) {
        let state = OperationState::ALL.into_iter().find(|state| line.has(state.as_str()));
        let sent_at = self.at(line.named["sent"]);
        let operation = Operation {
            tenant: self.observed.tenant.clone(),
            id: OperationId::new(&self.clock),
            person: self.observed.person,
            person_version: line.named.get("version").map_or(1, |version| version.parse().unwrap()),
            action: action_of(line),
            reason: String::new(),
            state: state.unwrap_or(OperationState::Unknown),
            sent_at,
            unanswered_at: line.named.get("unanswered").map(|at| self.at(at)),
            settled_at: state.map(|_| sent_at),
            upstream_request_id: None,
            outcome: line.named.get("words").map(|words| words.replace('_', " ")),
        };
        if line.plain[0] == "open" {
            self.observed.open.push(operation);
        } else {
            self.observed.recent.push(operation);
        }
    }

    /// `hold GUARD STATE subject=… [version=…] [judged=…] [words=…]`; `~` stands for a blank.
    fn add_hold(&mut self, line: &Line<'_>) {
        let judged_at = self.at(line.named.get("judged").unwrap_or(&"-1m"));
        let state: HoldState = line.plain[2].parse().unwrap();
        let decided = state != HoldState::Open;
        let text = |name: &str| line.named.get(name).map(|text| text.replace('~', " "));
        self.observed.holds.push(Hold {
            tenant: self.observed.tenant.clone(),
            id: HoldId::new(&self.clock),
            about: About::Person {
                id: self.observed.person,
                version: line.named.get("version").map_or(1, |version| version.parse().unwrap()),
            },
            guard: line.plain[1].parse().unwrap(),
            subject: text("subject").unwrap(),
            reason: text("words").unwrap_or_else(|| "it was held".into()),
            state,
            made_at: judged_at,
            judged_at,
            decision: decided.then(|| Decision { at: self.now, by: "ann".into(), why: text("why") }),
            operation: None,
        });
    }

    /// The plan as text, with the status it leads to.
    fn plan(&self) -> String {
        let desired = desired(&self.person, &self.groups, &self.policy, &self.facts.inventory);
        let plan = plan_person(self.now, &desired, &self.observed, &self.facts, &self.policy);
        let mut mapping = self
            .observed
            .mapping
            .clone()
            .unwrap_or_else(|| Mapping::new(self.observed.tenant.clone(), self.observed.person));
        let mut text = String::new();
        for planned in &plan {
            if let Step::Record(change) = &planned.step {
                change.apply(&mut mapping);
            }
            writeln!(text, "{planned}").unwrap();
        }
        writeln!(text, "status {}", status(desired.wants_access, &mapping, &plan).0).unwrap();
        text
    }
}

fn grant_of(text: &str) -> ProjectGrant {
    let (id, role) = text.split_once(':').unwrap();
    ProjectGrant { id: id.into(), role: role.parse().unwrap() }
}

fn reaction_of(word: &str) -> OnDrift {
    match word {
        "report" => OnDrift::Report,
        "revert" => OnDrift::Revert,
        "adopt" => OnDrift::Adopt,
        _ => panic!("`{word}` is no reaction"),
    }
}

/// `project_removed:proj_a`; an underscore in the second part stands for a blank if it is doubled.
fn drift_of(text: &str) -> Drift {
    let (class, subject) = text.split_once(':').unwrap();
    let class = DriftClass::ALL.into_iter().find(|known| known.as_str() == class).unwrap();
    Drift { class, subject: subject.replace("__", " ") }
}

fn effect_of(line: &Line<'_>) -> RuleEffect {
    let own = |key: &str| line.named.get(key).map(|text| (*text).to_owned());
    RuleEffect {
        org_role: line.named.get("role").map(|role| role.parse().unwrap()),
        project: line.named.get("project").map(|text| {
            let (name, role) = text.split_once(':').unwrap();
            (name.to_owned(), role.parse().unwrap())
        }),
        project_role: line.named.get("project_role").map(|role| (*role).into()),
        custom_role: own("custom_role"),
        openai_group: own("openai_group"),
    }
}

/// `group:ID`, `role:ID` or `PROJECT:ID`.
fn assignment_of(text: &str) -> Assignment {
    match text.split_once(':').unwrap() {
        ("group", id) => Assignment::Group { group: id.into() },
        ("role", id) => Assignment::Role { role: id.into() },
        (project, id) => Assignment::ProjectRole { project: project.into(), role: id.into() },
    }
}

fn collection_of(text: &str) -> Collection {
    match text {
        "members" => Collection::Members,
        "invites" => Collection::Invites,
        "projects" => Collection::Projects,
        "roles" => Collection::Roles,
        "groups" => Collection::Groups,
        group if group.starts_with("group") => Collection::GroupMembers(group.into()),
        project => Collection::ProjectMembers(ProjectId::from(project)),
    }
}

fn read_of(words: &[&str]) -> Read {
    match words {
        ["member", id, ..] => Read::Member((*id).into()),
        ["invite", id, ..] => Read::Invite((*id).into()),
        ["address", key, ..] => Read::MemberAt((*key).into()),
        ["project", project, user, ..] => Read::ProjectMember((*project).into(), (*user).into()),
        ["assignment", what, user, ..] => Read::Assignment(assignment_of(what), (*user).into()),
        _ => panic!("{words:?} is nothing to look up"),
    }
}

fn action_of(line: &Line<'_>) -> Action {
    let words = &line.plain[1..];
    match words {
        ["create_invite", address, ..] => Action::CreateInvite {
            address: (*address).into(),
            role: line.named.get("role").unwrap_or(&"reader").parse().unwrap(),
            projects: line
                .named
                .get("projects")
                .map(|list| list.split(',').map(grant_of).collect())
                .unwrap_or_default(),
        },
        ["delete_invite", id, ..] => Action::DeleteInvite { invite: (*id).into() },
        ["delete_user", id, ..] => Action::DeleteUser { user: (*id).into() },
        ["set_role", id, role, ..] => {
            let role: OrgRole = role.parse().unwrap();
            Action::SetRole { user: (*id).into(), role, lowers: role == OrgRole::Reader }
        }
        ["add_to_project", user, project, role, ..] => Action::AddToProject {
            project: (*project).into(),
            user: (*user).into(),
            role: role.parse().unwrap(),
        },
        ["remove_from_project", user, project, ..] => {
            Action::RemoveFromProject { project: (*project).into(), user: (*user).into() }
        }
        ["assign", user, what, ..] => Action::Assign { what: assignment_of(what), user: (*user).into() },
        ["unassign", user, what, ..] => Action::Unassign { what: assignment_of(what), user: (*user).into() },
        _ => panic!("{words:?} is no action"),
    }
}
