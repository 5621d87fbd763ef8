//! The stand-in's organization: its objects, and the changes that both the API and the control calls make.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::objects::{
    Actor, AdminKey, Assigned, Assignment, Event, Group, Invite, InviteStatus, KeyOwner, Member, OrgRole,
    Principal, Project, ProjectKey, ProjectRole, ProjectUser, Role, Scope, ServiceAccount,
};
use super::options::{EmailCase, Feature, Options, Rejoin, RoleIds};
use super::table::{Row, Table};

/// Everything that the organization holds.
#[derive(Debug)]
pub(super) struct Organization {
    pub(super) options: Options,
    /// The instant of the call being worked on.
    pub(super) now: Timestamp,
    pub(super) members: Table<Member>,
    pub(super) invites: Table<Invite>,
    pub(super) projects: Table<Project>,
    pub(super) groups: Table<Group>,
    /// Custom roles; the predefined ones are worked out.
    pub(super) roles: Table<Role>,
    pub(super) assignments: BTreeMap<Assigned, Assignment>,
    pub(super) service_accounts: Table<ServiceAccount>,
    pub(super) project_keys: Table<ProjectKey>,
    pub(super) admin_keys: Table<AdminKey>,
    pub(super) events: Table<Event>,
    /// Accounts by lower-case address: they outlive the membership.
    accounts: BTreeMap<String, Account>,
    invites_by_email: BTreeMap<String, Vec<String>>,
    chance: StdRng,
}

#[derive(Debug, Clone)]
struct Account {
    user_id: String,
    created: i64,
}

impl Organization {
    /// The organization as it stands at the start: its owners, the default project and one service account.
    pub(super) fn new(options: Options, seed: u64, now: Timestamp) -> Self {
        let mut organization = Self {
            options,
            now,
            members: Table::new(),
            invites: Table::new(),
            projects: Table::new(),
            groups: Table::new(),
            roles: Table::new(),
            assignments: BTreeMap::new(),
            service_accounts: Table::new(),
            project_keys: Table::new(),
            admin_keys: Table::new(),
            events: Table::new(),
            accounts: BTreeMap::new(),
            invites_by_email: BTreeMap::new(),
            chance: StdRng::seed_from_u64(seed),
        };
        organization.found();
        organization
    }

    /// The same once more, with other ids for what is to come.
    pub(super) fn fork(&self, seed: u64) -> Self {
        Self {
            options: self.options.clone(),
            now: self.now,
            members: self.members.clone(),
            invites: self.invites.clone(),
            projects: self.projects.clone(),
            groups: self.groups.clone(),
            roles: self.roles.clone(),
            assignments: self.assignments.clone(),
            service_accounts: self.service_accounts.clone(),
            project_keys: self.project_keys.clone(),
            admin_keys: self.admin_keys.clone(),
            events: self.events.clone(),
            accounts: self.accounts.clone(),
            invites_by_email: self.invites_by_email.clone(),
            chance: StdRng::seed_from_u64(seed),
        }
    }

    fn found(&mut self) {
        let project = self.add_project("Default project".to_owned(), true);
        for email in self.options.owners.clone() {
            self.add_member(&email, None, OrgRole::Owner);
        }
        let first = self.members.values_mut().next().map(|first| {
            first.is_default = true;
            first.id.clone()
        });
        self.add_service_account(&project, "Build service");
        let keys = self.options.admin_keys.iter().map(|key| (key.clone(), false));
        let read_only = self.options.read_only_keys.iter().map(|key| (key.clone(), true));
        for (value, is_read_only) in keys.chain(read_only).collect::<Vec<_>>() {
            let owner = first.clone().unwrap_or_default();
            self.add_admin_key("Organization administration", value, owner, is_read_only, None);
        }
    }

    /// Seconds of the present instant.
    pub(super) fn seconds(&self) -> i64 {
        self.now.as_second()
    }

