//! The control calls as Rust methods: what people do at OpenAI, and what goes wrong.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Simulator;
use super::faults::{Fault, FaultRule};
use super::objects::{InviteStatus, KeyOwner, OrgRole, Principal, ProjectRole, ProjectUser, Role, Scope};
use super::options::{LimiterOptions, Options};
use super::organization::Organization;
use super::routes;

/// A control call that could not be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// Nothing has this id or address.
    #[error("no {what} has the id or address '{id}'")]
    Unknown {
        /// The kind of thing.
        what: &'static str,
        /// The id or address given.
        id: String,
    },
    /// The thing is in a state that does not allow it.
    #[error("{0}")]
    Refused(String),
}

impl ControlError {
    fn unknown(what: &'static str, id: &str) -> Self {
        Self::Unknown { what, id: id.to_owned() }
    }
}

/// People and their invites.
impl Simulator {
    /// Lets a person accept the pending invite with this id or address; answers the user id.
    ///
    /// # Errors
    /// There is no such invite, or it is not pending (any more).
    pub fn accept_invite(&self, invite: &str) -> Result<String, ControlError> {
        self.accept_invite_as(invite, None, None)
    }

    /// Lets a person accept an invite with an account that has another address, or a name of its own.
    ///
    /// # Errors
    /// There is no such invite, it is not pending, or the account is a member already.
    pub fn accept_invite_as(
        &self,
        invite: &str,
        email: Option<&str>,
        name: Option<&str>,
    ) -> Result<String, ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let (id, address) = find_pending(organization, invite)?;
        let email = email.unwrap_or(&address);
        if organization.member_by_email(email).is_some() {
            return Err(ControlError::Refused(format!("{email} is a member already")));
        }
        organization.accept(&id, Some(email), name).ok_or_else(|| ControlError::unknown("invite", invite))
    }

    /// Lets a person turn a pending invite down: it is listed as expired from now on.
    ///
    /// # Errors
    /// There is no such invite, or it is not pending.
    pub fn decline_invite(&self, invite: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let (id, _) = find_pending(organization, invite)?;
        let now = organization.now;
        if let Some(invite) = organization.invites.get_mut(&id) {
            invite.expires_at = now;
        }
        Ok(())
    }

    /// Makes an invite out of band, as an owner at the dashboard would; answers its id.
    pub fn seed_invite(&self, email: &str, role: OrgRole) -> String {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = organization.add_invite(email, role, Some(Vec::new()));
        let actor = organization.dashboard();
        organization.record(
            &actor,
            "invite.sent",
            None,
            json!({"id": id, "data": {"email": email, "role": role}}),
        );
        id
    }

    /// Deletes an invite out of band, by its id or by the address of a pending one.
    ///
    /// # Errors
    /// There is no such invite.
    pub fn remove_invite(&self, invite: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = if organization.invites.contains(invite) {
            invite.to_owned()
        } else {
            find_pending(organization, invite)?.0
        };
        organization.remove_invite(&id);
        let actor = organization.dashboard();
        organization.record(&actor, "invite.deleted", None, json!({"id": id}));
        Ok(())
    }

    /// Puts a member in place; answers the user id. An address that is a member already keeps its membership.
    pub fn seed_member(&self, email: &str, role: OrgRole) -> String {
        self.seed(email, role, false)
    }

    /// Puts a member in place whom OpenAI's own directory sync manages; answers the user id.
    pub fn seed_scim_managed_member(&self, email: &str) -> String {
        self.seed(email, OrgRole::Reader, true)
    }

    fn seed(&self, email: &str, role: OrgRole, is_scim_managed: bool) -> String {
        let mut world = self.lock();
        let organization = &mut world.organization;
        if let Some(member) = organization.member_by_email(email) {
            return member.id.clone();
        }
        let id = organization.add_member(email, None, role);
        if let Some(member) = organization.members.get_mut(&id) {
            member.is_scim_managed = is_scim_managed;
        }
        let actor = organization.dashboard();
        organization.record(&actor, "user.added", None, json!({"id": id, "data": {"role": role}}));
        id
    }

    /// Puts a service account into the default project; answers its own id.
    pub fn seed_service_account(&self, name: &str) -> String {
        let mut world = self.lock();
        let project =
            world.organization.default_project().map(|project| project.id.clone()).unwrap_or_default();
        world.organization.add_service_account(&project, name)
    }

    /// Removes a member out of band, by user id or address.
    ///
    /// # Errors
    /// There is no such member.
    pub fn remove_member(&self, member: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        let actor = organization.dashboard();
        organization.remove_member(&id, &actor);
        Ok(())
    }

    /// Changes a member's organization role out of band, by user id or address.
    ///
    /// # Errors
    /// There is no such member.
    pub fn set_role(&self, member: &str, role: OrgRole) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        if let Some(member) = organization.members.get_mut(&id) {
            member.role = role;
        }
        let actor = organization.dashboard();
        let detail = json!({"id": id, "changes_requested": {"role": role}});
        organization.record(&actor, "user.updated", None, detail);
        Ok(())
    }
}

