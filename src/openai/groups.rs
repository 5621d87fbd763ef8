//! Groups of the organization. `NotFound` of the whole list means that the organization's plan has no groups.

use serde_json::json;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::{Deleted, Group, GroupMember, GroupMembership};

impl Client {
    /// One page of all groups; `limit` is up to 1000.
    pub async fn list_groups(&self, after: Option<&str>, limit: u32) -> Result<Answer<Page<Group>>, Failure> {
        self.send(Call::new(Endpoint::ListGroups, &[]).with_page(after, limit), |_| true).await
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
