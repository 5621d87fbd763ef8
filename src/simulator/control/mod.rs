//! The control calls as Rust methods: what people do at OpenAI, and what goes wrong.

mod conduct;
mod projects;

use serde_json::json;

use super::Simulator;
use super::objects::{InviteStatus, OrgRole};
use super::organization::Organization;

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

pub(in crate::simulator) fn find_member(
    organization: &Organization,
    member: &str,
) -> Result<String, ControlError> {
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