    /// A new id with a prefix.
    pub(super) fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}{:08x}", self.chance.next_u64(), self.chance.next_u32())
    }

    /// Whether a new row is not shown yet in lists.
    pub(super) fn is_listed<T>(&self, row: &Row<T>) -> bool {
        self.has_aged(row.born, self.options.list_lag_ms)
    }

    /// Whether a new row can be read by its id.
    pub(super) fn is_readable<T>(&self, row: &Row<T>) -> bool {
        self.has_aged(row.born, self.options.not_found_lag_ms)
    }

    fn has_aged(&self, since: Timestamp, milliseconds: u32) -> bool {
        self.now.duration_since(since) >= SignedDuration::from_millis(milliseconds.into())
    }

    /// Writes an audit event. Every change goes through here.
    pub(super) fn record(&mut self, actor: &Actor, kind: &'static str, project: Option<&str>, detail: Value) {
        let id = self.new_id("audit_log-");
        let event = Event {
            kind,
            effective_at: self.seconds(),
            project: project.map(str::to_owned),
            actor: actor.clone(),
            detail,
        };
        self.events.insert(&id, self.now, event);
    }

    // --- people

    /// Adds a member; a person who was here before gets the old id unless told otherwise.
    pub(super) fn add_member(&mut self, email: &str, name: Option<&str>, role: OrgRole) -> String {
        let folded = email.to_lowercase();
        let former = (self.options.rejoin == Rejoin::SameId).then(|| self.accounts.remove(&folded)).flatten();
        let account =
            former.unwrap_or_else(|| Account { user_id: self.new_id("user-"), created: self.seconds() });
        let id = account.user_id.clone();
        let local_part = email.split('@').next().unwrap_or_default().to_owned();
        let member = Member {
            id: id.clone(),
            email: Some(email.to_owned()),
            name: Some(name.map_or(local_part, str::to_owned)),
            role,
            added_at: self.seconds(),
            created: account.created,
            is_default: false,
            is_service_account: false,
            is_scim_managed: false,
            technical_level: None,
            developer_persona: None,
        };
        self.accounts.insert(folded, account);
        self.members.insert(&id, self.now, member);
        id
    }

    /// The member with an address, in any case.
    pub(super) fn member_by_email(&self, email: &str) -> Option<&Member> {
        self.members.get(&self.accounts.get(&email.to_lowercase())?.user_id)
    }

    /// The one who acts for OpenAI's dashboard in control calls: the default user.
    pub(super) fn dashboard(&self) -> Actor {
        self.members.values().next().map_or(Actor::System, |owner| Actor::Person(owner.id.clone()))
    }

    pub(super) fn owners(&self) -> usize {
        self.members
            .values()
            .filter(|member| member.role == OrgRole::Owner && !member.is_service_account)
            .count()
    }

    /// Takes a member out with everything that hangs on the membership; keys and service accounts stay.
    pub(super) fn remove_member(&mut self, id: &str, actor: &Actor) -> bool {
        if self.members.remove(id).is_none() {
            return false;
        }
        for project in self.projects.values_mut() {
            project.users.remove(id);
        }
        for group in self.groups.values_mut() {
            group.users.remove(id);
        }
        self.assignments.retain(|assigned, _| assigned.principal != Principal::User(id.to_owned()));
        self.record(actor, "user.deleted", None, json!({"id": id}));
        true
    }

    // --- invites

    pub(super) fn add_invite(
        &mut self,
        email: &str,
        role: OrgRole,
        projects: Option<Vec<(String, ProjectRole)>>,
    ) -> String {
        let id = self.new_id("invite-");
        let lifetime = SignedDuration::from_secs(self.options.invite_lifetime_seconds.into());
        let email = match self.options.email_case {
            EmailCase::Kept => email.to_owned(),
            EmailCase::Lowered => email.to_lowercase(),
        };
        self.invites_by_email.entry(email.to_lowercase()).or_default().push(id.clone());
        let invite = Invite {
            id: id.clone(),
            email,
            role,
            created_at: self.now,
            expires_at: self.now.checked_add(lifetime).unwrap_or(Timestamp::MAX),
            accepted_at: None,
            projects,
        };
        self.invites.insert(&id, self.now, invite);
        id
    }

    pub(super) fn remove_invite(&mut self, id: &str) {
        if let Some(invite) = self.invites.remove(id) {
            let of_address = self.invites_by_email.entry(invite.email.to_lowercase()).or_default();
            of_address.retain(|found| found != id);
        }
    }

    /// All invites of an address, in any case, oldest first.
    pub(super) fn invites_of(&self, email: &str) -> impl Iterator<Item = &Invite> {
        let ids = self.invites_by_email.get(&email.to_lowercase());
        ids.into_iter().flatten().filter_map(|id| self.invites.get(id))
    }

    /// The invite of an address that can still be accepted.
    pub(super) fn pending_invite(&self, email: &str) -> Option<&Invite> {
        self.invites_of(email).find(|invite| invite.status(self.now) == InviteStatus::Pending)
    }

    /// Lets a person join by an invite, perhaps with another address than the invited one.
    pub(super) fn accept(
        &mut self,
        invite_id: &str,
        email: Option<&str>,
        name: Option<&str>,
    ) -> Option<String> {
        let now = self.now;
        let invite = self.invites.get_mut(invite_id).filter(|invite| invite.accepted_at.is_none())?;
        invite.accepted_at = Some(now);
        let invite = invite.clone();
        let id = self.add_member(email.unwrap_or(&invite.email), name, invite.role);
        let projects = invite.projects.clone().unwrap_or_else(|| {
            self.default_project()
                .map(|project| vec![(project.id.clone(), ProjectRole::Member)])
                .unwrap_or_default()
        });
        let added_at = self.seconds();
        if self.options.invite_projects == Feature::On {
            for (project, role) in projects {
                if let Some(project) = self.projects.get_mut(&project).filter(|it| it.archived_at.is_none()) {
                    project.users.insert(&id, now, ProjectUser { role, added_at });
                }
            }
        }
        let person = Actor::Person(id.clone());
        self.record(&person, "invite.accepted", None, json!({"id": invite.id}));
        let role = match invite.role {
            OrgRole::Owner => "owner",
            OrgRole::Reader => "member",
        };
        self.record(&person, "user.added", None, json!({"id": id, "data": {"role": role}}));
        Some(id)
    }

    // --- projects, groups, keys

    pub(super) fn default_project(&self) -> Option<&Project> {
        self.projects.values().find(|project| project.is_default)
    }

    pub(super) fn add_project(&mut self, name: String, is_default: bool) -> String {
        let id = self.new_id("proj_");
        let project = Project {
            id: id.clone(),
            name: Some(name),
            created_at: self.seconds(),
            archived_at: None,
            is_default,
            external_key_id: None,
            residency: None,
            users: Table::new(),
            groups: Table::new(),
        };
        self.projects.insert(&id, self.now, project);
        id
    }

    pub(super) fn add_group(&mut self, name: &str, is_scim_managed: bool) -> String {
        let id = self.new_id("group_");
        let created_at = self.seconds();
        let users = Table::new();
        let group = Group { id: id.clone(), name: name.to_owned(), created_at, is_scim_managed, users };
        self.groups.insert(&id, self.now, group);
        id
    }

    pub(super) fn add_service_account(&mut self, project: &str, name: &str) -> String {
        let id = self.new_id("svc_acct_");
        let user_id = self.new_id("user-");
        let created_at = self.seconds();
        let user = Member {
            id: user_id.clone(),
            email: None,
            name: Some(name.to_owned()),
            role: OrgRole::Reader,
            added_at: created_at,
            created: created_at,
            is_default: false,
            is_service_account: true,
            is_scim_managed: false,
            technical_level: None,
            developer_persona: None,
        };
        self.members.insert(&user_id, self.now, user);
        let account = ServiceAccount {
            id: id.clone(),
            project: project.to_owned(),
            name: name.to_owned(),
            role: ProjectRole::Member,
            created_at,
            user_id,
        };
        self.service_accounts.insert(&id, self.now, account);
        id
    }

    pub(super) fn add_project_key(&mut self, project: &str, name: &str, owner: KeyOwner) -> String {
        let id = self.new_id("key_");
        let key = ProjectKey {
            id: id.clone(),
            project: project.to_owned(),
            name: name.to_owned(),
            created_at: self.seconds(),
            owner,
        };
        self.project_keys.insert(&id, self.now, key);
        id
    }

    pub(super) fn add_admin_key(
        &mut self,
        name: &str,
        value: String,
        owner: String,
        is_read_only: bool,
        expires_at: Option<i64>,
    ) -> String {
        let id = self.new_id("key_");
        let key = AdminKey {
            id: id.clone(),
            name: name.to_owned(),
            value,
            created_at: self.seconds(),
            expires_at,
            last_used_at: None,
            owner,
            is_read_only,
        };
        self.admin_keys.insert(&id, self.now, key);
        id
    }

    // --- roles

    /// The predefined roles of a scope followed by its custom ones.
    pub(super) fn roles_of(&self, scope: &Scope) -> Vec<Role> {
        let names: &[&str] = match scope {
            Scope::Organization => &["owner", "reader"],
            Scope::Project(_) => &["owner", "member", "viewer"],
        };
        let predefined = names.iter().map(|name| self.predefined(scope, name));
        let custom = self.roles.values().filter(|role| role.scope == *scope).cloned();
        predefined.chain(custom).collect()
    }

    /// One role of a scope.
    pub(super) fn role(&self, scope: &Scope, id: &str) -> Option<Role> {
        self.roles_of(scope).into_iter().find(|role| role.id == id)
    }

    /// The predefined role of a scope with a name.
    pub(super) fn predefined(&self, scope: &Scope, name: &str) -> Role {
        let (kind, resource) = match scope {
            Scope::Organization => ("organization", &self.options.organization_id),
            Scope::Project(project) => ("project", project),
        };
        let id = match self.options.role_ids {
            RoleIds::Long => format!("role-api-{kind}-{name}__api-{kind}__{resource}"),
            RoleIds::Short => format!("role-api-{kind}-{name}"),
        };
        let right = if name == "owner" { "write" } else { "read" };
        Role {
            id,
            scope: scope.clone(),
            name: name.to_owned(),
            description: None,
            permissions: vec![format!("api.{kind}.{right}")],
            is_predefined: true,
            updated_at: None,
        }
    }
}
