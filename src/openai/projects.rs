//! Projects and their members. Every call about the members of an archived project is `Rejected`.

use serde_json::json;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::{Deleted, Project, ProjectUser};

impl Client {
    /// One page of the projects that are not archived; `limit` is 1 to 100.
    pub async fn list_projects(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<Project>>, Failure> {
        self.send(Call::new(Endpoint::ListProjects, &[]).with_page(after, limit), |_| true).await
    }

    /// Reads one project.
    pub async fn get_project(&self, project: &str) -> Result<Answer<Project>, Failure> {
        self.send(Call::new(Endpoint::GetProject, &[project]), |answer: &Project| answer.id == project).await
    }

    /// One page of a project's members; `limit` is 1 to 100.
    pub async fn list_project_users(
        &self,
        project: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<ProjectUser>>, Failure> {
        let ids = [project];
        self.send(Call::new(Endpoint::ListProjectUsers, &ids).with_page(after, limit), |_| true).await
    }

    /// Reads one member of a project.
    pub async fn get_project_user(&self, project: &str, user: &str) -> Result<Answer<ProjectUser>, Failure> {
        let ids = [project, user];
        self.send(Call::new(Endpoint::GetProjectUser, &ids), |answer: &ProjectUser| answer.id == user).await
    }

    /// Gives a member of the organization a role (`owner` or `member`) in a project. `Conflict`, or `Rejected`, when
    /// they have one already; `NotFound` when they are no member yet.
    pub async fn add_project_user(
        &self,
        project: &str,
        user: &str,
        role: &str,
    ) -> Result<Answer<ProjectUser>, Failure> {
        let (ids, body) = ([project], json!({ "user_id": user, "role": role }));
        let call = Call::new(Endpoint::AddProjectUser, &ids).with_body(body);
        self.send(call, |answer: &ProjectUser| answer.id == user).await
    }

    /// Changes a project member's role. `Rejected` with code `user_organization_owner` for organization owners.
    pub async fn update_project_user(
        &self,
        project: &str,
        user: &str,
        role: &str,
    ) -> Result<Answer<ProjectUser>, Failure> {
        let ids = [project, user];
        let call = Call::new(Endpoint::UpdateProjectUser, &ids).with_body(json!({ "role": role }));
        self.send(call, |answer: &ProjectUser| answer.id == user).await
    }

    /// Takes a member out of a project. `Rejected` with code `user_organization_owner` for organization owners.
    pub async fn remove_project_user(&self, project: &str, user: &str) -> Result<Answer<Deleted>, Failure> {
        let ids = [project, user];
        self.send(Call::new(Endpoint::RemoveProjectUser, &ids), |answer: &Deleted| answer.is_of(user)).await
    }
}
