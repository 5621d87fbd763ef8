//! Invites: the only way into an organization.

use serde_json::json;

use crate::openai::client::{Answer, Call, Client};
use crate::openai::endpoint::Endpoint;
use crate::openai::failure::Failure;
use crate::openai::page::Page;
use crate::openai::wire::{Deleted, Invite, ProjectGrant};

/// What an invite is made of. Nothing of it can be changed later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewInvite<'a> {
    /// Where it goes.
    pub email: &'a str,
    /// `owner` or `reader`.
    pub role: &'a str,
    /// The projects it carries. Always sent: left out, it would mean the default project.
    pub projects: &'a [ProjectGrant],
}

impl Client {
    /// One page of all invites in every state; `limit` is 1 to 100. There is no filter by address.
    pub async fn list_invites(
        &self,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Answer<Page<Invite>>, Failure> {
        self.send(Call::new(Endpoint::ListInvites, &[]).with_page(after, limit), |_| true).await
    }

    /// Sends an invite. `Rejected` also means "is a member already" or "is invited already": look before believing.
    pub async fn create_invite(&self, invite: &NewInvite<'_>) -> Result<Answer<Invite>, Failure> {
        let mut body = json!({ "email": invite.email, "role": invite.role, "projects": invite.projects });
        if planted!(OmittedProjects) && invite.projects.is_empty() {
            body = json!({ "email": invite.email, "role": invite.role });
        }
        let call = Call::new(Endpoint::CreateInvite, &[]).with_body(body);
        self.send(call, |answer: &Invite| answer.email.eq_ignore_ascii_case(invite.email)).await
    }

    /// Reads one invite.
    pub async fn get_invite(&self, invite: &str) -> Result<Answer<Invite>, Failure> {
        self.send(Call::new(Endpoint::GetInvite, &[invite]), |answer: &Invite| answer.id == invite).await
    }

    /// Withdraws an invite. `Rejected` when it has been accepted.
    pub async fn delete_invite(&self, invite: &str) -> Result<Answer<Deleted>, Failure> {
        self.send(Call::new(Endpoint::DeleteInvite, &[invite]), |answer: &Deleted| answer.is_of(invite)).await
    }
}