/// Projects, groups and keys.
impl Simulator {
    /// The id of the default project.
    pub fn default_project(&self) -> Option<String> {
        self.lock().organization.default_project().map(|project| project.id.clone())
    }

    /// Makes a project out of band; answers its id.
    pub fn seed_project(&self, name: &str) -> String {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = organization.add_project(name.to_owned(), false);
        let actor = organization.dashboard();
        let detail = json!({"id": id, "data": {"name": name, "title": name}});
        organization.record(&actor, "project.created", Some(&id), detail);
        id
    }

    /// Archives a project out of band.
    ///
    /// # Errors
    /// There is no such project.
    pub fn archive_project(&self, project: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let now = organization.seconds();
        let found = organization.projects.get_mut(project);
        found.ok_or_else(|| ControlError::unknown("project", project))?.archived_at = Some(now);
        let actor = organization.dashboard();
        organization.record(&actor, "project.archived", Some(project), json!({"id": project}));
        Ok(())
    }

    /// Makes a custom role of the organization out of band; answers its id.
    pub fn seed_role(&self, name: &str, description: Option<&str>) -> String {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = organization.new_id("role_");
        let role = Role {
            id: id.clone(),
            scope: Scope::Organization,
            name: name.to_owned(),
            description: description.map(str::to_owned),
            permissions: Vec::new(),
            is_predefined: false,
            updated_at: Some(organization.seconds()),
        };
        organization.roles.insert(&id, organization.now, role);
        let actor = organization.dashboard();
        organization.record(&actor, "role.created", None, json!({"id": id, "role_name": name}));
        id
    }

    /// Makes a custom role of a project out of band; answers its id.
    pub fn seed_project_role(&self, project: &str, name: &str) -> String {
        let id = self.seed_role(name, None);
        if let Some(role) = self.lock().organization.roles.get_mut(&id) {
            role.scope = Scope::Project(project.to_owned());
        }
        id
    }

    /// The ids of the custom roles that a user was given, in the organization and in projects.
    pub fn assigned_roles(&self, user: &str) -> Vec<String> {
        let world = self.lock();
        let own = Principal::User(user.to_owned());
        let assigned = world.organization.assignments.keys().filter(|assigned| assigned.principal == own);
        assigned.map(|assigned| assigned.role_id.clone()).collect()
    }

