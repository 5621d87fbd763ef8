//! Roles of the organization and who has them. `NotFound` of the whole list means that the plan has no roles.

use serde_json::json;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::{Deleted, Role, RoleAssignment};

impl Client {
    /// One page of all roles, predefined and custom; `limit` is up to 1000.
    pub async fn list_roles(&self, after: Option<&str>, limit: u32) -> Result<Answer<Page<Role>>, Failure> {
        self.send(Call::new(Endpoint::ListRoles, &[]).with_page(after, limit), |_| true).await
    }

    /// One page of a member's roles, each with where it comes from; `limit` is up to 1000.
    pub async fn list_user_roles(
        &self,
        user: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<Role>>, Failure> {
        let ids = [user];
        self.send(Call::new(Endpoint::ListUserRoles, &ids).with_page(after, limit), |_| true).await
    }

    /// One page of the roles that there are in a project, predefined and custom; `limit` is up to 1000.
    pub async fn list_project_roles(
        &self,
        project: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<Role>>, Failure> {
        let ids = [project];
        self.send(Call::new(Endpoint::ListProjectRoles, &ids).with_page(after, limit), |_| true).await
    }

    /// Reads one role of a member, with where it comes from.
    pub async fn get_user_role(&self, user: &str, role: &str) -> Result<Answer<Role>, Failure> {
        let ids = [user, role];
        self.send(Call::new(Endpoint::GetUserRole, &ids), |answer: &Role| answer.id == role).await
    }

    /// Reads one role that a member has in a project.
    pub async fn get_project_user_role(
        &self,
        project: &str,
        user: &str,
        role: &str,
    ) -> Result<Answer<Role>, Failure> {
        let ids = [project, user, role];
        self.send(Call::new(Endpoint::GetProjectUserRole, &ids), |answer: &Role| answer.id == role).await
    }

    /// Gives a member of a project a role there, by the role's id.
    pub async fn assign_project_user_role(
        &self,
        project: &str,
        user: &str,
        role: &str,
    ) -> Result<Answer<RoleAssignment>, Failure> {
        let ids = [project, user];
        let call = Call::new(Endpoint::AssignProjectUserRole, &ids).with_body(json!({ "role_id": role }));
        self.send(call, |answer: &RoleAssignment| answer.role.id == role).await
    }

    /// Takes a role in a project from a member.
    pub async fn unassign_project_user_role(
        &self,
        project: &str,
        user: &str,
        role: &str,
    ) -> Result<Answer<Deleted>, Failure> {
        let ids = [project, user, role];
        self.send(Call::new(Endpoint::UnassignProjectUserRole, &ids), |answer: &Deleted| answer.deleted).await
    }

    /// Gives a member a role, by the role's id.
    pub async fn assign_user_role(&self, user: &str, role: &str) -> Result<Answer<RoleAssignment>, Failure> {
        let ids = [user];
        let call = Call::new(Endpoint::AssignUserRole, &ids).with_body(json!({ "role_id": role }));
        self.send(call, |answer: &RoleAssignment| answer.role.id == role).await
    }

    /// Takes a role from a member. Roles that come through a group cannot be taken this way.
    pub async fn unassign_user_role(&self, user: &str, role: &str) -> Result<Answer<Deleted>, Failure> {
        let ids = [user, role];
        self.send(Call::new(Endpoint::UnassignUserRole, &ids), |answer: &Deleted| answer.deleted).await
    }
}
