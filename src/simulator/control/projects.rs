//! Projects, groups and keys, as people change them at OpenAI.

use jiff::Timestamp;
use serde_json::json;

use super::{ControlError, find_member};
use crate::simulator::Simulator;
use crate::simulator::objects::{KeyOwner, Principal, ProjectRole, ProjectUser, Role, Scope};

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