    /// Adds a member (id or address) to a project out of band, or changes the role there.
    ///
    /// # Errors
    /// There is no such project or member.
    pub fn seed_project_user(
        &self,
        project: &str,
        member: &str,
        role: ProjectRole,
    ) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        let (now, added_at) = (organization.now, organization.seconds());
        let found = organization.projects.get_mut(project);
        let found = found.ok_or_else(|| ControlError::unknown("project", project))?;
        found.users.insert(&id, now, ProjectUser { role, added_at });
        let actor = organization.dashboard();
        let detail = json!({"id": id, "data": {"role": role}});
        organization.record(&actor, "user.added", Some(project), detail);
        Ok(())
    }

    /// Takes a member (id or address) out of a project out of band.
    ///
    /// # Errors
    /// There is no such project or member.
    pub fn remove_project_user(&self, project: &str, member: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        let found = organization.projects.get_mut(project);
        found.ok_or_else(|| ControlError::unknown("project", project))?.users.remove(&id);
        let actor = organization.dashboard();
        organization.record(&actor, "user.deleted", Some(project), json!({"id": id}));
        Ok(())
    }

    /// Who was added to a project, with the role there; owners of the organization need no adding.
    pub fn project_users(&self, project: &str) -> Vec<(String, ProjectRole)> {
        let world = self.lock();
        let project = world.organization.projects.get(project);
        let rows = project.into_iter().flat_map(|project| project.users.rows());
        rows.map(|row| (row.id.clone(), row.value.role)).collect()
    }

    /// Makes a group out of band; answers its id.
    pub fn seed_group(&self, name: &str, is_scim_managed: bool) -> String {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = organization.add_group(name, is_scim_managed);
        let actor = organization.dashboard();
        organization.record(&actor, "group.created", None, json!({"id": id, "data": {"group_name": name}}));
        id
    }

    /// Adds a member (id or address) to a group out of band.
    ///
    /// # Errors
    /// There is no such group or member.
    pub fn seed_group_member(&self, group: &str, member: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        let (now, added_at) = (organization.now, organization.seconds());
        let found =
            organization.groups.get_mut(group).ok_or_else(|| ControlError::unknown("group", group))?;
        found.users.insert(&id, now, added_at);
        let actor = organization.dashboard();
        organization.record(&actor, "group.updated", None, json!({"id": group}));
        Ok(())
    }

    /// Takes a member (id or address) out of a group out of band.
    ///
    /// # Errors
    /// There is no such group or member.
    pub fn remove_group_member(&self, group: &str, member: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        let found =
            organization.groups.get_mut(group).ok_or_else(|| ControlError::unknown("group", group))?;
        found.users.remove(&id);
        let actor = organization.dashboard();
        organization.record(&actor, "group.updated", None, json!({"id": group}));
        Ok(())
    }

    /// The groups, by id and name, in the order of making.
    pub fn groups(&self) -> Vec<(String, String)> {
        let world = self.lock();
        world.organization.groups.values().map(|group| (group.id.clone(), group.name.clone())).collect()
    }

    /// Deletes a group out of band.
    ///
    /// # Errors
    /// There is no such group.
    pub fn remove_group(&self, group: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        organization.groups.remove(group).ok_or_else(|| ControlError::unknown("group", group))?;
        for project in organization.projects.values_mut() {
            project.groups.remove(group);
        }
        let actor = organization.dashboard();
        organization.record(&actor, "group.deleted", None, json!({"id": group}));
        Ok(())
    }

    /// The groups that were let into a project, with the names of their roles there.
    pub fn project_groups(&self, project: &str) -> Vec<(String, String)> {
        let world = self.lock();
        let organization = &world.organization;
        let scope = Scope::Project(project.to_owned());
        let assigned = organization.assignments.keys().filter(|assigned| assigned.scope == scope);
        assigned
            .filter_map(|assigned| match &assigned.principal {
                Principal::Group(group) => {
                    Some((group.clone(), organization.role(&scope, &assigned.role_id)?.name.clone()))
                }
                Principal::User(_) => None,
            })
            .collect()
    }

    /// The user ids in a group, in the order of adding.
    pub fn group_members(&self, group: &str) -> Vec<String> {
        let world = self.lock();
        let group = world.organization.groups.get(group);
        group.into_iter().flat_map(|group| group.users.rows()).map(|row| row.id.clone()).collect()
    }

    /// Puts a person's API key into a project; answers its id. It stays when the person goes.
    ///
    /// # Errors
    /// There is no such project or member.
    pub fn seed_project_key(&self, project: &str, member: &str, name: &str) -> Result<String, ControlError> {
        let mut world = self.lock();
        let organization = &mut world.organization;
        let id = find_member(organization, member)?;
        if !organization.projects.contains(project) {
            return Err(ControlError::unknown("project", project));
        }
        let found = organization.members.get(&id);
        let email = found.and_then(|member| member.email.clone()).unwrap_or_default();
        let owner_name = found.and_then(|member| member.name.clone()).unwrap_or_default();
        let owner = KeyOwner::User { id, email, name: owner_name };
        Ok(organization.add_project_key(project, name, owner))
    }

    /// Gives an admin key another owner.
    ///
    /// # Errors
    /// There is no such key, or no such member.
    pub fn set_key_owner(&self, value: &str, member: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let owner = find_member(&world.organization, member)?;
        let keys = &mut world.organization.admin_keys;
        let id = keys.rows().find(|row| row.value.value == value).map(|row| row.id.clone());
        let key = id.and_then(|id| keys.get_mut(&id));
        key.ok_or_else(|| ControlError::unknown("admin key", "(not shown)"))?.owner = owner;
        Ok(())
    }

    /// Makes an admin key, as an owner does in the console.
    pub fn seed_admin_key(&self, value: &str, is_read_only: bool) {
        let mut world = self.lock();
        let owner = world.organization.members.rows().next().map(|row| row.id.clone()).unwrap_or_default();
        world.organization.add_admin_key("made in the console", value.to_owned(), owner, is_read_only, None);
    }

    /// Has an admin key run out at this instant.
    pub fn let_key_expire(&self, value: &str, at: Timestamp) -> Result<(), ControlError> {
        let mut world = self.lock();
        let keys = &mut world.organization.admin_keys;
        let id = keys.rows().find(|row| row.value.value == value).map(|row| row.id.clone());
        let key = id.and_then(|id| keys.get_mut(&id));
        key.ok_or_else(|| ControlError::unknown("admin key", "(not shown)"))?.expires_at =
            Some(at.as_second());
        Ok(())
    }

    /// Makes an admin key stop working: every further call with it is a 401.
    ///
    /// # Errors
    /// No key has this value.
    pub fn revoke_key(&self, value: &str) -> Result<(), ControlError> {
        let mut world = self.lock();
        let keys = &mut world.organization.admin_keys;
        let before = keys.len();
        keys.retain(|key| key.value != value);
        if keys.len() == before {
            return Err(ControlError::unknown("admin key", "(not shown)"));
        }
        Ok(())
    }
}

