//! Groups of the organization, their members and their projects. `NotFound` of the whole list means that the
//! organization's plan has no groups.

use serde_json::json;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::{Deleted, Group, GroupMember, GroupMembership, ProjectGroup};

impl Client {
    /// One page of all groups; `limit` is up to 1000.
    pub async fn list_groups(&self, after: Option<&str>, limit: u32) -> Result<Answer<Page<Group>>, Failure> {
        self.send(Call::new(Endpoint::ListGroups, &[]).with_page(after, limit), |_| true).await
    }

    /// Makes a group. The name need not be free, so a repeated call may make a second one: look before repeating.
    pub async fn create_group(&self, name: &str) -> Result<Answer<Group>, Failure> {
        let call = Call::new(Endpoint::CreateGroup, &[]).with_body(json!({ "name": name }));
        self.send(call, |answer: &Group| answer.name == name).await
    }

    /// Gives a group another name.
    pub async fn rename_group(&self, group: &str, name: &str) -> Result<Answer<Group>, Failure> {
        let ids = [group];
        let call = Call::new(Endpoint::UpdateGroup, &ids).with_body(json!({ "name": name }));
        self.send(call, |answer: &Group| answer.id == group).await
    }

    /// Deletes a group, and with it everybody's membership.
    pub async fn delete_group(&self, group: &str) -> Result<Answer<Deleted>, Failure> {
        self.send(Call::new(Endpoint::DeleteGroup, &[group]), |answer: &Deleted| answer.is_of(group)).await
    }

    /// Lets the members of a group into a project, with the role that has this id.
    pub async fn add_project_group(
        &self,
        project: &str,
        group: &str,
        role: &str,
    ) -> Result<Answer<ProjectGroup>, Failure> {
        let (ids, body) = ([project], json!({ "group_id": group, "role": role }));
        let call = Call::new(Endpoint::AddProjectGroup, &ids).with_body(body);
        self.send(call, |answer: &ProjectGroup| answer.group_id == group && answer.project_id == project)
            .await
    }

    /// Reads whether a group is in a project.
    pub async fn get_project_group(
        &self,
        project: &str,
        group: &str,
    ) -> Result<Answer<ProjectGroup>, Failure> {
        let ids = [project, group];
        self.send(Call::new(Endpoint::GetProjectGroup, &ids), |answer: &ProjectGroup| {
            answer.group_id == group
        })
        .await
    }

    /// Takes a project from the members of a group.
    pub async fn remove_project_group(&self, project: &str, group: &str) -> Result<Answer<Deleted>, Failure> {
        let ids = [project, group];
        self.send(Call::new(Endpoint::RemoveProjectGroup, &ids), |answer: &Deleted| answer.deleted).await
    }

    /// One page of a group's members; `limit` is up to 1000.
    pub async fn list_group_users(
        &self,
        group: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<GroupMember>>, Failure> {
        let ids = [group];
        self.send(Call::new(Endpoint::ListGroupUsers, &ids).with_page(after, limit), |_| true).await
    }

    /// Reads one member of a group.
    pub async fn get_group_user(&self, group: &str, user: &str) -> Result<Answer<GroupMember>, Failure> {
        let ids = [group, user];
        self.send(Call::new(Endpoint::GetGroupUser, &ids), |answer: &GroupMember| answer.id == user).await
    }

    /// Puts a member of the organization into a group. `Conflict` may mean that they are in it.
    pub async fn add_group_user(&self, group: &str, user: &str) -> Result<Answer<GroupMembership>, Failure> {
        let ids = [group];
        let call = Call::new(Endpoint::AddGroupUser, &ids).with_body(json!({ "user_id": user }));
        self.send(call, |answer: &GroupMembership| answer.user_id == user && answer.group_id == group).await
    }

    /// Takes a member out of a group.
    pub async fn remove_group_user(&self, group: &str, user: &str) -> Result<Answer<Deleted>, Failure> {
        let ids = [group, user];
        self.send(Call::new(Endpoint::RemoveGroupUser, &ids), |answer: &Deleted| answer.deleted).await
    }
}