/// Faults, limits, switches and time.
impl Simulator {
    /// Lets the next `times` calls of a method (or `*`) and path template (or `*`) meet a fault.
    ///
    /// # Errors
    /// The API has no such path template.
    pub fn fail_next(
        &self,
        method: &str,
        template: &str,
        fault: Fault,
        times: u32,
    ) -> Result<(), ControlError> {
        self.add_fault(FaultRule::next(method, template, fault, times))
    }

    /// Adds a rule after those already there; the first that applies to a call wins.
    ///
    /// # Errors
    /// The API has no such path template.
    pub fn add_fault(&self, rule: FaultRule) -> Result<(), ControlError> {
        if rule.template != "*" && !routes::is_template(&rule.template) {
            return Err(ControlError::unknown("path template", &rule.template));
        }
        self.lock().faults.add(rule);
        Ok(())
    }

    /// The rules in force.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.lock().faults.rules()
    }

    /// Ends all faults; late effects that are due still land.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// The switches in force.
    pub fn options(&self) -> Options {
        self.lock().organization.options.clone()
    }

    /// Changes switches. What exists already (owners, keys, ids) stays as it is.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.lock().organization.options);
    }

    /// Changes the limiter and empties its windows.
    pub fn set_limiter(&self, limiter: LimiterOptions) {
        let mut world = self.lock();
        world.organization.options.limiter = limiter;
        world.limiter = super::limiter::Limiter::default();
    }

    /// Moves the stand-in's own clock forward, whatever [`Clock`](crate::clock::Clock) it was given.
    pub fn advance(&self, by: SignedDuration) {
        self.shift(by);
    }

    /// The present instant of the stand-in.
    pub fn now(&self) -> Timestamp {
        self.lock().organization.now
    }
}

pub(super) fn find_member(organization: &Organization, member: &str) -> Result<String, ControlError> {
    organization
        .members
        .get(member)
        .or_else(|| organization.member_by_email(member))
        .map(|member| member.id.clone())
        .ok_or_else(|| ControlError::unknown("member", member))
}

/// Id and address of a pending invite.
fn find_pending(organization: &Organization, invite: &str) -> Result<(String, String), ControlError> {
    let found = match organization.invites.get(invite) {
        Some(found) => Some(found),
        None => organization.pending_invite(invite).or_else(|| organization.invites_of(invite).last()),
    };
    let found = found.ok_or_else(|| ControlError::unknown("invite", invite))?;
    match found.status(organization.now) {
        InviteStatus::Pending => Ok((found.id.clone(), found.email.clone())),
        InviteStatus::Accepted => Err(ControlError::Refused("the invite was accepted already".to_owned())),
        InviteStatus::Expired => Err(ControlError::Refused("the invite has expired".to_owned())),
    }
}
